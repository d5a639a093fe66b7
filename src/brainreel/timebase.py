"""The one clock: seconds, TRs, film frames and audio samples, exact as fractions.

Two clocks meet here. *Scan time* is 0 at the onset of the first volume in the file; *film time*
is 0 at the first frame. `film_start_s` is the scan time at which the film began. Everything that
pairs a film with fMRI goes through a `TrGrid`, which lives in film time.

The rounding rule, used everywhere: sample i of a rate r stands at i / r, and belongs to the
half-open interval [start, stop) if start <= i / r < stop. Neighbouring intervals therefore share
no sample and miss none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

from brainreel.errors import AlignmentError, DataError

Seconds = Fraction | float | int | str


def exact(value: Seconds) -> Fraction:
    """Read a time or rate as the decimal that a person would write for it.

    `exact(0.608)` is 608/1000, not the binary float next to it; `exact("30000/1001")` is the NTSC
    rate. A number of a float32 header such as 0.6079999804 is read at seven digits.
    """
    if isinstance(value, Fraction):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise DataError(f"A time of {value} seconds cannot be used.")
        return Fraction(f"{value:.7g}") if value else Fraction(0)
    try:
        return Fraction(value)
    except (ValueError, ZeroDivisionError) as problem:
        raise DataError(f"'{value}' is not a number of seconds or a rate in hertz.") from problem


def samples_between(start_s: Seconds, stop_s: Seconds, rate_hz: Seconds) -> range:
    """Return the indices i with start_s <= i / rate_hz < stop_s (frames or audio samples).

    Examples
    --------
    >>> len(samples_between(0, "3.04", 25))
    76
    """
    rate = exact(rate_hz)
    if rate <= 0:
        raise DataError(f"A rate of {float(rate):g} Hz cannot be used; it must be above 0.")
    return range(math.ceil(exact(start_s) * rate), math.ceil(exact(stop_s) * rate))


@dataclass(frozen=True)
class TrGrid:
    """The TRs of one run on the film's clock.

    Attributes
    ----------
    tr_s
        Repetition time in seconds, above 0.
    n_trs
        Number of volumes.
    first_s
        Film time, in seconds, at the onset of volume 0 (negative if the film began later).
    """

    tr_s: Fraction
    n_trs: int
    first_s: Fraction = Fraction(0)

    def __post_init__(self) -> None:
        if self.tr_s <= 0:
            raise DataError(f"A TR of {float(self.tr_s):g} s cannot be used; it must be above 0.")
        if self.n_trs < 1:
            raise DataError(f"A run of {self.n_trs} TRs cannot be used; it needs at least one.")

    @classmethod
    def of_scan(
        cls,
        tr_s: Seconds,
        n_trs: int,
        *,
        film_start_s: Seconds = 0,
        n_dummy: int = 0,
        slice_time_s: Seconds = 0,
    ) -> TrGrid:
        """Make the grid of a scan.

        Parameters
        ----------
        tr_s, n_trs
            Repetition time in seconds and number of volumes kept.
        film_start_s
            Scan time at which the film began (seconds after the onset of the file's first volume).
        n_dummy
            Volumes dropped from the head of the file before the kept ones.
        slice_time_s
            When within its TR a volume is taken to be sampled (0 for the onset, tr_s / 2 for data
            slice-timed to the middle).
        """
        tr = exact(tr_s)
        first = n_dummy * tr + exact(slice_time_s) - exact(film_start_s)
        return cls(tr, n_trs, first)

    @property
    def stop_s(self) -> Fraction:
        """Film time at the end of the last TR, in seconds."""
        return self.first_s + self.n_trs * self.tr_s

    def onset_s(self, tr: int) -> Fraction:
        """Film time at the onset of a TR, in seconds."""
        return self.first_s + tr * self.tr_s

    def window_s(self, tr: int) -> tuple[Fraction, Fraction]:
        """Film time [start, stop) of a TR, in seconds."""
        start = self.onset_s(tr)
        return start, start + self.tr_s

    def samples(self, tr: int, rate_hz: Seconds) -> range:
        """Return the frames or audio samples inside a TR (indices may lie outside the film)."""
        start, stop = self.window_s(tr)
        return samples_between(start, stop, rate_hz)

    def tr_at(self, film_s: Seconds) -> int:
        """Return the TR in which a film time falls (may lie outside the run)."""
        return math.floor((exact(film_s) - self.first_s) / self.tr_s)

    def delayed(self, hrf_delay_s: Seconds) -> TrGrid:
        """Return the grid whose TR i looks `hrf_delay_s` seconds further back into the film."""
        return replace(self, first_s=self.first_s - exact(hrf_delay_s))

    def part(self, start_tr: int, stop_tr: int) -> TrGrid:
        """Return the grid of the TRs [start_tr, stop_tr)."""
        if not 0 <= start_tr < stop_tr <= self.n_trs:
            raise DataError(f"TRs {start_tr} to {stop_tr} do not lie in a run of {self.n_trs} TRs.")
        return TrGrid(self.tr_s, stop_tr - start_tr, self.onset_s(start_tr))

    def divided(self, steps_per_tr: int) -> TrGrid:
        """Return the grid with each TR cut into `steps_per_tr` equal steps."""
        return TrGrid(self.tr_s / steps_per_tr, self.n_trs * steps_per_tr, self.first_s)

    def check_covered(self, film_s: Seconds, *, where: str) -> None:
        """Refuse a film that ends before the last TR, or a film much longer than the scan.

        Raises
        ------
        AlignmentError
            If the film is shorter than the TRs that should show it, or begins after them, or runs
            on for more than one TR after the scan.
        """
        film = exact(film_s)
        told = (
            f"{where}: film lasts {float(film):.1f} s, {self.n_trs} TRs of {float(self.tr_s):g} s "
            f"cover {float(self.first_s):.1f} to {float(self.stop_s):.1f} s of it."
        )
        if film + self.tr_s < self.stop_s:
            raise AlignmentError(
                f"{told} Drop the last volumes, or mend the film's start (film_start_s)."
            )
        if film > self.stop_s + self.tr_s:
            raise AlignmentError(f"{told} Trim the film, or mend its start (film_start_s).")
