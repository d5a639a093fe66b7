"""Kernels of space-time tubes: one learned kernel stretched to every size, or one for each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from brainreel.layers.linear import linear

Size = tuple[int, int, int]

# Neighbouring pixels of natural pictures, and pixels of neighbouring frames, correlate about so
# (the first-order Markov model behind the cosine transform; Jain 1989).
NEIGHBOUR_CORRELATION = 0.95


def stretching(source: int, target: int) -> Tensor:
    """Return the (target, source) matrix A of linear interpolation along one axis: w' = A w.

    Samples stand at the middle of their cells (`align_corners=False`), ends are held.
    """
    columns = functional.interpolate(torch.eye(source)[None], size=target, mode="linear")
    return columns[0].T.contiguous()


def stretching_gain(
    source: Sequence[int], target: Sequence[int], correlation: float = NEIGHBOUR_CORRELATION
) -> float:
    """Return the factor that keeps the deviation of tokens when a kernel is stretched.

    A token is y = w' x with w' = A w, so y = w (A' x). Over weights of equal variance the variance
    of y is in proportion to E |A' x|^2 = tr(A' R A), that of the unstretched kernel to
    E |x|^2 = tr(R); their ratio is the square of the gain. R is the covariance of pixels,
    correlation^|i - j| along each axis, so that all is a product over the axes:

        gain^2 = prod over axes of source / tr(A' R A)

    At correlation 0 (white noise) this is the ratio of the norms of the kernels, at 1 (even
    pictures) that of the sums of their cells. The tokens of the published port, without a gain,
    differ in scale from tube to tube.

    Parameters
    ----------
    source, target
        Voxels of the kernel along each axis, before and after.
    correlation
        Of neighbouring pixels, in [0, 1].

    Examples
    --------
    >>> round(stretching_gain((8,), (16,), correlation=1), 6)
    0.5
    """
    square = 1.0
    for before, after in zip(source, target, strict=True):
        matrix = stretching(before, after).double()
        lag = torch.arange(after)[:, None] - torch.arange(after)
        covariance = torch.tensor(correlation, dtype=torch.float64) ** lag.abs()
        square *= before / float(torch.trace(matrix.T @ covariance @ matrix))
    return math.sqrt(square)


class Stretch(nn.Module):
    """Trilinear interpolation of a kernel, times a gain; and the same turned round, on pixels.

    Parameters
    ----------
    source, target
        (t, h, w) voxels of the kernel, before and after.
    rescale
        Whether the gain is `stretching_gain`, or 1.
    """

    along_t: Tensor
    along_h: Tensor
    along_w: Tensor

    def __init__(self, source: Size, target: Size, *, rescale: bool) -> None:
        super().__init__()
        gain = stretching_gain(source, target) if rescale else 1.0
        matrices = [stretching(a, b) for a, b in zip(source, target, strict=True)]
        for axis, matrix in zip("thw", (gain * matrices[0], *matrices[1:]), strict=True):
            self.register_buffer(f"along_{axis}", matrix, persistent=False)

    def kernel(self, weight: Tensor) -> Tensor:
        """(D, C, *source) weight to (D, C, *target)."""
        axes = (self.along_t, self.along_h, self.along_w)
        return torch.einsum("dcthw,it,jh,kw->dcijk", weight, *axes)

    def forward(self, patches: Tensor) -> Tensor:
        """(..., t, C, h, w) pixels of the target's size to (..., t, C, h, w) of the source's.

        The dot product of what comes out with the learned kernel is that of the patch with the
        stretched kernel: a step of training need not stretch a kernel, nor its gradient.
        """
        plane = self.along_h.T @ (patches @ self.along_w)
        mixed = self.along_t.T @ plane.flatten(-3)
        return mixed.reshape(*mixed.shape[:-1], *plane.shape[-3:])


class TubeKernels(nn.Module):
    """Project the pixels in each tube: token = W_i patch + b_i.

    Shared, there is one learned kernel of the first tube's size, and W_i is its trilinear
    interpolation to the size of tube i (the interpolated kernels of Piergiovanni et al. 2023);
    else each tube has a kernel of its own. A tube of fewer channels than the learned kernel takes
    its first ones. The weights are those of a convolution, (D, C, t, h, w), the form in which
    published ones come.

    Parameters
    ----------
    channels
        Channels C of a pixel.
    sizes
        (t, h, w) voxels of each tube.
    widths
        Channels of each tube's output.
    shared
        One learned kernel for all, or one for each.
    rescale
        Whether stretched kernels are rescaled, so that the tokens of all tubes are of one scale.
    """

    def __init__(
        self,
        channels: int,
        sizes: Sequence[Size],
        widths: Sequence[int],
        *,
        shared: bool = True,
        rescale: bool = True,
    ) -> None:
        super().__init__()
        self.channels, self.sizes, self.widths = channels, tuple(sizes), tuple(widths)
        learned = [(max(widths), sizes[0])] if shared else list(zip(widths, sizes, strict=True))
        self.weights = nn.ParameterList(
            # Tokens of standardised pixels begin with a deviation of 1.
            torch.randn(width, channels, *size) / math.sqrt(channels * math.prod(size))
            for width, size in learned
        )
        self.biases = nn.ParameterList(torch.zeros(width) for width in widths)
        self.stretches = nn.ModuleList(
            Stretch(sizes[0], size, rescale=rescale)
            if shared and size != sizes[0]
            else nn.Identity()
            for size in sizes
        )
        self._kept: dict[int, tuple[tuple[object, ...], Tensor]] = {}

    def learned(self, number: int) -> Tensor:
        """Return the learned (D, C, t, h, w) kernel that tube `number` is made of."""
        weight: Tensor = self.weights[number if len(self.weights) > 1 else 0]
        return weight[: self.widths[number]]

    def kernel(self, number: int) -> Tensor:
        """Return the (D, C, t, h, w) kernel of tube `number`."""
        stretch = self.stretches[number]
        weight = self.learned(number)
        return stretch.kernel(weight) if isinstance(stretch, Stretch) else weight

    def forward(self, patches: Tensor, number: int) -> Tensor:
        """(..., t, C, h, w) pixels of tube `number` to (..., D) tokens."""
        if self._fixed():
            matrix = self._stretched(number)
        else:
            patches, matrix = self.stretches[number](patches), _as_matrix(self.learned(number))
        return linear(patches.flatten(-4), matrix, self.biases[number])

    def train(self, mode: bool = True) -> TubeKernels:
        """Set training or evaluation, and forget the stretched kernels."""
        self._kept.clear()
        return super().train(mode)

    def _fixed(self) -> bool:
        """Whether the weights stand still, so that stretched kernels can be kept."""
        learns = torch.is_grad_enabled() and any(w.requires_grad for w in self.weights)
        return not (self.training or learns or torch.compiler.is_compiling())

    def _stretched(self, number: int) -> Tensor:
        """Return the (D, t C h w) matrix of a tube, kept while the weights are as they were."""
        weight = self.weights[number if len(self.weights) > 1 else 0]
        if weight.is_inference():  # such tensors do not count their changes
            return _as_matrix(self.kernel(number))
        state = (weight._version, weight.data_ptr(), weight.dtype, weight.device)
        kept = self._kept.get(number)
        if kept is None or kept[0] != state:
            # Made outside inference mode, it may take part in later gradients of the pixels, and
            # outside autocast, in later calls without.
            whole = torch.autocast(weight.device.type, enabled=False)
            with torch.inference_mode(False), torch.no_grad(), whole:
                kept = self._kept[number] = state, _as_matrix(self.kernel(number))
        return kept[1]


def _as_matrix(kernel: Tensor) -> Tensor:
    """(D, C, t, h, w) to (D, t C h w): time before channels, as in clips."""
    return kernel.transpose(1, 2).flatten(1)
