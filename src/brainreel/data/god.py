"""Generic Object Decoding (Horikawa and Kamitani 2017), as MinD-Vis's data folder holds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from brainreel.config import Config
from brainreel.data.person_trials import PersonTrials, join_people
from brainreel.data.readers import read_array
from brainreel.data.samples import Trials
from brainreel.data.stored_pictures import squared
from brainreel.data.trial_folders import as_voxels, chosen, keys_of, require_tree
from brainreel.data.trial_splits import GivenSplit, TrialSplitConfig, make_trial_folds
from brainreel.errors import DataError, did_you_mean
from brainreel.files import digest_file, read_json

Int64 = NDArray[np.int64]
UInt8 = NDArray[np.uint8]

TREE = """
sbj_1.npz ... sbj_5.npz      arr_0 (1200, V), arr_1 (1750, V), arr_2 (50, V), arr_3 (1200,);
                             masks VC, V1, ... (V,)
images_256.npz               train_images (1200, 256, 256, 3), test_images (50, 256, 256, 3)
imagenet_class_index.json    {"0": ["n01440764", "tench"], ...}
imagenet_training_label.csv  1518878.014910,n01518878_14910.JPEG
imagenet_testing_label.csv
"""
_PICTURES, _INDEX = "images_256.npz", "imagenet_class_index.json"
_LISTS = ("imagenet_training_label.csv", "imagenet_testing_label.csv")
# Mean of a picture's single trials beside the mean that the file gives.
_ALIKE = 0.99


class GodData(Config):
    """Generic Object Decoding: 1200 training pictures, and 50 of other classes seen 35 times."""

    name: Literal["god"] = "god"
    path: Path
    """The folder `Kamitani/npz` of MinD-Vis's data."""
    subjects: tuple[str, ...] = ()
    """People, as their files are called (sbj_3); empty: all that are there."""
    roi: str = "VC"
    """Region, by the name of its mask: VC (all), LVC, HVC, V1 to V4, LOC, FFA, PPA."""
    repeats: Literal["each", "average"] = "average"
    """average: a test picture's mean over its 35 trials, as published; each: those trials."""
    picture_size: int | None = Field(default=None, ge=1)
    """Pixels along a side that pictures are resized to; none: the 256 of the file."""
    splits: tuple[TrialSplitConfig, ...] = (GivenSplit(),)
    """How trials are parted; given: the published training and test pictures."""

    def open(self) -> Trials:
        """Read the people's files, the pictures and their ImageNet classes.

        Labels are the places of ImageNet's 1000 classes, -1 for a picture of none of them; test
        pictures are of other classes than training pictures.

        Raises
        ------
        DataError
            For missing files (the expected ones are shown), an unknown region or person, or arrays
            of other shapes.
        """
        root = self.path
        require_tree(root, [_PICTURES, _INDEX, *_LISTS], TREE)
        there = sorted(path.stem for path in root.glob("sbj_*.npz"))
        if not there:
            require_tree(root, ["sbj_1.npz"], TREE)
        names = chosen(self.subjects, there, "person", root)
        train, test = (self._pictures(key) for key in ("train_images", "test_images"))
        classes = np.concatenate([
            _classes(root, file, len(shown))
            for file, shown in zip(_LISTS, (train, test), strict=True)
        ])  # fmt: skip
        people = [self._person(who, len(train), len(test), classes) for who in names]
        files = [_PICTURES, _INDEX, *_LISTS, *(f"{who}.npz" for who in names)]
        sources = {file: digest_file(root / file) for file in files}
        n_none = int(np.count_nonzero(classes < 0))
        notes = [f"Pictures of none of ImageNet's classes: {n_none}."] * bool(n_none)
        trials = join_people(people, np.concatenate([train, test]), sources, notes)
        firsts = [person.n_train for person in people]
        return replace(trials, folds=make_trial_folds(trials, firsts, self.splits))

    def _pictures(self, key: str) -> UInt8:
        """Return (N, 3, H, W), resized once."""
        where = f"{self.path / _PICTURES} '{key}'"
        shown = read_array(self.path / _PICTURES, key)
        if shown.ndim != 4 or shown.shape[-1] != 3 or shown.dtype.kind not in "uf":
            raise DataError(
                f"{where}: should be pictures (N, H, W, 3), and is {shown.dtype} of {shown.shape}."
            )
        if shown.dtype != np.uint8:
            if not (shown.min() >= 0 and shown.max() <= 1):
                raise DataError(f"{where}: fractions should lie between 0 and 1.")
            shown = np.rint(shown * 255).astype(np.uint8)
        rows = [squared(picture, self.picture_size) for picture in shown.transpose(0, 3, 1, 2)]
        return np.stack(rows)

    def _person(self, who: str, n_train: int, n_test: int, classes: Int64) -> PersonTrials:
        path = self.path / f"{who}.npz"
        mask = _mask(path, self.roi)
        order = read_array(path, "arr_3").ravel()
        train = as_voxels(_inside(path, "arr_0", mask), f"{path} 'arr_0'")
        whole = order.dtype.kind in "iu" and len(order) == len(train)
        if not whole or order.min() < 0 or order.max() >= n_train:
            raise DataError(
                f"{path} 'arr_3': should say for each of {len(train)} training trials which of "
                f"{n_train} pictures was seen."
            )
        test = as_voxels(_inside(path, "arr_2", mask), f"{path} 'arr_2'")
        if len(test) != n_test:
            raise DataError(f"{path} 'arr_2': {len(test)} rows for {n_test} test pictures.")
        seen = np.arange(n_test)
        if self.repeats == "each":
            single = as_voxels(_inside(path, "arr_1", mask), f"{path} 'arr_1'")
            seen = _order_of(single, test, str(path))
            test = single
        shown = np.concatenate([order, n_train + seen]).astype(np.int64)
        voxels = np.concatenate([train, test])
        return PersonTrials(who, voxels, len(train), shown, None, classes[shown])


def _mask(path: Path, roi: str) -> NDArray[np.bool_]:
    regions = [key for key in keys_of(path) if not key.startswith("arr_")]
    if roi not in regions:
        raise DataError(f"{path}: no region '{roi}'.{did_you_mean(roi, regions)}")
    mask = read_array(path, roi).ravel()
    if mask.dtype != bool or not mask.any():
        raise DataError(
            f"{path} '{roi}': should be a mask of true and false with some voxel in it."
        )
    return mask


def _inside(path: Path, key: str, mask: NDArray[np.bool_]) -> NDArray[Any]:
    values = read_array(path, key)
    if values.ndim != 2 or values.shape[1] != len(mask):
        raise DataError(
            f"{path} '{key}': is {values.shape}, and its masks are of {len(mask)} voxels."
        )
    return values[:, mask]


def _order_of(single: NDArray[np.float32], mean: NDArray[np.float32], where: str) -> Int64:
    """Return which picture each single trial saw: the order whose means are those of the file."""
    n_test = len(mean)
    if len(single) % n_test == 0:
        n_each = len(single) // n_test
        orders = (np.repeat(np.arange(n_test), n_each), np.tile(np.arange(n_test), n_each))
        for order in orders:
            means = np.stack([single[order == item].mean(axis=0) for item in range(n_test)])
            if np.corrcoef(means.ravel(), mean.ravel())[0, 1] > _ALIKE:
                return order.astype(np.int64)
    raise DataError(
        f"{where}: the means in 'arr_2' are not those of the {len(single)} single trials in "
        "'arr_1', picture by picture or round by round. Use data.repeats=average."
    )


def _classes(root: Path, file: str, n_pictures: int) -> Int64:
    """Return the ImageNet class of each picture of a list, -1 for none."""
    number = _numbers(root / _INDEX)
    try:
        lines = (root / file).read_text(encoding="utf-8").split("\n")
        names = [int(line.split(",")[0].split(".")[0]) for line in lines if line.strip()]
    except (ValueError, OSError) as problem:
        raise DataError(
            f"{root / file}: each line should begin with a picture's number, such as "
            f"1518878.014910 ({problem})."
        ) from problem
    if len(names) != n_pictures:
        raise DataError(f"{root / file}: {len(names)} lines for {n_pictures} pictures.")
    return np.array([number.get(name, -1) for name in names], dtype=np.int64)


def _numbers(path: Path) -> dict[int, int]:
    """Return the class of each WordNet number; a class may have several, its name is the last."""
    index = read_json(path)
    try:
        pairs = [(int(key), entry[:-1]) for key, entry in index.items()]
        found: dict[int, int] = {}
        for key, synsets in pairs:
            for synset in _synsets(synsets):
                found.setdefault(synset, key)
    except (AttributeError, IndexError, TypeError, ValueError) as problem:
        raise DataError(
            f'{path}: should map classes to WordNet numbers and a name, such as "0": '
            '["n01440764", "tench"].'
        ) from problem
    return found


def _synsets(names: Sequence[str]) -> list[int]:
    return [int(name[1:]) for name in names]
