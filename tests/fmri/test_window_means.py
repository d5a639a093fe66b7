"""Windows of seconds against loops over sampling times."""

from fractions import Fraction

import numpy as np
import pytest

from brainreel.errors import AlignmentError, DataError
from brainreel.fmri.bids import Run
from brainreel.fmri.prepare import PrepareConfig, prepare, read_run
from brainreel.fmri.window_means import (
    average_windows,
    n_shared,
    trial_volumes,
    volumes_between,
    windowed,
)
from brainreel.timebase import TrGrid

from .conftest import N_TRS, TR_S, bold_array, mask_array, save


def test_windows_that_no_tr_divides():
    """HCP's 8 s windows at 0.72 s: 11 or 12 volumes each, none lost and none twice."""
    grid = TrGrid(Fraction("0.72"), 1200, Fraction("-1.5"))
    windows = windowed(grid, 8, where="run")
    assert (windows.tr_s, windows.n_trs, windows.first_s) == (8, 108, grid.first_s)
    values = np.random.default_rng(0).normal(size=(1200, 3))
    expected = []
    for k in range(108):
        times = [(i, Fraction("0.72") * i) for i in range(1200)]
        expected.append(values[[i for i, t in times if 8 * k <= t < 8 * (k + 1)]].mean(axis=0))
    np.testing.assert_allclose(average_windows(values, grid, windows), expected, rtol=1e-6)


def test_prepared_in_windows(tmp_path):
    bold, mask = save(tmp_path / "b.nii.gz", bold_array()), mask_array()
    run = Run.single(bold, mask=save(tmp_path / "m.nii.gz", mask.astype(np.uint8)))
    plain, averaged = (
        read_run(prepare([run], tmp_path / "store", PrepareConfig(window_s=window_s))[0])
        for window_s in (None, 8.0)
    )
    assert plain.folder != averaged.folder
    whole, means = plain.bold().data, averaged.bold()
    n = int(N_TRS * TR_S / 8)
    expected = []
    for k in range(n):
        rows = [i for i in range(N_TRS) if 8 * k <= i * TR_S < 8 * k + 8]
        expected.append(whole[rows].mean(axis=0))
    np.testing.assert_allclose(means.data, expected, atol=1e-4)
    assert (means.tr_s, means.n_trs) == (8, n)
    np.testing.assert_allclose(averaged.moments.std, np.std(expected, axis=0), rtol=1e-4)
    np.testing.assert_allclose(averaged.level, plain.level, rtol=1e-5)
    # A known truth is cleaned volume by volume, then averaged alike.
    raw = bold_array()[mask].T
    np.testing.assert_allclose(averaged.clean(raw), means.data, atol=2e-3)


def test_windows_that_do_not_fit_a_run():
    grid = TrGrid(Fraction(2), 10)
    with pytest.raises(DataError, match="run: windows of 1 s are shorter than a TR of 2 s"):
        windowed(grid, 1, where="run")
    with pytest.raises(DataError, match="run: windows of 21 s are longer than its 20 s"):
        windowed(grid, 21, where="run")


def test_volumes_of_trials():
    grid = TrGrid(Fraction(2), 10, Fraction(1))
    onsets = [Fraction(x) for x in ("0", "3.5", "12", "14", "-9")]
    found = trial_volumes(grid, onsets, (4.0, 8.0), where="run")
    for onset, rows in zip(onsets, found, strict=True):
        times = {i: 1 + 2 * i for i in range(-20, 30)}
        wanted = [i for i, t in times.items() if onset + 4 <= t < onset + 8]
        inside = min(wanted) >= 0 and max(wanted) < 10
        assert (list(rows) if rows else None) == (wanted if inside else None)
    assert volumes_between(grid, 1, 5) == range(2)
    with pytest.raises(
        AlignmentError, match="no volume is sampled 4 to 4.2 s after trial 1; the TR"
    ):
        trial_volumes(grid, [Fraction("0.5")], (4.0, 4.2), where="run")
    assert n_shared([range(4, 6), range(2), range(1, 3), range(5, 7)]) == 2
