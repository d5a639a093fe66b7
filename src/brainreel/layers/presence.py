"""Which rows of a batch have which senses: rows alike go through a network together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from brainreel.errors import DataError
from brainreel.layers.clip import Clip

Rows = list[tuple[tuple[str, ...], Tensor]]


def senses_there(clip: Clip, senses: Sequence[str]) -> dict[str, Tensor] | None:
    """Return which rows have each sense, (B,) bool; None where every row has all.

    Raises
    ------
    DataError
        If a row has none of them, naming it.
    """
    given = {"pictures": (clip.frames, clip.seen), "sound": (clip.sound, clip.heard)}
    if all(given[sense][0] is not None and given[sense][1] is None for sense in senses):
        return None
    some = clip.frames if clip.sound is None else clip.sound
    assert some is not None  # a clip without both cannot be made
    there: dict[str, Tensor] = {}
    for sense in senses:
        values, has = given[sense]
        if has is None or values is None:
            has = torch.full((len(clip),), values is not None, device=some.device)
        there[sense] = has.to(some.device)
    nothing = ~torch.stack(list(there.values())).any(dim=0)
    if nothing.any():
        row = int(nothing.nonzero()[0])
        raise DataError(
            f"row {row} of the clips has no {' and no '.join(senses)}, which is all that this "
            "network takes in. Leave such clips out."
        )
    return there


def rows_alike(there: Mapping[str, Tensor], *, keep_whole: bool) -> Rows:
    """Return the rows that have the same senses, and which those are.

    With `keep_whole`, rows that have all senses are among them even where there are none: an
    empty batch through all of a network gives every parameter a gradient, which is 0.
    """
    senses = tuple(there)
    found: Rows = []
    for code in range(2 ** len(senses) - 1, 0, -1):
        has = [bool(code >> i & 1) for i in range(len(senses))]
        alike = torch.stack(
            [there[s] == wanted for s, wanted in zip(senses, has, strict=True)]
        ).all(dim=0)
        rows = alike.nonzero().squeeze(1)
        if len(rows) or (keep_whole and all(has)):
            found.append((tuple(s for s, h in zip(senses, has, strict=True) if h), rows))
    return found


def put_back(parts: Sequence[tuple[Tensor, Mapping[str, Tensor]]], n: int) -> dict[str, Tensor]:
    """Return sense -> (n, ...) from parts of some rows each; 0 in rows without that sense."""
    found: dict[str, Tensor] = {}
    for rows, part in parts:
        for sense, values in part.items():
            whole = found.get(sense)
            if whole is None:
                whole = values.new_zeros((n, *values.shape[1:]))
            found[sense] = whole.index_copy(0, rows, values)
    return found
