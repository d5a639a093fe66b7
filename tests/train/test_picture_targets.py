"""Features of pictures told while patches are filled in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from brainreel.checkpoints.imported import Imported, save_imported
from brainreel.data.samples import Fold, Trials
from brainreel.errors import ConfigError, DataError
from brainreel.models.vit import ViTConfig
from brainreel.shapes import DataSpec
from brainreel.train.mask_fill import MaskConfig
from brainreel.train.picture_targets import PictureTargets, told_pictures

from .test_mask_fill import MODEL, job

PIXELS = MODEL.model_copy(update={"picture_features": (1, 2, 2)})


def seen(n: int = 24) -> Trials:
    """Brains that hold what was seen: the brightness of four quarters, and little else."""
    rng = np.random.default_rng(0)
    quarters = rng.uniform(size=(n, 1, 2, 2)).astype(np.float32)
    voxels = quarters.reshape(n, 4) @ rng.normal(size=(4, 20)) + 0.05 * rng.normal(size=(n, 20))
    fold = Fold(
        "a", "a", train_trials=(*range(n - 9, 1, -1), 0), validation_trials=(n - 8, n - 7),
        test_trials=(n - 1,),
    )  # fmt: skip
    pictures = quarters.repeat(3, axis=2).repeat(3, axis=3)
    return Trials(voxels.astype(np.float32), pictures, None, (fold,))


def test_rows_are_told_what_their_trial_saw() -> None:
    data = seen()
    targets = PictureTargets(weight=2.0)
    told = told_pictures(targets, PIXELS, data, data.folds[0])
    assert told is not None
    assert told.weight == 2.0
    rows = torch.tensor([3, 0])
    for learned, trials in (
        (True, data.folds[0].train_trials),
        (False, (*data.folds[0].validation_trials, 5, 5)),
    ):
        if not learned:
            rows = torch.tensor([1, 0])
        found = told.of(rows, learned=learned)
        for row, features in zip(rows.tolist(), found, strict=True):
            picture = 2 * data.pictures[trials[row], 0] - 1  # type: ignore[index]
            cells = [[picture[:3, :3], picture[:3, 3:]], [picture[3:, :3], picture[3:, 3:]]]
            expected = [[cell.mean() for cell in line] for line in cells]
            np.testing.assert_allclose(features[0], expected, rtol=1e-5)


def test_what_was_seen_is_learned_beside_the_patches(tmp_path: Path) -> None:
    task = MaskConfig(batch=8, pictures=PictureTargets(weight=1.0))
    own = job(tmp_path, data=seen(), model=PIXELS, lr=0.01, trainer={"max_epochs": 25})
    state = task.fit(own)
    assert "network/picture_decoder.mix.weight" in state
    lines = [line.split(",") for line in (tmp_path / "metrics.csv").read_text().splitlines()]
    names = lines[0]
    assert names[-3:] == ["validation_loss", "validation_filled", "validation_pictures"]
    told = [float(line[-1]) for line in lines[1:] if line[-1]]
    assert told[-1] < 0.5 * told[0]
    whole = [line for line in lines[1:] if line[-1]][-1]
    assert float(whole[-3]) == pytest.approx(float(whole[-2]) + float(whole[-1]), rel=1e-4)


def test_the_layer_of_a_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = ViTConfig(width=8, depth=1, heads=2, patch=3)
    spec = DataSpec(frame_shape=(3, 6, 6))
    made = Imported(config, spec, dict(config.build(spec).state_dict()))
    folder = save_imported(tmp_path / "vit", made, origin="vit")
    data = seen()
    targets = PictureTargets(network=str(folder), layer="nothing")
    with pytest.raises(ConfigError, match="has no layer 'nothing'"):
        told_pictures(targets, PIXELS, data, data.folds[0])
    layers = [name for name, _ in config.build(spec).named_modules() if name.endswith("blocks.0")]
    targets = PictureTargets(network=str(folder), layer=layers[0])
    with pytest.raises(ConfigError, match=r"Set model\.picture_features=\[8, 2, 2\]"):
        told_pictures(targets, PIXELS, data, data.folds[0])
    model = MODEL.model_copy(update={"picture_features": (8, 2, 2)})
    told = told_pictures(targets, model, data, data.folds[0])
    assert told is not None
    assert told.of(torch.tensor([0, 1]), learned=True).shape == (2, 8, 2, 2)


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    data = seen()
    given: list[tuple[dict[str, Any], Any, Any, str]] = [
        ({}, PIXELS, data, r"nothing says of what\. Give task\.pictures"),
        ({"pictures": {}}, MODEL, data, r"is None\. Set model\.picture_features=\[1, 28, 28\]"),
        ({"pictures": {}, "interpolation": 0.5}, PIXELS, data, "mixes brains that saw two"),
        ({"pictures": {}, "transductive": True}, PIXELS, data, "pictures must stay unseen"),
    ]
    for options, model, trials, words in given:
        task = MaskConfig.parse({"name": "mask", **options})
        with pytest.raises(ConfigError, match=words):
            task.fit(job(tmp_path, data=trials, model=model))
    task = MaskConfig.parse({"name": "mask", "pictures": {}})
    blind = replace(data, pictures=None)
    with pytest.raises(DataError, match="needs trials with pictures"):
        task.fit(job(tmp_path, data=blind, model=PIXELS))
    with pytest.raises(ConfigError, match="give network and layer, or neither"):
        MaskConfig.parse({"name": "mask", "pictures": {"network": "efficientnet_lite0"}})
