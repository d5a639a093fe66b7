from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from brainreel.errors import ShapeError
from brainreel.train.class_losses import (
    binary_cross_entropy,
    cross_entropy,
    labels_loss,
    smoothed,
    split_labels,
)

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(5, 7, generator=GENERATOR)
SOFT = torch.rand(5, 7, generator=GENERATOR)
CLASSES = {"verb": 3, "noun": 4}


def test_cross_entropy_equals_a_loop_and_pytorch() -> None:
    found = cross_entropy(LOGITS, SOFT)
    for row, target, logits in zip(found, SOFT, LOGITS, strict=True):
        total = math.log(sum(math.exp(float(z)) for z in logits))
        expected = -sum(float(t) * (float(z) - total) for t, z in zip(target, logits, strict=True))
        assert float(row) == pytest.approx(expected, rel=1e-5)
    hard = functional.one_hot(torch.arange(5), 7).float()
    witness = functional.cross_entropy(LOGITS, torch.arange(5), reduction="none")
    torch.testing.assert_close(cross_entropy(LOGITS, hard), witness)


def test_binary_cross_entropy_sums_over_classes() -> None:
    found = binary_cross_entropy(LOGITS, SOFT)
    p = torch.sigmoid(LOGITS)
    expected = -(SOFT * p.log() + (1 - SOFT) * (1 - p).log()).sum(dim=1)
    torch.testing.assert_close(found, expected)
    assert torch.isfinite(binary_cross_entropy(1000 * LOGITS, SOFT)).all()


def test_smoothing_is_pytorchs() -> None:
    hard = functional.one_hot(torch.arange(5), 7).float()
    witness = functional.cross_entropy(
        LOGITS, torch.arange(5), reduction="none", label_smoothing=0.3
    )
    torch.testing.assert_close(cross_entropy(LOGITS, smoothed(hard, 0.3)), witness)
    assert smoothed(hard, 0.0) is hard


def test_labels_and_senses_are_averaged_over_the_rows_that_count() -> None:
    counted = torch.tensor([True, False, True, True, False])
    logits = {"pictures": LOGITS, "sound": LOGITS.flip(0)}
    told = split_labels(SOFT, CLASSES)
    other = split_labels(SOFT.flip(1)[:, :7], CLASSES)
    targets = {"": told, "sound": other}
    total, count = labels_loss(logits, targets, counted, CLASSES, {"verb": "ce", "noun": "bce"})
    expected = 0.0
    for i in (0, 2, 3):
        for z, t in ((LOGITS[i], told), (LOGITS.flip(0)[i], other)):
            expected += float(cross_entropy(z[None, :3], t["verb"][i : i + 1])) / 4
            expected += float(binary_cross_entropy(z[None, 3:], t["noun"][i : i + 1])) / 4
    assert float(total) == pytest.approx(expected, rel=1e-5)
    assert int(count) == 3


def test_a_sense_that_a_row_lacks_does_not_count_in_its_mean() -> None:
    counted = torch.ones(5, dtype=torch.bool)
    heard = torch.tensor([True, False, True, False, False])
    logits = {"pictures": LOGITS, "sound": LOGITS.flip(0)}
    targets = {"": {"label": SOFT}}
    given = (logits, targets, counted, {"label": 7}, {"label": "ce"})
    total, _ = labels_loss(*given, there={"pictures": None, "sound": heard})
    seen, sound = cross_entropy(LOGITS, SOFT), cross_entropy(LOGITS.flip(0), SOFT)
    expected = [(a + b) / 2 if h else a for a, b, h in zip(seen, sound, heard, strict=True)]
    torch.testing.assert_close(total, torch.stack(expected).sum())


def test_a_label_that_the_clips_lack_does_not_count() -> None:
    counted = torch.ones(5, dtype=torch.bool)
    losses = {"verb": "ce", "noun": "ce"}
    targets = {"": {"noun": SOFT[:, 3:]}}
    total, _ = labels_loss({"": LOGITS}, targets, counted, CLASSES, losses)
    assert float(total) == pytest.approx(float(cross_entropy(LOGITS[:, 3:], SOFT[:, 3:]).sum()))
    logits = LOGITS.clone().requires_grad_()
    nothing, _ = labels_loss({"": logits}, {"": {}}, counted, CLASSES, losses)
    nothing.backward()
    assert float(nothing.detach()) == 0
    assert logits.grad is not None


def test_targets_of_another_width_name_the_axis() -> None:
    with pytest.raises(ShapeError, match="targets has 3 along axis K"):
        cross_entropy(LOGITS, SOFT[:, :3])
