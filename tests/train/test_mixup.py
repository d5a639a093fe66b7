from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from brainreel.data.labelled_batch import LabelledPart
from brainreel.layers.clip import Clip
from brainreel.train.mixup import mix

N = 5


def part(**changed: object) -> LabelledPart:
    generator = torch.Generator().manual_seed(0)
    clip = Clip(
        frames=torch.randint(0, 256, (N, 2, 3, 4, 4), generator=generator, dtype=torch.uint8),
        sound=torch.randn(N, 1, 6, 4, generator=generator),
        frame_numbers=torch.arange(2).expand(N, 2),
        **{key: value for key, value in changed.items() if key in ("seen", "heard")},
    )
    targets = {
        "verb": functional.one_hot(torch.arange(N) % 3, 3).float(),
        "noun": functional.one_hot(torch.arange(N) % 4, 4).float(),
    }
    counted = changed.get("counted", torch.ones(N, dtype=torch.bool))
    return LabelledPart(clip, targets, counted, torch.arange(N))


def weights(alpha: float, size: int) -> list[float]:
    return [float(value) for value in np.random.default_rng(3).beta(alpha, alpha, size=size)]


@pytest.mark.parametrize("by_sense", [False, True])
def test_it_equals_a_loop_over_rows(by_sense: bool) -> None:
    given = part()
    mixed = mix(given, 0.3, np.random.default_rng(3), by_sense=by_sense)
    w = weights(0.3, 2 if by_sense else 1)
    for sense, weight, before, after in (
        ("pictures", w[0], given.clip.frames / 255, mixed.clip.frames),
        ("sound", w[-1], given.clip.sound, mixed.clip.sound),
    ):
        for i in range(N):
            j = N - 1 - i
            expected = weight * before[i] + (1 - weight) * before[j]
            torch.testing.assert_close(after[i], expected)
            for label, target in given.targets.items():
                expected = weight * target[i] + (1 - weight) * target[j]
                torch.testing.assert_close(mixed.targets[sense][label][i], expected)
    joint = sum(mixed.targets[sense]["verb"] for sense in ("pictures", "sound")) / 2
    torch.testing.assert_close(mixed.targets[""]["verb"], joint)
    assert torch.equal(mixed.clip.frame_numbers, given.clip.frame_numbers)


def test_without_alpha_nothing_changes_and_nothing_is_drawn() -> None:
    given, rng = part(), np.random.default_rng(3)
    mixed = mix(given, 0.0, rng)
    assert mixed.clip is given.clip
    assert mixed.targets == {"": given.targets}
    assert rng.random() == np.random.default_rng(3).random()


def test_one_sense_alone_has_its_own_targets() -> None:
    given = part()
    given = LabelledPart(Clip(sound=given.clip.sound), given.targets, given.counted, given.item)
    mixed = mix(given, 1.0, np.random.default_rng(3), by_sense=True)
    assert set(mixed.targets) == {"", "sound"}
    assert mixed.clip.frames is None
    torch.testing.assert_close(mixed.targets[""]["noun"], mixed.targets["sound"]["noun"])


def test_rows_that_do_not_count_or_lack_a_sense_stay_as_they_are() -> None:
    counted = torch.tensor([False, True, True, True, True])
    heard = torch.tensor([True, True, True, False, True])
    given = part(counted=counted, heard=heard)
    mixed = mix(given, 0.5, np.random.default_rng(3))
    for i in (0, 4, 1, 3):
        torch.testing.assert_close(mixed.clip.sound[i], given.clip.sound[i])
        torch.testing.assert_close(mixed.clip.frames[i], given.clip.frames[i] / 255)
        assert torch.equal(mixed.targets[""]["verb"][i], given.targets["verb"][i])


def test_targets_still_sum_to_one() -> None:
    for sense in mix(part(), 0.4, np.random.default_rng(0), by_sense=True).targets.values():
        for target in sense.values():
            torch.testing.assert_close(target.sum(dim=1), torch.ones(N))
