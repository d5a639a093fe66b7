"""The clock is exact: every rounding is checked against whole-number arithmetic or a slow loop."""

from fractions import Fraction

import pytest

from brainreel.errors import AlignmentError, DataError
from brainreel.timebase import TrGrid, exact, samples_between


def test_exact_reads_the_decimal_a_person_would_write() -> None:
    assert exact(0.608) == Fraction(608, 1000)
    assert exact("30000/1001") == Fraction(30000, 1001)
    assert exact(2) == 2
    assert exact(0.6079999804496765) == Fraction(608, 1000)  # a float32 header


@pytest.mark.parametrize("wrong", ["two", "1/0", float("nan"), float("inf")])
def test_exact_refuses_what_is_no_time(wrong: str | float) -> None:
    with pytest.raises(DataError, match=r"is not a number of seconds|cannot be used"):
        exact(wrong)


def test_five_trs_of_608_ms_are_76_frames_at_25_hz() -> None:
    grid = TrGrid(exact("0.608"), 641)
    assert len(samples_between(grid.onset_s(0), grid.onset_s(5), 25)) == 76
    assert grid.stop_s == exact("389.728")


@pytest.mark.parametrize("rate", [25, "30000/1001", "12.5", 16000])
@pytest.mark.parametrize("tr", ["0.608", "1.5", "2", "0.72"])
def test_trs_part_the_samples_without_gap_or_overlap(rate: int | str, tr: str) -> None:
    grid = TrGrid.of_scan(tr, 8, film_start_s="7.3")
    samples = [i for t in range(grid.n_trs) for i in grid.samples(t, rate)]
    assert samples == list(samples_between(grid.first_s, grid.stop_s, rate))
    slow = [t for t in range(8) for _ in grid.samples(t, rate)]
    assert slow == [grid.tr_at(Fraction(i) / exact(rate)) for i in samples]


def test_ntsc_film_stays_exact_over_hours() -> None:
    rate = exact("30000/1001")
    frames = samples_between(0, 3 * 3600, rate)
    assert frames.stop == -(-3 * 3600 * 30000 // 1001)


def test_film_start_dummies_and_slice_time_move_the_first_volume() -> None:
    grid = TrGrid.of_scan(2, 10, film_start_s=5, n_dummy=4, slice_time_s=1)
    assert grid.first_s == 4 * 2 + 1 - 5
    assert grid.delayed("4.5").first_s == grid.first_s - Fraction(9, 2)
    assert grid.window_s(3) == (grid.first_s + 6, grid.first_s + 8)


def test_part_and_divided_keep_the_clock() -> None:
    grid = TrGrid.of_scan("1.5", 20, film_start_s=6)
    assert grid.part(4, 9) == TrGrid(Fraction(3, 2), 5, Fraction(0))
    fine = grid.divided(3)
    assert [fine.onset_s(3 * t) for t in range(20)] == [grid.onset_s(t) for t in range(20)]
    with pytest.raises(DataError, match="TRs 5 to 30 do not lie in a run of 20"):
        grid.part(5, 30)


@pytest.mark.parametrize(("tr", "n"), [(0, 10), (-1, 10), (2, 0)])
def test_impossible_grids_are_refused(tr: int, n: int) -> None:
    with pytest.raises(DataError, match="cannot be used"):
        TrGrid.of_scan(tr, n)


def test_rate_zero_is_refused() -> None:
    with pytest.raises(DataError, match="rate of 0 Hz"):
        samples_between(0, 1, 0)


def test_film_must_cover_the_scan() -> None:
    grid = TrGrid.of_scan(2, 290)
    grid.check_covered(580, where="sub-01 run-2")
    grid.check_covered(579, where="sub-01 run-2")
    with pytest.raises(AlignmentError, match=r"sub-01 run-2: film lasts 600.0 s.*Trim the film"):
        grid.check_covered(600, where="sub-01 run-2")
    with pytest.raises(AlignmentError, match=r"film lasts 500.0 s.*Drop the last volumes"):
        grid.check_covered(500, where="sub-01 run-2")
