from __future__ import annotations

import os
import pickle

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from brainreel.data.readers import (
    check_finite,
    read_array,
    read_numbers,
    read_scalar,
    read_table,
    read_texts,
)
from brainreel.errors import DataError

VALUES = np.arange(12, dtype=np.float64).reshape(3, 4)


def write_matlab73(path, name, values):
    """Write as MATLAB 7.3 does: HDF5 behind a 512-byte header, axes reversed, class noted."""
    with h5py.File(path, "w", userblock_size=512) as file:
        dataset = file.create_dataset(name, data=np.asarray(values).T)
        dataset.attrs["MATLAB_class"] = np.bytes_("double")


@pytest.fixture
def files(tmp_path):
    np.savez(tmp_path / "a.npz", x=VALUES, tr_s=np.float32(0.8), who=np.array(["s1", "s2"]))
    np.save(tmp_path / "a.npy", VALUES)
    savemat(tmp_path / "a.mat", {"x": VALUES, "s": {"inner": VALUES * 2}, "y": 1})
    write_matlab73(tmp_path / "b.mat", "x", VALUES)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = VALUES
        file["sub-01/voxels"] = VALUES + 1
        file["who"] = np.array([b"s1", b"s2"])
    return tmp_path


@pytest.mark.parametrize(("name", "key"), [
    ("a.npz", "x"), ("a.npy", ""), ("a.mat", "x"), ("b.mat", "x"), ("b.mat", ""), ("a.h5", "x"),
])  # fmt: skip
def test_every_format_gives_the_array_that_was_written(files, name, key):
    np.testing.assert_array_equal(read_array(files / name, key), VALUES)


def test_keys_go_down_into_groups_and_structs(files):
    np.testing.assert_array_equal(read_array(files / "a.h5", "sub-01/voxels"), VALUES + 1)
    np.testing.assert_array_equal(read_array(files / "a.mat", "s/inner"), VALUES * 2)


@pytest.mark.parametrize(("name", "keys"), [
    ("a.npz", "x, tr_s, who"), ("a.mat", "x, s, y"), ("b.mat", "x"),
    ("a.h5", "sub-01/voxels, who, x"),
])  # fmt: skip
def test_a_wrong_key_lists_the_keys_there_are(files, name, keys):
    with pytest.raises(DataError, match=rf"{name}: no key 'voxel'\. It holds: {keys}\."):
        read_array(files / name, "voxel")


def test_a_near_key_is_suggested(files):
    with pytest.raises(DataError, match=r"no key 'tr'.* Did you mean 'tr_s'\?"):
        read_array(files / "a.npz", "tr")


def test_a_key_is_needed_where_there_are_several_and_none_where_there_is_no_name(files):
    with pytest.raises(DataError, match="which key is meant is not said"):
        read_array(files / "a.npz")
    with pytest.raises(DataError, match="leave the key 'x' out"):
        read_array(files / "a.npy", "x")


class Trap:
    """Pickled, it makes a folder when it is loaded."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_pickled_objects_are_refused_without_being_run(tmp_path, suffix):
    path = tmp_path / f"trap{suffix}"
    trap = np.array([Trap(tmp_path / "sprung")], dtype=object)
    if suffix == ".npy":
        np.save(path, trap, allow_pickle=True)
    else:
        np.savez(path, x=trap)
    with pytest.raises(DataError, match="pickled objects, which may run code"):
        read_array(path, "x" if suffix == ".npz" else "")
    assert not (tmp_path / "sprung").exists()


def test_a_plain_pickle_under_a_numpy_name_is_refused(tmp_path):
    path = tmp_path / "trap.npy"
    path.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(DataError, match="pickled objects"):
        read_array(path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.mat", "b.mat", "a.h5"])
def test_a_file_cut_short_is_named(files, name):
    path = files / name
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=rf"{name}: cannot be read as \.\w+ \("):
        read_array(path, "x" if name != "a.npy" else "")


def test_other_files_and_missing_ones_are_named(tmp_path):
    (tmp_path / "a.csv").write_text("1,2")
    with pytest.raises(DataError, match=r"read from \.npz, \.npy, \.mat, \.h5, \.hdf5 files"):
        read_array(tmp_path / "a.csv")
    with pytest.raises(DataError, match=r"b\.npz: no such data file"):
        read_array(tmp_path / "b.npz", "x")


def test_numbers_are_float32_and_text_is_refused(files):
    assert read_numbers(files / "a.npz", "x").dtype == np.float32
    with pytest.raises(DataError, match="'who': holds text where numbers are needed"):
        read_numbers(files / "a.npz", "who")


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_nan_infinite_and_too_large_values_are_named_with_their_place(tmp_path, bad):
    values = VALUES.copy()
    values[1, 2] = bad
    np.savez(tmp_path / "a.npz", x=values)
    with pytest.raises(DataError, match=r"'x': 1 of 12 values .*, the first at \(1, 2\)"):
        read_numbers(tmp_path / "a.npz", "x")


def test_check_finite_counts(tmp_path):
    with pytest.raises(DataError, match=r"bold: 2 of 3 values"):
        check_finite(np.array([np.nan, 0, np.inf]), "bold")


def test_texts_of_every_format(files):
    savemat(files / "t.mat", {"who": np.array(["s1", "s2"], dtype=object)})
    with h5py.File(files / "t73.mat", "w", userblock_size=512) as file:
        cells = file.create_dataset("who", (2, 1), dtype=h5py.ref_dtype)
        cells.attrs["MATLAB_class"] = np.bytes_("cell")
        for i, name in enumerate(["s1", "s2"]):
            text = np.array([[ord(c)] for c in name], dtype=np.uint16)
            cells[i, 0] = file.create_dataset(f"#refs#/{i}", data=text).ref
    for name in ("a.npz", "a.h5", "t.mat", "t73.mat"):
        assert read_texts(files / name, "who") == ("s1", "s2")


def test_a_cell_of_numbers_is_refused(tmp_path):
    savemat(tmp_path / "c.mat", {"c": np.array([np.zeros(2), np.zeros(3)], dtype=object)})
    with pytest.raises(DataError, match="'c' holds no plain numbers or text"):
        read_array(tmp_path / "c.mat", "c")


def test_a_scalar_is_the_decimal_that_was_meant(files):
    assert read_scalar(files / "a.npz", "tr_s") == 0.8
    with pytest.raises(DataError, match=r"'x' should be one number; its shape is \(3, 4\)"):
        read_scalar(files / "a.npz", "x")


def test_a_table_must_have_its_columns(tmp_path):
    path = tmp_path / "events.tsv"
    path.write_text("onset\tduration\n1.5\tn/a\n")
    table = read_table(path, ("onset", "duration"))
    assert table["onset"].tolist() == [1.5]
    assert table["duration"].isna().all()
    with pytest.raises(DataError, match=r"no column 'trial_type'\. It has: onset, duration"):
        read_table(path, ("onset", "trial_type"))
    path.write_text("")
    with pytest.raises(DataError, match="cannot be read as a table"):
        read_table(path, ())
