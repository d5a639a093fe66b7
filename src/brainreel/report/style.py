"""The page's hand: one palette for figures and CSS, and figures as inline SVG that follow it.

A figure is drawn once, in the light palette. In the SVG each palette colour becomes a CSS variable
and text keeps being text, so that the browser recolours the figure for a dark page and sets it in
the page's own typeface.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import imsave
from numpy.typing import NDArray

# Name to (light, dark). Text on paper keeps a contrast of at least 4.5 to 1 in both.
PALETTE: dict[str, tuple[str, str]] = {
    "paper": ("#fdfcf9", "#14171a"),
    "panel": ("#f4f2ec", "#1d2125"),
    "ink": ("#1e2328", "#e9e7e1"),
    "muted": ("#5b646d", "#a4acb4"),
    "rule": ("#dedad0", "#363c42"),
    "predicted": ("#15659f", "#74b5e2"),
    "measured": ("#85898d", "#8f969d"),
    "ceiling": ("#b1502a", "#ea9464"),
    "second": ("#6b5aa5", "#ab9ce0"),
}
INK, MUTED, RULE = PALETTE["ink"][0], PALETTE["muted"][0], PALETTE["rule"][0]
PREDICTED, MEASURED = PALETTE["predicted"][0], PALETTE["measured"][0]
CEILING, SECOND, PAPER = PALETTE["ceiling"][0], PALETTE["second"][0], PALETTE["paper"][0]
LINES = (PREDICTED, CEILING, SECOND, MEASURED)

# Low values fade into whichever paper lies behind them; high ones are opaque and warm.
RAMP_STOPS: tuple[tuple[float, tuple[int, int, int], float], ...] = (
    (0.00, (92, 140, 184), 0.10),
    (0.30, (58, 122, 182), 0.55),
    (0.55, (118, 88, 172), 0.85),
    (0.78, (204, 74, 112), 1.00),
    (1.00, (240, 138, 56), 1.00),
)
PIXELS_PER_INCH = 72  # a unit of matplotlib's SVG, so that one unit is one CSS pixel

_RC: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "brainreel",
    "font.family": "sans-serif",
    "font.sans-serif": ["Source Sans 3", "Helvetica Neue", "Liberation Sans", "DejaVu Sans"],
    "font.size": 12,
    "axes.labelsize": 12,
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.linewidth": 1.0,
    "axes.unicode_minus": True,
    "text.color": INK,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


def ramp() -> LinearSegmentedColormap:
    """Return the map colours: transparent blue at 0 to opaque orange at 1, for light and dark."""
    colours: dict[str, list[tuple[float, float, float]]] = {
        channel: [(at, rgb[i] / 255, rgb[i] / 255) for at, rgb, _ in RAMP_STOPS]
        for i, channel in enumerate(("red", "green", "blue"))
    }
    colours["alpha"] = [(at, alpha, alpha) for at, _, alpha in RAMP_STOPS]
    return LinearSegmentedColormap("brainreel", colours)  # type: ignore[arg-type]


def ramp_css() -> str:
    """Return the same colours as a CSS gradient, for the key beside a map."""
    stops = (
        f"rgb({red} {green} {blue} / {alpha:g}) {at:.0%}"
        for at, (red, green, blue), alpha in RAMP_STOPS
    )
    return f"linear-gradient(to right, {', '.join(stops)})"


@contextmanager
def drawing() -> Iterator[None]:
    """Draw in the page's typography, leaving the caller's matplotlib settings as they were."""
    with mpl.rc_context(_RC):
        yield


def canvas(width_px: float, height_px: float) -> Figure:
    """Return an empty transparent figure of that many CSS pixels (call inside `drawing`)."""
    return Figure(figsize=(width_px / PIXELS_PER_INCH, height_px / PIXELS_PER_INCH))


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes at a box given in CSS pixels from the top left corner."""
    full_width, full_height = figure.get_size_inches() * PIXELS_PER_INCH
    bottom = full_height - top - height
    box = (left / full_width, bottom / full_height, width / full_width, height / full_height)
    return figure.add_axes(box)


def note(
    figure: Figure, left: float, top: float, text: str, colour: str, *, bold: bool = False
) -> None:
    """Write a word whose left end and middle line stand at a point in CSS pixels."""
    width, height = figure.get_size_inches() * PIXELS_PER_INCH
    weight = "bold" if bold else "normal"
    figure.text(left / width, 1 - top / height, text, color=colour, weight=weight, va="center")


def to_svg(figure: Figure, *, alt: str, prefix: str) -> str:
    """Return a figure as an inline `<svg>` that takes its colours and typeface from the page.

    Parameters
    ----------
    figure
        Drawn in the light palette.
    alt
        What a reader who does not see it should know.
    prefix
        Unique on the page; ids inside the drawing begin with it.
    """
    buffer = io.StringIO()
    with drawing():
        figure.savefig(buffer, format="svg", dpi=120, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text))
    wanted = {one or other for one, other in used}
    text = re.sub(
        r' id="([^"]+)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in wanted else "", text
    )
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}-", text)
    text = re.sub(r'\bd="([^"]+)"', lambda path: f'd="{_rounded(path[1])}"', text)
    for name, (light, _) in PALETTE.items():
        text = text.replace(light, f"var(--{name})")
    text = re.sub(r"font-family: [^;\"]*", "font-family: var(--sans)", text)
    text = re.sub(r"(font: [^;\"']*?px) [^;\"]*", r"\1 var(--sans)", text)
    width, height = figure.get_size_inches() * PIXELS_PER_INCH
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{_attribute(alt)}">'
    )
    return head + text[text.index(">") + 1 :]


@dataclass(frozen=True)
class Drawing:
    """One inline SVG; below `min_px` CSS pixels its box scrolls, above `max_px` it stays small."""

    svg: Markup
    max_px: int
    min_px: int = 0

    @classmethod
    def of(cls, figure: Figure, *, alt: str, prefix: str, min_px: int = 0) -> Drawing:
        """Turn a figure into a drawing for the page; see `to_svg`."""
        width_px = int(figure.get_size_inches()[0] * PIXELS_PER_INCH)
        # A little larger than drawn is welcome; much larger and its letters outgrow the page's.
        return cls(Markup(to_svg(figure, alt=alt, prefix=prefix)), int(1.1 * width_px), min_px)


def png_uri(picture: NDArray[Any]) -> str:
    """Return a picture as a PNG data URI.

    Parameters
    ----------
    picture
        (C, H, W) in [0, 1] or uint8, C one (grey) or three (colour).
    """
    values = np.asarray(picture)
    if values.dtype != np.uint8:
        values = np.clip(np.nan_to_num(values) * 255 + 0.5, 0, 255).astype(np.uint8)
    colour = np.repeat(values, 3, axis=0) if values.shape[0] == 1 else values[:3]
    buffer = io.BytesIO()
    imsave(buffer, np.ascontiguousarray(np.moveaxis(colour, 0, -1)), format="png", metadata={})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _rounded(path: str) -> str:
    """Round the coordinates of a path to a tenth of a pixel, which halves a drawing's size."""
    short = re.sub(r"-?\d+\.\d+", lambda number: f"{float(number[0]):.1f}", path)
    return " ".join(short.split())


def _attribute(text: str) -> str:
    for plain, entity in (("&", "&amp;"), ('"', "&quot;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(plain, entity)
    return text
