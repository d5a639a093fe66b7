"""How like are two pictures: per-picture scores, and the Fréchet distance of two sets.

Pictures are (B, C, H, W) in [0, 1]. Every score but the Fréchet distance is one number per
picture, so that means and intervals are made where the split is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter

from brainreel.errors import DataError
from brainreel.metrics.correlation import Float64, Numbers, check_finite, unit_columns
from brainreel.shapes import check_shape

# Side of the window and constants of Wang et al. (2004) as scikit-image sets them.
SSIM_WINDOW = 7
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2


def mse(predicted: Numbers, true: Numbers) -> Float64:
    """Return the mean squared error of each picture.

    MSE_b = mean over C, H, W of (x_b - y_b)²

    Parameters
    ----------
    predicted, true
        (B, C, H, W) in [0, 1].

    Returns
    -------
    (B,) in squared units of brightness.
    """
    x, y = _pair(predicted, true)
    error: Float64 = np.mean((x - y) ** 2, axis=(1, 2, 3))
    return error


def psnr(predicted: Numbers, true: Numbers) -> Float64:
    """Return the peak signal-to-noise ratio of each picture.

    PSNR_b = 10 log10(1 / MSE_b), infinite for equal pictures

    Parameters
    ----------
    predicted, true
        (B, C, H, W) in [0, 1]; the peak is 1.

    Returns
    -------
    (B,) in decibels.
    """
    with np.errstate(divide="ignore"):
        decibels: Float64 = -10.0 * np.log10(mse(predicted, true))
    return decibels


def pixel_correlation(predicted: Numbers, true: Numbers) -> Float64:
    """Correlate each picture with its truth over all pixels and channels.

    r_b = corr over C, H, W of (x_b, y_b)

    Parameters
    ----------
    predicted, true
        (B, C, H, W), any unit.

    Returns
    -------
    (B,) in [-1, 1]; NaN where the true picture is a plain surface, 0 where only the predicted one
    is: it has told nothing of what was there.
    """
    _pair(predicted, true)
    return 1.0 - feature_distance(_flat(predicted), _flat(true))


def feature_distance(predicted: Numbers, true: Numbers) -> Float64:
    """Return the correlation distance between features of each picture and of its truth.

    d_b = 1 - corr over D of (f(x_b), f(y_b))

    Parameters
    ----------
    predicted, true
        (B, D) features of any network, or pixels.

    Returns
    -------
    (B,) in [0, 2], smaller is nearer; NaN where the true features do not vary, 1 where only the
    predicted ones do not.

    Notes
    -----
    As Ozcelik and VanRullen (2023) score reconstructions with EfficientNet and SwAV features.
    """
    sizes = check_shape(predicted, "B D", name="predicted")
    check_shape(true, "B D", name="true", **sizes)
    check_finite(predicted, "predicted")
    check_finite(true, "true")
    x, _ = unit_columns(np.asarray(predicted).T)
    y, varies = unit_columns(np.asarray(true).T)
    r = np.clip(np.einsum("db,db->b", x, y), -1.0, 1.0)
    return np.where(varies, 1.0 - r, np.nan)


def ssim(predicted: Numbers, true: Numbers) -> Float64:
    """Return the structural similarity of each picture, averaged over channels.

    SSIM = mean of (2 μ_x μ_y + c₁)(2 σ_xy + c₂) / ((μ_x² + μ_y² + c₁)(σ_x² + σ_y² + c₂))

    with c₁ = 0.01², c₂ = 0.03², over 7 x 7 windows that lie wholly inside the picture, variances
    with n - 1: the defaults of `skimage.metrics.structural_similarity` with `data_range=1`.

    Parameters
    ----------
    predicted, true
        (B, C, H, W) in [0, 1], at least 7 x 7 pixels.

    Returns
    -------
    (B,) at most 1.

    Notes
    -----
    Wang, Bovik, Sheikh and Simoncelli (2004). A Gaussian window, as some papers use, gives other
    numbers: compare only within one choice.
    """
    x, y = _pair(predicted, true)
    check_ssim_size(*x.shape[2:])
    mean_x, mean_y = _local_mean(x), _local_mean(y)
    n = SSIM_WINDOW**2
    unbiased = n / (n - 1)
    var_x = unbiased * (_local_mean(x * x) - mean_x**2)
    var_y = unbiased * (_local_mean(y * y) - mean_y**2)
    both = unbiased * (_local_mean(x * y) - mean_x * mean_y)
    top = (2 * mean_x * mean_y + SSIM_C1) * (2 * both + SSIM_C2)
    bottom = (mean_x**2 + mean_y**2 + SSIM_C1) * (var_x + var_y + SSIM_C2)
    edge = SSIM_WINDOW // 2
    inside = (top / bottom)[:, :, edge:-edge, edge:-edge]
    similarity: Float64 = inside.mean(axis=(1, 2, 3))
    return similarity


def check_ssim_size(height: int, width: int) -> None:
    """Raise a `DataError` where pictures have no whole window."""
    if min(height, width) < SSIM_WINDOW:
        raise DataError(
            f"pictures of {height} x {width} are too small for SSIM, which needs "
            f"{SSIM_WINDOW} x {SSIM_WINDOW}."
        )


@dataclass(frozen=True)
class FrechetDistance:
    """A Fréchet distance that never stands without the features it was measured in.

    Attributes
    ----------
    value
        The distance, at least 0, in squared units of the features.
    features
        Which network and layer ("inception-pool3"); distances in other features do not compare.
    width
        Number of features.
    n_predicted, n_true
        Pictures in the two sets; few pictures bias the distance upwards.
    """

    value: float
    features: str
    width: int
    n_predicted: int
    n_true: int

    @property
    def name(self) -> str:
        """Name under which the score may be published."""
        return f"frechet_distance[{self.features}, {self.width}-d]"


def frechet_distance(predicted: Numbers, true: Numbers, *, features: str) -> FrechetDistance:
    """Return the Fréchet distance of two sets of features (FID, if they are Inception's).

    d = |μ_x - μ_y|² + tr(Σ_x + Σ_y - 2 (Σ_x Σ_y)^½)

    The trace of the root is the sum of the singular values of A Bᵀ, where AᵀA = Σ_x and
    BᵀB = Σ_y: no matrix root, and exact also with fewer pictures than features.

    Parameters
    ----------
    predicted, true
        (N, D) and (M, D), at least two pictures each.
    features
        Name of the features, kept with the number.

    Raises
    ------
    DataError
        Where the widths differ, a value is not finite, or a set has fewer than two pictures.

    Notes
    -----
    Heusel et al. (2017); Dowson and Landau (1982) for the distance of two Gaussians.
    """
    sizes = check_shape(predicted, "N D", name="predicted")
    others = check_shape(true, "M D", name="true", D=sizes["D"])
    if min(sizes["N"], others["M"]) < 2:
        raise DataError("a Fréchet distance needs at least 2 pictures in each set.")
    check_finite(predicted, "predicted")
    check_finite(true, "true")
    mean_x, a = _covariance_factor(predicted)
    mean_y, b = _covariance_factor(true)
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    spread = np.sum(a * a) + np.sum(b * b) - 2.0 * root
    value = float(np.sum((mean_x - mean_y) ** 2) + spread)
    return FrechetDistance(max(value, 0.0), features, sizes["D"], sizes["N"], others["M"])


def _covariance_factor(features: Numbers) -> tuple[Float64, Float64]:
    """Return the mean and a factor A (at most D rows) with AᵀA the covariance."""
    wide = np.asarray(features, dtype=np.float64)
    mean = wide.mean(axis=0)
    factor = (wide - mean) / np.sqrt(wide.shape[0] - 1)
    if factor.shape[0] > factor.shape[1]:
        factor = np.linalg.qr(factor, mode="r")
    return mean, factor


def _local_mean(pictures: Float64) -> Float64:
    mean: Float64 = uniform_filter(pictures, size=SSIM_WINDOW, axes=(2, 3))
    return mean


def _pair(predicted: Numbers, true: Numbers) -> tuple[Float64, Float64]:
    sizes = check_shape(predicted, "B C H W", name="predicted")
    check_shape(true, "B C H W", name="true", **sizes)
    check_finite(predicted, "predicted")
    check_finite(true, "true")
    return np.asarray(predicted, dtype=np.float64), np.asarray(true, dtype=np.float64)


def _flat(pictures: Numbers) -> Numbers:
    return np.asarray(pictures).reshape(pictures.shape[0], -1)
