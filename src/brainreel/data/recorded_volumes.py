"""The recordings of a series as brain volumes on one grid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from brainreel.data.samples import Recording, Segment, Series
from brainreel.data.volume_moments import VolumeMoments
from brainreel.data.volume_views import VolumeViews
from brainreel.errors import DataError
from brainreel.fmri.bold import VoxelMask

Box = tuple[slice, slice, slice]

_KEPT = 64  # views of so many recordings are held at once, a few MB each
_AFFINE_TOLERANCE_MM = 1e-3


def training_volume_moments(
    series: Series, segments: Iterable[Segment]
) -> dict[str, VolumeMoments]:
    """Return the moments of each person's volumes over some segments; of the people in them."""
    mine: dict[str, list[tuple[Recording, int, int]]] = {}
    for segment in segments:
        recording = series.recordings[segment.recording]
        part = (recording, segment.start_tr, segment.stop_tr)
        mine.setdefault(recording.subject, []).append(part)
    return {who: VolumeMoments.of_segments(parts) for who, parts in mine.items()}


class RecordedVolumes:
    """All recordings of a series as volumes: both views, made on the fly.

    Parameters
    ----------
    series
        Recordings with masks on one grid.
    box
        The part of the grid that volumes show.
    moments
        Moments of the people who were seen in training. Of anybody else, each recording has the
        moments of its own.
    """

    def __init__(self, series: Series, box: Box, moments: Mapping[str, VolumeMoments]) -> None:
        self.series, self.box, self.moments = series, box, moments
        self._masks: dict[int, VoxelMask] = {}
        self._views: dict[int, VolumeViews] = {}

    def mask(self, recording: int) -> VoxelMask:
        """Return where the columns of a recording lie in the box; people's masks are shared."""
        mask = _mask_of(self.series.recordings[recording])
        if id(mask) not in self._masks:
            self._masks[id(mask)] = mask.within(self.box)
        return self._masks[id(mask)]

    def views(self, recording: int) -> VolumeViews:
        """Return what makes the views of a recording."""
        found = self._views.pop(recording, None) or self._made(recording)
        self._views[recording] = found  # the one used last stands last
        if len(self._views) > _KEPT:
            del self._views[next(iter(self._views))]
        return found

    def volume(self, recording: int, tr: int) -> NDArray[np.float32]:
        """Return both views (2, X, Y, Z) of one TR."""
        one: NDArray[np.float32] = self.views(recording)(self.data(recording)[tr : tr + 1])[0]
        return one

    def data(self, recording: int) -> NDArray[np.float32]:
        """Return the (T, V) signal, as it lies on disk."""
        return self.series.recordings[recording].bold.data

    def _made(self, recording: int) -> VolumeViews:
        item = self.series.recordings[recording]
        moments = self.moments.get(item.subject)
        if moments is None:
            moments = VolumeMoments.of_segments([(item, 0, item.bold.n_trs)])
        try:
            return VolumeViews(moments, self.mask(recording), item.level)
        except DataError as problem:
            raise DataError(f"{item.label}: {problem}") from problem


def common_box(series: Series, *, crop: bool) -> Box:
    """Return the box that volumes are cut to: that of everybody's masks together, or the grid.

    Raises
    ------
    DataError
        If a recording has no volumes, or lies on another grid than the first.
    """
    first = series.recordings[0]
    mask = _mask_of(first)
    for recording in series.recordings[1:]:
        other = _mask_of(recording)
        apart = float(np.abs(other.affine - mask.affine).max())
        if other.grid != mask.grid or apart > _AFFINE_TOLERANCE_MM:
            told = f"{other.grid} against {mask.grid}" if other.grid != mask.grid else f"{apart} mm"
            raise DataError(
                f"{recording.label} lies on another grid than {first.label} ({told}); volumes of "
                "all people need one. Prepare them in one space, or with grid.like=IMAGE."
            )
    if not crop:
        x, y, z = (slice(0, size) for size in mask.grid)
        return x, y, z
    masks = {id(m): m.inside for m in map(_mask_of, series.recordings)}
    return VoxelMask(reduce(np.logical_or, masks.values()), mask.affine).box


def _mask_of(recording: Recording) -> VoxelMask:
    if recording.bold.mask is None:
        raise DataError(
            f"{recording.label} has columns without places in the brain; volumes need a mask. Use "
            "runs that were prepared from images."
        )
    return recording.bold.mask
