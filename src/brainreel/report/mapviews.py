"""Brain maps of a run: r and share of the ceiling, over people and person by person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.fmri.bold import VoxelMask
from brainreel.fmri.images import load_mask
from brainreel.metrics.ceiling import share_of_ceiling
from brainreel.metrics.correlation import median_of
from brainreel.report.brainmap import glass_brain, in_mni, surface_figure, surface_values
from brainreel.report.courses import alike, first_ceiling, typical_person
from brainreel.report.figures import nan_mean
from brainreel.report.runs import Maps
from brainreel.report.slices import axial_slices, sliced
from brainreel.report.style import Drawing, canvas, drawing, ramp
from brainreel.report.words import ceiling_words, number

Values = NDArray[np.float64]

MAX_PEOPLE_MAPS = 4
N_SLICES = 9
_WIDTH = 1040.0
_SPREAD_TOLD = (
    " The predicted deviation is the mean over the test, in axial slices from below to above, left "
    "on the left, in units of the training part's deviation."
)
CEILING_FLOOR = 0.1  # below it the share of the ceiling is a division of noise by noise


@dataclass(frozen=True)
class BrainView:
    """One map: title, drawings two by two, and the numbers at the key's ends."""

    title: str
    views: tuple[Drawing, ...]
    key_end: str
    key_start: str = "0"


@dataclass(frozen=True, eq=False)
class MeanMaps:
    """Maps over people who share a mask, or of one person where masks differ.

    Attributes
    ----------
    whose
        In words.
    r
        (V,) mean r.
    share
        (V,) mean share of the ceiling, or None without ceilings.
    estimator
        Which ceiling.
    spread
        (V,) mean predicted deviation, or None.
    """

    whose: str
    mask: VoxelMask
    r: Values
    share: Values | None
    estimator: str
    spread: Values | None = None


def mean_maps(maps: Sequence[Maps]) -> MeanMaps | None:
    """Average r and share of the ceiling over people; None where voxels have no place."""
    placed = alike([item for item in maps if item.mask is not None])
    if not placed:
        return None
    masks = [_mask_of(item) for item in placed]
    if not all(_same_place(mask, masks[0]) for mask in masks):
        placed = (typical_person(placed),)
    whose = placed[0].subject if len(placed) == 1 else f"mean over {len(placed)} people"
    share, estimator = _mean_share(placed)
    r = nan_mean(np.stack([item.r for item in placed]))
    spreads = [item.spread for item in placed if item.spread is not None]
    spread = nan_mean(np.stack(spreads)) if len(spreads) == len(placed) else None
    return MeanMaps(whose, _mask_of(placed[0]), r, share, estimator, spread)


def make_brain_views(
    maps: Sequence[Maps], prefix: str, r_max: float
) -> tuple[tuple[BrainView, ...], str, tuple[BrainView, ...]]:
    """Draw r and share of the ceiling over people, and r of single people.

    Returns
    -------
    The maps, their caption, and maps of r of single people.
    """
    mean = mean_maps(maps)
    if mean is None:
        return (), "", ()
    title, key_end = f"Correlation r, {mean.whose}", f"{r_max:g}"
    bare = mean.share is None
    views = [_view(title, mean.r, mean.mask, f"{prefix}r", r_max, key_end, surface=bare)]
    if mean.share is not None:
        title = f"Share of the ceiling ({ceiling_words(mean.estimator)[0]}), {mean.whose}"
        share = _view(title, mean.share, mean.mask, f"{prefix}s", 1.0, "100 %", surface=True)
        views.append(share)
    if mean.spread is not None:
        views.append(_spread_view(mean, mean.spread, prefix))
    people = []
    if len(maps) > 1:
        for i, item in enumerate(maps[:MAX_PEOPLE_MAPS]):
            title = f"{item.subject}, median r {number(median_of(item.r).value)}"
            figure = glass_brain(item.r, _mask_of(item), "xz", vmax=r_max, size_px=(500, 190))
            drawing = Drawing.of(figure, alt=f"Glass brain. {title}", prefix=f"{prefix}p{i}")
            people.append(BrainView(title, (drawing,), key_end))
    caption = _maps_caption(mean.mask, not bare)
    if mean.spread is not None:
        caption += _SPREAD_TOLD
    return tuple(views), caption, tuple(people)


def _mask_of(item: Maps) -> VoxelMask:
    if item.mask is None:
        raise DataError(f"{item.subject}: has no mask, though other people of the run have one.")
    return load_mask(item.mask, space=item.space)


def _maps_caption(mask: VoxelMask, with_share: bool) -> str:
    told = (
        "Each point shows the largest value along the line of sight; values below 0 are left out."
    )
    if with_share:
        told += (
            f" The share is r divided by the ceiling where that is above {CEILING_FLOOR:g}; noise "
            "can carry it past 100\u00a0%, which is drawn as 100\u00a0%."
        )
    if not in_mni(mask):
        told += " The voxels are not in MNI space, so no outline of a brain is drawn."
    elif not mask.space:
        told += " The space of the images is not named; the outline is right only if it is MNI's."
    return told


def _mean_share(maps: Sequence[Maps]) -> tuple[Values | None, str]:
    shares, estimator = [], ""
    for item in maps:
        ceiling = first_ceiling(item)
        if ceiling is None:
            return None, ""
        estimator = ceiling[0]
        shares.append(share_of_ceiling(item.r, ceiling[1], floor=CEILING_FLOOR))
    return nan_mean(np.stack(shares)), estimator


def _view(
    title: str,
    values: Values,
    mask: VoxelMask,
    prefix: str,
    vmax: float,
    key_end: str,
    *,
    surface: bool = False,
) -> BrainView:
    told = f"{title}: median {number(median_of(values).value)}"
    drawings = []
    for views, name in (("lr", "from left and right"), ("yz", "from behind and above")):
        figure = glass_brain(values, mask, views, vmax=vmax, size_px=(500, 190))
        alt = f"Glass brain {name}. {told}"
        drawings.append(Drawing.of(figure, alt=alt, prefix=prefix + views))
    by_side = surface_values(values, mask) if surface else None
    for side, vertices in (by_side or {}).items():
        figure = surface_figure(vertices, side, vmax=vmax, size_px=(500, 190))
        alt = f"Inflated cortex, {side} side from outside and inside. {told}"
        drawings.append(Drawing.of(figure, alt=alt, prefix=prefix + side))
    return BrainView(title, tuple(drawings), key_end)


def _spread_view(mean: MeanMaps, spread: Values, prefix: str) -> BrainView:
    """Draw slices, for the largest value along a line of sight would hide where it is sure."""
    low, high = np.nanpercentile(spread, [2, 98])
    title = f"Predicted deviation, {mean.whose}"
    told = f"{title}: median {number(median_of(spread).value)}. Axial slices from below to above."
    figure = slices_figure(spread, mean.mask, float(low), float(high))
    drawn = Drawing.of(figure, alt=told, prefix=f"{prefix}d")
    return BrainView(title, (drawn,), f"{number(float(high))} SD", number(float(low)))


def slices_figure(values: Values, mask: VoxelMask, low: float, high: float) -> Figure:
    """Draw (V,) values in axial slices, from the first colour at `low` to the last at `high`."""
    picture = sliced(values, axial_slices(mask, N_SLICES))
    with drawing():
        figure = canvas(_WIDTH, _WIDTH * picture.shape[0] / picture.shape[1])
        axes = figure.add_axes((0, 0, 1, 1))
        top = high if high > low else low + 1
        axes.imshow(picture, cmap=ramp(), vmin=low, vmax=top, interpolation="none", aspect="auto")
        axes.axis("off")
    return figure


def _same_place(one: VoxelMask, other: VoxelMask) -> bool:
    return one.grid == other.grid and bool(
        np.array_equal(one.inside, other.inside) and np.allclose(one.affine, other.affine)
    )
