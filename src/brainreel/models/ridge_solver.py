"""Ridge with one penalty per band and voxel: himalaya chooses the penalties, one solve fits them.

The penalties come from himalaya's random search over its own folds. The final weights are
solved here, once, in float64: himalaya's refit after each improvement multiplies every voxel by
the solution of every penalty, which costs as many times more as there are penalties.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import scipy.linalg
from himalaya.backend import get_backend, set_backend
from himalaya.kernel_ridge import solve_multiple_kernel_ridge_random_search
from himalaya.ridge import solve_group_ridge_random_search
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from brainreel.models.inner_folds import Rows

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Backend = Literal["numpy", "torch", "torch_cuda"]

# Below this share of all bands a band is out; 0 itself would divide by zero in the primal search.
_SMALLEST_SHARE = 1e-6
# Below so many target values the products are short: threads wait for each other, and on a
# machine that does other work at the same time they wait very long.
_TARGETS_FOR_THREADS = 2_000_000


@contextmanager
def himalaya_backend(name: Backend) -> Iterator[None]:
    """Let himalaya compute with `name` inside the block, and put its old backend back after."""
    before = get_backend().name
    set_backend(name)
    try:
        yield
    finally:
        set_backend(before)


@contextmanager
def threads_for(n_targets: int) -> Iterator[None]:
    """Keep linear algebra on `n_targets` target values (T * V) to one thread if they are few."""
    with threadpool_limits(limits=1 if n_targets < _TARGETS_FOR_THREADS else None):
        yield


def band_shares(n_bands: int, n_candidates: int, rng: np.random.Generator) -> Float64:
    """Draw candidates of how much each band may explain: (n_candidates, n_bands), rows sum to 1.

    The first candidate is the equal share. The others alternate between a flat Dirichlet (1) and
    a sparse one (0.1), as Dupre la Tour et al. 2022 (NeuroImage 264, 119728) propose.
    """
    if n_bands == 1:
        return np.ones((1, 1))
    shares = np.empty((n_candidates, n_bands))
    for row in range(n_candidates):
        shares[row] = rng.dirichlet(np.full(n_bands, 1.0 if row % 2 else 0.1))
    shares[0] = 1.0 / n_bands
    shares = np.maximum(shares, _SMALLEST_SHARE)
    normalised: Float64 = shares / shares.sum(axis=1, keepdims=True)
    return normalised


def choose_penalties(
    X: Float32,
    Y: Float32,
    bands: Sequence[slice],
    folds: Sequence[tuple[Rows, Rows]],
    *,
    alphas: Sequence[float],
    shares: Float64,
    kernel: bool,
    batch_bytes: int,
    backend: Backend = "numpy",
) -> tuple[Float64, Float64]:
    """Choose the penalty of each band and voxel that predicts left-out rows best.

    Candidates are lambda_b = alpha * D_b / (D * share_b) for every alpha and every row of
    `shares`: with bands of equal width and equal shares this is plain ridge at alpha. The score
    is the mean squared error of the left-out rows, averaged over the folds.

    Parameters
    ----------
    X
        (T, D) features, standardised.
    Y
        (T, V) targets, of zero mean.
    bands
        Columns of each band.
    folds
        (train, validation) rows.
    alphas, shares
        Candidates; shares as `band_shares` gives them.
    kernel
        Search in the (T, T) kernels (fast where D > T) instead of in the features.
    batch_bytes
        Size of the largest temporary array; voxels are taken in batches of it.
    backend
        himalaya's backend; the answer comes back as numpy.

    Returns
    -------
    penalties
        (n_bands, V).
    error
        (V,) mean squared error of the left-out rows at the chosen penalties.
    """
    widths = np.array([band.stop - band.start for band in bands], dtype=np.float64)
    # himalaya's penalty of band b is alpha / share_b on its scaled columns.
    scale = np.sqrt(widths.sum() / widths)
    scaled = [X[:, band] * np.float32(s) for band, s in zip(bands, scale, strict=True)]
    longest = max(validation.size for _, validation in folds)
    options = {
        "n_iter": shares.astype(np.float32),
        "alphas": np.asarray(sorted(alphas), dtype=np.float32),
        "cv": [(train, validation) for train, validation in folds],
        "n_targets_batch": max(1, batch_bytes // (4 * len(alphas) * longest)),
        "progress_bar": False,
    }
    with himalaya_backend(backend):
        lib = get_backend()
        if kernel:
            kernels = np.stack([x @ x.T for x in scaled])
            deltas, _, scores = solve_multiple_kernel_ridge_random_search(
                lib.asarray(kernels), lib.asarray(Y), return_weights=None, **options
            )
        else:
            deltas, _, scores = solve_group_ridge_random_search(
                [lib.asarray(x) for x in scaled], lib.asarray(Y), warn=False, **options
            )
        log_ratio = np.asarray(lib.to_numpy(deltas), dtype=np.float64)
        best = np.asarray(lib.to_numpy(scores), dtype=np.float64).max(axis=0)
    return np.exp(-log_ratio) / scale[:, None] ** 2, -best


def solve_ridge(X: Float32, Y: Float32, bands: Sequence[slice], penalties: Float64) -> Float32:
    """Solve W_v = argmin |X W_v - Y_v|^2 + sum_b penalties[b, v] |W_v[b]|^2 for every voxel v.

    Voxels that share their penalties share one Cholesky factor, in float64, of (T, T) where
    T < D, else of (D, D).

    Parameters
    ----------
    X
        (T, D) features.
    Y
        (T, V) targets.
    bands
        Columns of each band.
    penalties
        (n_bands, V), above 0.

    Returns
    -------
    weights
        (D, V) float32, C order.
    """
    distinct, member = np.unique(penalties, axis=1, return_inverse=True)
    voxels = np.split(
        np.argsort(member, kind="stable"), np.cumsum(np.bincount(member.ravel()))[:-1]
    )
    weights = np.empty((X.shape[1], Y.shape[1]), dtype=np.float32)
    solve = _solve_dual if X.shape[0] < X.shape[1] else _solve_primal
    solve(X, Y, bands, distinct, voxels, weights)
    return weights


def _solve_dual(
    X: Float32,
    Y: Float32,
    bands: Sequence[slice],
    distinct: Float64,
    voxels: Sequence[Rows],
    weights: Float32,
) -> None:
    """Fill weights with Xs' (Xs Xs' + I)^-1 Y, Xs the features over the roots of the penalties."""
    wide = X.astype(np.float64)
    kernels = [wide[:, band] @ wide[:, band].T for band in bands]
    for penalty, members in zip(distinct.T, voxels, strict=True):
        kernel = np.eye(X.shape[0])
        for strength, one in zip(penalty, kernels, strict=True):
            kernel += one / strength
        dual = _solve_positive(kernel, Y[:, members]).astype(np.float32)
        for strength, band in zip(penalty, bands, strict=True):
            weights[band, members] = (X[:, band].T @ dual) / np.float32(strength)


def _solve_primal(
    X: Float32,
    Y: Float32,
    bands: Sequence[slice],
    distinct: Float64,
    voxels: Sequence[Rows],
    weights: Float32,
) -> None:
    """Fill weights with (X'X + diag(penalties))^-1 X'Y."""
    wide = X.astype(np.float64)
    gram = wide.T @ wide
    widths = [band.stop - band.start for band in bands]
    for penalty, members in zip(distinct.T, voxels, strict=True):
        system = gram + np.diag(np.repeat(penalty, widths))
        weights[:, members] = _solve_positive(system, wide.T @ Y[:, members])


def _solve_positive(system: Float64, right: NDArray[np.floating]) -> Float64:
    factor = scipy.linalg.cho_factor(system, overwrite_a=True, check_finite=False)
    solution: Float64 = scipy.linalg.cho_solve(factor, right, check_finite=False)
    return solution
