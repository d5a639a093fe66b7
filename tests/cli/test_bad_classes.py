"""Classifiers asked for what cannot be: status 2, one sentence, and nothing half-written."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imsave

from .breaking import cut, tree

RECIPE = """\
title: Light and dark
data: {name: labelled, splits: [{name: given}]}
model: {name: vit, width: 8, depth: 1, heads: 2, patch: 8}
task: {name: classify, clips: {n_frames: 1, height: 16, width: 16, batch: 4}}
trainer: {max_epochs: 1, progress: false}
scoring: {n_permutations: 20, n_bootstrap: 20}
"""


@pytest.fixture(scope="module")
def kept_media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of dark and light pictures to train and to test on; not to be changed."""
    root, rng = tmp_path_factory.mktemp("classes") / "media", np.random.default_rng(0)
    for part, count in (("train", 4), ("test", 3)):
        for number, name in enumerate(("dark", "light")):
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 100, (16, 16, 3), dtype=np.uint8) + np.uint8(150 * number)
                imsave(root / part / name / f"{i}.png", pixels)
    return root


@pytest.fixture
def media(kept_media: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept_media, tmp_path / "media"))


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "classes.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def kept_run(kept_media: Path, brainreel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fitted and scored classifier; not to be changed."""
    root = tmp_path_factory.mktemp("classified")
    (root / "classes.yaml").write_text(RECIPE)
    args = ("run", root / "classes.yaml", f"data.path={kept_media}", "--out", root / "run")
    assert brainreel(*args).code == 0
    return root / "run"


def test_a_run_prints_its_scores(brainreel, recipe, media, tmp_path):
    args = ("run", recipe, f"data.path={media}", "--out", tmp_path / "out")
    told = brainreel(*args).output
    assert "top1" in told
    assert "map" in told
    assert (tmp_path / "out" / "predictions" / "classes_given.npz").is_file()


WORDS: dict[str, tuple[Sequence[str], str]] = {
    "wrong model for the task": (
        ["model.name=ridge"],
        "task 'classify' cannot use model 'ridge'; it uses vit or ast or vtn or tubevit or mbt",
    ),
    "wrong task for the data": (
        ["task={name: pictures}", "model={name: picture_ridge}"],
        "task 'pictures' cannot use data 'labelled'; it uses trials",
    ),
    "model without its sense": (
        ["model={name: ast, width: 8, depth: 1, heads: 2}"],
        "model 'ast' takes sound, which task.clips.media=frames leaves out. Set "
        "task.clips.media=sound.",
    ),
    "both senses": (
        ["model={name: mbt, width: 8, depth: 2, heads: 2}"],
        "model 'mbt' takes sound, which task.clips.media=frames leaves out. Set "
        "task.clips.media=both.",
    ),
    "unknown loss": (["task.loss=mse"], "'task.loss' should be 'ce' or 'bce' (given: 'mse')."),
    "smoothing": (["task.label_smoothing=1"], "'task.label_smoothing' should be less than 1"),
    "alpha": (["task.mixup=-1"], "'task.mixup' should be greater than or equal to 0"),
    "near name": (["task.mixpu=0.3"], "unknown key 'task.mixpu'. Did you mean 'mixup'?"),
    "layer decay": (["optim.layer_decay=0"], "'optim.layer_decay' should be greater than 0"),
    "drop": (["optim.drops=[1.5]"], "'optim.drops.0' should be less than 1"),
    "frozen": (
        ["task.freeze=[patch]"],
        "freeze: the network has no weights called 'patch'. Did you mean 'patches'?",
    ),
    "all frozen": (
        ["task.freeze=[patches, transformer, norm, head]"],
        "nothing is left to learn",
    ),
    "no start": (["task.start_from=nowhere"], "nowhere: no weights.safetensors in it"),
}


@pytest.mark.parametrize("fault", WORDS)
def test_a_wrong_word(brainreel, recipe, kept_media, tmp_path, fault):
    words, told = WORDS[fault]
    before = tree(tmp_path)
    args = ("run", recipe, f"data.path={kept_media}", *words, "--out", tmp_path / "out")
    assert told in brainreel(*args).error
    assert tree(tmp_path) == before


def one_class(media: Path) -> None:
    for part in ("train", "test"):
        shutil.rmtree(media / part / "light")


def nothing_to_test(media: Path) -> None:
    shutil.rmtree(media / "test")


def broken_test(media: Path) -> None:
    cut(media / "test" / "dark" / "0.png")


def leaked(media: Path) -> None:
    shutil.copy(media / "train" / "dark" / "0.png", media / "test" / "dark" / "again.png")


MEDIA: dict[str, tuple[Callable[[Path], object], str]] = {
    "one class": (one_class, "has one class (dark): there is nothing to tell apart."),
    "nothing to test on": (nothing_to_test, "no item is for testing"),
    "a leak": (leaked, "are the same file. Keep one of them."),
    "no folder": (shutil.rmtree, "no such folder of media files. Give its place as data.path."),
}


@pytest.mark.parametrize("fault", MEDIA)
def test_media_that_cannot_be_learned(brainreel, recipe, media, tmp_path, fault):
    change, told = MEDIA[fault]
    change(media)
    before = tree(tmp_path)
    args = ("run", recipe, f"data.path={media}", "--out", tmp_path / "out")
    assert told in brainreel(*args).error
    assert tree(tmp_path) == before


def test_a_broken_picture_is_named_and_left_out_if_that_is_allowed(
    brainreel, recipe, media, tmp_path
):
    broken_test(media)
    args = ("run", recipe, f"data.path={media}", "--out", tmp_path / "out")
    told = brainreel(*args).error
    assert "1 of 6 test items could not be read: test/dark/0.png" in told
    assert "more than max_unreadable=0.01" in told
    told = brainreel(*args[:-1], tmp_path / "more", "data.max_unreadable=0.5").output
    assert "1 of 6 test items could not be read: test/dark/0.png" in told
    assert "they are not scored" in told


def test_a_class_that_training_lacks_is_told(brainreel, recipe, media, tmp_path):
    shutil.move(media / "test" / "light", media / "test" / "glare")
    args = ("run", recipe, f"data.path={media}", "--out", tmp_path / "out")
    told = brainreel(*args).error
    assert "never in training. Known: dark, light." in told
    (media / "names.txt").write_text("dark\nglare\nlight\n")
    args = (*args, "data.classes={label: names.txt}")
    assert (
        "1 of 3 classes of 'label' are tested and have no training item, so they cannot be named "
        "right: glare." in brainreel(*args).output
    )


def test_media_changed_after_the_fit(brainreel, recipe, media, tmp_path):
    out = tmp_path / "out"
    assert brainreel("fit", recipe, f"data.path={media}", "--out", out).code == 0
    (media / "test" / "dark" / "0.png").unlink()
    assert "Put them back, or fit again into another --out." in brainreel("evaluate", out).error


def test_damaged_predictions_are_told_by_the_report(brainreel, kept_run, tmp_path):
    run = Path(shutil.copytree(kept_run, tmp_path / "run"))
    cut(run / "predictions" / "classes_given.npz")
    told = brainreel("report", run).error
    assert "classes_given.npz: cannot be read" in told
    assert "Run `brainreel evaluate` again." in told


def test_a_start_with_other_sizes_is_told(brainreel, recipe, kept_media, kept_run, tmp_path):
    args = ("run", recipe, f"data.path={kept_media}", "--out", tmp_path / "out")
    before = tree(tmp_path)
    told = brainreel(*args, f"task.start_from={kept_run}", "model.width=16").error
    assert f"model.width is 16, and the weights in {kept_run} are for 8." in told
    told = brainreel(*args, f"task.start_from={kept_run}", "task.start_part=frame").error
    assert "the network has no part 'frame'." in told
    told = brainreel(
        *args, f"task.start_from={kept_run}", "data.splits=[{name: held_out, test: 0.5}]"
    ).error
    assert "was fitted on the same data" in told
    assert tree(tmp_path) == before
    assert brainreel(*args, f"task.start_from={kept_run}").code == 0
