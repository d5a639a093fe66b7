"""A canvas for natural-looking pictures: soft shapes, cloudy textures, light, and a camera."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
UInt8 = NDArray[np.uint8]
Colour = Sequence[float] | Float

# Pixels painted along a side for one of the picture, so that edges are smooth.
_FINER = 3


class Canvas:
    """A square picture to paint on, from (0, 0) at the top left to (1, 1).

    Parameters
    ----------
    size
        Pixels along a side of the finished picture.
    rng
        Draws textures, light and the noise of the camera.

    Attributes
    ----------
    x, y
        (1, n) and (n, 1) middles of the painted pixels, right and down.
    picture
        (n, n, 3) red, green and blue, 0 to 1.
    """

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self.size, self.rng = size, rng
        self.n = size * _FINER
        middles = (np.arange(self.n) + 0.5) / self.n
        self.x, self.y = middles[None, :], middles[:, None]
        self.picture = np.zeros((self.n, self.n, 3))

    def fill(self, top: Colour, bottom: Colour, start: float = 0.0, stop: float = 1.0) -> None:
        """Paint all below `start`, from one colour there to another at `stop`."""
        part = np.clip((self.y - start) / max(stop - start, 1e-6), 0, 1)[..., None]
        band = (1 - part) * np.asarray(top) + part * np.asarray(bottom)
        self.cover(self.inside(start - self.y), band)

    def inside(self, distance: Float, blur: float = 0.0) -> Float:
        """Return 1 where a distance (in widths of the picture) is below 0, with a soft edge."""
        soft = max(blur, 1.0 / self.n)
        return np.asarray(np.clip(0.5 - distance / soft, 0, 1))

    def cover(self, mask: Float, colour: Colour) -> None:
        """Paint a colour, or one for each pixel, as far as the mask lets it: 0 to 1."""
        self.picture += mask[..., None] * (np.asarray(colour) - self.picture)

    def light(self, factor: float | Float, mask: Float | None = None) -> None:
        """Make pixels brighter or darker, inside a mask."""
        shown = np.ones((self.n, self.n)) if mask is None else mask
        self.picture *= (1 + shown * (factor - 1))[..., None]

    def cloudy(self, cells_x: float, cells_y: float, octaves: int = 3) -> Float:
        """Return (n, n) smooth noise of mean about 0 and deviation about 1.

        Sum over octaves o of 2^-o times random values on a grid of 2^o as many cells, smoothly
        interpolated.
        """
        total, power = np.zeros((self.n, self.n)), 0.0
        for octave in range(octaves):
            rows, columns = (self._spread(cells * 2**octave) for cells in (cells_y, cells_x))
            values = self.rng.standard_normal((rows.shape[1], columns.shape[1]))
            total += 0.5**octave * rows @ values @ columns.T
            power += 0.25**octave * 0.5
        return np.asarray(total / np.sqrt(power))

    def polygon(self, corners: Sequence[tuple[float, float]]) -> Float:
        """Return the mask of a convex polygon, its corners clockwise as seen."""
        far = np.full((self.n, self.n), -np.inf)
        for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
            length = np.hypot(x1 - x0, y1 - y0)
            beyond = ((self.x - x0) * (y1 - y0) - (self.y - y0) * (x1 - x0)) / length
            far = np.maximum(far, beyond)
        return self.inside(far)

    def photograph(self) -> UInt8:
        """Return the (3, size, size) picture that a camera takes.

        Exposure, white balance, darker corners, the mean over what a pixel sees, and noise.
        """
        corner = (self.x - 0.5) ** 2 + (self.y - 0.5) ** 2
        exposure = float(np.exp(self.rng.normal(0, 0.07)))
        balance = np.exp(self.rng.normal(0, 0.025, 3))
        seen = np.clip(self.picture, 0, 1) * (1 - 0.25 * corner)[..., None] * exposure * balance
        seen = seen.reshape(self.size, _FINER, self.size, _FINER, 3).mean(axis=(1, 3))
        seen += self.rng.normal(0, 0.012, seen.shape)
        taken: UInt8 = np.rint(255 * np.clip(seen, 0, 1)).astype(np.uint8)
        return taken.transpose(2, 0, 1)

    def blob(self, x: float, y: float, radius: float, flat: float) -> Float:
        """Return the mask of a soft ellipse, such as a shadow on the ground."""
        away = np.hypot(self.x - x, (self.y - y) * flat)
        return self.inside(away - radius, 0.5 * radius)

    def rectangle(self, left: float, top: float, right: float, bottom: float) -> Float:
        """Return the mask of a rectangle."""
        across = np.maximum(left - self.x, self.x - right)
        down = np.maximum(top - self.y, self.y - bottom)
        return self.inside(np.maximum(across, down))

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Paint a rectangle."""
        self.cover(self.rectangle(left, top, right, bottom), colour)

    def _spread(self, cells: float) -> Float:
        """Return (n, knots) weights that interpolate between knots, a cell apart."""
        at = self.rng.uniform(0, 1) + self.x[0] * cells
        first = np.floor(at).astype(int)
        part = at - first
        part = part**2 * (3 - 2 * part)
        weights = np.zeros((self.n, int(first.max()) + 2))
        rows = np.arange(self.n)
        weights[rows, first] += 1 - part
        weights[rows, first + 1] += part
        return weights


def about(colour: Colour, rng: np.random.Generator, spread: float = 0.05) -> Float:
    """Return a colour near the one given."""
    near: Float = np.clip(np.asarray(colour) + rng.normal(0, spread, 3), 0, 1)
    return near


def one_of(colours: Sequence[Colour], rng: np.random.Generator) -> Float:
    """Return a colour near one of those given."""
    return about(colours[int(rng.integers(len(colours)))], rng)
