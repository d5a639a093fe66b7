"""One scene of the procedural film: a moving backdrop, moving textured objects, set levels.

Every field is a scalar picture in [0, 1] that a palette turns into colour, so a frame costs few
operations. The levels of a scene (luminance, contrast, motion) are drawn apart from its
pictures: they are what the simulated brains respond to, and must not follow the backdrop.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.floating]
Float32 = NDArray[np.float32]
# Plain floats, not numpy's: those would turn every float32 picture into float64.
Draw = tuple[float, ...]

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in luminance (ITU-R BT.601)."""

# Anchor colours from dark to light, each row red, green, blue.
_PALETTES = np.array(
    [
        [[24, 16, 58], [122, 28, 92], [226, 76, 74], [252, 164, 72], [255, 238, 178]],
        [[6, 26, 58], [10, 82, 128], [28, 158, 172], [132, 216, 190], [244, 250, 222]],
        [[18, 38, 26], [38, 98, 58], [116, 162, 62], [214, 202, 92], [254, 244, 206]],
        [[42, 10, 74], [110, 44, 168], [212, 78, 186], [252, 158, 178], [255, 236, 222]],
        [[12, 14, 40], [32, 68, 156], [64, 160, 232], [176, 224, 250], [255, 250, 236]],
        [[40, 14, 10], [140, 46, 22], [224, 124, 40], [248, 202, 108], [255, 248, 226]],
        [[8, 34, 44], [20, 104, 96], [232, 106, 88], [252, 186, 120], [254, 240, 214]],
    ],
    dtype=np.float32,
) / np.float32(255)


@dataclass(frozen=True, eq=False)
class Thing:
    """One moving object: where it goes, how it turns, what it looks like."""

    centre: tuple[float, float]
    reach: tuple[float, float]
    pace: tuple[float, float, float]
    start: tuple[float, float, float]
    radius: float
    shape: int
    texture: int
    colours: Float32


@dataclass(frozen=True, eq=False)
class Scene:
    """What one scene shows, and its levels.

    Attributes
    ----------
    luminance, contrast
        Mean and standard deviation of luma that the scene is set to, in [0, 1].
    motion
        Speed of everything that moves: 0 stands still, 1 is fast.
    """

    luminance: float
    contrast: float
    motion: float
    backdrop: int
    colours: Float32
    draw: Draw
    things: tuple[Thing, ...]


def draw_scene(luminance: float, contrast: float, motion: float, rng: np.random.Generator) -> Scene:
    """Draw backdrop, colours and objects of a scene whose levels are given."""
    backdrop = int(rng.integers(len(_BACKDROPS)))
    palette = int(rng.integers(len(_PALETTES)))
    things = tuple(_draw_thing(palette, rng) for _ in range(int(rng.integers(2, 5))))
    return Scene(
        luminance,
        contrast,
        motion,
        backdrop,
        _ramp(_PALETTES[palette]),
        tuple(rng.uniform(0, 1, 6).tolist()),
        things,
    )


def render_scene(scene: Scene, times_s: Float, size: tuple[int, int]) -> Float32:
    """Render the frames of a scene: (F, H, W, 3) float32 in [0, 1].

    frame = luminance + contrast * (picture - mean luma) / std of luma, clipped; mean and
    deviation are those of the scene's middle picture, so that nothing flickers.
    """
    height, width = size
    y = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None]
    x = ((np.arange(width, dtype=np.float32) + 0.5) / height)[None, :]
    middle = _picture(scene, float(times_s[len(times_s) // 2]), x, y)
    luma = middle @ LUMA
    gain = np.float32(scene.contrast / max(float(luma.std()), 1e-3))
    shift = np.float32(scene.luminance - gain * float(luma.mean()))
    frames = np.empty((len(times_s), height, width, 3), dtype=np.float32)
    for frame, time_s in zip(frames, times_s, strict=True):
        np.multiply(_picture(scene, float(time_s), x, y), gain, out=frame)
    frames += shift
    return np.clip(frames, 0, 1, out=frames)


def _picture(scene: Scene, time_s: float, x: Float, y: Float) -> Float:
    phase = scene.motion * time_s
    field = _BACKDROPS[scene.backdrop](x, y, phase, scene.draw)
    shown = (np.clip(field, 0, 1) * 255).astype(np.uint8)
    picture: Float = scene.colours[shown]
    for thing in scene.things:
        _place(picture, thing, phase)
    return picture


def _ramp(anchors: Float32) -> Float32:
    steps = np.linspace(0, len(anchors) - 1, 256)
    columns = [np.interp(steps, np.arange(len(anchors)), anchors[:, c]) for c in range(3)]
    return np.stack(columns, axis=1).astype(np.float32)


def _draw_thing(backdrop_palette: int, rng: np.random.Generator) -> Thing:
    # Another palette than the backdrop's, so that the object stands out.
    palette = (backdrop_palette + int(rng.integers(1, len(_PALETTES)))) % len(_PALETTES)
    centre = (float(rng.uniform(0.35, 0.95)), float(rng.uniform(0.35, 0.65)))
    reach = (float(rng.uniform(0.15, 0.45)), float(rng.uniform(0.1, 0.3)))
    pace = (*rng.uniform(1.0, 2.6, 2).tolist(), float(rng.uniform(-3, 3)))
    start = tuple(rng.uniform(0, 2 * np.pi, 3).tolist())
    return Thing(
        centre,
        reach,
        pace,
        start,
        float(rng.uniform(0.11, 0.22)),
        int(rng.integers(4)),
        int(rng.integers(4)),
        _ramp(_PALETTES[palette]),
    )


def _place(picture: Float, thing: Thing, phase: float) -> None:
    """Draw the object and its soft shadow into the picture, in place."""
    height, width = picture.shape[:2]
    angle = [p * phase + s for p, s in zip(thing.pace, thing.start, strict=True)]
    centre_x = (thing.centre[0] + thing.reach[0] * math.sin(angle[0])) * height
    centre_y = (thing.centre[1] + thing.reach[1] * math.sin(angle[1])) * height
    radius = thing.radius * height
    top, bottom = (int(min(max(centre_y + s * 1.5 * radius, 0), height)) for s in (-1, 1))
    left, right = (int(min(max(centre_x + s * 1.5 * radius, 0), width)) for s in (-1, 1))
    if top >= bottom or left >= right:
        return
    v = ((np.arange(top, bottom, dtype=np.float32) + 0.5 - centre_y) / radius)[:, None]
    u = ((np.arange(left, right, dtype=np.float32) + 0.5 - centre_x) / radius)[None, :]
    patch = picture[top:bottom, left:right]
    shadow = np.clip(1.25 - np.hypot(u - 0.18, v - 0.25), 0, 0.4)
    patch *= (1 - shadow)[..., None]
    cos, sin = math.cos(angle[2]), math.sin(angle[2])
    turned_u, turned_v = cos * u + sin * v, cos * v - sin * u
    inside = np.clip(0.5 - _outline(thing.shape, turned_u, turned_v) * radius, 0, 1)
    light = 1.05 - 0.4 * np.hypot(u + 0.35, v + 0.4)
    texture = _texture(thing.texture, turned_u, turned_v) * np.clip(light, 0.2, 1)
    colour = thing.colours[(np.clip(texture, 0, 1) * 255).astype(np.uint8)]
    patch += inside[..., None] * (colour - patch)


def _outline(shape: int, u: Float, v: Float) -> Float:
    """Signed distance to the edge of a disk, square, star or ring of radius 1 (about)."""
    r = np.hypot(u, v)
    if shape == 0:
        disk: Float = r - 0.95
        return disk
    if shape == 1:
        square: Float = np.maximum(np.abs(u), np.abs(v)) - 0.8
        return square
    if shape == 2:
        star: Float = r - 0.72 - 0.24 * np.cos(5 * np.arctan2(v, u))
        return star
    ring: Float = np.abs(r - 0.7) - 0.27
    return ring


def _texture(texture: int, u: Float, v: Float) -> Float:
    """Stripes, dots, checks or a pinwheel, in [0.25, 1]."""
    if texture == 0:
        wave = np.sin(8 * u) + 0 * v
    elif texture == 1:
        wave = 2 * np.sin(7 * u) * np.sin(7 * v)
    elif texture == 2:
        wave = 4 * np.sin(5 * u) * np.sin(5 * v) * 4
    else:
        wave = 2 * np.sin(6 * np.arctan2(v, u) + 5 * np.hypot(u, v))
    waved: Float = 0.62 + 0.37 * np.clip(wave, -1, 1)
    return waved


def _hills(x: Float, y: Float, phase: float, draw: Draw) -> Float:
    """Sky, sun, and four ranges of hills that slide past, the near ones faster."""
    field: Float = 0.62 + 0.3 * y + 0 * x
    sun = np.hypot(x - 0.3 - 0.7 * draw[0], y - 0.15 - 0.2 * draw[1])
    field = field + (1 - field) * np.clip((0.13 - sun) * 60, 0, 1)
    for layer in range(4):
        along = x + phase * 0.12 * (layer + 1) ** 1.3 + 9 * draw[2 + layer]
        ridge = 0.45 + 0.14 * layer + 0.07 * np.sin(5 * along) + 0.035 * np.sin(13 * along)
        grain = 0.05 * np.sin(60 * along + 25 * y) * (layer / 3)
        near = np.clip((y - ridge) * 60, 0, 1)
        field = field + near * (0.5 - 0.14 * layer + grain - field)
    return field


def _plaid(x: Float, y: Float, phase: float, draw: Draw) -> Float:
    """Two crossing gratings that drift."""
    cos, sin = math.cos(math.pi * draw[0]), math.sin(math.pi * draw[0])
    first = np.sin(22 * (x * cos + y * sin) + 7 * phase)
    second = np.sin(14 * (y * cos - x * sin) + 4 * phase + 6 * draw[1])
    crossed: Float = 0.5 + 0.27 * first + 0.22 * second
    return crossed


def _tunnel(x: Float, y: Float, phase: float, draw: Draw) -> Float:
    """Rings and spokes that fly towards the eye."""
    across, down = x - 0.4 - 0.5 * draw[0], y - 0.3 - 0.4 * draw[1]
    depth = np.log(np.hypot(across, down) + 0.03)
    spokes = round(3 + 4 * draw[2]) * np.arctan2(down, across)
    rings = np.sin(7 * depth - 5 * phase) * np.cos(spokes + 0.8 * phase)
    flown: Float = 0.5 + 0.13 * depth + 0.33 * rings
    return flown


def _tiles(x: Float, y: Float, phase: float, draw: Draw) -> Float:
    """A floor of bevelled tiles, each with its own shade, that slides aslant."""
    u = 5 * (x + phase * 0.22 * (draw[0] - 0.5) * 4)
    v = 5 * (y + phase * 0.16 * (draw[1] - 0.5) * 4)
    cell_u, cell_v = np.floor(u), np.floor(v)
    shade = np.modf(np.abs(np.sin(cell_u * 12.9 + cell_v * 78.2 + draw[2])) * 43.7)[0]
    edge = np.maximum(np.abs(u - cell_u - 0.5), np.abs(v - cell_v - 0.5))
    tiled: Float = (0.2 + 0.75 * shade) * (1 - 0.7 * np.clip((edge - 0.42) * 14, 0, 1))
    return tiled


def _plasma(x: Float, y: Float, phase: float, draw: Draw) -> Float:
    """Slow waves that run through one another."""
    a = np.sin(7 * x + 3 * phase + 6 * draw[0]) + np.sin(9 * y - 2.2 * phase + 6 * draw[1])
    b = np.sin(6 * (x + y) + 2.6 * phase) + np.sin(11 * np.hypot(x - draw[2], y - 0.5) - 4 * phase)
    waved: Float = 0.5 + 0.15 * (a + b) + 0.1 * np.sin(3 * a + 2 * b)
    return waved


_BACKDROPS: tuple[Callable[[Float, Float, float, Draw], Float], ...] = (
    _hills,
    _plaid,
    _tunnel,
    _tiles,
    _plasma,
)
