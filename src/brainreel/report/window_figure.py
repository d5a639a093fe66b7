"""Who looks at whom in VTN, drawn from an attention layer's own weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.files import write_aside
from brainreel.layers.attention import attention_maps
from brainreel.layers.transformer import BlockOptions
from brainreel.layers.windowed import WindowAttention, strip_lengths
from brainreel.report.style import (
    CEILING,
    INK,
    MUTED,
    PAPER,
    PREDICTED,
    RULE,
    SECOND,
    canvas,
    drawing,
    note,
    place,
)

NOBODY, NEAR, THE_CLASS, ALL = range(4)
_COLOURS = (PAPER, PREDICTED, SECOND, CEILING)
_FRAMES, _WINDOW, _LONG = 24, 8, 160
_WIDTH, _HEIGHT, _PANEL, _TOP = 900.0, 484.0, 360.0, 84.0


def figure_window(out: Path) -> Path:
    """Draw who looks at whom in a short clip, and what is computed of it in a long one.

    Parameters
    ----------
    out
        A `.png` file.
    """
    out = Path(out)
    if out.suffix != ".png":
        raise DataError(f"{out}: not a picture. End its name in .png.")
    with drawing():
        figure = canvas(_WIDTH, _HEIGHT)
        _draw_looks(figure, 60, looks_within(_FRAMES, _WINDOW))
        _draw_strips(figure, 60 + _PANEL + 80, _LONG, _WINDOW)
        with write_aside(out) as aside:
            figure.savefig(
                aside,
                dpi=100,
                facecolor=PAPER,
                metadata={"Software": None},
                pil_kwargs={"optimize": True},
            )
    return out


def looks_within(n_frames: int, window: int) -> NDArray[np.int64]:
    """Return (1 + F, 1 + F): how each token, in rows, looks at each other, class token first.

    `NOBODY` where a layer's attention weight is 0; else `ALL` where the class token asks,
    `THE_CLASS` where it is asked, and `NEAR` from frame to frame.
    """
    layer = WindowAttention(BlockOptions(width=4, heads=1, hidden=4), window)
    with torch.no_grad(), attention_maps(layer) as maps:
        layer(torch.zeros(1, 1 + n_frames, 4))
    looks = np.full((1 + n_frames, 1 + n_frames), NEAR)
    looks[:, 0] = THE_CLASS
    looks[0] = ALL
    looks[maps[""][0, 0].numpy() == 0] = NOBODY
    return looks


def _draw_looks(figure: Figure, left: float, looks: NDArray[np.int64]) -> None:
    note(figure, left, 28, f"Who looks at whom: {_FRAMES} frames, a window of {_WINDOW}", INK,
         bold=True)  # fmt: skip
    note(figure, left, 52, f"a frame at {_WINDOW // 2} to each side and at the class token", MUTED)
    axes = _square(figure, left, len(looks))
    axes.imshow(looks, cmap=ListedColormap(_COLOURS), vmin=NOBODY, vmax=ALL, origin="upper",
                extent=(0, len(looks), len(looks), 0), interpolation="nearest")  # fmt: skip
    for line in range(1, len(looks)):
        axes.axhline(line, color=PAPER, linewidth=0.8)
        axes.axvline(line, color=PAPER, linewidth=0.8)
    top = _TOP + _PANEL + 20
    named = ((ALL, "class token asks"), (THE_CLASS, "is asked"), (NEAR, "frame to frame"))
    for kind, word in named:
        note(figure, left, top, word, _COLOURS[kind], bold=True)
        left += 14 + 6.6 * len(word)


def _draw_strips(figure: Figure, left: float, n_frames: int, window: int) -> None:
    block, strip = strip_lengths(window // 2)
    note(figure, left, 28, f"What is computed of {n_frames} frames", INK, bold=True)
    note(figure, left, 52, f"blocks of {block} frames, each against a strip of {strip}", MUTED)
    axes = _square(figure, left, 1 + n_frames)
    axes.add_patch(Rectangle((0, 0), 1 + n_frames, 1, color=CEILING, linewidth=0))
    axes.add_patch(Rectangle((0, 1), 1, n_frames, color=SECOND, linewidth=0))
    computed = 1 + n_frames
    for first in range(0, n_frames, block):
        begin, end = max(0, first - window // 2), min(n_frames, first - window // 2 + strip)
        rows = min(block, n_frames - first)
        computed += rows * (end - begin + 1)
        axes.add_patch(
            Rectangle((1 + begin, 1 + first), end - begin, rows, color=RULE, linewidth=0)
        )
    for frame in range(n_frames):
        begin, end = max(0, frame - window // 2), min(n_frames, frame + window // 2 + 1)
        axes.add_patch(
            Rectangle((1 + begin, 1 + frame), end - begin, 1, color=PREDICTED, linewidth=0)
        )
    share = computed / (1 + n_frames) ** 2
    told = f"{share:.0%} of all pairs, a share that falls as the film grows"
    note(figure, left, _TOP + _PANEL + 20, told, MUTED)


def _square(figure: Figure, left: float, n_tokens: int) -> Axes:
    axes = place(figure, left, _TOP, _PANEL, _PANEL)
    axes.set_xlim(0, n_tokens)
    axes.set_ylim(n_tokens, 0)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["top", "right"]].set_visible(True)
    return axes
