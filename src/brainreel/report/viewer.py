"""Measured and predicted volumes side by side under the film, for a slider over time."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup
from matplotlib.image import imsave
from numpy.typing import NDArray

from brainreel.fmri.images import load_mask
from brainreel.metrics.correlation import pearson_r
from brainreel.report.courses import clock, typical_person
from brainreel.report.runs import Maps, RunRecord
from brainreel.report.slices import OUTSIDE, Columns, sliced, three_slices
from brainreel.report.words import number, split_words
from brainreel.stimulus.film import probe_film
from brainreel.stimulus.frames import read_frames

MAX_VOLUMES = 100  # more would make the page heavy
N_THUMBNAILS = 9
_MAX_SIDE = 16383  # of a WebP picture
_MAX_AREA = 2_000_000
_FRAME_PX = 128  # height of a film frame: enough for a third of the page
# Value 0, and what one full scale adds: linear, so that a browser's `contrast` filter stretches it.
_GREY, _STEP = 128.0, np.array([112.0, 34.0, -98.0])
_NO_STRETCH = 1.25  # a prediction nearly as large as the measurement needs none
_SHADES = 15  # to either side of 0, of the measurement: more cannot be told apart, and weigh more

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Sheet:
    """Pictures of one size, one under the other, in one file.

    Attributes
    ----------
    uri
        The file.
    n
        How many pictures.
    width, height
        Of one.
    """

    uri: Markup
    n: int
    width: int
    height: int


@dataclass(frozen=True)
class Viewer:
    """Volumes of one person over a stretch of film.

    Attributes
    ----------
    told
        What is said of each moment.
    measured, predicted, frames
        Pictures of each moment; no frames where the film is not at hand.
    start
        The moment that is shown first.
    thumbnails
        Moments whose frames make the strip.
    scale
        Deviations at both ends of the colours.
    stretch
        What brings the prediction to the size of the measurement; 0 where that is no help.
    alt, caption
        What is seen.
    """

    told: tuple[str, ...]
    measured: Sheet
    predicted: Sheet
    frames: Sheet | None
    start: int
    thumbnails: tuple[int, ...]
    scale: str
    stretch: float
    alt: str
    caption: str


@dataclass(frozen=True, eq=False)
class Stretch:
    """Both sides of one test segment, (T, V), each voxel without its mean; times and film."""

    predicted: Float32
    measured: Float32
    time_s: NDArray[np.float64]
    tr_s: float
    film: Path | None


def make_viewer(run: RunRecord) -> Viewer | None:
    """Draw the volumes of a typical person in the first test segment; None without a mask.

    The person is the one whose median r is the middle one, the slices go through the voxel with
    the highest r. The mean over the segment is taken out of each voxel, on both sides, as it is
    before r; colours are the same for both.
    """
    if not run.maps:
        return None
    maps = typical_person(run.maps)
    found = _stretch_of(run, maps)
    if found is None or maps.mask is None or not np.isfinite(maps.r).any():
        return None
    mask = load_mask(maps.mask, space=maps.space)
    if mask.n_voxels < 2:
        return None
    slices = three_slices(mask, int(np.nanargmax(maps.r)))
    found = _first(found, _n_volumes(slices))
    scale = max(round(float(np.percentile(np.abs(found.measured), 98)), 1), 0.1)
    frames = film_frames(found)
    r = pearson_r(found.predicted.T.astype(np.float64), found.measured.T.astype(np.float64))
    n, stretch = len(found.time_s), _stretch(found)
    strip = np.unique(np.linspace(0, n - 1, min(n, N_THUMBNAILS)).round().astype(int))
    who = f"{maps.subject}, {split_words(maps.split)}" if maps.split else maps.subject
    return Viewer(
        told=tuple(
            f"{'film' if found.film is not None else 'time'} {clock(at)} · volume {i + 1} of {n} · "
            f"r over voxels {number(float(r[i]))}"
            for i, at in enumerate(found.time_s)
        ),
        measured=volume_sheet(found.measured, slices, scale, _SHADES),
        predicted=volume_sheet(found.predicted, slices, scale, max(1.0, stretch) * _SHADES),
        frames=None if frames is None else sheet_of(frames, quality=70, lossless=False),
        start=n // 2,
        thumbnails=tuple(int(i) for i in strip),
        scale=f"{scale:g}",
        stretch=stretch,
        alt=f"Slices of the brain of {who}",
        caption=_caption(found, who, frames is not None),
    )


def _stretch_of(run: RunRecord, maps: Maps) -> Stretch | None:
    """Cut out the first test segment of a person."""
    source = run.bold_of(maps)
    if source is None:
        return None
    arrays = source.load()
    n_trs = len(arrays["measured"])
    segment = arrays.get("segment", np.zeros(n_trs))
    inside = segment == segment[0]
    time_s = arrays.get("film_time_s", np.arange(n_trs, dtype=np.float64))[inside]
    films = arrays.get("films", ())
    named = Path(str(films[int(segment[0])])) if len(films) else source.film
    predicted, measured = (
        np.nan_to_num(arrays[side][inside].astype(np.float32)) for side in ("predicted", "measured")
    )
    return Stretch(
        predicted - predicted.mean(axis=0),
        measured - measured.mean(axis=0),
        time_s,
        float(np.median(np.diff(time_s))) if len(time_s) > 1 else 1.0,
        run.find(named) if named is not None and named.name else None,
    )


def _first(found: Stretch, n: int) -> Stretch:
    rows = slice(0, n)
    return Stretch(
        found.predicted[rows], found.measured[rows], found.time_s[rows], found.tr_s, found.film
    )


def _n_volumes(slices: Columns) -> int:
    """Return how many volumes of that size fit a sheet."""
    height, width = len(slices) + 1, int(slices.shape[1])
    return max(1, min(MAX_VOLUMES, _MAX_SIDE // height, _MAX_AREA // (height * width)))


def _stretch(found: Stretch) -> float:
    """Return the measurement's deviation over the prediction's, at two digits."""
    predicted, measured = (float(side.std()) for side in (found.predicted, found.measured))
    if predicted <= 0 or measured / predicted < _NO_STRETCH:
        return 0.0
    return float(f"{measured / predicted:.2g}")


def _caption(found: Stretch, who: str, with_frames: bool) -> str:
    told = (
        f"{who}: slices through the voxel with the highest r, the first {len(found.time_s)} volumes"
        " of the test; left is the back of the head, or its left side. Deviations from each "
        "voxel's mean over this stretch, in units of the training part's deviation, one scale of "
        "colours for both."
    )
    if with_frames:
        return f"{told} The BOLD response follows the picture by about 5 s."
    if found.film is None:
        return told
    if not found.film.is_file():
        return f"{told} The film {found.film.name} is not at hand, so no frames are shown."
    return f"{told} {found.film.name} has no pictures."


def film_frames(found: Stretch) -> NDArray[np.uint8] | None:
    """Return the frame in the middle of each volume, (T, H, W, 4), clear where there is none.

    None without a film that can be read, or with a film without pictures.
    """
    if found.film is None or not found.film.is_file():
        return None
    info = probe_film(found.film)
    if not info.has_pictures:
        return None
    times = found.time_s + found.tr_s / 2
    shown = (times >= 0) & (times < float(info.duration_s))
    if not shown.any():
        return None
    height = min(_FRAME_PX, info.height)
    size = (height, max(1, round(height * info.width / info.height)))
    frames = np.zeros((len(times), *size, 4), np.uint8)
    frames[shown, ..., :3] = np.moveaxis(read_frames(found.film, times[shown].tolist(), size), 1, 3)
    frames[shown, ..., 3] = 255
    return frames


def volume_sheet(values: Float32, slices: Columns, scale: float, shades: float) -> Sheet:
    """Draw (T, V) values in the slices: blue below 0, grey at 0, orange above; clear outside."""
    share = np.clip(np.round(sliced(values, slices) / scale * shades) / shades, -1, 1)
    colours = _GREY + np.nan_to_num(share)[..., None] * _STEP
    alpha = np.broadcast_to(np.where(slices == OUTSIDE, 0.0, 255.0), share.shape)[..., None]
    pictures = np.concatenate([colours, alpha], axis=-1).round().astype(np.uint8)
    # A clear line under each, so that none shines into the next where a browser scales it.
    tall = np.pad(pictures, ((0, 0), (0, 1), (0, 0), (0, 0)))
    # Lossy WebP would mix the colours of neighbouring voxels.
    return sheet_of(tall, quality=60, lossless=True)


def sheet_of(pictures: NDArray[np.uint8], *, quality: int, lossless: bool) -> Sheet:
    """Write (T, H, W, 4) pictures as one WebP; without loss `quality` is effort."""
    n, height, width = pictures.shape[:3]
    buffer = io.BytesIO()
    tall = np.ascontiguousarray(pictures.reshape(n * height, width, 4))
    options = {"quality": quality, "lossless": lossless}
    imsave(buffer, tall, format="webp", pil_kwargs=options)
    text = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Sheet(Markup(f"data:image/webp;base64,{text}"), n, width, height)


def key_css() -> str:
    """Return the colours as a CSS gradient, for the key."""
    ends = (" ".join(f"{_GREY + sign * step:.0f}" for step in _STEP) for sign in (-1, 0, 1))
    return f"linear-gradient(to right, {', '.join(f'rgb({end})' for end in ends)})"
