"""The shipped ablations at toy size: every variant is fitted, drawn, scored and compared."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from brainreel.checkpoints.store import load_run
from brainreel.cli.sweeping import sweep

TINY = (
    "data.splits.0.n_train=16",
    "data.splits.0.label=given",
    "stages.0.trainer={max_epochs: null, max_steps: 2, progress: false}",
    "trainer={max_epochs: null, max_steps: 2, progress: false}",
    "task.sampling.steps=2",
    "task.sampling.samples=2",
    "task.guess.n_folds=2",
    "task.guess_parts=2",
    "model.unet.channels=16",
    "scoring.pictures={}",
    "scoring.n_permutations=5",
    "scoring.n_bootstrap=20",
    "scores=[ssim]",
)


@pytest.fixture
def data(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    pictures = rng.uniform(size=(24, 3, 8, 8))
    voxels = pictures.reshape(24, -1) @ rng.normal(size=(192, 90))
    path = tmp_path / "trials.npz"
    np.savez(path, voxels=voxels, pictures=pictures, labels=np.arange(24) % 3)
    return f"data.path={path}"


def test_ablations_of_drawn_pictures(data: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    sweep("pictures_ldm_ablations", [data, *TINY], out, [], 1, resume=False, dry_run=False)
    rows = list(csv.DictReader((out / "table.csv").read_text().splitlines()))
    ssim = {row["variant"]: row for row in rows if row["score"] == "ssim"}
    assert len(ssim) == 8
    assert {row["over"] for name, row in ssim.items() if name != "base"} == {"items"}
    means = [row["mean"] for row in ssim.values()]
    assert len(set(means)) == len(means)  # each variant draws something else

    def weights(variant: str) -> dict[str, np.ndarray]:
        return dict(load_run(out / variant / "seed-0").arrays())

    def n_of(names: dict[str, np.ndarray], part: str) -> int:
        return sum(part in name for name in names)

    base = weights("base")
    assert n_of(base, "time_condition") > 0
    assert n_of(weights("no_time_condition"), "time_condition") == 0
    assert n_of(base, "guess") > n_of(weights("no_first_guess"), "guess")
    drawn = weights("one_sample")
    assert drawn.keys() == base.keys()
    assert all(np.array_equal(drawn[name], base[name]) for name in base)
    # The U-Net that knew pictures is kept whole, or but for its cross-attention.
    alone, told = weights("conditioner_alone"), weights("conditions_alone")
    unet = [name for name in alone if ":network.unet." in name or "unet.network" in name]
    changed = {name for name in unet if not np.array_equal(alone[name], told[name])}
    assert changed
    assert all("attn2" in n or "norm2" in n or "conv_in" in n or "class" in n for n in changed)
    page = (out / "report.html").read_text()
    assert page.count('<article id="run-') == 8
