"""Readers of the three studies in MinD-Vis's data folder, through small fakes of them."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from brainreel.data.bold5000 import Bold5000Data
from brainreel.data.god import GodData
from brainreel.data.hcp_voxels import HcpVoxelsData
from brainreel.data.pickled_arrays import read_pickled_arrays
from brainreel.data.voxel_rows import ScoredVoxels
from brainreel.errors import DataError

from .fake_mind_vis import BETAS, REGIONS, SHOWN, write_bold5000, write_god, write_hcp


def test_god_pairs_each_trial_with_its_picture_and_class(tmp_path):
    fake = write_god(tmp_path)
    trials = GodData(path=tmp_path).open()
    assert trials.subjects == ("sbj_1", "sbj_2")
    assert trials.sizes == (26, 20)
    classes = [0, 1, 2, 3] * 3
    row = 0
    for place, arrays in enumerate(fake["people"].values()):
        for vector, picture in zip(arrays["arr_0"], arrays["arr_3"], strict=True):
            np.testing.assert_allclose(
                trials.own_voxels(place, [row])[0], vector[arrays["VC"]], rtol=1e-6
            )
            shown = fake["pictures"]["train_images"][picture].transpose(2, 0, 1) / 255
            np.testing.assert_allclose(trials.pictures[row], shown, atol=1e-6)
            assert trials.labels[row] == classes[picture]
            row += 1
        for vector, shown in zip(arrays["arr_2"], fake["pictures"]["test_images"], strict=True):
            np.testing.assert_allclose(
                trials.own_voxels(place, [row])[0], vector[arrays["VC"]], rtol=1e-6
            )
            np.testing.assert_allclose(trials.pictures[row], shown.transpose(2, 0, 1) / 255, 1e-5)
            row += 1
    assert trials.labels[12:15].tolist() == [5, 6, -1]
    assert trials.notes == ("Pictures of none of ImageNet's classes: 1.",)
    (fold,) = trials.folds
    assert fold.train_trials == (*range(12), *range(15, 27))
    assert fold.test_trials == (12, 13, 14, 27, 28, 29)
    assert len(trials.pictures.stored) == 15  # each once, for all people


def test_god_single_trials_are_matched_to_their_pictures_by_the_means(tmp_path):
    fake = write_god(tmp_path, sizes=(30,))
    options = {"path": tmp_path, "repeats": "each", "roi": "V1", "picture_size": 4}
    trials = GodData.parse(options).open()
    assert trials.spec().picture_shape == (3, 4, 4)
    assert trials.sizes == (10,)
    assert trials.item[12:].tolist() == [12] * 5 + [13] * 5 + [14] * 5
    # Round by round, which other versions of the file have.
    arrays = fake["people"]["sbj_1"]
    rounds = arrays["arr_1"].reshape(3, 5, -1).transpose(1, 0, 2).reshape(15, -1)
    np.savez(tmp_path / "sbj_1.npz", **{**arrays, "arr_1": rounds})
    assert GodData.parse(options).open().item[12:].tolist() == [12, 13, 14] * 5
    mixed = np.random.default_rng(5).permutation(arrays["arr_1"])
    np.savez(tmp_path / "sbj_1.npz", **{**arrays, "arr_1": mixed})
    with pytest.raises(DataError, match="the means in 'arr_2' are not those of the 15 single"):
        GodData.parse(options).open()


@pytest.mark.parametrize("as_dictionary", [False, True])
def test_bold5000_tests_on_the_repeated_pictures(tmp_path, as_dictionary):
    fake = write_bold5000(tmp_path, as_dictionary=as_dictionary)
    each = Bold5000Data(path=tmp_path, repeats="each", picture_size=4).open()
    mean = Bold5000Data(path=tmp_path, picture_size=4).open()
    assert mean.subjects == ("CSI1", "CSI2")
    assert mean.sizes == (30, 20)
    often = {"beach1.jpg", "COCO_100.jpg", "n100.JPEG"}
    for place, person in enumerate(fake["people"].values()):
        betas = [person["betas"][side + roi] for roi in REGIONS for side in ("LH", "RH")]
        voxels, names = np.concatenate(betas, axis=1), person["trials"]
        train = [i for i, name in enumerate(names) if name not in often]
        test = {name: [i for i, n in enumerate(names) if n == name] for name in often}
        ordered = sorted(test, key=lambda name: test[name][0])
        expected = np.concatenate(
            [voxels[train], np.stack([voxels[test[name]].mean(axis=0) for name in ordered])]
        )
        rows = mean.of_person(place)
        np.testing.assert_allclose(mean.own_voxels(place, rows), expected, rtol=1e-5, atol=1e-6)
        shown = [names[i] for i in train] + ordered
        for row, name in zip(rows, shown, strict=True):
            colour = fake["pictures"][name][0, 0] / 255
            np.testing.assert_allclose(mean.pictures[row].mean(axis=(1, 2)), colour, atol=0.01)
        assert len(each.of_person(place)) == len(names)
    assert mean.folds[0].test_trials == (8, 9, 10, 19, 20, 21)
    assert len(each.folds[0].test_trials) == 18
    assert mean.spec().picture_shape == (3, 4, 4)


def test_bold5000_is_scored_by_training_trials_alone(tmp_path):
    write_bold5000(tmp_path)
    trials = Bold5000Data(path=tmp_path, subjects=("CSI2",), rois=("LOC",), picture_size=4).open()
    assert trials.subject == "CSI2"
    train, test = np.split(trials.voxels, [8])
    (scored,) = ScoredVoxels(trials, trials.folds[0]).blocks((), trials.folds[0].test_trials)
    np.testing.assert_allclose(scored, (test - train.mean(0)) / train.std(0), rtol=1e-4, atol=1e-5)


def test_hcp_volumes_are_averaged_and_people_held_out(tmp_path):
    fake = write_hcp(tmp_path)
    trials = HcpVoxelsData(path=tmp_path).open()
    assert trials.subjects == ("100307", "100408", "101107")
    assert trials.sizes == (14, 14, 14)
    assert trials.pictures is None
    volumes = np.concatenate([fake["100408"][key] for key in ("V1", "V2", "V3", "V4")], axis=1)
    expected = np.stack([volumes[i : i + 10].mean(axis=0) for i in (0, 10, 20, 30)])
    np.testing.assert_allclose(trials.voxels[trials.of_person(1)], expected, rtol=1e-4, atol=1e-6)
    (fold,) = trials.folds
    assert len(set(trials.person[list(fold.test_trials)])) == 1
    assert not set(trials.person[list(fold.train_trials)]) & set(
        trials.person[list(fold.test_trials)]
    )
    v3 = HcpVoxelsData.parse({"path": tmp_path, "roi": "V3", "window_trs": 20}).open()
    assert v3.voxels.shape == (6, 3)


def test_missing_files_show_what_is_expected_and_what_was_found(tmp_path):
    write_god(tmp_path / "god")
    (tmp_path / "god" / "images_256.npz").unlink()
    with pytest.raises(DataError) as problem:
        GodData(path=tmp_path / "god").open()
    told = str(problem.value)
    assert "images_256.npz is missing. Give the folder that holds\n  sbj_1.npz" in told
    assert "Found there:\n  imagenet_class_index.json\n" in told
    with pytest.raises(DataError, match="(?s)missing.*Found there:\n  no such folder"):
        Bold5000Data(path=tmp_path / "nowhere").open()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="(?s)PERSON/HCP_visual_voxel.npz is missing.*nothing"):
        HcpVoxelsData(path=tmp_path / "empty").open()
    write_bold5000(tmp_path / "bold")
    next((tmp_path / "bold" / BETAS).glob("CSI1*LHOPA*")).unlink()
    with pytest.raises(DataError, match="LHOPA.npy is missing"):
        Bold5000Data(path=tmp_path / "bold").open()
    shutil.rmtree(tmp_path / "bold" / "BOLD5000_Stimuli/Stimuli_Presentation_Lists/CSI2")
    with pytest.raises(DataError, match="CSI2_sess01/CSI_sess01_run01.txt is missing"):
        Bold5000Data(path=tmp_path / "bold", subjects=("CSI2",)).open()


@pytest.mark.parametrize(("changed", "told"), [
    ({"arr_0": np.full((12, 30), np.nan)}, "'arr_0': 312 of 312 values are NaN"),
    ({"arr_0": np.zeros((12, 9))}, r"'arr_0': is \(12, 9\), and its masks are of 30 voxels"),
    ({"arr_2": np.zeros((2, 30))}, "'arr_2': 2 rows for 3 test pictures"),
    ({"arr_3": np.arange(12) + 1}, "which of 12 pictures was seen"),
    ({"VC": np.zeros(30, bool)}, "'VC': should be a mask of true and false with some voxel"),
    ({"VC": np.array([{}], dtype=object)}, "pickled objects, which may run code"),
])  # fmt: skip
def test_bad_arrays_of_god_are_named(tmp_path, changed, told):
    fake = write_god(tmp_path, sizes=(30,))
    np.savez(tmp_path / "sbj_1.npz", **{**fake["people"]["sbj_1"], **changed})
    with pytest.raises(DataError, match=told):
        GodData(path=tmp_path).open()


def test_bad_names_and_lists_of_god_are_named(tmp_path):
    write_god(tmp_path, sizes=(30,))
    with pytest.raises(DataError, match="no region 'V11'. Did you mean 'V1'"):
        GodData(path=tmp_path, roi="V11").open()
    with pytest.raises(DataError, match="no person 'sbj_9'. Did you mean 'sbj_1'"):
        GodData(path=tmp_path, subjects=("sbj_9",)).open()
    lists = tmp_path / "imagenet_testing_label.csv"
    lists.write_text("1005.1,a\n")
    with pytest.raises(DataError, match="label.csv: 1 lines for 3 pictures"):
        GodData(path=tmp_path).open()
    lists.write_text("picture,a\n")
    with pytest.raises(DataError, match="should begin with a picture's number"):
        GodData(path=tmp_path).open()
    (tmp_path / "imagenet_class_index.json").write_text('{"0": 7}')
    with pytest.raises(DataError, match="should map classes to WordNet numbers"):
        GodData(path=tmp_path).open()
    write_god(tmp_path, sizes=(30,))
    (tmp_path / "sbj_1.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(DataError, match="sbj_1.npz: cannot be read as .npz"):
        GodData(path=tmp_path).open()


def test_lists_and_betas_of_bold5000_must_fit(tmp_path):
    write_bold5000(tmp_path)
    betas = next((tmp_path / BETAS).glob("CSI1*LHLOC*"))
    np.save(betas, np.load(betas)[:-1])
    with pytest.raises(DataError, match="16 trials, and the presentation lists of CSI1 name 17"):
        Bold5000Data(path=tmp_path, picture_size=4).open()
    next((tmp_path / SHOWN).rglob("n2.JPEG")).unlink()
    with pytest.raises(DataError, match="1 of 11 pictures are missing, the first is n2.JPEG"):
        Bold5000Data(path=tmp_path, subjects=("CSI2",)).open()


def test_volumes_of_hcp_must_fit(tmp_path):
    fake = write_hcp(tmp_path)
    path = tmp_path / "100307" / "HCP_visual_voxel.npz"
    np.savez(path, **{**fake["100307"], "V2": np.zeros((44, 4))})
    with pytest.raises(DataError, match="different numbers of volumes: V1 45, V2 44"):
        HcpVoxelsData(path=tmp_path).open()
    with pytest.raises(DataError, match="45 volumes are fewer than two windows of 30"):
        HcpVoxelsData(path=tmp_path, subjects=("100408",), window_trs=30).open()
    with pytest.raises(DataError, match="of 1 people nobody is left to train on"):
        HcpVoxelsData(path=tmp_path, subjects=("100408",)).open()


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("touched"),))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickled_pictures_come_back_as_numpy_reads_them(tmp_path, protocol):
    rng = np.random.default_rng(0)
    held = {
        "a.jpg": rng.integers(0, 256, (4, 5, 3), dtype=np.uint8),
        "b": np.asfortranarray(rng.random((3, 2))),
        "c": rng.integers(-9, 9, 6).astype(">i2"),
    }
    path = tmp_path / "img_dict.npy"
    with path.open("wb") as stream:
        whole = np.array(held, dtype=object)
        np.lib.format.write_array_header_1_0(
            stream, np.lib.format.header_data_from_array_1_0(whole)
        )
        pickle.dump(whole, stream, protocol=protocol)
    known = np.load(path, allow_pickle=True).item()
    read = read_pickled_arrays(path)
    assert read.keys() == known.keys()
    for name, values in known.items():
        np.testing.assert_array_equal(read[name], values)
        assert read[name].dtype.newbyteorder("=") == values.dtype.newbyteorder("=")


@pytest.mark.parametrize("held", [
    Evil(), {"a": Evil()}, {"a": np.array([Evil()], dtype=object)}, {"a": 3}, {3: np.zeros(2)},
    {"a": np.zeros(2, "i4,i4")}, [np.zeros(2)],
])  # fmt: skip
def test_pickles_of_anything_else_are_refused_unrun(tmp_path, monkeypatch, held):
    monkeypatch.chdir(tmp_path)
    whole = np.empty((), dtype=object)
    whole[()] = held
    np.save(tmp_path / "x.npy", whole, allow_pickle=True)
    with pytest.raises(DataError, match="such a file can run code"):
        read_pickled_arrays(tmp_path / "x.npy")
    assert not (tmp_path / "touched").exists()


def test_broken_pickles_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.array({"a": np.zeros(99)}, dtype=object))
    whole = (tmp_path / "x.npy").read_bytes()
    for cut in (3, 60, len(whole) // 2, len(whole) - 4):
        (tmp_path / "x.npy").write_bytes(whole[:cut])
        with pytest.raises(DataError, match="was not read on"):
            read_pickled_arrays(tmp_path / "x.npy")
