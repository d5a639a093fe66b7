"""Floating point operations of a computation, attention counted on every device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


class _OneModule:
    """Follows no modules: that needs gradients, and fails over parameters without."""

    parents = frozenset({"Global"})

    def __enter__(self) -> None: ...

    def __exit__(self, *problem: object) -> None: ...


def count_flops(run: Callable[[], Any]) -> int:
    """Return the floating point operations of matrix products and convolutions in `run()`.

    A product of (n, k) and (k, m) counts 2 n k m, a backward pass as what it computes; additions,
    softmax and norms count nothing. PyTorch's `FlopCounterMode` does not know the fused attention
    of the CPU and counts 0 for it, so attention is computed as its two products meanwhile.

    Examples
    --------
    >>> import torch
    >>> count_flops(lambda: torch.zeros(2, 3) @ torch.zeros(3, 5))
    60
    """
    counter: Any = FlopCounterMode(display=False)
    counter.mod_tracker = _OneModule()
    with counter, sdpa_kernel(SDPBackend.MATH):
        run()
    return int(counter.get_total_flops())
