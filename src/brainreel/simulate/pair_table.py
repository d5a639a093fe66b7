"""Classes that are pairings of a sight and a sound, and what each sense can tell of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainreel.errors import ConfigError

Float = NDArray[np.float64]

# Classes are the corners (x1, x2, x3) of a cube. A motion tells x1 or tells x2, a sound x3 or the
# parity x1 + x2 + x3: each leaves four of eight classes, each pair of them two, and the table
# takes one of these so that every row and every column holds each of its classes once.
CUBE = (
    (0b000, 0b001, 0b011, 0b010),
    (0b110, 0b111, 0b101, 0b100),
    (0b100, 0b101, 0b000, 0b001),
    (0b010, 0b011, 0b110, 0b111),
)
"""Class of each motion (row) and sound (column)."""


@dataclass(frozen=True)
class PairTable:
    """Which class a motion m and a sound s make, all pairs equally frequent.

    p(c | m, s) = (1 - e) [c = classes[m][s]] + e / K

    Attributes
    ----------
    classes
        Class of each of M motions (rows) and S sounds (columns), 0 .. K - 1.
    label_noise
        Share e of films whose class is drawn from all classes.
    """

    classes: tuple[tuple[int, ...], ...] = CUBE
    label_noise: float = 0.0

    def __post_init__(self) -> None:
        if not self.classes or len({len(row) for row in self.classes}) != 1 or not self.classes[0]:
            raise ConfigError("a table of pairs needs rows of one length. Give every pair a class.")
        if {c for row in self.classes for c in row} != set(range(self.n_classes)):
            raise ConfigError("the classes of a table of pairs should be 0, 1, 2 ... without gaps.")
        if not 0 <= self.label_noise <= 1:
            raise ConfigError(f"label_noise is {self.label_noise}; it must lie in [0, 1].")

    @property
    def n_motions(self) -> int:
        """Number M of motions."""
        return len(self.classes)

    @property
    def n_sounds(self) -> int:
        """Number S of sounds."""
        return len(self.classes[0])

    @property
    def n_classes(self) -> int:
        """Number K of classes."""
        return max(c for row in self.classes for c in row) + 1

    def cell(self, index: int) -> tuple[int, int]:
        """Return the motion and the sound of film `index`: pairs take turns."""
        return divmod(index % (self.n_motions * self.n_sounds), self.n_sounds)

    def draw(self, motion: int, sound: int, rng: np.random.Generator) -> int:
        """Draw the class of a film of this motion and sound."""
        noisy = rng.random() < self.label_noise
        return int(rng.integers(self.n_classes)) if noisy else self.classes[motion][sound]

    def given_both(self) -> Float:
        """Return p(c | m, s), (M, S, K)."""
        right: Float = np.eye(self.n_classes)[np.array(self.classes)]
        noisy: Float = (1 - self.label_noise) * right + self.label_noise / self.n_classes
        return noisy

    def ceilings(self) -> dict[str, float]:
        r"""Return the best accuracy from nothing, one sense, two senses apart, and both together.

        .. math::
            \mathrm{chance} &= \max_c p(c) \\
            \mathrm{picture} &= \sum_m p(m) \max_c p(c | m) \\
            \mathrm{sound} &= \sum_s p(s) \max_c p(c | s) \\
            \mathrm{both} &= \sum_{m, s} p(m, s) \max_c p(c | m, s) \\
            \mathrm{late} &= \sum_{m, s} p(m, s) \, p(\hat c | m, s), \quad
                \hat c = \arg\max_c p(c | m) \, p(c | s) / p(c)

        `late` is what adding the senses' own evidence gives (naive Bayes, ties shared). In the
        table `CUBE` it is also where the cross-entropy of any sum of one function of the picture
        and one of the sound has its minimum, as its symmetries and convexity tell.
        """
        both = self.given_both()
        picture, sound, alone = both.mean(axis=1), both.mean(axis=0), both.mean(axis=(0, 1))
        evidence = picture[:, None] * sound[None] / alone
        best = np.isclose(evidence, evidence.max(axis=-1, keepdims=True), rtol=1e-9)
        found = {
            "chance": alone.max(),
            "picture": picture.max(axis=-1).mean(),
            "sound": sound.max(axis=-1).mean(),
            "late": np.mean((both * best).sum(axis=-1) / best.sum(axis=-1)),
            "both": both.max(axis=-1).mean(),
        }
        # Twelve digits: sums of quarters and eighths then read as such.
        return {name: round(float(value), 12) for name, value in found.items()}
