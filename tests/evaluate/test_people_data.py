"""A run on data of kind `people` goes from recipe to scorecard, tested on somebody new."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from brainreel.data.people import People
from brainreel.evaluate.run import evaluate
from brainreel.fmri.bids import Run
from brainreel.fmri.prepare import prepare
from brainreel.train.fit import fit, load_fitted
from brainreel.train.recipe import RunConfig


def store(root: Path) -> Path:
    """Four people at rest; all noise."""
    runs = []
    for number in range(4):
        rng = np.random.default_rng(number)
        values = 700 + rng.normal(0, 9, (6, 5, 4, 20))
        image = nib.Nifti1Image(values.astype(np.float32), np.diag([4.0, 4, 4, 1]))
        image.header.set_xyzt_units("mm", "sec")
        image.header["pixdim"][4] = 2
        path, mask = root / f"{number}.nii.gz", root / "mask.nii.gz"
        nib.save(image, path)
        nib.save(nib.Nifti1Image(np.ones((6, 5, 4), np.uint8), image.affine), mask)
        runs.append(Run.single(path, subject=f"{number + 1:02}", task="rest", mask=mask))
    prepare(runs, root / "store")
    table = "participant_id\tgroup\n01\ta\n02\tb\n03\ta\n04\tb\n"
    (root / "participants.tsv").write_text(table)
    return root / "store"


def test_people_from_recipe_to_scorecard(tmp_path: Path) -> None:
    config = RunConfig.parse({
        "data": {
            "name": "people", "path": store(tmp_path), "label": "group",
            "participants": tmp_path / "participants.tsv",
            "splits": [{"name": "held_out", "test": 0.5}],
        },
        "task": {"name": "volumes", "windows": {"window_trs": 1}, "loss": {"perceptual": 0}},
        "model": {"name": "tff_autoencoder", "widths": [2, 4], "blocks": [1, 1], "embedding": 8},
        "trainer": {"max_epochs": 1},
        "scoring": {"n_permutations": 5, "n_bootstrap": 5, "n_way": []},
    })  # fmt: skip
    fit(config, tmp_path / "run")
    card = evaluate(tmp_path / "run")
    run = load_fitted(tmp_path / "run")
    assert isinstance(run.data, People)
    assert run.data.classes == ("a", "b")
    assert card.data["people"] == ["sub-01", "sub-02", "sub-03", "sub-04"]
    assert card.protocol["folds"] == ["held_out: 40 TRs train, 40 TRs test, over all people"]
    assert card.protocol["fitted_on_test"] is False
    assert "participants.tsv" in card.data["sources"]
