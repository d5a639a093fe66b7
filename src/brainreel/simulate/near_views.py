"""Natural-looking pictures of things close by: fruit, a flower, a fish."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brainreel.simulate.paint import Canvas, about, one_of

Float = NDArray[np.float64]


def paint_fruit(canvas: Canvas, rng: np.random.Generator) -> None:
    """One fruit or two on a wooden table before a wall."""
    wall = one_of(
        ((0.80, 0.76, 0.68), (0.52, 0.60, 0.64), (0.40, 0.34, 0.34), (0.70, 0.62, 0.70)), rng
    )
    canvas.fill(wall, 0.86 * wall)
    edge = float(rng.uniform(0.48, 0.64))
    wood = one_of(((0.58, 0.38, 0.22), (0.44, 0.28, 0.18), (0.72, 0.56, 0.38)), rng)
    table = canvas.inside(edge - canvas.y)
    canvas.cover(table, wood * (1 + 0.12 * canvas.cloudy(2, 22))[..., None])
    colours = ((0.93, 0.52, 0.10), (0.80, 0.14, 0.12), (0.56, 0.70, 0.18), (0.95, 0.80, 0.20))
    first = int(rng.integers(len(colours)))
    side = float(rng.choice([-1.0, 1.0]))
    x, radius = 0.5 + float(rng.uniform(-0.14, 0.14)), float(rng.uniform(0.2, 0.28))
    y = edge + float(rng.uniform(0.0, 0.12)) - 0.2 * radius
    if rng.random() < 0.5:
        small = 0.7 * radius
        other = about(colours[(first + 1) % len(colours)], rng)
        _ball(canvas, x + 1.25 * side * radius, y + 0.2 * radius, small, other)
    _ball(canvas, x, y, radius, about(colours[first], rng))


def _ball(canvas: Canvas, x: float, y: float, radius: float, colour: Float) -> None:
    """Paint a fruit lit from the upper left, its shadow, its stalk and its shine."""
    under = canvas.blob(x + 0.3 * radius, y + 0.9 * radius, 1.0 * radius, 3)
    canvas.light(0.5, under)
    u, v = (canvas.x - x) / radius, (canvas.y - y) / (0.94 * radius)
    away = np.hypot(u, v)
    body = canvas.inside((away - 1) * radius)
    height = np.sqrt(np.clip(1 - away**2, 0, 1))
    facing = np.clip(-0.5 * u - 0.6 * v + 0.62 * height, 0, 1)
    skin = 1 + 0.04 * canvas.cloudy(18, 18)
    canvas.cover(body, colour * ((0.42 + 0.72 * facing) * skin)[..., None])
    canvas.cover(0.8 * np.exp(-(((u + 0.38) ** 2 + (v + 0.45) ** 2) / 0.03)), (1.0, 1.0, 0.95))
    canvas.box(x - 0.012, y - 1.12 * radius, x + 0.012, y - 0.84 * radius, (0.28, 0.22, 0.1))


def paint_flower(canvas: Canvas, rng: np.random.Generator) -> None:
    """One flower before leaves out of focus."""
    green = one_of(((0.16, 0.34, 0.14), (0.28, 0.46, 0.20), (0.10, 0.24, 0.16)), rng)
    canvas.fill(green, 0.8 * green)
    canvas.light(1 + 0.3 * canvas.cloudy(4, 4, 2))
    x, y = rng.uniform(0.4, 0.6, 2)
    radius, petals = float(rng.uniform(0.26, 0.36)), int(rng.integers(5, 10))
    stem = canvas.inside(np.abs(canvas.x - x + 0.06 * (canvas.y - y)) - 0.018)
    canvas.cover(stem * canvas.inside(y - canvas.y), (0.30, 0.52, 0.18))
    colours = (
        (0.94, 0.93, 0.90),
        (0.90, 0.30, 0.46),
        (0.96, 0.80, 0.16),
        (0.56, 0.34, 0.78),
        (0.84, 0.16, 0.14),
    )
    colour = one_of(colours, rng)
    away, angle = np.hypot(canvas.x - x, canvas.y - y), np.arctan2(canvas.y - y, canvas.x - x)
    wave = np.abs(np.cos(0.5 * petals * angle + float(rng.uniform(0, 6))))
    edge = radius * (0.55 + 0.45 * np.sqrt(wave))
    bloom = canvas.inside(away - edge)
    canvas.light(0.6, canvas.blob(x + 0.03, y + 0.04, 1.05 * radius, 1))
    folded = 0.72 + 0.28 * wave + 0.12 * (away / radius - 0.6)
    canvas.cover(bloom, colour * folded[..., None])
    heart = one_of(((0.92, 0.72, 0.12), (0.36, 0.22, 0.10)), rng)
    core = canvas.inside(away - 0.3 * radius)
    canvas.cover(
        core, heart * (1 - 0.4 * (canvas.y - y) / radius + 0.15 * canvas.cloudy(24, 24))[..., None]
    )


def paint_fish(canvas: Canvas, rng: np.random.Generator) -> None:
    """A fish in clear water above sand."""
    bright = one_of(((0.22, 0.62, 0.76), (0.16, 0.50, 0.78), (0.24, 0.64, 0.62)), rng)
    canvas.fill(bright, 0.42 * bright)
    slant = canvas.cloudy(6, 0.01, 2)[0]
    moved = np.clip((canvas.x + 0.35 * canvas.y) * (canvas.n / 1.4), 0, canvas.n - 1).astype(int)
    canvas.light(1 + 0.14 * slant[moved] * (1 - canvas.y))
    sand = float(rng.uniform(0.8, 0.92)) + 0.02 * canvas.cloudy(3, 0.01, 2)[:1]
    canvas.cover(
        canvas.inside(sand - canvas.y),
        (0.62, 0.60, 0.46) * (0.9 + 0.1 * canvas.cloudy(20, 20))[..., None],
    )
    x, y = float(rng.uniform(0.42, 0.58)), float(rng.uniform(0.36, 0.58))
    long, side = float(rng.uniform(0.24, 0.32)), float(rng.choice([-1.0, 1.0]))
    high = long * float(rng.uniform(0.5, 0.68))
    colours = ((0.95, 0.52, 0.10), (0.96, 0.84, 0.22), (0.86, 0.26, 0.20), (0.80, 0.82, 0.86))
    colour = one_of(colours, rng)
    u, v = side * (canvas.x - x) / long, (canvas.y - y) / high
    tail = np.maximum(np.abs(v) - 0.9 * (-u - 0.72), np.maximum(u + 0.8, -u - 1.45))
    fin = np.maximum(np.abs(u + 0.15) - 0.45, np.maximum(v + 0.6, -v - 1.3 + 0.5 * u))
    canvas.cover(canvas.inside(np.minimum(tail, fin) * high), 0.8 * colour)
    body = canvas.inside((np.hypot(u, v) - 1) * high)
    stripes = np.clip(
        1.5 * np.sin(float(rng.uniform(6, 9)) * u + float(rng.uniform(0, 6))) - 0.6, 0, 1
    )
    pale = (0.96, 0.96, 0.94) if rng.random() < 0.5 else (0.12, 0.14, 0.22)
    canvas.cover(body, colour * (0.95 - 0.3 * v)[..., None])
    canvas.cover(body * stripes * 0.9, pale)
    eye = np.hypot(u - 0.66, (v + 0.15) * high / long) * long
    canvas.cover(canvas.inside(eye - 0.034), (0.97, 0.97, 0.97))
    canvas.cover(canvas.inside(eye - 0.02), (0.04, 0.04, 0.06))
