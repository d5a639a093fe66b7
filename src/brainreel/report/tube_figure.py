"""Where the tubes of a TubeViT lie in a clip, drawn as boxes in space and time."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from brainreel.errors import DataError
from brainreel.files import write_aside
from brainreel.layers.tube_kernels import Size
from brainreel.layers.tubes import Tube
from brainreel.models.tubevit import PUBLISHED_TUBES, TubeViTConfig, tube_tokens
from brainreel.report.style import (
    INK,
    LINES,
    MUTED,
    PAPER,
    RULE,
    canvas,
    drawing,
    note,
    place,
)
from brainreel.shapes import DataSpec

_WIDTH, _MARGIN, _A_ROW, _ROW, _BAR = 1180.0, 30.0, 4, 340.0, 110.0
_PANEL, _TOP, _CLIP = 265.0, 76.0, (170.0, 150.0)
# One pixel of width goes back by so much: to the right and up.
_BACK = (0.42, 0.45)
Corner = tuple[float, float, float]


def figure_tubes(
    out: Path, config: TubeViTConfig | None = None, spec: DataSpec | None = None
) -> Path:
    """Draw the boxes of each tube in a clip, and the tokens that they give.

    Parameters
    ----------
    out
        A `.png` file.
    config
        Whose tubes; the published ones by default.
    spec
        The frames of a clip and their size; 32 x 224 x 224 by default.
    """
    out = Path(out)
    if out.suffix != ".png":
        raise DataError(f"{out}: not a picture. End its name in .png.")
    config = config or TubeViTConfig(tubes=PUBLISHED_TUBES, width=768, heads=12)
    spec = spec or DataSpec(frame_shape=(3, 224, 224), clip_frames=32)
    counts = [count.n_tokens for count in tube_tokens(config, spec)]
    size: Size = (spec.clip_frames, spec.frame_shape[1], spec.frame_shape[2])
    n_rows = math.ceil(len(config.tubes) / _A_ROW)
    with drawing():
        figure = canvas(_WIDTH, n_rows * _ROW + _BAR)
        for number, tube in enumerate(config.tubes):
            _draw_tube(figure, number, tube, size)
        _draw_tokens(figure, n_rows * _ROW, config, counts, _touched(config, size))
        with write_aside(out) as aside:
            figure.savefig(aside, dpi=90, facecolor=PAPER, metadata={"Software": None})
    return out


def _draw_tube(figure: Figure, number: int, tube: Tube, size: Size) -> None:
    """Draw a clip as a glass block, and the boxes of one tube in it, the farthest first."""
    row, column = divmod(number, _A_ROW)
    left, top = _MARGIN + column * (_PANEL + 20), row * _ROW
    kernel, stride, grid = (" x ".join(map(str, part)) for part in
                            (tube.kernel, tube.stride, tube.grid(size)))  # fmt: skip
    note(figure, left, top + 28, f"{kernel} every {stride}", INK, bold=True)
    note(figure, left, top + 54, f"{grid} = {math.prod(tube.grid(size))} tokens", MUTED)
    axes = place(figure, left, top + _TOP, _PANEL, _ROW - _TOP - 20)
    axes.set_xlim(0, _PANEL)
    axes.set_ylim(_ROW - _TOP - 20, 0)
    axes.axis("off")
    f, h, w = size
    _draw_box(axes, (0, 0, 0), size, size, INK, filled=False)
    places = [
        range(o, o + n * s, s)
        for o, n, s in zip(tube.offset, tube.grid(size), tube.stride, strict=True)
    ]
    far_first = sorted(itertools.product(*places), key=lambda at: (-at[2], at[0], -at[1]))
    for t, y, x in far_first:
        reach = (min(tube.reach[0], f - t), min(tube.reach[1], h - y), min(tube.reach[2], w - x))
        _draw_box(axes, (t, y, x), reach, size, LINES[number % len(LINES)], filled=True)
    if number == 0:
        _name_axes(axes, size)


def _name_axes(axes: Axes, size: Size) -> None:
    """Write beside three edges of the block which axis they are."""
    f, h, w = size
    along = (
        ((f / 2, h, 0), (0, 15), 0, f"time: {f} frames"),
        ((0, h / 2, 0), (-9, 0), 90, f"{h} rows"),
        ((f, h, w / 2), (16, 9), math.degrees(math.atan2(_BACK[1], _BACK[0])), f"{w} columns"),
    )
    for middle, (right, down), turned, word in along:
        x, y = _on_page(middle, size)
        axes.text(
            x + right, y + down, word, color=MUTED, size=11, rotation=turned,
            ha="center", va="center", rotation_mode="anchor",
        )  # fmt: skip


def _draw_box(
    axes: Axes, start: Corner, reach: Corner, size: Size, colour: str, *, filled: bool
) -> None:
    """Draw the front, the top and the right side of a box, or all edges of an empty one."""
    t, y, x = start
    dt, dy, dx = reach
    faces: list[list[Corner]] = [
        [(t, y, x), (t + dt, y, x), (t + dt, y + dy, x), (t, y + dy, x)],
        [(t, y, x), (t + dt, y, x), (t + dt, y, x + dx), (t, y, x + dx)],
        [(t + dt, y, x), (t + dt, y + dy, x), (t + dt, y + dy, x + dx), (t + dt, y, x + dx)],
    ]
    if not filled:
        faces += [
            [(t, y, x + dx), (t + dt, y, x + dx), (t + dt, y + dy, x + dx), (t, y + dy, x + dx)],
            [(t, y + dy, x), (t + dt, y + dy, x), (t + dt, y + dy, x + dx), (t, y + dy, x + dx)],
        ]
    for face, shade in zip(faces, (0.85, 0.55, 0.7, 0, 0), strict=False):
        outline = [_on_page(corner, size) for corner in face]
        if filled:
            # Paper first: a box hides what lies behind it.
            axes.add_patch(Polygon(outline, facecolor=PAPER, linewidth=0))
            axes.add_patch(
                Polygon(outline, facecolor=colour, alpha=shade, edgecolor=PAPER, linewidth=0.4)
            )
        else:
            axes.add_patch(Polygon(outline, fill=False, edgecolor=RULE, linewidth=1.0))


def _on_page(corner: Corner, size: Size) -> tuple[float, float]:
    """Where a point (t, y, x) of the clip is drawn: time to the right, width to the back."""
    t, y, x = (at / length for at, length in zip(corner, size, strict=True))
    deep = _CLIP[1] * x
    return _CLIP[0] * t + _BACK[0] * deep + 1, _CLIP[1] * y + _BACK[1] * (_CLIP[1] - deep) + 1


def _draw_tokens(
    figure: Figure, top: float, config: TubeViTConfig, counts: list[int], touched: float
) -> None:
    """Draw the row of tokens, each tube's part in its colour."""
    total = 1 + sum(counts)
    told = (
        f"{total} tokens of width {config.width}: the class token, then tube by tube. "
        f"{touched:.0%} of the clip's pixels are looked at."
    )
    note(figure, _MARGIN, top + 14, told, MUTED)
    width = _WIDTH - 2 * _MARGIN
    axes = place(figure, _MARGIN, top + 36, width, 40)
    axes.set_xlim(0, width)
    axes.set_ylim(0, 40)
    axes.axis("off")
    box, gap = 52.0, 4.0
    axes.add_patch(Rectangle((1, 6), box, 28, fill=False, edgecolor=INK, linewidth=1.2))
    axes.text(1 + box / 2, 19.5, "class", ha="center", va="center", color=INK, size=11)
    at = box + 8
    each = (width - at - gap * len(counts)) / sum(counts)
    for number, count in enumerate(counts):
        colour = LINES[number % len(LINES)]
        axes.add_patch(Rectangle((at, 6), each * count, 28, facecolor=colour, linewidth=0))
        axes.text(at + each * count / 2, 19.5, str(count), ha="center", va="center", color=PAPER)
        at += each * count + gap


def _touched(config: TubeViTConfig, size: Size) -> float:
    """Return the share of a clip's pixels that at least one tube sees."""
    seen = np.zeros(size, dtype=bool)
    for tube in config.tubes:
        each = zip(tube.offset, tube.grid(size), tube.stride, strict=True)
        places = [range(o, o + n * s, s) for o, n, s in each]
        boxes = [range(0, j * d, d) for j, d in zip(tube.joined, tube.step, strict=True)]
        for at, box in itertools.product(itertools.product(*places), itertools.product(*boxes)):
            t, y, x = (a + b for a, b in zip(at, box, strict=True))
            kt, ky, kx = tube.kernel
            seen[t : t + kt, y : y + ky, x : x + kx] = True
    return float(seen.mean())
