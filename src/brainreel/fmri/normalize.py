"""Moments kept beside the data, the two z-scores made from them, and linear cleaning in time."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from nilearn import signal
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.signal import detrend as remove_trend

from brainreel.config import Config
from brainreel.errors import DataError
from brainreel.shapes import check_shape
from brainreel.timebase import Seconds, exact

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_ROWS_AT_ONCE = 256  # a memory map is never copied whole
_COLUMNS_AT_ONCE = 8192  # voxels cleaned at once: 1200 TRs of them are 80 MB in float64
_SAME_DIRECTION = 1e-6  # confounds that differ by less than text rounding count once


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and standard deviation (divisor n) of data that was seen, per voxel and over all.

    Attributes
    ----------
    n
        Number of TRs seen.
    mean, std
        (V,) float64; `std` is 0 for a voxel without variance.
    global_mean, global_std
        Over all voxels and TRs.
    """

    n: int
    mean: Float64
    std: Float64

    @classmethod
    def of(cls, arrays: Iterable[NDArray[np.floating]]) -> Self:
        """Return the exact moments of several (T, V) arrays, read piece by piece.

        Source: Chan, Golub and LeVeque (1983), Algorithms for computing the sample variance.
        """
        total: Self | None = None
        for array in arrays:
            check_shape(array, "T V", name="data")
            for start in range(0, array.shape[0], _ROWS_AT_ONCE):
                piece = np.asarray(array[start : start + _ROWS_AT_ONCE], np.float64)
                part = cls(piece.shape[0], piece.mean(axis=0), piece.std(axis=0))
                total = part if total is None else total.merge(part)
        if total is None:
            raise DataError("moments: no data was given. Give at least one training run.")
        # A constant column keeps a trace of rounding in its mean; its spread is none.
        level = np.abs(total.mean) * np.finfo(np.float64).eps * 4
        return cls(total.n, total.mean, np.where(total.std > level, total.std, 0.0))

    def merge(self, other: Moments) -> Self:
        """Return the moments of both data together."""
        check_shape(other.mean, "V", name="moments", V=self.mean.shape[0])
        n = self.n + other.n
        apart = other.mean - self.mean
        mean = self.mean + apart * (other.n / n)
        squares = self.n * self.std**2 + other.n * other.std**2
        squares += apart**2 * (self.n * other.n / n)
        return type(self)(n, mean, np.sqrt(squares / n))

    @property
    def global_mean(self) -> float:
        """Mean over all voxels and TRs."""
        return float(self.mean.mean())

    @property
    def global_std(self) -> float:
        """Standard deviation over all voxels and TRs."""
        return float(np.sqrt(np.mean(self.std**2) + self.mean.var()))


def zscore_voxelwise(data: NDArray[np.floating], moments: Moments) -> Float32:
    """Return (x - mean_v) / std_v as float32; voxels without variance are 0.

    Parameters
    ----------
    data
        (T, V).
    moments
        Of the training runs alone.
    """
    check_shape(data, "T V", name="data", V=moments.mean.shape[0])
    varies = moments.std > 0
    scale = np.where(varies, 1.0 / np.where(varies, moments.std, 1.0), 0.0)
    scaled: Float32 = ((data - moments.mean) * scale).astype(np.float32)
    return scaled


def zscore_global(data: NDArray[np.floating], moments: Moments) -> Float32:
    """Return (x - mean) / std with one mean and std for the brain; voxels without variance are 0.

    Parameters
    ----------
    data
        (T, V).
    moments
        Of the training runs alone.
    """
    check_shape(data, "T V", name="data", V=moments.mean.shape[0])
    spread = moments.global_std or 1.0
    scaled: Float32 = ((data - moments.global_mean) / spread).astype(np.float32)
    scaled[:, moments.std == 0] = 0.0
    return scaled


class CleanConfig(Config):
    """What is taken out of every voxel's time course. All of it is linear in the data."""

    detrend: bool = True
    """Remove the mean and a straight line."""
    high_pass_hz: float | None = Field(1 / 128, gt=0)
    """Remove slower changes (hertz); the default is SPM's and fMRIPrep's 128 s. none: keep them."""
    low_pass_hz: float | None = Field(None, gt=0)
    """Remove faster changes (hertz); needs filter: butterworth."""
    filter: Literal["cosine", "butterworth"] = "cosine"
    """cosine: regress slow cosines out; butterworth: fifth order, forwards and backwards."""
    confounds: tuple[str, ...] = ()
    """Columns to regress out: names, patterns (trans_*), or fMRIPrep groups (motion,
    motion:basic, wm_csf, global_signal, compcor, high_pass)."""
    smoothing_mm: float = Field(0.0, ge=0)
    """Full width at half maximum of a Gaussian in space, in millimetres; 0 does not smooth."""

    @model_validator(mode="after")
    def _filter_can_do_it(self) -> Self:
        if self.low_pass_hz is not None and self.filter == "cosine":
            raise ValueError("low_pass_hz needs filter: butterworth")
        both = self.low_pass_hz is not None and self.high_pass_hz is not None
        if both and (self.high_pass_hz or 0) >= (self.low_pass_hz or 0):
            raise ValueError("high_pass_hz must lie below low_pass_hz")
        return self


def cosine_drifts(n_trs: int, tr_s: Seconds, high_pass_hz: float) -> Float64:
    """Return c_k(t) = sqrt(2 / T) cos(pi k (t + 1/2) / T), k = 1 .. floor(2 T tr_s high_pass_hz).

    Returns
    -------
    (T, K) orthonormal columns, K = 0 for a run too short to show such slow changes.

    References
    ----------
    Friston et al. (2007), Statistical Parametric Mapping, chapter 14 (SPM's spm_dctmtx).
    """
    order = min(n_trs - 1, int(np.floor(2 * n_trs * float(exact(tr_s)) * high_pass_hz)))
    t, k = np.arange(n_trs)[:, None] + 0.5, np.arange(1, order + 1)[None]
    drifts: Float64 = np.sqrt(2 / n_trs) * np.cos(np.pi * k * t / n_trs)
    return drifts


def make_cleaner(
    n_trs: int,
    tr_s: Seconds,
    config: CleanConfig,
    confounds: NDArray[np.floating] | None = None,
    *,
    where: str = "data",
) -> Callable[[NDArray[np.floating]], Float64]:
    """Return the map x -> P x of (T, v) columns that `clean` applies; see there.

    With cosines P = 1 - Q Q', where Q spans trend, confounds and cosines; multiplied from the
    right this costs T R per voxel, where nilearn's own product costs T^2.

    Raises
    ------
    DataError
        If nothing of the signal would be left.
    """
    basis = _nuisance_basis(n_trs, tr_s, config, confounds, where)
    if config.filter == "butterworth":
        return functools.partial(
            _filtered, tr_s=float(exact(tr_s)), config=config, confounds=basis, where=where
        )
    if config.detrend:
        line = np.linspace(-1.0, 1.0, n_trs)
        trend = np.stack([np.full(n_trs, n_trs**-0.5), line / np.linalg.norm(line)], axis=1)
        basis = np.hstack([trend, basis])
    return functools.partial(_projected, basis=basis)


def _nuisance_basis(
    n_trs: int,
    tr_s: Seconds,
    config: CleanConfig,
    confounds: NDArray[np.floating] | None,
    where: str,
) -> Float64:
    """Return (T, R) orthonormal columns spanning confounds and cosines less their trend."""
    columns = [np.empty((n_trs, 0))]
    if confounds is not None:
        check_shape(confounds, "T K", name=f"{where} confounds", T=n_trs)
        columns.append(np.asarray(confounds, np.float64))
    if config.high_pass_hz is not None and config.filter == "cosine":
        columns.append(cosine_drifts(n_trs, tr_s, config.high_pass_hz))
    joined = np.hstack(columns)
    if joined.shape[1] == 0:
        return joined
    size = np.linalg.norm(joined, axis=0)
    joined = remove_trend(joined, axis=0, type="linear" if config.detrend else "constant")
    left_of_it = np.linalg.norm(joined, axis=0)
    told = left_of_it > _SAME_DIRECTION * size  # else it was a constant or a line
    if not told.any():
        return np.empty((n_trs, 0))
    left, strength, _ = np.linalg.svd(joined[:, told] / left_of_it[told], full_matrices=False)
    basis: Float64 = left[:, strength > _SAME_DIRECTION * strength[0]]
    if basis.shape[1] + 2 >= n_trs:
        raise DataError(
            f"{where}: {basis.shape[1]} confounds and drifts leave nothing of {n_trs} volumes. "
            "Choose fewer confounds, or a lower high_pass_hz."
        )
    return basis


def _projected(columns: NDArray[np.floating], *, basis: Float64) -> Float64:
    cleaned = np.array(columns, np.float64)
    cleaned -= basis @ (basis.T @ cleaned)
    return cleaned


def _filtered(
    columns: NDArray[np.floating],
    *,
    tr_s: float,
    config: CleanConfig,
    confounds: Float64,
    where: str,
) -> Float64:
    try:
        with warnings.catch_warnings():
            # Columns of zeros and frequencies beyond the run's reach change nothing.
            warnings.simplefilter("ignore")
            cleaned: Float64 = signal.clean(
                np.array(columns, np.float64),
                detrend=config.detrend,
                standardize=None,
                confounds=confounds if confounds.shape[1] else None,
                filter="butterworth",
                high_pass=config.high_pass_hz,
                low_pass=config.low_pass_hz,
                t_r=tr_s,
            )
    except ValueError as problem:
        told = " ".join(str(problem).split()).rstrip(".")
        raise DataError(f"{where}: cannot be filtered ({told}).") from problem
    return cleaned


def clean(
    data: NDArray[np.floating],
    tr_s: Seconds,
    config: CleanConfig,
    confounds: NDArray[np.floating] | None = None,
    *,
    where: str = "data",
) -> Float32:
    """Return P x for every column: trend, filter and confounds removed, scale kept.

    P is one linear map of time, so it can be applied to a known truth as well. It is that of
    `nilearn.signal.clean` without standardisation. Smoothing in space is not done here.

    Parameters
    ----------
    data
        (T, V).
    tr_s
        Repetition time in seconds.
    config
        What to remove.
    confounds
        (T, K) regressors, or None.
    where
        What an error names.

    Returns
    -------
    (T, V) float32.

    References
    ----------
    Lindquist et al. (2019), Modular preprocessing pipelines can reintroduce artifacts: confounds
    are filtered as the data is.
    """
    n_trs = check_shape(data, "T V", name=where)["T"]
    cleaner = make_cleaner(n_trs, tr_s, config, confounds, where=where)
    result = np.empty(data.shape, np.float32)
    for start in range(0, data.shape[1], _COLUMNS_AT_ONCE):
        part = slice(start, start + _COLUMNS_AT_ONCE)
        result[:, part] = cleaner(data[:, part])
    return result
