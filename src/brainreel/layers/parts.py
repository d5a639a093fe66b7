"""Many volumes, a few at a time: what they pass through stays in the processor's cache."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

# Voxels at once: a few channels of so many are a few megabytes.
_VOXELS = 2**19


def in_parts(
    f: Callable[[Tensor], Tensor], x: Tensor, *, n_voxels: int, recompute: bool = False
) -> Tensor:
    """Return f(x) for an `f` that treats each row of `x` alone.

    Parameters
    ----------
    f
        (b, ...) to (b, ...).
    x
        (B, ...).
    n_voxels
        Voxels of a volume that a row is made of, or makes.
    recompute
        Keep nothing within `f` for the backward pass but compute it again.
    """
    recompute = recompute and torch.is_grad_enabled()
    if torch.compiler.is_compiling() or (x.device.type != "cpu" and not recompute):
        return f(x)
    if len(x) == 1 and x.device.type == "cpu":
        # PyTorch leaves most convolutions of a single volume to its slow way, ten times slower.
        return in_parts(f, x.expand(2, *x.shape[1:]), n_voxels=n_voxels, recompute=recompute)[:1]
    n_parts = max(1, min(len(x) // 2, round(len(x) * n_voxels / _VOXELS)))
    rows = x.tensor_split(n_parts)
    parts = [checkpoint(f, part, use_reentrant=False) if recompute else f(part) for part in rows]
    return parts[0] if len(parts) == 1 else torch.cat(parts)
