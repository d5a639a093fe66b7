"""Positions of tokens on a grid: fixed or learned, and learned ones moved to another grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from brainreel.errors import ConfigError
from brainreel.layers.tokens import grid_centres, sincos_positions

Resize = Callable[[Tensor, Sequence[int]], Tensor]
_MODES = {1: "linear", 2: "bicubic", 3: "trilinear"}


class FixedPositions(nn.Module):
    """Sin-cos codes of a grid, no weights; see `sincos_positions`."""

    codes: Tensor

    def __init__(self, counts: Sequence[int], width: int) -> None:
        super().__init__()
        codes = sincos_positions(grid_centres(counts), width)
        self.register_buffer("codes", codes, persistent=False)

    def forward(self) -> Tensor:
        """Return the (N, D) codes, in C order of the grid."""
        return self.codes


class LearnedPositions(nn.Module):
    """A learned vector for each place of a grid, kept as the grid so that it can be resized.

    Parameters
    ----------
    counts
        Tokens along each axis of the grid.
    width
        Width D of a token.
    resize
        How weights of another grid are brought to this one.
    """

    def __init__(self, counts: Sequence[int], width: int, resize: Resize | None = None) -> None:
        super().__init__()
        self.table = nn.Parameter(0.02 * torch.randn(*counts, width))
        self.resize = resize or resized

    def forward(self) -> Tensor:
        """Return the (N, D) vectors, in C order of the grid."""
        return self.table.flatten(0, -2)

    def fitted(self, table: Tensor) -> Tensor:
        """Return another grid's table (..., D) as one of this grid."""
        return self.resize(table, self.table.shape[:-1])


def fit_positions(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights whose learned positions are brought to the grids of a network.

    Parameters
    ----------
    network
        For pictures or sound of another size than the weights are for.
    state
        Its names -> tensor; only tables of `LearnedPositions` are changed.
    """
    fitted = dict(state)
    for name, part in network.named_modules():
        key = f"{name}.table" if name else "table"
        if isinstance(part, LearnedPositions) and key in fitted:
            fitted[key] = part.fitted(fitted[key])
    return fitted


def resized(table: Tensor, counts: Sequence[int]) -> Tensor:
    """Return a table of positions interpolated to another grid: the picture's, sampled anew.

    Parameters
    ----------
    table
        (*counts before, D), 1 to 3 axes.
    counts
        Tokens along each axis of the new grid.

    Returns
    -------
    Tensor
        (*counts, D); the table itself where the grids are equal.

    Notes
    -----
    Linear, bicubic or trilinear, corners not aligned, no antialiasing: the practice for ViT when
    it is tuned at another resolution (Dosovitskiy et al. 2021, section 3.2).
    """
    axes = _axes(table, counts)
    if tuple(counts) == tuple(table.shape[:-1]):
        return table
    moved = functional.interpolate(
        table.movedim(-1, 0).unsqueeze(0).float(), tuple(counts), mode=_MODES[axes]
    )
    return moved[0].movedim(0, -1).to(table.dtype)


def cut_or_resized(table: Tensor, counts: Sequence[int]) -> Tensor:
    """Return a spectrogram's positions on another grid: its middle if shorter, else stretched.

    A shorter sound has the spacing in seconds and mel bands of the longer one; what is longer is
    interpolated linearly. So AST is fitted to other lengths (Gong et al. 2021, section 2.2).

    Parameters
    ----------
    table
        (S, M, D) of the grid before, or of 1 or 3 axes.
    counts
        Tokens along each axis of the new grid.
    """
    _axes(table, counts)
    for axis, n in enumerate(counts):
        before = table.shape[axis]
        if n <= before:
            table = table.narrow(axis, (before - n) // 2, n)
        else:
            rows = table.movedim(axis, -1)
            longer = functional.interpolate(
                rows.reshape(1, -1, before).float(), n, mode="linear"
            ).to(table.dtype)
            table = longer.reshape(*rows.shape[:-1], n).movedim(-1, axis)
    return table.contiguous()


def nearest(table: Tensor, counts: Sequence[int]) -> Tensor:
    """Return a table on another line of tokens: token i of N takes row floor(i M / N) of M.

    So SC-MBM is moved to brains with more or fewer patches (Chen et al. 2023).

    Parameters
    ----------
    table
        (M, D).
    counts
        (N,), tokens along the new line.
    """
    if _axes(table, counts) != 1:
        raise ConfigError(f"positions on {tuple(counts)} are no line of tokens.")
    if tuple(counts) == tuple(table.shape[:-1]):
        return table
    rows = functional.interpolate(table.t().unsqueeze(0).float(), tuple(counts), mode="nearest")
    return rows[0].t().to(table.dtype).contiguous()


def _axes(table: Tensor, counts: Sequence[int]) -> int:
    axes = table.dim() - 1
    if axes != len(counts) or axes not in _MODES:
        raise ConfigError(
            f"positions on a grid of {axes} axes cannot become one of {len(counts)} axes "
            f"{tuple(counts)}."
        )
    return axes
