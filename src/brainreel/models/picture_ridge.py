"""Pictures from voxels: ridge onto the principal components of the training pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt

from brainreel.errors import CheckpointError, DataError
from brainreel.models.base import ModelConfig
from brainreel.models.inner_folds import shuffled_folds
from brainreel.models.ridge_solver import threads_for
from brainreel.models.standard import require_finite, standard
from brainreel.shapes import DataSpec, check_shape

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

# Picture components that voxels are weighed by: of few trials, later ones are noise.
_TELLING = 10


class PictureRidgeConfig(ModelConfig):
    """Ridge from standardised voxels to the pictures' principal components."""

    name: Literal["picture_ridge"] = "picture_ridge"
    n_components: tuple[PositiveInt, ...] = Field(default=(5, 10, 15, 20, 30, 40), min_length=1)
    """Numbers of principal components to choose from; more than the training pictures give are
    left out. A single one is taken as given."""
    alphas: tuple[PositiveFloat, ...] = Field(
        default=(1, 10, 31.6, 100, 316, 1000, 3160, 10_000, 31_600, 100_000), min_length=1
    )
    """Penalties to choose from; the sum of squares of V standardised voxels is about V times the
    trials, so these reach from none to strong shrinkage for hundreds to thousands of voxels."""
    n_folds: int = Field(default=10, ge=2)
    """Inner folds over training trials, drawn at random: trials have no order in time."""
    voxels: Literal["alike", "by_what_they_tell"] = "alike"
    """alike: every standardised voxel is penalised as every other; by_what_they_tell: the more of a
    voxel's training variance the first picture components tell, the less it is penalised, which
    helps where few of thousands of voxels answer to pictures."""

    def build(self, spec: DataSpec) -> PictureRidge:
        """Return an unfitted model for the pictures of `spec`."""
        if not spec.picture_shape:
            raise DataError("picture_ridge needs pictures; the data has none. Give picture_keys.")
        return PictureRidge(self, spec.picture_shape)


@dataclass(frozen=True, eq=False)
class PictureWeights:
    """A fitted model: picture = clip(picture_mean + ((x - voxel_mean) voxel_scale) W P, 0, 1).

    Attributes
    ----------
    voxel_mean, voxel_scale
        (V,) training mean, and 1 / standard deviation (0 for a constant voxel), times its weight.
    weights
        W (V, N) from voxels to the N components.
    components
        P (N, C H W), orthonormal rows.
    picture_mean
        (C, H, W) mean of the training pictures.
    alpha
        () chosen penalty.
    """

    voxel_mean: Float32
    voxel_scale: Float32
    weights: Float32
    components: Float32
    picture_mean: Float32
    alpha: Float32


class PictureRidge:
    """Reconstructs pictures from voxel vectors.

    Parameters
    ----------
    config
        Its options.
    picture_shape
        (C, H, W).
    """

    def __init__(self, config: PictureRidgeConfig, picture_shape: Sequence[int]) -> None:
        self.config = config
        self.picture_shape = tuple(picture_shape)
        self._fitted: PictureWeights | None = None

    @property
    def fitted(self) -> PictureWeights:
        """The fitted arrays, or an error before `fit`."""
        if self._fitted is None:
            raise DataError("picture_ridge is not fitted. Call fit or from_state first.")
        return self._fitted

    def fit(
        self,
        voxels: NDArray[np.floating],
        pictures: NDArray[np.floating],
        *,
        rng: np.random.Generator,
    ) -> Self:
        """Minimise |S - Z W|^2 + alpha |W|^2, Z standardised voxels, S = (pictures - mean) P'.

        The number of components and alpha are those whose clipped reconstructions of left-out
        training pictures have the least mean squared error; all moments and components of an
        inner fold come from its own training part.

        Parameters
        ----------
        voxels
            (B, V) of the training trials.
        pictures
            (B, C, H, W) in [0, 1].
        rng
            Draws the inner folds.
        """
        n_trials = check_shape(voxels, "B V", name="voxels")["B"]
        sizes = dict(zip("CHW", self.picture_shape, strict=True))
        check_shape(pictures, "B C H W", name="pictures", B=n_trials, **sizes)
        require_finite(voxels, "voxels")
        rows = np.asarray(pictures, dtype=np.float64).reshape(n_trials, -1)
        require_finite(rows, "pictures")
        with threads_for(rows.size):
            n_components, alpha = self._chosen(np.asarray(voxels), rows, rng)
            self._fitted = self._solved(np.asarray(voxels), rows, n_components, alpha)
        return self

    def predict(self, voxels: NDArray[np.floating]) -> Float32:
        """Return the (B, C, H, W) pictures of (B, V) voxels, in [0, 1]."""
        fitted = self.fitted
        check_shape(voxels, "B V", name="voxels", V=fitted.weights.shape[0])
        Z = (np.asarray(voxels, dtype=np.float32) - fitted.voxel_mean) * fitted.voxel_scale
        rows = Z @ fitted.weights @ fitted.components + fitted.picture_mean.ravel()
        pictures = np.clip(rows, 0, 1).astype(np.float32, copy=False)
        return pictures.reshape(-1, *self.picture_shape)

    def state(self) -> dict[str, Float32]:
        """Return the fitted arrays by name."""
        return dict(vars(self.fitted))

    def from_state(self, state: Mapping[str, NDArray[np.floating]]) -> Self:
        """Take the arrays of `state`; predictions are bit-equal to those of the fitted one."""
        names = PictureWeights.__dataclass_fields__
        missing = sorted(set(names) - set(state))
        if missing:
            raise CheckpointError(f"picture_ridge: the weights lack '{missing[0]}'.")
        # asarray with C order keeps the scalar a scalar, as ascontiguousarray would not.
        arrays = {key: np.asarray(state[key], dtype=np.float32, order="C") for key in names}
        sizes = dict(zip("CHW", self.picture_shape, strict=True))
        check_shape(arrays["picture_mean"], "C H W", name="picture_mean", **sizes)
        self._fitted = PictureWeights(**arrays)
        return self

    def _solved(
        self, voxels: NDArray[np.floating], rows: Float64, n_components: int, alpha: float
    ) -> PictureWeights:
        seen = _Seen.of(voxels, rows, self.config.voxels)
        mean, scale, Z, picture_mean = seen.mean, seen.scale, seen.Z, seen.picture_mean
        components = seen.axes[:n_components]
        scores = (rows - picture_mean) @ components.T
        kernel = Z @ Z.T + alpha * np.eye(len(Z))
        return PictureWeights(
            mean,
            scale,
            np.ascontiguousarray(Z.T @ np.linalg.solve(kernel, scores), dtype=np.float32),
            np.ascontiguousarray(components, dtype=np.float32),
            picture_mean.astype(np.float32).reshape(self.picture_shape),
            np.array(alpha, dtype=np.float32),
        )

    def _chosen(
        self, voxels: NDArray[np.floating], rows: Float64, rng: np.random.Generator
    ) -> tuple[int, float]:
        """Return the number of components and the penalty with the least left-out error."""
        options = self.config
        if len(options.n_components) == 1 and len(options.alphas) == 1:
            return min(options.n_components[0], len(rows) - 1), options.alphas[0]
        folds = shuffled_folds(len(rows), options.n_folds, rng)
        most = min(train.size for train, _ in folds) - 1
        counts = sorted({min(count, most) for count in options.n_components})
        error = np.zeros((len(counts), len(options.alphas)))
        for train, left_out in folds:
            candidates = _reconstructions(
                _Seen.of(voxels[train], rows[train], options.voxels),
                rows[train],
                voxels[left_out],
                counts,
                options.alphas,
            )
            for i, j, pictures in candidates:
                error[i, j] += ((pictures - rows[left_out]) ** 2).sum()
        best_count, best_alpha = np.unravel_index(error.argmin(), error.shape)
        return counts[best_count], options.alphas[best_alpha]


@dataclass(frozen=True, eq=False)
class _Seen:
    """What training trials tell: moments, standardised voxels (B, V), and the pictures' axes."""

    mean: Float32
    scale: Float32
    Z: Float64
    picture_mean: Float64
    axes: Float64

    @classmethod
    def of(cls, voxels: NDArray[np.floating], rows: Float64, weights: str) -> _Seen:
        mean, scale = standard(voxels)
        Z = ((voxels - mean) * scale).astype(np.float64)
        picture_mean = rows.mean(axis=0)
        left, sizes, axes = np.linalg.svd(rows - picture_mean, full_matrices=False)
        if weights == "by_what_they_tell":
            told = told_shares(Z, left[:, :_TELLING], sizes[:_TELLING])
            scale = (scale * told).astype(np.float32)
            Z *= told
        return cls(mean, scale, Z, picture_mean, axes)


def told_shares(Z: Float64, left: Float64, sizes: Float64) -> Float64:
    """Return a weight for each voxel: what picture components tell of it.

    w_v ~ sum_k s_k^2 corr(z_v, u_k)^2 / sum_k s_k^2, scaled to a mean square of 1

    Parameters
    ----------
    Z
        (B, V) standardised voxels.
    left, sizes
        u (B, K) and s (K,): left singular vectors and singular values of the centred pictures.

    Returns
    -------
    (V,); ones where no voxel has anything to do with the pictures.
    """
    shares = sizes**2 / max((sizes**2).sum(), np.finfo(np.float64).tiny)
    # Z has unit variance and u unit length, so that their product over root B is a correlation.
    told = shares @ ((left.T @ Z) ** 2 / len(Z))
    size = np.sqrt(np.mean(told**2))
    return np.asarray(told / size) if size > 0 else np.ones_like(told)


def _reconstructions(
    trained: _Seen,
    rows: Float64,
    new_voxels: NDArray[np.floating],
    counts: Sequence[int],
    alphas: Sequence[float],
) -> Iterator[tuple[int, int, Float64]]:
    """Yield (count number, alpha number, clipped (B, pixels)) from one eigendecomposition."""
    Z, picture_mean, axes = trained.Z, trained.picture_mean, trained.axes
    new = ((new_voxels - trained.mean) * trained.scale).astype(np.float64)
    values, vectors = np.linalg.eigh(Z @ Z.T)
    seen = vectors.T @ (rows - picture_mean) @ axes[: max(counts)].T
    onto = new @ Z.T @ vectors
    for j, alpha in enumerate(alphas):
        scores = (onto / (np.maximum(values, 0) + alpha)) @ seen
        for i, count in enumerate(counts):
            yield i, j, np.clip(picture_mean + scores[:, :count] @ axes[:count], 0, 1)
