"""Batches of labelled clips: shapes, targets, shares, resumption, ranks, unreadable files."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from brainreel.data.augment import AugmentConfig
from brainreel.data.clips import ClipsConfig
from brainreel.data.labelled_batch import LabelledBatch, LabelledPart
from brainreel.data.labelled_loading import MixedBatches
from brainreel.data.labelled_module import LabelledModule, labelled_spec
from brainreel.data.labelled_samples import Item, Labelled
from brainreel.data.samples import Fold
from brainreel.errors import DataError

from .media import RATE, touch, write_film, write_picture, write_sound

CLIPS = ClipsConfig(
    n_frames=3, sampling="dense", span_s=0.6, height=16, width=16, batch=2,
    augment=AugmentConfig(brightness=0.3),
)  # fmt: skip
BOTH = CLIPS.model_copy(update={"media": "both", "n_mels": 8})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight films with sound but the last, two pictures, one sound."""
    folder = tmp_path_factory.mktemp("media")
    sound = (0.2 * np.random.default_rng(0).normal(size=2 * RATE)).astype(np.float32)
    for i in range(8):
        write_film(folder / f"{i}.mp4", shade=i, sound=None if i == 7 else sound)
    for i in range(2):
        write_picture(folder / f"{i}.png", 50 + i)
    write_sound(folder / "s.wav", sound)
    return folder


def films(root: Path, n_train: int = 5) -> Labelled:
    items = tuple(Item(root / f"{i}.mp4", {"label": (i % 2,)}, name=f"{i}.mp4") for i in range(8))
    fold = Fold(
        "given",
        "given",
        train_trials=tuple(range(n_train)),
        validation_trials=(5,),
        test_trials=(6, 7),
    )
    return Labelled(items, {"label": ("a", "b")}, (fold,))


def joint(root: Path, *, own_head: bool, share: float = 1.0) -> Labelled:
    """Five films and two pictures, with a head of their own or the films'."""
    data = films(root)
    label = "picture" if own_head else "label"
    pictures = tuple(Item(root / f"{i}.png", {label: (i,)}, source=1) for i in range(2))
    classes = {"label": ("a", "b")} | ({"picture": ("x", "y")} if own_head else {})
    fold = dataclasses.replace(data.folds[0], train_trials=(0, 1, 2, 3, 4, 8, 9))
    return dataclasses.replace(
        data, items=data.items + pictures, classes=classes, folds=(fold,), shares=(1.0, share)
    )


def module(data: Labelled, clips: ClipsConfig = CLIPS, seed: int = 0) -> LabelledModule:
    return LabelledModule(data, data.folds[0], clips, seed=seed)


def one(batch: LabelledBatch) -> LabelledPart:
    (part,) = batch.parts
    return part


def same(a: LabelledBatch, b: LabelledBatch) -> bool:
    def tensors(batch: LabelledBatch) -> list[Tensor]:
        found = []
        for part in batch.parts:
            clip = part.clip
            found += [t for t in (clip.frames, clip.sound, clip.frame_numbers) if t is not None]
            found += [part.item, part.counted, *part.targets.values()]
        return found

    pairs = zip(tensors(a), tensors(b), strict=True)
    return len(a.parts) == len(b.parts) and all(torch.equal(x, y) for x, y in pairs)


def test_a_training_epoch_has_each_item_once(root: Path) -> None:
    data = module(films(root))
    batches = [one(batch) for batch in data.train_dataloader()]
    assert [len(part) for part in batches] == [2, 2, 1]
    assert sorted(torch.cat([part.item for part in batches]).tolist()) == [0, 1, 2, 3, 4]
    for part in batches:
        assert part.clip.frames is not None
        assert part.clip.frames.shape[1:] == (3, 3, 16, 16)
        assert part.clip.frames.dtype == torch.uint8
        assert part.clip.sound is part.clip.seen is part.clip.heard is None
        assert part.counted.all()
        assert part.targets["label"].argmax(dim=1).tolist() == (part.item % 2).tolist()
        assert (part.targets["label"].sum(dim=1) == 1).all()
    spec = data.spec
    assert (spec.frame_shape, spec.clip_frames, spec.classes) == ((3, 16, 16), 3, {"label": 2})


def test_frames_and_numbers_belong_together(root: Path) -> None:
    plain = CLIPS.model_copy(update={"augment": AugmentConfig(scale=None)})
    for batch in module(films(root), plain).train_dataloader():
        part = one(batch)
        assert part.clip.frames is not None
        assert part.clip.frame_numbers is not None
        levels = part.clip.frames.float().mean(dim=(2, 3, 4))
        expected = 10 * part.clip.frame_numbers + part.item[:, None]
        np.testing.assert_allclose(levels, expected, atol=4)


def test_seed_epoch_and_item_decide_a_clip(root: Path) -> None:
    def epochs(seed: int, batch: int = 2) -> list[dict[int, Tensor]]:
        clips = CLIPS.model_copy(update={"batch": batch})
        loader = module(films(root), clips, seed).train_dataloader()
        found = []
        for _ in range(2):
            parts = [one(batch) for batch in loader]
            found.append(
                {int(i): x for part in parts for i, x in zip(part.item, part.clip.frames)}  # noqa: B905
            )
        return found

    first, second = epochs(0)
    again, _ = epochs(0, batch=5)
    other, _ = epochs(1)
    assert all(torch.equal(first[i], again[i]) for i in range(5)), "whatever the batch"
    assert not any(torch.equal(first[i], second[i]) for i in range(5))
    assert not any(torch.equal(first[i], other[i]) for i in range(5))


@pytest.mark.parametrize("n_workers", [0, 1])
def test_a_broken_training_goes_on_bit_for_bit(root: Path, n_workers: int) -> None:
    clips = BOTH.model_copy(update={"n_workers": n_workers})
    data = joint(root, own_head=True)
    whole = module(data, clips)
    loader = whole.train_dataloader()
    seen = [batch for _ in range(2) for batch in loader]
    assert whole.state_dict() == {"position": 6, "unreadable": {}}
    resumed = module(data, clips)
    resumed.load_state_dict({"position": 2, "unreadable": {}})
    assert resumed.state_dict()["position"] == 2
    loader = resumed.train_dataloader()
    rest = [batch for _ in range(2) for batch in loader]
    assert all(same(a, b) for a, b in zip(rest, seen[2:], strict=True))


def test_sound_and_pictures_that_are_missing_are_told(root: Path) -> None:
    data = films(root)
    heard = Item(root / "s.wav", {"label": (0,)}, name="s.wav")
    data = dataclasses.replace(data, items=(*data.items, heard))
    (batch,) = module(data, BOTH.model_copy(update={"batch": 3})).views_loader([6, 7, 8])
    part = one(batch)
    assert part.clip.heard is not None
    assert part.clip.seen is not None
    assert part.clip.heard.tolist() == [True, False, True]
    assert part.clip.seen.tolist() == [True, True, False]
    assert part.clip.sound is not None
    assert part.clip.sound.shape == (3, 1, 60, 8)
    assert part.clip.sound[1].abs().max() == 0
    assert part.counted.all()


def test_views_of_one_item_follow_each_other(root: Path) -> None:
    clips = CLIPS.model_copy(update={"temporal_views": 2, "crops": 3, "batch": 12, "width": 12})
    data = module(joint(root, own_head=True), clips)
    assert [len(batch) for batch in data.views_loader([6, 7])] == [12]
    mixed = [part for batch in data.views_loader([6, 8, 7]) for part in batch.parts]
    assert [part.item.tolist() for part in mixed] == [[6] * 6, [8] * 3, [7] * 6]
    first = mixed[0].clip
    assert first.frames is not None
    assert first.frame_numbers is not None
    assert first.frame_numbers[:, 0].tolist() == [1, 1, 1, 15, 15, 15]
    assert mixed[1].clip.frames is not None
    assert mixed[1].clip.frames.shape == (3, 1, 3, 16, 12)
    assert set(mixed[1].targets) == {"picture"}


def test_validation_is_one_view_in_order(root: Path) -> None:
    clips = CLIPS.model_copy(update={"temporal_views": 3, "crops": 3})
    (batch,) = module(films(root), clips).val_dataloader()
    assert one(batch).item.tolist() == [5]
    empty = dataclasses.replace(films(root).folds[0], validation_trials=())
    assert list(LabelledModule(films(root), empty, CLIPS, seed=0).val_dataloader()) == []


def test_pictures_and_films_are_two_parts_in_fixed_shares(root: Path) -> None:
    data = module(joint(root, own_head=True, share=0.5))
    batches = list(data.train_dataloader())
    assert [[len(part) for part in batch.parts] for batch in batches] == [[2, 1], [2, 1], [1, 1]]
    for batch in batches:
        film, picture = batch.parts
        assert (set(film.targets), set(picture.targets)) == ({"label"}, {"picture"})
        assert picture.clip.frames is not None
        assert picture.clip.frames.shape == (1, 1, 3, 16, 16)
        assert picture.item.item() in (8, 9)
    pictures = [batch.parts[1].item.item() for batch in batches]
    assert set(pictures[:2]) == {8, 9}, "each picture once before any comes again"
    assert data.spec.classes == {"label": 2, "picture": 2}
    shared = next(iter(module(joint(root, own_head=False)).train_dataloader()))
    assert [set(part.targets) for part in shared.parts] == [{"label"}, {"label"}]


def test_sources_go_round_at_their_own_pace() -> None:
    batches = MixedBatches([range(6), range(10, 14)], [2, 3], seed=0)
    assert len(batches) == 3
    draws = [batch for _ in range(4) for batch in _next_epoch(batches)]
    first = [draw for batch in draws for draw in batch if draw.item < 10]
    assert sorted(d.item for d in first if d.epoch == 2) == list(range(6))
    second = [draw for batch in draws for draw in batch if draw.item >= 10]
    assert sorted(d.item for d in second if d.epoch == 1) == list(range(10, 14))
    assert [d.epoch for d in second] == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4 + [5] * 4
    assert batches.at(7) == draws[7], "the position alone says what comes"


def _next_epoch(batches: MixedBatches) -> list[list]:
    epoch = list(batches)
    batches.position += len(epoch)
    return epoch


def test_ranks_share_the_items_and_copies_do_not_count(root: Path) -> None:
    seen = []
    for rank in range(2):
        batches = MixedBatches([range(5)], [2], seed=4, rank=rank, n_ranks=2)
        seen += [draw.item for batch in batches for draw in batch]
    assert sorted(item for item in seen if item >= 0) == list(range(5))
    (copy,) = [item for item in seen if item < 0]
    data = module(films(root))
    loader = data.train_dataloader()
    row = loader.dataset[type(batches.at(0)[0])(copy, 0)].rows[0]
    assert not row.counted
    assert row.item == ~copy


def unreadable(tmp_path: Path, root: Path, *broken: int, limit: float) -> Labelled:
    data = films(root)
    items = list(data.items)
    for number in broken:
        path = touch(tmp_path / f"broken-{number}.mp4")
        items[number] = dataclasses.replace(items[number], path=path, name=path.name)
    return dataclasses.replace(data, items=tuple(items), max_unreadable=limit)


def test_an_unreadable_training_item_is_replaced_and_told(tmp_path: Path, root: Path) -> None:
    data = unreadable(tmp_path, root, 1, 3, limit=0.4)
    first = module(data)
    items = torch.cat([one(batch).item for batch in first.train_dataloader()])
    assert len(items) == 5
    assert set(items.tolist()) <= {0, 2, 4}
    again = module(data)
    assert torch.cat([one(batch).item for batch in again.train_dataloader()]).equal(items)
    (note,) = first.notes()
    assert note.startswith("given: 2 of 5 training items could not be read: broken-1.mp4 (cannot")
    assert note.endswith("others were taken in their place.")
    resumed = module(data)
    resumed.load_state_dict(first.state_dict())
    assert resumed.notes() == first.notes()


def test_too_many_unreadable_items_are_an_error(tmp_path: Path, root: Path) -> None:
    data = unreadable(tmp_path, root, 0, 1, limit=0.2)
    with pytest.raises(
        DataError,
        match=r"2 of 5 training items could not be read: broken-0.mp4 .*max_unreadable=0.2",
    ):
        list(module(data).train_dataloader())
    nothing = unreadable(tmp_path, root, *range(5), limit=1)
    with pytest.raises(DataError, match=r"no item could be read in 10 attempts: broken-"):
        list(module(nothing).train_dataloader())


@pytest.mark.parametrize("n_workers", [0, 1])
def test_an_unreadable_test_item_is_not_scored_and_told(
    tmp_path: Path, root: Path, n_workers: int
) -> None:
    data = unreadable(tmp_path, root, 6, limit=0.5)
    tested = module(data, CLIPS.model_copy(update={"n_workers": n_workers, "crops": 3}))
    parts = [part for batch in tested.views_loader([6, 7]) for part in batch.parts]
    counted = {(int(i), bool(c)) for part in parts for i, c in zip(part.item, part.counted)}  # noqa: B905
    assert counted == {(6, False), (7, True)}
    (note,) = tested.notes()
    assert "1 of 2 test items could not be read: broken-6.mp4" in note
    assert note.endswith("they are not scored.")


def test_a_span_behind_its_film_is_unreadable(root: Path) -> None:
    data = films(root)
    late = dataclasses.replace(data.items[0], start_s=Fraction(5), stop_s=Fraction(6), name="late")
    data = dataclasses.replace(data, items=(late, *data.items[1:]))
    with pytest.raises(DataError, match=r"late \(its span starts at 5 s, the file lasts 2 s\)"):
        list(module(data).train_dataloader())


def test_batches_move_and_are_counted(root: Path) -> None:
    batch = next(iter(module(joint(root, own_head=True)).train_dataloader()))
    assert len(batch) == 4
    moved = batch.to("meta")
    assert {part.item.device.type for part in moved.parts} == {"meta"}
    assert moved.parts[0].clip.frames is not None
    assert moved.parts[0].clip.frames.device.type == "meta"
    assert moved.parts[0].targets["label"].device.type == "meta"


def test_media_that_the_data_does_not_have(root: Path) -> None:
    picture = Item(root / "0.png", {"label": (0,)})
    sound = Item(root / "s.wav", {"label": (0,)})

    def labelled(*items: Item) -> Labelled:
        return Labelled(items, {"label": ("a",)}, (Fold("f", "f"),))

    heard = BOTH.model_copy(update={"media": "sound"})
    with pytest.raises(DataError, match=r"0.png: a picture has no sound, and media is 'sound'"):
        module(labelled(sound, picture), heard)
    with pytest.raises(DataError, match=r"s.wav: a sound has no pictures, and media is 'frames'"):
        module(labelled(picture, sound), CLIPS)
    with pytest.raises(DataError, match="the data is pictures alone, which have no sound"):
        module(labelled(picture), BOTH)
    assert labelled_spec(labelled(picture), CLIPS).clip_frames == 1
    assert labelled_spec(labelled(sound), heard).sound_shape == (1, 60, 8)
