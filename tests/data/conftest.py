from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from brainreel.data.samples import Recording
from brainreel.fmri.bold import Bold
from brainreel.timebase import TrGrid


def make_recording(
    subject: str = "sub-01",
    stimulus: str = "cartoon",
    n_trs: int = 100,
    *,
    tr_s: str = "2",
    first_s: str = "0",
    run: str = "",
    film_digest: str = "",
    members: tuple[str, ...] = (),
) -> Recording:
    """A recording of three voxels of noise."""
    grid = TrGrid(Fraction(tr_s), n_trs, Fraction(first_s))
    data = np.random.default_rng(len(subject) + n_trs).standard_normal((n_trs, 3), dtype=np.float32)
    return Recording(
        subject,
        run or f"task-{stimulus}",
        stimulus,
        Bold(data, grid),
        film_digest=film_digest,
        members=members,
    )


@pytest.fixture(name="make_recording")
def _make_recording():
    return make_recording
