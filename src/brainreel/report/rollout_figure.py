"""Where an answer of MBT comes from: attention roll-out over the frames and the spectrogram."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.files import write_aside
from brainreel.layers.clip import Clip
from brainreel.models.mbt import MBT
from brainreel.report.style import INK, MUTED, PAPER, canvas, drawing, note, place, ramp

_WIDTH, _MARGIN, _GAP, _SOUND = 1180.0, 30.0, 10.0, 150.0
_MOST_FRAMES = 8


def figure_rollout(network: MBT, clip: Clip, out: Path, *, row: int = 0) -> Path:
    """Draw the frames and the sound of a clip, and below each what the answer stems from.

    Parameters
    ----------
    network
        What is asked; see `MBT.rollout`.
    clip
        What it sees and hears; float frames in [0, 1], or uint8.
    out
        A `.png` file.
    row
        Which clip of the batch.
    """
    out = Path(out)
    if out.suffix != ".png":
        raise DataError(f"{out}: not a picture. End its name in .png.")
    if not 0 <= row < len(clip):
        raise DataError(f"there is no clip {row} among {len(clip)}.")
    one = clip[slice(row, row + 1)]
    rolled = {sense: grid[0].cpu().numpy() for sense, grid in network.rollout(one).items()}
    frames = sound = None
    if "pictures" in rolled and one.frames is not None:
        looked_at = network.tokens["pictures"].frames or slice(None)
        frames = one.frames[0, looked_at].cpu().numpy()  # type: ignore[index]
    if "sound" in rolled and one.sound is not None:
        sound = one.sound[0, 0].cpu().numpy()
    with drawing():
        side = _side(frames)
        tall = 0.0 if frames is None else 2 * side + _GAP + 82
        figure = canvas(_WIDTH, tall + (0.0 if sound is None else _SOUND + 82))
        if frames is not None:
            _draw_frames(figure, frames, rolled["pictures"], side)
        if sound is not None:
            _draw_sound(figure, sound, rolled["sound"], tall)
        with write_aside(out) as aside:
            figure.savefig(
                aside,
                dpi=72,
                facecolor=PAPER,
                metadata={"Software": None},
                pil_kwargs={"optimize": True},
            )
    return out


def _side(frames: NDArray[np.generic] | None) -> float:
    """Height of a frame on the paper."""
    if frames is None:
        return 0.0
    shown = min(len(frames), _MOST_FRAMES)
    wide = (_WIDTH - 2 * _MARGIN - (shown - 1) * _GAP) / shown
    height, width = frames.shape[2:]
    return float(min(wide * height / width, 180.0))


def _draw_frames(
    figure: Figure, frames: NDArray[np.generic], grid: NDArray[np.float32], side: float
) -> None:
    times = _times(grid)
    note(figure, _MARGIN, 26, "What it saw, and where the answer looks", INK, bold=True)
    note(figure, _MARGIN, 48, _key(times), MUTED)
    wide = side * frames.shape[3] / frames.shape[2]
    shown = np.linspace(0, len(frames) - 1, min(len(frames), _MOST_FRAMES)).round().astype(int)
    for column, number in enumerate(shown):
        left = _MARGIN + column * (wide + _GAP)
        picture = np.moveaxis(frames[number], 0, -1)
        picture = np.repeat(picture, 3, axis=-1) if picture.shape[-1] == 1 else picture[..., :3]
        # Patches that go through several frames share them out in order.
        patch = times[number * len(times) // len(frames)]
        for line, overlay in enumerate((None, patch)):
            axes = place(figure, left, 68 + line * (side + _GAP), wide, side)
            axes.axis("off")
            box = (0, frames.shape[3], frames.shape[2], 0)
            axes.imshow(picture, extent=box, aspect="auto", interpolation="nearest")
            if overlay is not None:
                axes.imshow(
                    _tint(overlay, times), extent=box, aspect="auto", interpolation="nearest"
                )


def _draw_sound(
    figure: Figure, sound: NDArray[np.float32], grid: NDArray[np.float32], top: float
) -> None:
    times = _times(grid)
    note(figure, _MARGIN, top + 26, "What it heard, and where the answer listens", INK, bold=True)
    note(figure, _MARGIN, top + 48, f"time to the right, pitch upwards; {_key(times)}", MUTED)
    wide = (_WIDTH - 2 * _MARGIN - _GAP) / 2
    low, high = np.percentile(sound, [5, 99.5])
    for column, overlay in enumerate((None, times)):
        axes = place(figure, _MARGIN + column * (wide + _GAP), top + 68, wide, _SOUND)
        axes.axis("off")
        box = (0, sound.shape[0], 0, sound.shape[1])
        axes.imshow(
            sound.T, origin="lower", extent=box, aspect="auto", interpolation="nearest",
            cmap="gray_r", vmin=low, vmax=max(high, low + 1e-6),
        )  # fmt: skip
        if overlay is not None:
            tint = _tint(overlay.T, times)
            axes.imshow(tint, origin="lower", extent=box, aspect="auto", interpolation="nearest")


def _times(grid: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how many times the mean patch each contributes; 0 where there is nothing."""
    mean = float(grid.mean())
    return grid / mean if mean > 0 else grid


def _key(times: NDArray[np.float32]) -> str:
    return f"orange: {times.max():.1f} times the mean patch; blue: {times.min():.1f} times"


def _tint(shown: NDArray[np.float32], every: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return colours from the least to the most of all patches; the picture shines through."""
    low, high = float(every.min()), float(every.max())
    colours: NDArray[np.float64] = ramp()((shown - low) / max(high - low, 1e-12))
    colours[..., 3] *= 0.75
    return colours
