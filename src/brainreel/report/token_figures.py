"""How a picture and a spectrogram are cut into tokens, drawn on a film's own frame and sound."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.files import write_aside
from brainreel.layers.tokens import PatchTokens
from brainreel.models.ast import ASTConfig
from brainreel.models.encoder import EncoderOptions, sides
from brainreel.models.vit import ViTConfig
from brainreel.report.style import (
    CEILING,
    INK,
    MUTED,
    PAPER,
    PREDICTED,
    SECOND,
    canvas,
    drawing,
    note,
    place,
    ramp,
)
from brainreel.stimulus.audio import log_mel, read_sound
from brainreel.stimulus.frames import read_frames

_RATE_HZ, _HOP_S, _N_MELS = 16000, 0.01, 128
_WIDTH, _HEIGHT, _TOP, _PANEL = 1180.0, 430.0, 86.0, 264.0
_LEFT, _RIGHT = (30.0, 460.0), (560.0, 590.0)
_SHOWN = (PREDICTED, CEILING, SECOND)


def figure_tokens(
    film: Path,
    out: Path,
    *,
    time_s: float = 0.0,
    span_s: float = 1.2,
    size: tuple[int, int] = (112, 176),
    vit: ViTConfig | None = None,
    ast: ASTConfig | None = None,
) -> Path:
    """Draw patches of a film's frame side by side, and overlapping ones of its sound.

    Parameters
    ----------
    film
        With pictures and sound.
    out
        A `.png` file.
    time_s
        Film time of the frame, where the sound begins too.
    span_s
        Seconds of sound.
    size
        (H, W) that the frame is brought to.
    vit, ast
        Whose patches; by default 16 x 16 pixels, and 16 x 16 steps and bands every 10.
    """
    out = Path(out)
    if out.suffix != ".png":
        raise DataError(f"{out}: not a picture. End its name in .png.")
    vit = vit or ViTConfig(patch=16, pooling="class")
    ast = ast or ASTConfig(patch=16, stride=10, pooling="distilled")
    frame = read_frames(film, [Fraction(str(time_s))], size)[0]
    sound = read_sound(film, _RATE_HZ)[round(time_s * _RATE_HZ) :][: round(span_s * _RATE_HZ)]
    spectrogram = log_mel(sound, _RATE_HZ, _N_MELS, hop_s=_HOP_S)
    with drawing():
        figure = canvas(_WIDTH, _HEIGHT)
        _draw_picture(figure, frame, vit)
        _draw_sound(figure, spectrogram, ast)
        with write_aside(out) as aside:
            figure.savefig(aside, dpi=90, facecolor=PAPER, metadata={"Software": None})
    return out


def _draw_picture(figure: Figure, frame: NDArray[np.uint8], config: ViTConfig) -> None:
    patch = sides(config.patch)
    cut = PatchTokens(3, frame.shape[1:], patch, 1)
    left, width = _LEFT
    axes = _panel(figure, left, width, frame.shape[1:])
    axes.imshow(np.moveaxis(frame, 0, -1), interpolation="nearest")
    for row, column in np.ndindex(*cut.counts):
        _outline(axes, (row, column), patch, patch, PAPER, 1.6)
    for colour, where in zip(_SHOWN, _spread(cut.counts), strict=True):
        _outline(axes, where, patch, patch, colour, 3.0)
    h, w = frame.shape[1:]
    title = f"A frame of {h} x {w} pixels"
    told = f"{cut.counts[0]} x {cut.counts[1]} patches of {patch[0]} x {patch[1]}, side by side"
    _captions(figure, left, title, told)
    _draw_row(figure, left, width, config, cut.n_tokens)


def _draw_sound(figure: Figure, spectrogram: NDArray[np.float32], config: ASTConfig) -> None:
    patch = sides(config.patch)
    stride = patch if config.stride is None else sides(config.stride)
    cut = PatchTokens(1, spectrogram.shape, patch, 1, stride)
    left, width = _RIGHT
    axes = _panel(figure, left, width, spectrogram.T.shape)
    low, high = np.percentile(spectrogram, [5, 99.5])
    # Time runs to the right and pitch upwards, as spectrograms are read.
    axes.imshow(
        spectrogram.T, origin="lower", aspect="auto", interpolation="nearest", cmap=ramp(),
        vmin=low, vmax=high,
    )  # fmt: skip
    axes.set_ylim(-0.5, spectrogram.shape[1] - 0.5)
    for step, band in np.ndindex(*cut.counts):
        axes.plot(step * stride[0] + 1, band * stride[1] + 1, ".", color=INK, markersize=3)
    # Neighbours in time and in pitch, in the order of their tokens; as many as there are.
    near = [(step, band) for step, band in ((3, 2), (3, 3), (4, 2))
            if step < cut.counts[0] and band < cut.counts[1]]  # fmt: skip
    for colour, (step, band) in zip(_SHOWN, near, strict=False):
        _outline(axes, (band, step), patch[::-1], stride[::-1], colour, 3.0, fill=True)
    s, m = spectrogram.shape
    title = f"{s * _HOP_S:g} s of sound: {s} steps x {m} mel bands"
    how = "side by side" if stride == patch else f"one every {stride[0]} x {stride[1]} (dots)"
    told = f"{cut.counts[0]} x {cut.counts[1]} patches of {patch[0]} x {patch[1]}, {how}"
    _captions(figure, left, title, told)
    _draw_row(figure, left, width, config, cut.n_tokens)


def _panel(figure: Figure, left: float, width: float, shape: Sequence[int]) -> Axes:
    """Return axes without ticks; a picture keeps its proportions."""
    axes = place(figure, left, _TOP, width, _PANEL)
    axes.set_xlim(-0.5, shape[1] - 0.5)
    axes.set_ylim(shape[0] - 0.5, -0.5)
    axes.set_anchor("NW")
    axes.axis("off")
    return axes


def _outline(
    axes: Axes,
    where: tuple[int, ...],
    patch: Sequence[int],
    stride: Sequence[int],
    colour: str,
    line: float,
    *,
    fill: bool = False,
) -> None:
    """Frame a patch, given by its (row, column) in the grid."""
    corner = (where[1] * stride[1] - 0.5, where[0] * stride[0] - 0.5)
    shape = (patch[1], patch[0])
    if fill:
        axes.add_patch(Rectangle(corner, *shape, facecolor=colour, alpha=0.25, linewidth=0))
    axes.add_patch(Rectangle(corner, *shape, fill=False, edgecolor=colour, linewidth=line))


def _spread(counts: Sequence[int]) -> list[tuple[int, int]]:
    """Three patches of a grid, far from each other."""
    rows, columns = counts
    return [
        (rows // 4, columns // 5), (rows // 2, columns // 2), (3 * rows // 4, 4 * columns // 5)
    ]  # fmt: skip


def _captions(figure: Figure, left: float, title: str, told: str) -> None:
    note(figure, left, 28, title, INK, bold=True)
    note(figure, left, 54, told, MUTED)


def _draw_row(
    figure: Figure, left: float, width: float, config: EncoderOptions, n_tokens: int
) -> None:
    """Draw the tokens in a row: special ones, the three that are framed, and how many there are."""
    special = {"mean": [], "class": ["class"], "distilled": ["class", "distillation"]}[
        config.pooling
    ]
    axes = place(figure, left, _TOP + _PANEL + 22, width, 36)
    axes.set_xlim(0, width)
    axes.set_ylim(0, 36)
    axes.axis("off")
    x = 0.0
    for word in special:
        box = 20.0 + 6.2 * len(word)
        axes.add_patch(Rectangle((x + 1, 4), box, 28, fill=False, edgecolor=INK, linewidth=1.2))
        axes.text(x + 1 + box / 2, 17.5, word, ha="center", va="center", color=INK, size=11)
        x += box + 7
    for colour in _SHOWN:
        axes.text(x + 9, 17, "…", ha="center", va="center", color=MUTED)
        axes.add_patch(Rectangle((x + 20, 4), 28, 28, facecolor=colour, linewidth=0))
        x += 52
    axes.text(x + 9, 17, "…", ha="center", va="center", color=MUTED)
    total = n_tokens + len(special)
    axes.text(x + 26, 17.5, f"{total} tokens of width {config.width}", va="center", color=MUTED)
