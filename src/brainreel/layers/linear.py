"""The matrix product of every layer, by the faster of two libraries on a CPU."""

from __future__ import annotations

import platform

import torch
from torch import Tensor, nn
from torch.nn import functional

# PyTorch multiplies float32 matrices by MKL, which keeps AVX-512 from processors that are not
# Intel's, but convolves by oneDNN, which does not: about twice as fast there, and alike elsewhere.
_X86 = platform.machine() in ("x86_64", "AMD64")
_ONEDNN = _X86 and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
# Below these sizes oneDNN's way of laying out the weights costs more than it gains.
_LEAST_ROWS, _LEAST_WEIGHTS = 128, 64 * 64


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x W' + b, as `torch.nn.functional.linear` does.

    Large float32 products on an x86 CPU are done as a convolution with a 1 x 1 kernel, the same
    numbers up to rounding.

    Parameters
    ----------
    x
        (..., I).
    weight, bias
        (O, I) and (O,).

    Returns
    -------
    Tensor
        (..., O).
    """
    if not _convolves(x, weight):
        return functional.linear(x, weight, bias)
    # As channels-last "pictures" of one row both sides keep their place in memory.
    picture = x.reshape(1, 1, -1, x.shape[-1]).permute(0, 3, 1, 2)
    # Alone, a thread would have a 1 x 1 kernel done by MKL; a dilated one, the same here, is not.
    alone = not torch.compiler.is_compiling() and torch.get_num_threads() == 1
    kernel = weight[:, :, None, None]
    y = functional.conv2d(picture, kernel, bias, dilation=2 if alone else 1)
    return y.permute(0, 2, 3, 1).reshape(*x.shape[:-1], weight.shape[0])


class Linear(nn.Linear):
    """`torch.nn.Linear`, by `linear`."""

    def forward(self, input: Tensor) -> Tensor:
        """(..., I) to (..., O)."""
        return linear(input, self.weight, self.bias)


def _convolves(x: Tensor, weight: Tensor) -> bool:
    return (
        _ONEDNN
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and weight.numel() >= _LEAST_WEIGHTS
        and x.numel() >= _LEAST_ROWS * x.shape[-1]
        and not torch.is_autocast_enabled("cpu")
    )
