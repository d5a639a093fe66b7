"""Brains with their pictures as rows and batches: who stands where, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from brainreel.data.more_pictures import read_more_pictures
from brainreel.data.picture_module import PictureModule
from brainreel.data.picture_rows import check_not_shown
from brainreel.data.samples import Fold, Trials
from brainreel.data.stored_pictures import StoredPictures, mean_picture
from brainreel.errors import DataError, LeakError


def trials(n: int = 12, *, sizes: tuple[int, ...] = (7, 5)) -> Trials:
    """Two people, taking turns; picture i is a plain surface of its own but for one pixel."""
    rng = np.random.default_rng(0)
    person = np.arange(n) % len(sizes)
    voxels = rng.normal(3, 2, size=(n, max(sizes))).astype(np.float32)
    for row, who in enumerate(person):
        voxels[row, sizes[who] :] = 0
    pictures = rng.uniform(size=(n, 1, 4, 4)).astype(np.float32)
    fold = Fold("s", "s", train_trials=tuple(range(n - 4)), test_trials=tuple(range(n - 4, n)))
    names = tuple(f"sub-{i + 1:02d}" for i in range(len(sizes)))
    return Trials(voxels, pictures, person.copy(), (fold,), names, person=person, sizes=sizes)


def module(data: Trials, **options: object) -> PictureModule:
    made = PictureModule(data, data.folds[0], batch=5, seed=0, **options)  # type: ignore[arg-type]
    made.setup()
    return made


def test_each_vector_stands_beside_its_own_picture_and_guess() -> None:
    data = trials()
    pairs = module(data)
    pairs.guesses = 1 - np.asarray(data.pictures)
    rows = pairs.rows((3, 8, 2))
    assert len(rows) == 3
    assert data.pictures is not None
    for place, trial in enumerate((3, 8, 2)):
        who = int(data.person[trial])
        own = data.voxels[[t for t in range(8) if data.person[t] == who], : data.sizes[who]]
        z = (data.voxels[trial, : data.sizes[who]] - own.mean(axis=0)) / own.std(axis=0)
        around = z[np.arange(7) % data.sizes[who]]
        found = rows[place]
        np.testing.assert_allclose(found.voxels, around, atol=1e-5)
        np.testing.assert_array_equal(found.pictures, data.pictures[trial])
        np.testing.assert_array_equal(found.guesses, 1 - data.pictures[trial])
        assert found.paired
    assert not rows[~1].counted
    assert rows[1].counted


def test_an_epoch_shows_each_pair_once_and_further_pictures_beside() -> None:
    data = trials()
    more = np.random.default_rng(1).uniform(size=(9, 1, 4, 4)).astype(np.float32)
    pairs = module(data, more=more, more_batch=3)
    batches = list(pairs.train_dataloader())
    assert [len(batch.paired) for batch in batches] == [8, 6]
    assert data.pictures is not None
    seen = torch.cat([batch.pictures[batch.paired] for batch in batches])
    assert {p.numpy().tobytes() for p in seen} == {p.tobytes() for p in data.pictures[:8]}
    alone = torch.cat([batch.pictures[~batch.paired] for batch in batches])
    assert {p.numpy().tobytes() for p in alone} <= {p.tobytes() for p in more}
    assert len({p.numpy().tobytes() for p in alone}) == 6
    assert not torch.cat([batch.voxels[~batch.paired] for batch in batches]).any()
    assert not torch.cat([batch.guessed for batch in batches]).any()
    pairs.more_guesses = 1 - more
    batch = next(iter(pairs.train_dataloader()))
    assert batch.guessed.tolist() == (~batch.paired).tolist()
    np.testing.assert_array_equal(batch.guesses[batch.guessed], 1 - batch.pictures[batch.guessed])


def test_pictures_that_were_seen_are_refused_however_they_were_saved() -> None:
    data = trials()
    assert data.pictures is not None
    fresh = np.random.default_rng(5).uniform(size=(20, 1, 4, 4)).astype(np.float32)
    check_not_shown(fresh, data, "more.npz")
    fresh[13] = 0.4 * data.pictures[9] + 0.3
    with pytest.raises(LeakError, match=r"more.npz: picture 13 is .* seen in trial 9"):
        check_not_shown(fresh, data, "more.npz")
    with pytest.raises(DataError, match=r"pictures of \(1, 4, 5\).*Give both one size"):
        check_not_shown(np.zeros((2, 1, 4, 5), np.float32), data, "more.npz")


def test_the_mean_of_many_pictures_is_that_of_all_at_once() -> None:
    stored = np.random.default_rng(0).integers(0, 256, size=(40, 3, 2, 2), dtype=np.uint8)
    number = np.random.default_rng(1).integers(0, 40, size=700)
    rows = np.arange(3, 690)
    found = mean_picture(StoredPictures(stored, number), rows)
    np.testing.assert_allclose(found, stored[number[rows]].mean(axis=0) / 255, atol=1e-6)


def test_further_pictures_come_from_arrays_and_folders(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, size=(3, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", digits=values)
    found = read_more_pictures(tmp_path / "a.npz", "digits", (1, 8, 8))
    np.testing.assert_allclose(found[:, 0] * 255, values, atol=1e-4)
    half = read_more_pictures(tmp_path / "a.npz", "", (1, 4, 4))
    assert half.shape == (3, 1, 4, 4)
    assert half.mean() == pytest.approx(values.mean() / 255, abs=0.03)
    folder = tmp_path / "folder" / "deep"
    folder.mkdir(parents=True)
    Image.fromarray(values[0]).save(folder / "one.png")
    grey = read_more_pictures(tmp_path / "folder", "", (1, 8, 8))
    np.testing.assert_allclose(grey[0, 0] * 255, values[0], atol=1)
    assert read_more_pictures(tmp_path / "folder", "", (3, 8, 8)).shape == (1, 3, 8, 8)


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.zeros((2, 3, 8, 8)), "pictures of 1 channels are wanted"),
        (np.zeros((0, 8, 8)), "pictures of 1 channels are wanted"),
        (np.full((2, 8, 8), 3.0), "pixels lie between 3 and 3"),
        (np.full((2, 8, 8), np.nan), "NaN"),
        (np.ones((2, 8, 8), np.uint8), "pixels are 0 and 1 in whole numbers"),
    ],
)
def test_arrays_that_are_no_such_pictures_are_told(
    tmp_path: Path, array: np.ndarray, told: str
) -> None:
    np.savez(tmp_path / "a.npz", x=array)
    with pytest.raises(DataError, match=re.escape(told)):
        read_more_pictures(tmp_path / "a.npz", "x", (1, 8, 8))


def test_an_empty_folder_and_data_without_pictures_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no pictures"):
        read_more_pictures(tmp_path, "", (1, 8, 8))
    blind = Trials(np.ones((4, 3), np.float32), None, None, trials().folds)
    with pytest.raises(DataError, match="no pictures.*picture_keys"):
        PictureModule(blind, blind.folds[0], batch=2, seed=0)
