"""Small fakes of the studies in MinD-Vis's data folder, in the layouts that were published."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

BETAS = "BOLD5000_GLMsingle_ROI_betas/py"
SHOWN = "BOLD5000_Stimuli/Scene_Stimuli/Presented_Stimuli"
REGIONS = ("EarlyVis", "LOC", "OPA", "PPA", "RSC")


def write_god(
    root: Path, *, sizes: tuple[int, ...] = (30, 24), side: int = 8, n_each: int = 5
) -> dict[str, Any]:
    """Write `Kamitani/npz`: 12 training pictures of 4 classes, 3 test pictures of others."""
    rng = np.random.default_rng(0)
    root.mkdir(parents=True, exist_ok=True)
    n_train, n_test = 12, 3
    pictures = {
        f"{name}_images": rng.integers(0, 256, (n, side, side, 3), dtype=np.uint8)
        for name, n in (("train", n_train), ("test", n_test))
    }
    np.savez(root / "images_256.npz", **pictures)
    people = {}
    for number, size in enumerate(sizes, start=1):
        single = rng.normal(3, 2, (n_test * n_each, size))
        arrays = {
            "arr_0": rng.normal(3, 2, (n_train, size)),
            "arr_1": single,
            "arr_2": single.reshape(n_test, n_each, size).mean(axis=1),
            "arr_3": rng.permutation(n_train),
            "VC": np.arange(size) < size - 4,
            "V1": np.arange(size) % 3 == 0,
        }
        np.savez(root / f"sbj_{number}.npz", **arrays)
        people[f"sbj_{number}"] = arrays
    # As published, a class may have several numbers; its name is the last of its entry.
    index = {str(k): [f"n{1000 + k:08d}", f"thing_{k}"] for k in range(8)}
    index["2"] = ["n00001002", "n00002002", "thing_2"]
    (root / "imagenet_class_index.json").write_text(json.dumps(index))
    synsets = {"training": [1000, 1001, 2002, 1003] * 3, "testing": [1005, 1006, 9999]}
    for name, numbers in synsets.items():
        lines = [f"{n}.{i:06d},n{n:08d}_{i}.JPEG" for i, n in enumerate(numbers)]
        (root / f"imagenet_{name}_label.csv").write_text("\n".join(lines) + "\n")
    return {"pictures": pictures, "people": people}


def write_bold5000(
    root: Path, *, sizes: tuple[int, ...] = (3, 2), as_dictionary: bool = False
) -> dict[str, Any]:
    """Write `BOLD5000`: 8 pictures seen once and 3 seen three times, over two sessions."""
    rng = np.random.default_rng(1)
    once = [f"COCO_{i:03d}.jpg" for i in range(4)] + [f"n{i}.JPEG" for i in range(4)]
    often = ["beach1.jpg", "COCO_100.jpg", "n100.JPEG"]
    pictures = {}
    for name in once + often:
        pictures[name] = np.zeros((8, 10, 3), np.uint8) + rng.integers(0, 256, 3, dtype=np.uint8)
    folder = root / SHOWN
    folder.mkdir(parents=True)
    if as_dictionary:
        np.save(folder / "img_dict.npy", np.array(pictures, dtype=object))
    else:
        for name, picture in pictures.items():
            kind = "COCO" if "COCO" in name else "ImageNet" if name[0] == "n" else "Scene"
            write_still(folder / kind / name, picture)
    (folder.parent / "repeated_stimuli_113_list.txt").write_text("\n".join([*often, "other.jpg"]))
    found: dict[str, Any] = {"pictures": pictures, "people": {}}
    for number, size in enumerate(sizes, start=1):
        who = f"CSI{number}"
        trials = [*once, *often, *(f"rep_{n}" for n in often), *(f"rep_{n}" for n in often)]
        trials = [trials[i] for i in rng.permutation(len(trials))]
        lists = root / "BOLD5000_Stimuli/Stimuli_Presentation_Lists" / who
        runs = [(1, 1, trials[:5]), (1, 2, trials[5:9]), (2, 1, trials[9:])]
        for session, run, names in runs:
            file = lists / f"{who}_sess{session:02d}" / f"CSI_sess{session:02d}_run{run:02d}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join(names) + "\n")
        betas = {}
        for roi in REGIONS:
            for side in ("LH", "RH"):
                values = rng.normal(1, 2, (len(trials), size)).astype(np.float32)
                stem = f"{who}_GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_allses_{side}{roi}"
                (root / BETAS).mkdir(parents=True, exist_ok=True)
                np.save(root / BETAS / f"{stem}.npy", values)
                betas[side + roi] = values
        found["people"][who] = {"trials": [t.removeprefix("rep_") for t in trials], "betas": betas}
    return found


def write_hcp(root: Path, *, n_volumes: int = 45) -> dict[str, dict[str, Any]]:
    """Write `HCP/npz`: a folder of each person with the volumes of V1 to V4."""
    rng = np.random.default_rng(2)
    found = {}
    for who in ("100307", "100408", "101107"):
        sizes = {"V1": 5, "V2": 4, "V3": 3, "V4": 2}
        arrays = {key: rng.normal(0, 1, (n_volumes, n)) for key, n in sizes.items()}
        (root / who).mkdir(parents=True)
        np.savez(root / who / "HCP_visual_voxel.npz", **arrays)
        found[who] = arrays
    return found


def write_still(path: Path, picture: np.ndarray[Any, Any]) -> None:
    """Write (H, W, 3) bytes as PNG under any name; readers go by what is in the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoder = av.CodecContext.create("png", "w")
    encoder.height, encoder.width = picture.shape[:2]
    encoder.pix_fmt, encoder.time_base = "rgb24", Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    path.write_bytes(b"".join(bytes(packet) for packet in packets))
