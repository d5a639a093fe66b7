"""People with masks on one grid who watched one film, made in memory."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from brainreel.data.samples import Fold, Recording, Segment, Series
from brainreel.fmri.bold import Bold, VoxelMask
from brainreel.timebase import TrGrid

GRID, N_TRS = (5, 6, 4), 30


def write_film(path: Path, seconds: int = 35) -> Path:
    """A film of 10 frames a second; frame i has the brightness i / 2."""
    with av.open(str(path), "w") as film:
        stream = film.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for i in range(10 * seconds):
            picture = np.full((32, 32, 3), i // 2, np.uint8)
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        film.mux(stream.encode())
    return path


def mask(number: int) -> VoxelMask:
    """Everybody's mask is another; together they span [1, 4) x [1, 5) x [0, 3)."""
    inside = np.zeros(GRID, bool)
    inside[1:4, 1:5, 0:3] = True
    inside[1 + number % 3, 1, :] = False
    return VoxelMask(inside, np.diag([3.0, 3, 3, 1]))


def people(n: int, *, film: Path | None = None, n_trs: int = N_TRS) -> list[Recording]:
    """Recordings of BOLD with a level, one a person."""
    recordings = []
    for number in range(n):
        own = mask(number)
        rng = np.random.default_rng(number)
        data = rng.normal(rng.uniform(50, 90, own.n_voxels), 4, (n_trs, own.n_voxels))
        bold = Bold(data.astype(np.float32), TrGrid(Fraction(1), n_trs), own)
        recordings.append(Recording(f"sub-{number + 1:02}", "task-film", "film", bold, film))
    return recordings


def in_time(recordings: list[Recording], *, n_train: int = 18, unseen: int = 0) -> Series:
    """Train on the first TRs, test on the last 8; the last `unseen` people are tested alone."""
    numbers = range(len(recordings))
    seen = numbers[: len(numbers) - unseen]
    train = tuple(Segment(i, 0, n_train) for i in seen)
    test = tuple(Segment(i, N_TRS - 8, N_TRS) for i in numbers)
    fold = Fold("time", "time", train=train, validation=train[:1], test=test)
    return Series(tuple(recordings), (fold,))
