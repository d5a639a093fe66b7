"""Rename rules: tensors under other people's names become ours; none is lost without a word."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from brainreel.errors import CheckpointError

_MOST_NAMES = 10  # named in an error; of a file of another kind all would be wrong


@dataclass(frozen=True)
class Rename:
    r"""Tensors that are used, and what they are called here.

    Attributes
    ----------
    source
        A regular expression for their whole name; several, if one tensor is made of several
        (query, key and value). Those whose groups give the same `target` belong together.
    target
        Our name, with `\1`, `\2` for what the groups of the source stand for.
    convert
        What makes ours from theirs, in the order of the sources; None for the tensor as it is.

    Examples
    --------
    >>> heads = tuple(rf"layer\.(\d+)\.{part}\.bias" for part in ("query", "key", "value"))
    >>> rule = Rename(heads, r"blocks.\1.attention.qkv.bias", joined)
    """

    source: str | tuple[str, ...]
    target: str
    convert: Callable[..., Tensor] | None = None


@dataclass(frozen=True)
class Drop:
    """Tensors that are not used, and why.

    Attributes
    ----------
    source
        A regular expression for their whole name.
    why
        Said to the user beside the name.
    """

    source: str
    why: str


@dataclass(frozen=True, eq=False)
class Remapped:
    """What became of all tensors of a file.

    Attributes
    ----------
    state
        Tensors under our names.
    dropped
        Their name of each tensor that is not used -> why.
    """

    state: dict[str, Tensor]
    dropped: dict[str, str]


def remap(state: Mapping[str, Tensor], rules: Sequence[Rename | Drop], *, where: str) -> Remapped:
    """Give every tensor our name, or name it as dropped; the first rule that fits a name counts.

    Parameters
    ----------
    state
        Their name -> tensor.
    rules
        What to do with each name.
    where
        The file, as errors call it.

    Raises
    ------
    CheckpointError
        Naming the tensors that no rule knows, that lack a companion they are made one with, or
        that would become the same tensor.
    """
    found: dict[str, Tensor] = {}
    dropped: dict[str, str] = {}
    left = dict.fromkeys(state)
    for rule in rules:
        if isinstance(rule, Drop):
            gone = [name for name in left if re.fullmatch(rule.source, name)]
            dropped |= dict.fromkeys(gone, rule.why)
            used = set(gone)
        else:
            made, used = _renamed(state, left, rule, where)
            if twice := made.keys() & found.keys():
                raise CheckpointError(
                    f"{where}: two tensors would become {listed(sorted(twice))}. "
                    "The file mixes two ways of naming."
                )
            found |= made
        left = {name: None for name in left if name not in used}
    if left:
        raise CheckpointError(
            f"{where}: {len(left)} of {len(state)} tensors are not known: {listed(list(left))}. "
            "Check that the file is of the origin that was named."
        )
    return Remapped(found, dropped)


def _renamed(
    state: Mapping[str, Tensor], names: Mapping[str, None], rule: Rename, where: str
) -> tuple[dict[str, Tensor], set[str]]:
    """Return the tensors that one rule makes, and the names that it used."""
    sources = (rule.source,) if isinstance(rule.source, str) else rule.source
    parts: dict[str, dict[int, str]] = {}
    for number, source in enumerate(sources):
        for name in names:
            if match := re.fullmatch(source, name):
                group = parts.setdefault(match.expand(rule.target), {})
                if number in group:
                    raise CheckpointError(
                        f"{where}: both {group[number]} and {name} would become "
                        f"{match.expand(rule.target)}. The file mixes two ways of naming."
                    )
                group[number] = name
    for target, group in parts.items():
        if len(group) < len(sources):
            raise CheckpointError(
                f"{where}: {listed(list(group.values()))} lacks its companions: {target} is made "
                f"of {len(sources)} tensors. The file is not whole."
            )
    made = {
        target: _converted(rule, [state[group[i]] for i in range(len(sources))], group, where)
        for target, group in parts.items()
    }
    return made, {name for group in parts.values() for name in group.values()}


def _converted(
    rule: Rename, tensors: Sequence[Tensor], group: Mapping[int, str], where: str
) -> Tensor:
    if rule.convert is None:
        return tensors[0]
    try:
        return rule.convert(*tensors)
    except (RuntimeError, IndexError, ValueError) as problem:
        shapes = ", ".join(f"{group[i]} {tuple(t.shape)}" for i, t in enumerate(tensors))
        raise CheckpointError(f"{where}: of another shape than can be used: {shapes}.") from problem


def listed(names: Sequence[str]) -> str:
    """Return names parted by commas, the first ten, then how many more there are."""
    more = len(names) - _MOST_NAMES
    shown = ", ".join(names[:_MOST_NAMES])
    return f"{shown} and {more} more" if more > 0 else shown


def joined(*parts: Tensor) -> Tensor:
    """Put query, key and value one below the other, as our one projection holds them."""
    return torch.cat(parts)


def transposed(kernel: Tensor) -> Tensor:
    """Turn a kernel (in, out), as JAX keeps it, into PyTorch's (out, in)."""
    return kernel.t().contiguous()
