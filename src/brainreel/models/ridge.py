"""Voxelwise ridge and banded ridge: options, and the estimator that both build."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt

from brainreel.errors import CheckpointError, DataError
from brainreel.models.base import ModelConfig
from brainreel.models.delay_prior import covariance_root, mix_delays, response_covariance
from brainreel.models.inner_folds import FoldKind, inner_folds
from brainreel.models.ridge_solver import (
    Backend,
    Float32,
    Float64,
    band_shares,
    choose_penalties,
    solve_ridge,
    threads_for,
)
from brainreel.models.standard import require_finite, standard
from brainreel.shapes import DataSpec, check_shape


class _RidgeOptions(ModelConfig):
    """Options that ridge and banded ridge share."""

    alphas: tuple[PositiveFloat, ...] = Field(
        default=tuple(float(f"{10 ** (half / 2):.3g}") for half in range(-2, 15)), min_length=1
    )
    """Penalties to choose from, per voxel, on standardised features; half decades from 0.1 to
    1e7 reach from no shrinkage to all of it for 100 to 10,000 rows and columns."""
    inner_folds: FoldKind = "auto"
    """How training rows are left out to choose penalties: whole runs, contiguous blocks, or runs
    where there are two or more (auto)."""
    n_folds: int = Field(default=5, ge=2)
    """Number of inner folds (at most, for runs)."""
    gap_trs: int = Field(default=5, ge=0)
    """TRs not trained on at either side of a left-out block, which its signal still reaches."""
    delay_prior: Literal["hrf", "flat"] = "hrf"
    """What is expected of a feature's weights over its delays: the form of a haemodynamic response
    (hrf), which the data may overrule, or nothing (flat), as in a plain FIR fit."""
    solver: Literal["auto", "kernel", "primal"] = "auto"
    """Search in (T, T) kernels or in the features; auto takes kernels where features outnumber
    TRs."""
    backend: Backend = "numpy"
    """himalaya's array library: numpy or torch on the CPU, torch_cuda on a GPU."""
    batch_mb: PositiveInt = 16
    """Megabytes of the largest temporary array: voxels are solved in batches that fit; small ones
    stay in the cache of the processor."""

    def build(self, spec: DataSpec) -> Ridge:
        """Return an unfitted ridge for the feature spaces of `spec`."""
        if not spec.feature_sizes:
            raise DataError("ridge needs stimulus features; the data has none. Name task.features.")
        return Ridge(self, spec.feature_sizes, spec.delays_s)

    @abstractmethod
    def band_sizes(self, feature_sizes: Mapping[str, int]) -> dict[str, int]:
        """Return the columns of each band that has its own penalty."""

    @abstractmethod
    def shares(self, n_bands: int, rng: np.random.Generator) -> Float64:
        """Return the candidates of the bands' shares, (n_candidates, n_bands)."""


class RidgeConfig(_RidgeOptions):
    """Ridge with one penalty per voxel, the same for all features."""

    name: Literal["ridge"] = "ridge"

    def band_sizes(self, feature_sizes: Mapping[str, int]) -> dict[str, int]:
        """Return one band of all columns."""
        return {"all": sum(feature_sizes.values())}

    def shares(self, n_bands: int, rng: np.random.Generator) -> Float64:
        """Return the only candidate: everything to the one band."""
        return band_shares(n_bands, 1, rng)


class BandedRidgeConfig(_RidgeOptions):
    """Banded ridge: each feature space has its own penalty in each voxel."""

    name: Literal["banded_ridge"] = "banded_ridge"
    n_candidates: PositiveInt = 60
    """How many random sharings of the penalty between the bands are tried, besides equal ones;
    a hundred and more pay with many bands."""

    def band_sizes(self, feature_sizes: Mapping[str, int]) -> dict[str, int]:
        """Return a band per feature space."""
        return dict(feature_sizes)

    def shares(self, n_bands: int, rng: np.random.Generator) -> Float64:
        """Return the equal sharing and random ones."""
        return band_shares(n_bands, self.n_candidates, rng)


@dataclass(frozen=True, eq=False)
class RidgeWeights:
    """A fitted ridge: prediction = target_mean + ((X - feature_mean) * feature_scale) W.

    Attributes
    ----------
    feature_mean, feature_scale
        (D,) training mean, and 1 / standard deviation (0 for a constant column).
    target_mean
        (V,) training mean.
    weights
        (D, V) on standardised features.
    penalties
        (n_bands, V) chosen.
    inner_r2
        (V,) share of variance predicted on the left-out training rows; 0 for a constant voxel.
    """

    feature_mean: Float32
    feature_scale: Float32
    target_mean: Float32
    weights: Float32
    penalties: Float32
    inner_r2: Float32

    def predict(self, X: NDArray[np.floating]) -> Float32:
        """Return the (T, V) prediction of (T, D) features."""
        check_shape(X, "T D", name="features", D=self.weights.shape[0])
        Z = (np.asarray(X, dtype=np.float32) - self.feature_mean) * self.feature_scale
        predicted = Z @ self.weights + self.target_mean
        return predicted.astype(np.float32, copy=False)


class Ridge:
    """Ridge estimator: fit on training rows alone, predict, hand its state on.

    Parameters
    ----------
    config
        `RidgeConfig` or `BandedRidgeConfig`.
    feature_sizes
        Columns of each feature space, in the order in which they stand in X.
    delays_s
        Delays of the copies that each space holds, delay by delay; empty for features as they are.
    """

    def __init__(
        self,
        config: _RidgeOptions,
        feature_sizes: Mapping[str, int],
        delays_s: Sequence[float] = (),
    ) -> None:
        self.config = config
        self.widths = list(feature_sizes.values())
        self.root = None
        if delays_s and config.delay_prior == "hrf":
            self.root = covariance_root(response_covariance(delays_s))
        self.n_features = sum(feature_sizes.values())
        self.band_sizes = config.band_sizes(feature_sizes)
        self._fitted: RidgeWeights | None = None

    @property
    def fitted(self) -> RidgeWeights:
        """The fitted arrays, or an error before `fit`."""
        if self._fitted is None:
            raise DataError(f"{self.config.name} is not fitted. Call fit or from_state first.")
        return self._fitted

    @property
    def bands(self) -> list[slice]:
        """Columns of each band."""
        stops = np.cumsum(list(self.band_sizes.values()))
        return [
            slice(int(stop) - size, int(stop))
            for stop, size in zip(stops, self.band_sizes.values(), strict=True)
        ]

    def fit(
        self,
        X: NDArray[np.floating],
        Y: NDArray[np.floating],
        *,
        groups: Sequence[object] | None = None,
        rng: np.random.Generator,
    ) -> Self:
        """Minimise |Y - Z W|^2 + sum_b penalty_b |S^(-1/2) W_b|^2 per voxel.

        Z are the standardised features, and S the prior covariance over delays (the identity for
        a flat prior): the fit is a ridge on Z S^(1/2), its weights then multiplied by S^(1/2).
        Penalties are chosen per voxel on inner folds of these rows, weights solved on all.

        Parameters
        ----------
        X
            (T, D) features of the training rows.
        Y
            (T, V) training targets.
        groups
            Run of each row, for the inner folds.
        rng
            Draws the candidate sharings of banded ridge; plain ridge draws nothing.

        Raises
        ------
        DataError
            NaN or infinite values, too few rows.

        Notes
        -----
        Dupre la Tour, Eickenberg, Nunez-Elizalde & Gallant 2022, NeuroImage 264, 119728; the
        prior over delays: see `response_covariance`.
        """
        rows = check_shape(X, "T D", name="features", D=self.n_features)["T"]
        check_shape(Y, "T V", name="targets", T=rows)
        require_finite(X, "features")
        require_finite(Y, "targets")
        feature_mean, feature_scale = standard(X)
        target_mean = Y.mean(axis=0, dtype=np.float64).astype(np.float32)
        Z = (np.asarray(X, dtype=np.float32) - feature_mean) * feature_scale
        centred = np.asarray(Y, dtype=np.float32) - target_mean
        with threads_for(centred.size):
            Z = self._mixed(Z, axis=1)
            penalties, error = self._penalties(Z, centred, groups, rng)
            weights = self._mixed(solve_ridge(Z, centred, self.bands, penalties), axis=0)
        variance = centred.var(axis=0, dtype=np.float64)
        r2 = np.where(variance > 0, 1 - error / np.where(variance > 0, variance, 1), 0)
        self._fitted = RidgeWeights(
            feature_mean,
            feature_scale,
            target_mean,
            weights,
            penalties.astype(np.float32),
            r2.astype(np.float32),
        )
        return self

    def predict(self, X: NDArray[np.floating]) -> Float32:
        """Return the (T, V) prediction of (T, D) features."""
        return self.fitted.predict(X)

    def state(self) -> dict[str, Float32]:
        """Return the fitted arrays by name."""
        return dict(vars(self.fitted))

    def from_state(self, state: Mapping[str, NDArray[np.floating]]) -> Self:
        """Take the arrays of `state`; predictions are bit-equal to those of the fitted one."""
        names = RidgeWeights.__dataclass_fields__
        missing = sorted(set(names) - set(state))
        if missing:
            raise CheckpointError(f"{self.config.name}: the weights lack '{missing[0]}'.")
        arrays = {name: np.ascontiguousarray(state[name], dtype=np.float32) for name in names}
        check_shape(arrays["weights"], "D V", name="weights", D=self.n_features)
        self._fitted = RidgeWeights(**arrays)
        return self

    def _mixed(self, values: Float32, axis: int) -> Float32:
        return values if self.root is None else mix_delays(values, self.root, self.widths, axis)

    def _penalties(
        self,
        Z: Float32,
        Y: Float32,
        groups: Sequence[object] | None,
        rng: np.random.Generator,
    ) -> tuple[Float64, Float64]:
        options = self.config
        folds = inner_folds(
            len(Z),
            groups,
            kind=options.inner_folds,
            n_folds=options.n_folds,
            gap_rows=options.gap_trs,
        )
        wide = Z.shape[1] > Z.shape[0]
        return choose_penalties(
            Z,
            Y,
            self.bands,
            folds,
            alphas=options.alphas,
            shares=options.shares(len(self.band_sizes), rng),
            kernel=wide if options.solver == "auto" else options.solver == "kernel",
            batch_bytes=options.batch_mb << 20,
            backend=options.backend,
        )
