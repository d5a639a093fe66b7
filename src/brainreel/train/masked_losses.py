"""What filled-in patches, and features of pictures told from them, are held to."""

from __future__ import annotations

from torch import Tensor

from brainreel.shapes import check_shape
from brainreel.train.losses import SumAndCount


def removed_error(predicted: Tensor, measured: Tensor, removed: Tensor) -> SumAndCount:
    """Return the sum of (y - y_hat)^2 over patches that were not seen, and the number of voxels.

    Parameters
    ----------
    predicted, measured
        (B, N, P) patches in deviations of the training part.
    removed
        (B, N) boolean.
    """
    sizes = check_shape(predicted, "B N P", name="predicted")
    check_shape(measured, "B N P", name="measured", **sizes)
    check_shape(removed, "B N", name="removed", B=sizes["B"], N=sizes["N"])
    error = (predicted.float() - measured.float()).square().sum(dim=2)
    return (error * removed).sum(), removed.sum() * sizes["P"]


def picture_feature_error(told: Tensor, features: Tensor) -> SumAndCount:
    """Return the sum of (tanh f_hat - tanh f)^2, and the number of features.

    Parameters
    ----------
    told, features
        (B, C, H, W) as the second decoder tells them from the brain, and those of the picture.
    """
    sizes = check_shape(features, "B C H W", name="features")
    check_shape(told, "B C H W", name="told", **sizes)
    error = (told.float().tanh() - features.float().tanh()).square()
    return error.sum(), error.new_tensor(error.numel())
