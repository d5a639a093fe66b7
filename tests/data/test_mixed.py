"""Studies of different kinds and numbers of voxels, joined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brainreel.data.mixed import MixedData
from brainreel.errors import DataError, LeakError
from brainreel.train.fit import fit, load_fitted
from brainreel.train.recipe import RunConfig

SIZES = {
    "name": "sc_mbm", "patch": 3, "width": 8, "depth": 1, "heads": 2, "decoder_width": 8,
    "decoder_depth": 1, "decoder_heads": 2, "mask_ratio": 0.5,
}  # fmt: skip


@pytest.fixture
def studies(tmp_path: Path) -> dict[str, Any]:
    """Three people at film with 7 regions, and one with 5 voxels and pictures."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "film.npz", bold=rng.normal(size=(3, 10, 7)), tr_s=2.0)
    np.savez(tmp_path / "seen.npz", voxels=rng.normal(size=(8, 5)))
    return {
        "film": {
            "name": "series",
            "path": tmp_path / "film.npz",
            "splits": [{"name": "hold_out_subject", "test_subjects": ["sub-03"]}],
        },
        "seen": {
            "name": "trials",
            "path": tmp_path / "seen.npz",
            "splits": [{"name": "given", "n_train": 6}],
        },
    }


def test_vectors_people_and_sides_are_joined(studies: dict[str, Any], tmp_path: Path) -> None:
    data = MixedData.parse({"studies": studies}).open()
    assert data.subjects == ("film/sub-01", "film/sub-02", "film/sub-03", "seen/sub-01")
    assert data.sizes == (7, 7, 7, 5)
    film, seen = (np.load(tmp_path / f"{name}.npz") for name in ("film", "seen"))
    np.testing.assert_array_equal(data.voxels[:30], film["bold"].reshape(30, 7).astype("float32"))
    np.testing.assert_array_equal(data.voxels[30:, :5], seen["voxels"].astype("float32"))
    assert not data.voxels[30:, 5:].any()
    (fold,) = data.folds
    assert sorted(fold.train_trials) == [*range(20), *range(30, 36)]
    assert sorted(fold.test_trials) == [*range(20, 30), 36, 37]
    assert set(data.sources) == {"film/film.npz", "seen/seen.npz"}


def test_a_network_is_pretrained_on_the_mix(studies: dict[str, Any], tmp_path: Path) -> None:
    config = RunConfig.parse({
        "data": {"name": "mixed", "studies": studies},
        "model": SIZES,
        "task": {"name": "mask", "batch": 7},
        "trainer": {"max_epochs": 1, "progress": False, "accelerator": "cpu"},
    })  # fmt: skip
    fit(config, tmp_path / "run")
    run = load_fitted(tmp_path / "run")
    state = run.states["mixed"]
    assert state["network/encoder.positions.table"].shape == (3, 8)
    assert state["seen/sub-01/bold_mean"].shape == (5,)
    assert "film/sub-03/bold_mean" not in state
    own = {"name": "mask", "start_from": tmp_path / "run"}
    only = {**config.to_dict(), "task": own, "model": SIZES}
    film = {
        **studies["film"],
        "splits": [{"name": "hold_out_subject", "test_subjects": ["sub-01"]}],
    }
    with pytest.raises(LeakError, match=r"with other splits|was fitted on trial or TR"):
        fit(RunConfig.parse({**only, "data": film}), tmp_path / "leak")
    staged = {**config.to_dict(), "stages": [{}, {"data": film}]}
    with pytest.raises(LeakError, match="trained in stage 1: was fitted on trial or TR"):
        fit(RunConfig.parse(staged), tmp_path / "leak")


def test_what_cannot_be_mixed_is_refused(studies: dict[str, Any], tmp_path: Path) -> None:
    twice = {**studies["film"], "splits": [{"name": "blocks", "n_folds": 2, "gap_s": 2}]}
    with pytest.raises(DataError, match=r"data\.studies\.film: its splits make 2 folds"):
        MixedData.parse({"studies": {"film": twice}}).open()
    other = {**studies["seen"], "splits": [{"name": "given", "n_train": 4}]}
    with pytest.raises(LeakError, match="the same voxel values"):
        MixedData.parse({"studies": {"a": studies["seen"], "b": other}}).open()
    gone = {**studies["seen"], "path": tmp_path / "gone.npz"}
    assert MixedData.parse({"studies": {**studies, "gone": gone}}).path == tmp_path / "gone.npz"
