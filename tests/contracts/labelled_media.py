"""Tiny films with sound under the names and lists of the sets that labelled recipes are for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.image import imsave

from brainreel.simulate.film import write_film
from brainreel.simulate.motions import MotionConfig, simulate_motion
from brainreel.simulate.pairs import PairsConfig, simulate_pairs

IDS = tuple("abcdef")
TRAINED, TESTED = IDS[:4], IDS[4:]


def write_films(root: Path) -> Path:
    """Six films of 1 s, 32 x 32 at 5 Hz, in folders as published sets lie."""
    rng = np.random.default_rng(0)
    root.mkdir()
    for number, name in enumerate(IDS):
        frames = rng.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
        tone = np.sin(2 * np.pi * 200 * (number + 1) * np.arange(16000) / 16000)
        write_film(
            root / f"{name}.mp4",
            frames,
            (0.3 * tone).astype(np.float32),
            frame_rate_hz=5,
            size=(32, 32),
        )
    return root


def kinetics(root: Path) -> None:
    for file, ids in (("train.csv", TRAINED), ("validate.csv", TESTED)):
        rows = [f"{'run' if i % 2 else 'sit'},{name},0,1,{file[:-4]}" for i, name in enumerate(ids)]
        lines = ["label,youtube_id,time_start,time_end,split", *rows]
        (root / file).write_text("\n".join(lines))


def audioset(root: Path) -> None:
    (root / "class_labels_indices.csv").write_text(
        'index,mid,display_name\n0,/m/1,"Speech"\n1,/m/2,"Music, loud"\n2,/m/3,Rain\n'
    )
    tags = ("/m/1", "/m/1,/m/2", "/m/3", "/m/2")
    for file, ids in (
        ("balanced_train_segments.csv", TRAINED), ("eval_segments.csv", TESTED)
    ):  # fmt: skip
        rows = [f'{name}, 0.000, 1.000, "{tag}"' for name, tag in zip(ids, tags, strict=False)]
        head = "# YTID, start_seconds, end_seconds, positive_labels"
        (root / file).write_text("\n".join([head, *rows]))


def vggsound(root: Path) -> None:
    rows = [
        f'{name},0,"{"dog, barking" if i % 2 else "rain"}",{"test" if name in TESTED else "train"}'
        for i, name in enumerate(IDS)
    ]
    (root / "vggsound.csv").write_text("\n".join(rows))


def epic(root: Path) -> None:
    head = "narration_id,video_id,start_timestamp,stop_timestamp,verb_class,noun_class"
    for file, ids in (("EPIC_100_train.csv", TRAINED), ("EPIC_100_validation.csv", TESTED)):
        rows = [
            f"{name}_{half},{name},00:00:0{start},00:00:0{start + 0.5},{i % 2},{(i + half) % 3}"
            for i, name in enumerate(ids)
            for half, start in enumerate((0.0, 0.5))
        ]
        (root / file).write_text("\n".join([head, *rows]))


def pictures(root: Path) -> Path:
    """Folders of two classes of pictures, to train and to test on."""
    rng = np.random.default_rng(1)
    for part, count in (("train", 3), ("test", 1)):
        for name in ("cat", "dog"):
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
                imsave(root / part / name / f"{i}.png", pixels)
    return root


FEW = {"n_train": 8, "n_validation": 8, "n_test": 8}


def simulated_recipe(name: str, folder: Path) -> list[str]:
    """The recipe of a simulated set on a few of its films."""
    if name == "mbt_pairs":
        simulate_pairs(folder / "media", PairsConfig(**FEW))
    else:
        simulate_motion(folder / "media", MotionConfig(**FEW))
    return [
        f"data.path={folder / 'media'}", "trainer.max_epochs=none", "trainer.max_steps=2",
        "trainer.progress=false",
    ]  # fmt: skip


LISTS: dict[str, Callable[[Path], None]] = {
    "vtn_kinetics": kinetics,
    "tubevit_kinetics": kinetics,
    "tubevit_joint": kinetics,
    "mbt_audioset": audioset,
    "mbt_epic": epic,
    "mbt_vggsound": vggsound,
}
TINY = {
    "vtn": [
        "model.frame.width=12", "model.frame.depth=1", "model.frame.heads=2", "model.depth=1",
        "model.heads=2", "model.head_width=8", "task.test_frames=6",
    ],
    "tubevit": [
        "model.width=12", "model.depth=1", "model.heads=2", "task.clips.temporal_views=2",
    ],
    "mbt": [
        "model.width=12", "model.depth=2", "model.heads=2", "model.fusion_layer=1",
        "task.clips.temporal_views=2",
    ],
}  # fmt: skip


def labelled_recipe(name: str, films: Path, folder: Path) -> list[str]:
    """Lists beside the films, and the overrides that make a recipe a matter of seconds."""
    root = folder / "media"
    root.mkdir()
    for film in films.iterdir():
        (root / film.name).symlink_to(film)
    LISTS[name](root)
    also = []
    if name == "tubevit_joint":
        also = [f"data.also.0.path={pictures(folder / 'pictures')}"]
    return [
        f"data.path={root}", *also, *TINY[name.split("_")[0]], "task.clips.height=32",
        "task.clips.width=32", "task.clips.batch=2", "task.clips.n_workers=0",
        "trainer.max_epochs=none", "trainer.max_steps=2", "trainer.progress=false",
        "trainer.accumulate=1", "trainer.precision=32",
    ]  # fmt: skip
