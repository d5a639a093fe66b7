"""Batches of labelled clips; a mixed batch of pictures and films is two parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from brainreel.layers.clip import Clip


@dataclass
class LabelledPart:
    """B clips of one shape with their classes. Not frozen: Lightning rebuilds it.

    Attributes
    ----------
    clip
        What is seen and heard.
    targets
        Label to (B, K) float: 1 at the classes of a clip, 0 elsewhere. Only the labels that
        these clips have.
    counted
        (B,) bool, False at rows that must not count: copies that fill a rank, items that could
        not be read.
    item
        (B,) int64 position of each row's item in the data; rows that are views of one item
        share it.
    """

    clip: Clip
    targets: Mapping[str, Tensor]
    counted: Tensor
    item: Tensor

    def __len__(self) -> int:
        """Return the number B of clips."""
        return len(self.item)

    def to(self, *args: Any, **kwargs: Any) -> LabelledPart:
        """Return the clips on another device."""
        return LabelledPart(
            self.clip.to(*args, **kwargs),
            {label: target.to(*args, **kwargs) for label, target in self.targets.items()},
            self.counted.to(*args, **kwargs),
            self.item.to(*args, **kwargs),
        )


@dataclass
class LabelledBatch:
    """One step's clips, in parts of one shape and one set of labels each.

    Attributes
    ----------
    parts
        At least one; pictures and films of a mixed batch, or sources with other labels.
    """

    parts: tuple[LabelledPart, ...]

    def __len__(self) -> int:
        """Return the number of clips over all parts."""
        return sum(len(part) for part in self.parts)

    def to(self, *args: Any, **kwargs: Any) -> LabelledBatch:
        """Return the batch on another device."""
        return LabelledBatch(tuple(part.to(*args, **kwargs) for part in self.parts))
