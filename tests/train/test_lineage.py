"""What weights went through is known to every run that begins with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brainreel.checkpoints.imported import Imported, save_imported
from brainreel.checkpoints.store import VERSIONS
from brainreel.data.voxel_module import VoxelModule
from brainreel.errors import CheckpointError, LeakError
from brainreel.evaluate.scorecard import Scorecard
from brainreel.files import read_json, write_json
from brainreel.models.sc_mbm import SCMBMConfig
from brainreel.report.protocol import tell
from brainreel.shapes import DataSpec
from brainreel.train.fit import fit
from brainreel.train.lineage import adapted_on_test, check_unseen, read_lineage
from brainreel.train.recipe import RunConfig

from ..data.volume_data import in_time, people

SIZES = {
    "name": "sc_mbm", "patch": 3, "width": 8, "depth": 1, "heads": 2, "decoder_width": 8,
    "decoder_depth": 1, "decoder_heads": 2, "mask_ratio": 0.5,
}  # fmt: skip
TINY_STAGE = {"name": "vq", "channels": 8, "multiples": [1, 2], "blocks": 1, "norm_groups": 4,
              "codes": 8}  # fmt: skip


@pytest.fixture
def trials(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "all.npz", voxels=rng.normal(size=(20, 9)).astype(np.float32))
    return tmp_path / "all.npz"


def recipe(file: Path, *, n_train: int = 14, **task: Any) -> RunConfig:
    splits = [{"name": "given", "n_train": n_train}]
    return RunConfig.parse({
        "data": {"name": "trials", "path": file, "splits": splits},
        "model": SIZES,
        "task": {"name": "mask", "batch": 7, **task},
        "trainer": {"max_epochs": 1, "progress": False, "accelerator": "cpu"},
    })  # fmt: skip


def test_a_fit_on_the_test_is_told_by_all_that_begin_with_it(trials: Path, tmp_path: Path) -> None:
    plain, adapted, after, last = (tmp_path / name for name in ("a", "b", "c", "d"))
    fit(recipe(trials), plain)
    assert adapted_on_test(plain) == ()
    fit(recipe(trials, start_from=plain, transductive=True), adapted)
    fit(recipe(trials, start_from=adapted), after)
    staged = recipe(trials).to_dict()
    staged["stages"] = [{"task": {"name": "mask", "start_from": after}}, {}]
    fit(RunConfig.parse(staged), last)
    for folder in (adapted, after, last):
        assert adapted_on_test(folder) == (str(adapted),)
    assert [one.where for one in read_lineage(last)] == [
        *map(str, (plain, adapted, after)),
        f"stage 1 of {last}",
        f"stage 2 of {last}",
    ]
    sides = [len(one.rows) for one in read_lineage(last)]
    assert sides == [14, 20, 14, 14, 14]


def test_a_stage_on_the_test_is_told(trials: Path, tmp_path: Path) -> None:
    content = recipe(trials).to_dict()
    content["stages"] = [{"task": {"name": "mask", "transductive": True}}, {}]
    fit(RunConfig.parse(content), tmp_path / "run")
    assert adapted_on_test(tmp_path / "run") == (f"stage 1 of {tmp_path / 'run'}",)


def test_it_learns_from_the_brains_of_the_test_by_the_moments_of_the_training() -> None:
    data = in_time(people(3), unseen=1)
    fold = data.folds[0]
    plain, own = (VoxelModule(data, fold, batch=4, seed=0, transductive=t) for t in (False, True))
    for module in (plain, own):
        module.setup()
    assert plain.moments.keys() == own.moments.keys()

    def rows(module: VoxelModule) -> np.ndarray:
        found = np.concatenate([batch.voxels.numpy() for batch in module.train_dataloader()])
        return found[np.lexsort(found.T)]

    tested = np.concatenate([own.scored.of(segment) for segment in fold.test])
    trained = np.concatenate([own.scored.of(segment) for segment in fold.train])
    width = tested.shape[1]
    for module, expected in ((own, tested), (plain, trained)):
        found = rows(module)[:, :width]
        np.testing.assert_array_equal(found, expected[np.lexsort(expected.T)])


def test_what_is_tested_may_not_lie_behind_the_weights(trials: Path, tmp_path: Path) -> None:
    first, second, copied = (tmp_path / name for name in ("first", "second", "copied"))
    fit(recipe(trials), first)
    with pytest.raises(LeakError, match=r"first: its network was fitted on the same data \(all\."):
        fit(recipe(trials, n_train=10, start_from=first), tmp_path / "x")
    # Through another run on other data.
    rng = np.random.default_rng(1)
    np.savez(tmp_path / "other.npz", voxels=rng.normal(size=(12, 9)).astype(np.float32))
    fit(recipe(tmp_path / "other.npz", n_train=6, start_from=first), second)
    with pytest.raises(LeakError, match=r"second, which began with .*first: its network was"):
        fit(recipe(trials, n_train=10, start_from=second), tmp_path / "x")
    # In a file of another name and order.
    voxels = np.load(trials)["voxels"]
    np.savez(tmp_path / "part.npz", voxels=voxels[::-1][:15])
    fit(recipe(tmp_path / "part.npz", n_train=10), copied)
    with pytest.raises(
        LeakError, match=r"copied: was fitted on trial or TR 1\d, which is tested here"
    ):
        fit(recipe(trials, start_from=copied), tmp_path / "x")
    content = recipe(trials).to_dict()
    content["stages"] = [{"data": recipe(tmp_path / "part.npz", n_train=10).to_dict()["data"]}, {}]
    with pytest.raises(LeakError, match="trained in stage 1: was fitted on trial or TR 1"):
        fit(RunConfig.parse(content), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_imports_and_older_runs_have_the_lineage_of_their_files(
    trials: Path, tmp_path: Path
) -> None:
    model, spec = SCMBMConfig.parse(SIZES), DataSpec(("all",), (9,))
    made = Imported(model, spec, dict(model.build(spec).state_dict()))
    save_imported(tmp_path / "imported", made, origin="mind-vis", digests={"a.pth": "1"})
    (one,) = read_lineage(tmp_path / "imported")
    assert (one.where, one.digests["a.pth"]) == (str(tmp_path / "imported"), "1")
    fit(recipe(trials, start_from=tmp_path / "imported"), tmp_path / "run")
    told = read_json(tmp_path / "run" / VERSIONS)
    listed = told.pop("lineage")
    write_json(tmp_path / "run" / VERSIONS, told)
    with pytest.raises(LeakError, match="fitted on the same data"):
        fit(recipe(trials, n_train=10, start_from=tmp_path / "run"), tmp_path / "x")
    for broken in (3, [{}], [3]):
        write_json(tmp_path / "run" / VERSIONS, {**told, "lineage": broken})
        with pytest.raises(CheckpointError, match="not what a fit writes there"):
            read_lineage(tmp_path / "run")
    write_json(tmp_path / "run" / VERSIONS, {**told, "lineage": listed})
    assert len(read_lineage(tmp_path / "run")) == 2
    with pytest.raises(CheckpointError, match="so it is no run folder"):
        read_lineage(tmp_path)


def test_the_stamp_is_told_on_the_page() -> None:
    (stamp,) = tell(Scorecard("", protocol={"adapted_on_test": ["runs/adapted"]})).stamps
    assert "Transductive" in stamp
    assert "runs/adapted" in stamp


def pictured(path: Path, voxels: np.ndarray, pictures: np.ndarray) -> Path:
    np.savez(path, voxels=voxels, pictures=pictures)
    return path


def ridge(file: Path, **data: Any) -> RunConfig:
    return RunConfig.parse({
        "data": {
            "name": "trials", "path": file, "picture_keys": ["pictures"],
            "splits": [{"name": "given", "n_train": 14}], **data,
        },
        "model": {"name": "picture_ridge", "n_components": [3], "alphas": [10.0]},
        "task": {"name": "pictures"},
    })  # fmt: skip


def test_folds_of_the_same_numbers_are_the_same_for_the_same_vectors_alone(
    trials: Path, tmp_path: Path
) -> None:
    """Turned round, the first 14 rows of one file are tested as the last of another."""
    np.savez(tmp_path / "turned.npz", voxels=np.load(trials)["voxels"][::-1])
    fit(recipe(tmp_path / "turned.npz"), tmp_path / "turned")
    with pytest.raises(LeakError, match=r"turned: was fitted on trial or TR 1\d, which is tested"):
        fit(recipe(trials, start_from=tmp_path / "turned"), tmp_path / "x")
    fit(recipe(trials), tmp_path / "same")
    fit(recipe(trials, start_from=tmp_path / "same"), tmp_path / "on")


def test_a_picture_that_is_tested_may_not_have_been_learned(tmp_path: Path) -> None:
    """Two people with brains of their own; the second trained on what the first is tested on."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (20, 1, 8, 8), np.uint8)
    brains = rng.normal(size=(2, 20, 9)).astype(np.float32)
    one = pictured(tmp_path / "one.npz", brains[0], pictures)
    two = pictured(tmp_path / "two.npz", brains[1], pictures[::-1])
    data, folder = ridge(one).data.open(), tmp_path / "two"
    fit(ridge(two), folder)
    with pytest.raises(LeakError, match="two: has learned the picture of trial 14, which is teste"):
        check_unseen(folder, data, sources=data.sources)
    # The same brains, paired with other pictures.
    fit(ridge(one, shuffle_pairs=True), tmp_path / "shuffled")
    with pytest.raises(LeakError, match="shuffled: has learned the picture of trial 1"):
        check_unseen(tmp_path / "shuffled", data, sources=data.sources)
    # Same order, same folds: nothing that is tested was learned.
    fit(ridge(pictured(tmp_path / "fair.npz", brains[1], pictures)), tmp_path / "fair")
    check_unseen(tmp_path / "fair", data, sources=data.sources)
    # Brains alone tell nothing of pictures.
    blind = ridge(two).to_dict() | {"model": SIZES, "task": {"name": "mask", "batch": 7}}
    fit(RunConfig.parse(blind | {"trainer": {"max_epochs": 1, "progress": False}}), tmp_path / "b")
    check_unseen(tmp_path / "b", data, sources=data.sources)
    staged = ridge(one).to_dict()
    staged["stages"] = [{"data": ridge(two).to_dict()["data"]}, {}]
    with pytest.raises(LeakError, match="given, trained in stage 1: has learned the picture of"):
        fit(RunConfig.parse(staged), tmp_path / "x")


def test_pictures_learned_beside_the_data_are_remembered(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (20, 1, 8, 8), np.uint8)
    brains = rng.normal(size=(20, 9)).astype(np.float32)
    other = rng.integers(0, 256, (20, 1, 8, 8), np.uint8)
    np.savez(tmp_path / "more.npz", more=pictures[16:])
    content = ridge(pictured(tmp_path / "a.npz", brains, other)).to_dict() | {
        "model": {"name": "first_stage", "first_stage": TINY_STAGE},
        "task": {"name": "autoencode", "more_pictures": tmp_path / "more.npz"},
        "trainer": {"max_epochs": None, "max_steps": 1, "progress": False, "accelerator": "cpu"},
    }
    fit(RunConfig.parse(content), tmp_path / "run")
    tested = pictured(tmp_path / "b.npz", brains + 1, pictures)
    data = ridge(tested).data.open()
    with pytest.raises(LeakError, match="run: has learned the picture of trial 16, which is test"):
        check_unseen(tmp_path / "run", data, sources=data.sources)
