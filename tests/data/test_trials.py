from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from brainreel.data.trial_files import as_pictures
from brainreel.data.trial_splits import GivenSplit, StratifiedSplit
from brainreel.data.trials import TrialsData
from brainreel.errors import ConfigError, DataError, LeakError
from brainreel.stimulus.pictures import resize_pictures


@pytest.fixture
def arrays():
    rng = np.random.default_rng(3)
    return {
        "voxels": rng.standard_normal((40, 7)),
        "pictures": rng.integers(0, 256, (40, 4, 6), dtype=np.uint8),
        "labels": np.repeat([5, 9], 20),
    }


@pytest.fixture
def saved(tmp_path, arrays):
    def save(**changed):
        np.savez(tmp_path / "trials.npz", **{**arrays, **changed})
        return tmp_path / "trials.npz"

    return save


def data(path, **options):
    keys = {"picture_keys": ["pictures"], "label_keys": ["labels"]}
    return TrialsData.parse({"path": path, **keys, **options})


def test_voxels_pictures_and_labels_come_as_they_were_written(saved, arrays):
    trials = data(saved()).open()
    np.testing.assert_array_equal(trials.voxels, arrays["voxels"].astype(np.float32))
    np.testing.assert_allclose(trials.pictures[:][:, 0], arrays["pictures"] / 255, atol=1e-7)
    assert trials.labels.tolist() == [0] * 20 + [1] * 20
    assert trials.pictures[:].dtype == np.float32
    assert trials.spec().picture_shape == (1, 4, 6)
    assert list(trials.sources) == ["trials.npz"]


def test_stratified_folds_test_all_once_with_equal_shares(saved):
    folds = data(saved()).open().folds
    assert [fold.name for fold in folds] == [f"stratified-{i}" for i in range(1, 11)]
    assert sorted(t for fold in folds for t in fold.test_trials) == list(range(40))
    for fold in folds:
        assert not set(fold.train_trials) & set(fold.test_trials)
        assert Counter(t // 20 for t in fold.test_trials) == {0: 2, 1: 2}


def test_folds_are_the_seed_s(saved):
    def tests(seed):
        split = {"name": "stratified", "seed": seed}
        return [fold.test_trials for fold in data(saved(), splits=[split]).open().folds]

    assert tests(1) == tests(1)
    assert tests(1) != tests(2)


def test_repeats_of_a_picture_stay_on_one_side(saved, arrays):
    pictures = arrays["pictures"][np.arange(40) // 2 * 2]
    trials = data(saved(pictures=pictures), splits=[{"name": "stratified", "n_folds": 5}]).open()
    for fold in trials.folds:
        assert not {t // 2 for t in fold.train_trials} & {t // 2 for t in fold.test_trials}
    with pytest.raises(
        LeakError, match="training trial 30 and test trial 31 have the same picture"
    ):
        data(saved(pictures=pictures), splits=[{"name": "given", "n_train": 31}]).open()


def test_the_given_split_is_the_order_of_the_keys(tmp_path, arrays):
    path = tmp_path / "given.mat"
    voxels, pictures, labels = arrays["voxels"], arrays["pictures"], arrays["labels"]
    # MATLAB strings a picture column by column.
    rows = np.stack([picture.ravel(order="F") for picture in pictures])
    savemat(path, {
        "vTrn": voxels[:30], "vTest": voxels[30:], "pTrn": rows[:30], "pTest": rows[30:],
        "lTrn": labels[:30, None], "lTest": labels[30:, None],
    })  # fmt: skip
    options = {
        "voxel_keys": ["vTrn", "vTest"], "picture_keys": ["pTrn", "pTest"],
        "label_keys": ["lTrn", "lTest"], "picture_shape": [4, 6], "picture_order": "F",
        "splits": [{"name": "given"}, {"name": "stratified", "n_folds": 4}],
    }  # fmt: skip
    trials = TrialsData.parse({"path": path, **options}).open()
    np.testing.assert_allclose(trials.pictures[:][:, 0] * 255, pictures, atol=1e-4)
    given = trials.folds[0]
    assert given.split == given.name == "given"
    assert given.train_trials == tuple(range(30))
    assert given.test_trials == tuple(range(30, 40))
    assert [fold.split for fold in trials.folds[1:]] == ["stratified"] * 4


def test_shuffled_pairs_break_the_pairing_and_say_so(saved, arrays):
    plain, shuffled = data(saved()).open(), data(saved(), shuffle_pairs=True).open()
    np.testing.assert_array_equal(shuffled.voxels, plain.voxels)
    same = (shuffled.pictures[:] == plain.pictures[:]).all(axis=(1, 2, 3))
    assert same.mean() < 0.2
    # Labels go with their pictures.
    label_of = {
        p.tobytes(): label for p, label in zip(plain.pictures[:], plain.labels, strict=True)
    }
    for picture, label in zip(shuffled.pictures[:], shuffled.labels, strict=True):
        assert label_of[picture.tobytes()] == label
    assert "paired at random" in shuffled.notes[0]
    assert plain.notes == ()


@pytest.mark.parametrize(("order", "layout"), [("C", (0, 1, 2, 3)), ("F", (0, 1, 3, 2))])
def test_rows_of_pixels_become_pictures(order, layout):
    pictures = np.random.default_rng(0).random((5, 3, 4, 6), dtype=np.float32)
    rows = pictures.transpose(layout).reshape(5, -1)
    np.testing.assert_array_equal(as_pictures(rows, (3, 4, 6), order, name="p"), pictures)


def test_pictures_with_axes_need_no_shape():
    pictures = np.random.default_rng(0).random((5, 4, 6), dtype=np.float32)
    np.testing.assert_array_equal(as_pictures(pictures, None, "C", name="p"), pictures[:, None])
    with pytest.raises(DataError, match=r"'p' has pictures of \(1, 4, 6\), not \(6, 4\)"):
        as_pictures(pictures, (6, 4), "C", name="p")
    with pytest.raises(DataError, match="leave picture_order out"):
        as_pictures(pictures, None, "F", name="p")


def test_pictures_that_do_not_fit_are_named():
    rows = np.zeros((5, 24), np.float32)
    with pytest.raises(DataError, match="rows of 24 pixels. Give picture_shape"):
        as_pictures(rows, None, "C", name="p")
    with pytest.raises(DataError, match=r"rows of 24 pixels, which are not \(5, 5\) pictures"):
        as_pictures(rows, (5, 5), "C", name="p")


@pytest.mark.parametrize(("changed", "told"), [
    ({"voxels": np.zeros((1, 7))}, "one trial cannot be split"),
    ({"voxels": np.zeros((39, 7))}, "'voxels' has 39, 'pictures' has 40 trials"),
    ({"labels": np.zeros(41, int)}, "'voxels' has 40, 'labels' has 41 trials"),
    ({"voxels": np.full((40, 7), np.nan)}, "280 of 280 values are NaN or infinite"),
    ({"labels": np.full(40, np.nan)}, "'labels': 40 of 40 values are NaN"),
    ({"voxels": np.zeros(40)}, r"'voxels' has 1 axes \(40,\); it should have 2"),
    ({"labels": np.repeat([5, 9], [35, 5])}, "class 1 has 5 different items, fewer than 10 folds"),
    ({"pictures": np.full((40, 4, 6), 2.0)}, "pixels lie between 2 and 2, not between 0 and 1"),
    ({"pictures": np.eye(24, dtype=np.uint8).reshape(24, 4, 6)[np.arange(40) % 24]},
     "pixels are 0 and 1 in whole numbers, of which 255 is white .* Give picture_max: 1"),
])  # fmt: skip
def test_bad_arrays_are_named(saved, changed, told):
    with pytest.raises(DataError, match=told):
        data(saved(**changed)).open()


def test_missing_labels_and_keys_are_named(saved):
    with pytest.raises(DataError, match="there are no labels to stratify by. Give label_keys"):
        data(saved(), label_keys=[]).open()
    with pytest.raises(DataError, match="1 voxel_keys and 2 picture_keys; give as many of both"):
        data(saved(), picture_keys=["pictures", "pictures"]).open()
    with pytest.raises(DataError, match="no key 'fmri'. It holds: voxels, pictures, labels"):
        data(saved(), voxel_keys=["fmri"]).open()
    with pytest.raises(DataError, match="40 training trials of 40 leave none to test on"):
        data(saved(), splits=[{"name": "given"}]).open()
    with pytest.raises(DataError, match="two splits are called 'given'"):
        data(saved(), splits=[{"name": "given", "n_train": 5}] * 2).open()


def test_stacked_keys_must_have_the_same_voxels(saved):
    path = saved(more=np.zeros((3, 8)))
    with pytest.raises(DataError, match="'voxels' has 7, 'more' has 8 voxels"):
        TrialsData(path=path, voxel_keys=("voxels", "more")).open()


def test_unknown_options_get_a_near_name(tmp_path):
    with pytest.raises(ConfigError, match=r"unknown key 'voxel_key'\. Did you mean 'voxel_keys'"):
        data(tmp_path, voxel_key="x")


def test_a_split_has_a_label():
    assert GivenSplit().called == "given"
    assert StratifiedSplit(label="ten").called == "ten"


def average(rows, items):
    """Mean of the rows of each item, in order of first appearance, by a loop."""
    return np.stack([rows[items == item].mean(axis=0) for item in dict.fromkeys(items.tolist())])


def test_repeats_are_averaged_in_training_and_in_test_by_themselves(tmp_path):
    rng = np.random.default_rng(4)
    shown = {"a": np.array([7, 3, 7, 5, 3, 7]), "b": np.array([2, 9, 2, 2])}
    voxels = {key: rng.standard_normal((len(items), 4)) for key, items in shown.items()}
    numbers = {f"n{key}": items for key, items in shown.items()}
    labels = {f"l{key}": items % 2 for key, items in shown.items()}
    np.savez(tmp_path / "x.npz", **voxels, **numbers, **labels)
    keys = {
        "voxel_keys": ["a", "b"], "item_keys": ["na", "nb"], "label_keys": ["la", "lb"],
        "splits": [{"name": "given"}],
    }  # fmt: skip
    each, mean, test = (
        TrialsData.parse({"path": tmp_path / "x.npz", "repeats": repeats, **keys}).open()
        for repeats in ("each", "average", "average_test")
    )
    assert each.item.tolist() == [3, 1, 3, 2, 1, 3, 0, 4, 0, 0]
    both = [average(voxels[key], shown[key]) for key in "ab"]
    np.testing.assert_allclose(mean.voxels, np.concatenate(both), rtol=1e-5)
    assert mean.item.tolist() == [3, 1, 2, 0, 4]
    assert mean.labels.tolist() == [1, 1, 1, 0, 1]
    assert mean.folds[0].train_trials == (0, 1, 2)
    np.testing.assert_allclose(test.voxels, np.concatenate([voxels["a"], both[1]]), rtol=1e-5)
    assert test.folds[0].test_trials == (6, 7)


def test_people_of_several_files_are_one_data_set(tmp_path):
    rng = np.random.default_rng(5)
    pictures = rng.integers(0, 256, (8, 3, 6, 4), dtype=np.uint8)
    seen = {"anna": [0, 1, 2, 3, 4, 5], "bert": [5, 4, 0, 1, 6, 7]}
    voxels = {who: rng.standard_normal((6, n)) for who, n in (("anna", 5), ("bert", 3))}
    path = {}
    for who, rows in seen.items():
        path[who] = tmp_path / who / "trials.npz"
        path[who].parent.mkdir()
        np.savez(path[who], voxels=voxels[who], pictures=pictures[rows], labels=np.array(rows) // 4)
    split = {"name": "stratified", "n_folds": 2}
    trials = data(path, splits=[split], picture_size=2).open()
    assert trials.subjects == ("anna", "bert")
    assert trials.sizes == (5, 3)
    assert trials.person.tolist() == [0] * 6 + [1] * 6
    np.testing.assert_array_equal(trials.voxels[6:, :3], voxels["bert"].astype(np.float32))
    assert not trials.voxels[6:, 3:].any()
    assert trials.pictures.stored.shape == (8, 3, 2, 2)  # each once, whoever saw it
    square = resize_pictures(pictures[7, :, 1:5], (2, 2))
    np.testing.assert_allclose(trials.pictures[11], square / 255, atol=1e-6)
    assert sorted(trials.sources) == ["anna/trials.npz", "bert/trials.npz"]
    # What anna saw in training is not tested in bert.
    number = np.array(seen["anna"] + seen["bert"])
    for fold in trials.folds:
        assert not set(number[list(fold.train_trials)]) & set(number[list(fold.test_trials)])
    with pytest.raises(LeakError, match="training trial 7 and test trial 4 have the same"):
        data(path, splits=[{"name": "given", "n_train": 4}]).open()


def test_shuffled_repeats_stay_on_their_side(saved, arrays):
    pictures = arrays["pictures"][np.arange(40) // 2 * 2]
    given = {"splits": [{"name": "given", "n_train": 20}], "repeats": "each"}
    trials = data(saved(pictures=pictures), shuffle_pairs=True, **given).open()
    plain = data(saved(pictures=pictures), **given).open()
    assert (trials.item[::2] == trials.item[1::2]).all()
    assert (trials.item == plain.item).mean() < 0.2


def test_what_people_and_repeats_need_is_named(saved, tmp_path):
    with pytest.raises(ConfigError, match="average_test needs a voxel key for training and one"):
        data(saved(), repeats="average_test").open()
    with pytest.raises(ConfigError, match="data.path names nobody"):
        data({}).open()
    with pytest.raises(DataError, match="nothing says which trials saw one picture"):
        data(saved(), repeats="average", picture_keys=[]).open()
    pictures = np.zeros((40, 4, 6), np.uint8)
    with pytest.raises(
        DataError, match="trials 0 and 20 saw one picture and have the labels 0 and"
    ):
        data(saved(pictures=pictures), repeats="average").open()
    one = saved()
    other = tmp_path / "other.npz"
    np.savez(other, **{**arrays_of(one), "pictures": np.zeros((40, 5, 5), np.uint8)})
    with pytest.raises(DataError, match=r"pictures of people differ: a \(1, 4, 6\) uint8, b"):
        data({"a": one, "b": other}).open()


def arrays_of(path):
    with np.load(path) as file:
        return dict(file)


def test_digits69(real_data):
    trials = TrialsData.parse({
        "path": real_data / "digits69" / "digit69_28x28.mat",
        "voxel_keys": ["fmriTrn", "fmriTest"], "picture_keys": ["stimTrn", "stimTest"],
        "label_keys": ["labelTrn", "labelTest"], "picture_shape": [28, 28], "picture_order": "F",
        "splits": [{"name": "given"}, {"name": "stratified", "n_folds": 10}],
    }).open()  # fmt: skip
    assert trials.voxels.shape == (100, 3092)
    assert trials.pictures.shape == (100, 1, 28, 28)
    assert trials.pictures[:].max() == 1
    assert Counter(trials.labels.tolist()) == {0: 50, 1: 50}
    assert [len(fold.test_trials) for fold in trials.folds] == [10] * 11
    # Column by column: the pixel in row r and column c stands at 28 c + r.
    raw = loadmat(real_data / "digits69" / "digit69_28x28.mat")["stimTest"]
    assert trials.pictures[93][0, 11, 17] * 255 == pytest.approx(raw[3, 28 * 17 + 11])
    # The sixes are heavier below, the nines' ring stands above their stem.
    above = [trials.pictures[trials.labels == k][:, 0, :14].sum() for k in (0, 1)]
    below = [trials.pictures[trials.labels == k][:, 0, 14:].sum() for k in (0, 1)]
    assert above[0] / below[0] < 0.75 < 0.9 < above[1] / below[1]
