"""Natural-looking pictures of eight kinds, each at a random place, size, colour and light."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from brainreel.simulate.near_views import paint_fish, paint_flower, paint_fruit
from brainreel.simulate.paint import Canvas, about, one_of

Float = NDArray[np.float64]
UInt8 = NDArray[np.uint8]

# Colours of the sky above and at the horizon: day, haze, evening, dusk.
_SKIES = (
    ((0.22, 0.47, 0.82), (0.68, 0.84, 0.96)),
    ((0.48, 0.62, 0.76), (0.86, 0.88, 0.88)),
    ((0.30, 0.35, 0.62), (0.98, 0.66, 0.40)),
    ((0.36, 0.24, 0.46), (0.95, 0.48, 0.40)),
)


def paint_view(kind: str, size: int, rng: np.random.Generator) -> UInt8:
    """Return a (3, size, size) photograph of one of `KINDS`."""
    canvas = Canvas(size, rng)
    _PAINTERS[kind](canvas, rng)
    return canvas.photograph()


def _sky(canvas: Canvas, rng: np.random.Generator, horizon: float, kinds: tuple[int, ...]) -> None:
    """Paint a sky, often with clouds."""
    top, low = _SKIES[kinds[int(rng.integers(len(kinds)))]]
    canvas.fill(about(top, rng), about(low, rng), 0, horizon)
    clouds = np.clip(canvas.cloudy(2, 5) - rng.uniform(0.2, 1.2), 0, 1) * 0.8
    canvas.cover(clouds, 0.35 * np.asarray(low) + 0.62)


def _meadow(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    """Paint grass below a gently waved horizon."""
    grass = one_of(((0.36, 0.56, 0.20), (0.50, 0.60, 0.24), (0.26, 0.46, 0.18)), rng)
    edge = horizon + 0.02 * canvas.cloudy(2, 0.01, 1)[:1]
    canvas.cover(canvas.inside(edge - canvas.y), grass)
    ground = canvas.inside(edge - canvas.y)
    canvas.light(1.12 - 0.4 * (canvas.y - horizon) + 0.12 * canvas.cloudy(8, 16), ground)


def _sea(canvas: Canvas, rng: np.random.Generator) -> None:
    """A sun over water, and its glitter."""
    horizon, sun_x = float(rng.uniform(0.45, 0.62)), float(rng.uniform(0.22, 0.78))
    sun_y, radius = horizon - float(rng.uniform(0.08, 0.28)), float(rng.uniform(0.06, 0.1))
    top, low = (about(colour, rng) for colour in _SKIES[int(rng.integers(2, 4))])
    canvas.fill(top, low, 0, horizon)
    away = np.hypot(canvas.x - sun_x, canvas.y - sun_y)
    canvas.cover(0.75 * np.exp(-away / 0.16), (1.0, 0.85, 0.5))
    canvas.cover(canvas.inside(away - radius), (1.0, 0.96, 0.78))
    water = canvas.inside(horizon - canvas.y)
    deep = one_of(((0.10, 0.20, 0.38), (0.12, 0.28, 0.40), (0.22, 0.18, 0.36)), rng)
    part = np.clip((canvas.y - horizon) / (1 - horizon), 0, 1)[..., None]
    canvas.cover(water, (1 - part) * (0.45 * low + 0.55 * deep) + part * deep)
    waves = canvas.cloudy(5, 26, 2)
    canvas.light(1 + 0.22 * waves, water)
    width = 0.05 + 0.22 * np.clip(canvas.y - horizon, 0, 1)
    glitter = np.exp(-(((canvas.x - sun_x) / width) ** 2)) * np.clip(0.7 + 0.6 * waves, 0, 1)
    canvas.cover(0.85 * water * glitter, (1.0, 0.82, 0.52))


def _tree(canvas: Canvas, rng: np.random.Generator) -> None:
    """A round tree on a meadow."""
    horizon = float(rng.uniform(0.62, 0.78))
    _sky(canvas, rng, horizon, (0, 0, 1))
    _meadow(canvas, rng, horizon)
    x, foot = float(rng.uniform(0.3, 0.7)), horizon + float(rng.uniform(0.03, 0.12))
    radius = float(rng.uniform(0.19, 0.28))
    middle = foot - radius - float(rng.uniform(0.12, 0.2))
    canvas.light(0.6, canvas.blob(x, foot, 1.1 * radius, 4))
    bark = about((0.34, 0.22, 0.14), rng)
    canvas.cover(
        canvas.inside(np.abs(canvas.x - x) - 0.1 * radius - 0.04 * (canvas.y - middle))
        * canvas.inside(canvas.y - foot)
        * canvas.inside(middle - canvas.y),
        bark,
    )
    leaves = one_of(((0.16, 0.36, 0.12), (0.24, 0.44, 0.14), (0.70, 0.40, 0.10)), rng)
    away = np.hypot(canvas.x - x, (canvas.y - middle) * float(rng.uniform(0.85, 1.15)))
    crown = canvas.inside(away - radius - 0.03 * canvas.cloudy(7, 7), 0.02)
    shade = 1.15 - (canvas.y - middle + 0.6 * (canvas.x - x)) / radius * 0.4
    canvas.cover(crown, leaves * (shade + 0.18 * canvas.cloudy(12, 12))[..., None])


def _house(canvas: Canvas, rng: np.random.Generator) -> None:
    """A house with a roof, a door and windows."""
    horizon = float(rng.uniform(0.66, 0.78))
    _sky(canvas, rng, horizon, (0, 1, 2))
    _meadow(canvas, rng, horizon)
    middle, half = float(rng.uniform(0.4, 0.6)), float(rng.uniform(0.22, 0.3))
    foot = horizon + float(rng.uniform(0.04, 0.1))
    eaves = foot - float(rng.uniform(0.26, 0.34))
    top = eaves - float(rng.uniform(0.18, 0.26))
    left, right = middle - half, middle + half
    wall = one_of(
        ((0.90, 0.86, 0.78), (0.86, 0.70, 0.42), (0.66, 0.36, 0.28), (0.72, 0.80, 0.84)), rng
    )
    roof = one_of(((0.60, 0.22, 0.16), (0.34, 0.26, 0.26), (0.44, 0.30, 0.22)), rng)
    chimney = middle + half * float(rng.choice([-0.55, 0.55]))
    canvas.box(chimney - 0.03, top + 0.02, chimney + 0.03, eaves, 0.8 * roof)
    canvas.box(left, eaves, right, foot, wall)
    light = 1.0 - 0.22 * (canvas.x - left) / (2 * half) + 0.05 * canvas.cloudy(6, 20)
    canvas.light(light, canvas.rectangle(left, eaves, right, foot))
    over, ridge = 0.04, half * float(rng.uniform(0.0, 0.6))
    corners = [
        (left - over, eaves),
        (middle - ridge, top),
        (middle + ridge + 0.001, top),
        (right + over, eaves),
    ]
    canvas.cover(canvas.polygon(corners), roof * (1 + 0.08 * canvas.cloudy(4, 24))[..., None])
    glass = one_of(((0.24, 0.34, 0.46), (0.94, 0.82, 0.46)), rng)
    door = one_of(((0.36, 0.20, 0.12), (0.16, 0.32, 0.26)), rng)
    canvas.box(middle - 0.05, foot - 0.17, middle + 0.05, foot, door)
    for side in (-0.6, 0.6):
        x, y = middle + side * half, 0.45 * foot + 0.55 * eaves
        canvas.box(x - 0.065, y - 0.06, x + 0.065, y + 0.06, (0.95, 0.95, 0.92))
        canvas.box(x - 0.048, y - 0.043, x + 0.048, y + 0.043, glass)


def _mountains(canvas: Canvas, rng: np.random.Generator) -> None:
    """Two snowy ranges behind a forest."""
    _sky(canvas, rng, 0.7, (0, 0, 1))
    rock = one_of(((0.42, 0.42, 0.50), (0.46, 0.42, 0.40), (0.36, 0.42, 0.54)), rng)
    for far, base, height in ((0.5, 0.5, 0.22), (0.0, 0.62, 0.38)):
        peak, ridge = float(rng.uniform(0.2, 0.8)), np.full((1, canvas.n), base)
        for place, share in ((peak, 1.0), ((peak + 0.45) % 1, float(rng.uniform(0.5, 0.9)))):
            slope = np.abs(canvas.x - place) * float(rng.uniform(0.9, 1.4))
            ridge = np.minimum(ridge, base - height * share + slope * height / 0.34)
        ridge = ridge + 0.018 * canvas.cloudy(9, 0.01, 3)[:1]
        land = canvas.inside(ridge - canvas.y)
        facing = canvas.cloudy(7, 4) + 2.2 * (canvas.x - peak)
        stone = (1 - far) * rock + far * np.array([0.62, 0.70, 0.82])
        canvas.cover(land, stone * (1 - 0.14 * np.tanh(facing))[..., None])
        line = base - 0.45 * height + 0.05 * canvas.cloudy(8, 8)
        snow = np.array([0.97, 0.98, 1.0]) * (1 - 0.08 * np.tanh(facing))[..., None]
        canvas.cover(
            land * canvas.inside(canvas.y - line, 0.03), (1 - 0.4 * far) * snow + 0.4 * far * stone
        )
    woods = float(rng.uniform(0.68, 0.82)) + 0.02 * canvas.cloudy(22, 0.01, 2)[:1]
    green = one_of(((0.12, 0.26, 0.16), (0.22, 0.36, 0.18), (0.34, 0.40, 0.18)), rng)
    ground = canvas.inside(woods - canvas.y)
    canvas.cover(ground, green * (1 + 0.25 * canvas.cloudy(14, 9))[..., None])


def _city(canvas: Canvas, rng: np.random.Generator) -> None:
    """Towers with lit windows at night."""
    glow = one_of(((0.36, 0.22, 0.36), (0.16, 0.24, 0.44), (0.46, 0.28, 0.24)), rng)
    canvas.fill((0.03, 0.04, 0.12), glow, 0, 0.85)
    moon_x, moon_y = float(rng.uniform(0.15, 0.85)), float(rng.uniform(0.1, 0.2))
    away = np.hypot(canvas.x - moon_x, canvas.y - moon_y)
    canvas.cover(0.4 * np.exp(-away / 0.08), (0.7, 0.72, 0.8))
    canvas.cover(canvas.inside(away - 0.05), (0.96, 0.95, 0.86))
    left = -float(rng.uniform(0, 0.1))
    while left < 1:
        width, top = float(rng.uniform(0.14, 0.26)), float(rng.uniform(0.24, 0.62))
        _tower(canvas, rng, left, top, width)
        left += width + float(rng.uniform(-0.02, 0.04))
    street = about((0.10, 0.09, 0.12), rng, 0.02)
    canvas.cover(canvas.inside(0.9 - canvas.y), street)
    lamps = np.clip(canvas.cloudy(14, 0.01, 1)[:1] - 0.2, 0, 1) * np.exp(
        -(((canvas.y - 0.92) / 0.03) ** 2)
    )
    canvas.cover(np.clip(lamps, 0, 1), (1.0, 0.74, 0.36))


def _tower(canvas: Canvas, rng: np.random.Generator, left: float, top: float, width: float) -> None:
    wall = about((0.10, 0.11, 0.17), rng, 0.025)
    canvas.box(left, top, left + width, 1.0, wall)
    n_across, step = max(2, round(width / 0.065)), 0.075
    lamp = one_of(((1.0, 0.85, 0.48), (1.0, 0.74, 0.36), (0.80, 0.90, 1.0)), rng)
    pitch = width / n_across
    for row in range(int((0.88 - top) / step)):
        for column in np.flatnonzero(rng.random(n_across) < 0.55):
            x, y = left + (column + 0.5) * pitch, top + (row + 0.55) * step
            canvas.box(x - 0.3 * pitch, y - 0.022, x + 0.3 * pitch, y + 0.022, lamp)


_PAINTERS: dict[str, Callable[[Canvas, np.random.Generator], None]] = {
    "sea": _sea,
    "tree": _tree,
    "house": _house,
    "mountains": _mountains,
    "fruit": paint_fruit,
    "flower": paint_flower,
    "fish": paint_fish,
    "city": _city,
}

KINDS = tuple(_PAINTERS)
"""Names of the kinds; a picture's label is its place here."""
