from __future__ import annotations

import pytest
import torch

from brainreel.errors import DataError
from brainreel.layers.clip import Clip
from brainreel.layers.presence import put_back, rows_alike, senses_there

BOTH = ("pictures", "sound")
FRAMES, SOUND = torch.zeros(4, 1, 1, 2, 2), torch.zeros(4, 1, 2, 2)


def flags(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.bool)


def test_all_there_needs_no_flags() -> None:
    assert senses_there(Clip(frames=FRAMES, sound=SOUND), BOTH) is None
    assert senses_there(Clip(frames=FRAMES), ("pictures",)) is None


def test_rows_with_the_same_senses_are_put_together() -> None:
    clip = Clip(frames=FRAMES, sound=SOUND, seen=flags(1, 0, 1, 1), heard=flags(1, 1, 0, 1))
    there = senses_there(clip, BOTH)
    assert there is not None
    assert [(senses, rows.tolist()) for senses, rows in rows_alike(there, keep_whole=False)] == [
        (BOTH, [0, 3]), (("sound",), [1]), (("pictures",), [2]),
    ]  # fmt: skip


@pytest.mark.parametrize("keep", [False, True])
def test_no_row_with_all_senses(keep: bool) -> None:
    there = senses_there(Clip(sound=SOUND), BOTH)
    assert there is not None
    found = [(senses, len(rows)) for senses, rows in rows_alike(there, keep_whole=keep)]
    assert found == ([(BOTH, 0)] if keep else []) + [(("sound",), 4)]


def test_a_row_without_any_sense_is_named() -> None:
    clip = Clip(frames=FRAMES, sound=SOUND, seen=flags(1, 1, 0, 1), heard=flags(1, 1, 0, 0))
    with pytest.raises(DataError, match="row 2 of the clips has no pictures and no sound"):
        senses_there(clip, BOTH)
    with pytest.raises(DataError, match="row 0 of the clips has no sound, which is all"):
        senses_there(Clip(frames=FRAMES), ("sound",))


def test_parts_come_back_in_their_rows() -> None:
    one, two = torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0]])
    parts = [(torch.tensor([3, 0]), {"a": one}), (torch.tensor([1]), {"a": two, "b": two})]
    found = put_back(parts, 4)
    assert found["a"].flatten().tolist() == [2, 3, 0, 1]
    assert found["b"].flatten().tolist() == [0, 3, 0, 0]
