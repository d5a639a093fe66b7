"""Mixup: each clip is blended with another of its batch, and its targets with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from brainreel.data.labelled_batch import LabelledPart
from brainreel.layers.clip import Clip

TOGETHER = ""
Targets = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Mixed:
    """Blended clips.

    Attributes
    ----------
    clip
        What is seen and heard.
    targets
        Sense to label to (B, K) soft targets; those of all senses together stand under `""`.
    """

    clip: Clip
    targets: Mapping[str, Targets]


def mix(
    part: LabelledPart, alpha: float, rng: np.random.Generator, *, by_sense: bool = False
) -> Mixed:
    """Blend row i with row B - 1 - i: x_i' = w x_i + (1 - w) x_j, t_i' = w t_i + (1 - w) t_j.

    w ~ Beta(alpha, alpha), one for the batch; with `by_sense` one for each sense, whose class
    token is then trained on its own targets (modality mixup, Nagrani et al. 2021, section 4.4).
    The order of the batch is random, so its reverse is as good a partner as any (as published).
    Rows that do not count, or that have other senses than their partner, stay as they are.

    Parameters
    ----------
    part
        Clips with their targets.
    alpha
        0 leaves everything as it is.
    rng
        Where w comes from.

    Notes
    -----
    Zhang et al. 2018, "mixup: beyond empirical risk minimization".
    """
    if alpha == 0:
        return Mixed(part.clip, {TOGETHER: part.targets})
    clip = part.clip
    weights = rng.beta(alpha, alpha, size=2 if by_sense else 1)
    kept = ~_alike(part)
    pictures, sound = (
        torch.where(kept, 1.0, float(weight)) for weight in (weights[0], weights[-1])
    )
    mixed = replace(clip, frames=_blend(clip.frames, pictures), sound=_blend(clip.sound, sound))
    senses: dict[str, Tensor] = {}
    if clip.frames is not None:
        senses["pictures"] = pictures
    if clip.sound is not None:
        senses["sound"] = sound
    targets = {
        sense: {label: _blended(target, weight) for label, target in part.targets.items()}
        for sense, weight in senses.items()
    }
    # A network that reads its senses out together learns the mean of what they show.
    targets[TOGETHER] = {
        label: torch.stack([targets[sense][label] for sense in senses]).mean(dim=0)
        for label in part.targets
    }
    return Mixed(mixed, targets)


def _alike(part: LabelledPart) -> Tensor:
    """Return which rows may be blended with their partner."""
    alike = part.counted & part.counted.flip(0)
    for has in (part.clip.seen, part.clip.heard):
        if has is not None:
            alike = alike & (has == has.flip(0))
    return alike


def _blend(values: Tensor | None, weight: Tensor) -> Tensor | None:
    """Blend with the reverse of the batch; uint8 pixels become floats in [0, 1]."""
    if values is None:
        return None
    return _blended(values.float() / 255 if values.dtype == torch.uint8 else values, weight)


def _blended(values: Tensor, weight: Tensor) -> Tensor:
    weight = weight.to(values).reshape(-1, *[1] * (values.ndim - 1))
    return weight * values + (1 - weight) * values.flip(0)
