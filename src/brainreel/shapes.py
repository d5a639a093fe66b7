"""Axes checked by name at the door, and the frozen facts of the data that size a model.

Axis letters: B batch, T TRs, F frames, C channels, H W picture, X Y Z voxel grid, V voxels,
N tokens, D width, K classes, S steps or samples of sound, M mel bands. House order: batch, time,
channel, space.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Protocol

from brainreel.errors import DataError, ShapeError, did_you_mean

Sense = Literal["pictures", "sound"]


class HasShape(Protocol):
    """Anything with a shape: a numpy array, a memory map, a tensor."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""


def check_shape(array: HasShape, axes: str, *, name: str, **sizes: int) -> dict[str, int]:
    """Check an array against named axes and return their sizes.

    Parameters
    ----------
    array
        Anything with a `.shape`.
    axes
        Names parted by spaces, such as `"T V"` or `"B F C H W"`. A number is a fixed size; a
        name that stands twice must have one size.
    name
        What the array is called in the error.
    **sizes
        Sizes that must hold, such as `V=1200`.

    Raises
    ------
    ShapeError
        Naming the axis, its size and the size it should have.

    Examples
    --------
    >>> import numpy as np
    >>> check_shape(np.zeros((10, 3)), "T V", name="bold")
    {'T': 10, 'V': 3}
    """
    names = axes.split()
    shape = tuple(array.shape)
    if len(shape) != len(names):
        raise ShapeError(
            f"{name} has {len(shape)} axes {shape}; it should have {len(names)}: "
            f"({', '.join(names)})."
        )
    found: dict[str, int] = {}
    for axis, size in zip(names, shape, strict=True):
        expected = int(axis) if axis.isdigit() else sizes.get(axis, found.get(axis, size))
        if size != expected:
            raise ShapeError(
                f"{name} has {size} along axis {axis} of ({', '.join(names)}) {shape}; "
                f"it should have {expected}."
            )
        if not axis.isdigit():
            found[axis] = size
    return found


@dataclass(frozen=True)
class DataSpec:
    """The frozen facts of a data set: all that a model may know of it.

    Attributes
    ----------
    subjects
        Names of the people, in the order of `n_voxels`.
    n_voxels
        Voxels of each person.
    tr_s
        Repetition time in seconds; 0 where the data has no time axis.
    feature_sizes
        Columns of each stimulus feature space (band), in order, delayed copies counted.
    delays_s
        Delays in seconds of the copies that every feature space holds, delay by delay; empty
        where features are not delayed.
    frame_shape
        (C, H, W) of one film frame, empty without film.
    frames_per_tr
        Film frames in one TR, 0 without film.
    picture_shape
        (C, H, W) of one picture, empty without pictures.
    clip_frames
        Frames F of one clip, 0 without.
    sound_shape
        (C, S, M) of one spectrogram: channels, steps in time, mel bands; empty without sound.
    classes
        Number of classes of each label, by the label's name (`{"verb": 97, "noun": 300}`); a
        classifier gives the logits of all, side by side in this order.
    grid
        (X, Y, Z) of the brain volume, empty where voxels are a plain vector.
    """

    subjects: tuple[str, ...] = ()
    n_voxels: tuple[int, ...] = ()
    tr_s: float = 0.0
    feature_sizes: Mapping[str, int] = field(default_factory=dict)
    delays_s: tuple[float, ...] = ()
    frame_shape: tuple[int, ...] = ()
    frames_per_tr: int = 0
    picture_shape: tuple[int, ...] = ()
    clip_frames: int = 0
    sound_shape: tuple[int, ...] = ()
    classes: Mapping[str, int] = field(default_factory=dict)
    grid: tuple[int, ...] = ()

    @property
    def voxels_of(self) -> dict[str, int]:
        """Number of voxels by person."""
        return dict(zip(self.subjects, self.n_voxels, strict=True))

    @property
    def n_classes(self) -> int:
        """Number K of classes over all labels, 0 without."""
        return sum(self.classes.values())

    def to_json(self) -> dict[str, Any]:
        """Return the facts as plain JSON values."""
        own = {"feature_sizes": dict(self.feature_sizes), "classes": dict(self.classes)}
        return {**asdict(self), **own}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> DataSpec:
        """Rebuild a spec from `to_json`; an unknown fact is an error that names it."""
        if not isinstance(content, Mapping):
            raise DataError("spec: should be a mapping of facts.")
        known = {item.name for item in fields(cls)}
        for key in content:
            if key not in known:
                raise DataError(f"spec: unknown fact '{key}'.{did_you_mean(key, known)}")
        facts: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in content.items()
        }
        return cls(**facts)
