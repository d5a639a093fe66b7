import json

import numpy as np
import pandas as pd
import pytest
from nilearn.interfaces.fmriprep import load_confounds

from brainreel.errors import DataError
from brainreel.fmri.confounds import count_non_steady, read_confounds

from .conftest import N_TRS, confound_table, write_table


def test_names_and_patterns_each_column_once(confounds_file):
    found = read_confounds(confounds_file, ["csf", "trans_?", "trans_*"])
    assert list(found.columns[:4]) == ["csf", "trans_x", "trans_y", "trans_z"]
    assert found.shape == (N_TRS, 1 + 12)
    np.testing.assert_allclose(found["trans_y"], confound_table()["trans_y"])


def test_first_row_of_derivatives_is_filled_as_nilearn_does(confounds_file, tmp_path):
    found = read_confounds(confounds_file, ["trans_x_derivative1"])
    assert found.iloc[0, 0] == found.iloc[1, 0] == confound_table()["trans_x_derivative1"][1]


@pytest.mark.parametrize(
    ("wanted", "options", "n"),
    [("motion", {}, 24), ("motion:basic", {"motion": "basic"}, 6), ("wm_csf", {}, 2)],
)
def test_groups_equal_nilearn(study, wanted, options, n):
    folder = study / "derivatives" / "fmriprep" / "sub-01" / "func"
    image = next(folder.glob("*run-1*preproc_bold.nii.gz"))
    expected, _ = load_confounds(
        str(image), strategy=(wanted.partition(":")[0],), demean=False, **options
    )
    table = folder / "sub-01_task-film_run-1_desc-confounds_timeseries.tsv"
    pd.testing.assert_frame_equal(read_confounds(table, [wanted]), expected)
    assert expected.shape == (N_TRS, n)


def test_compcor_brings_its_cosines(tmp_path):
    rng = np.random.default_rng(0)
    table = confound_table()
    for name in ("cosine00", "a_comp_cor_00", "a_comp_cor_01"):
        table[name] = rng.normal(size=N_TRS)
    path = write_table(tmp_path / "sub-1_task-a_desc-confounds_timeseries.tsv", table)
    meta = {
        f"a_comp_cor_0{i}": {"Mask": "combined", "Retained": True, "Method": "aCompCor"}
        for i in range(2)
    }
    path.with_suffix(".json").write_text(json.dumps(meta))
    found = read_confounds(path, ["compcor"])
    assert sorted(found.columns) == ["a_comp_cor_00", "a_comp_cor_01", "cosine00"]


def test_what_is_not_there(confounds_file, tmp_path):
    with pytest.raises(DataError, match="no confound 'trans_w'. Did you mean 'trans_z'"):
        read_confounds(confounds_file, ["trans_w"])
    with pytest.raises(DataError, match="'scrub' would cut volumes out and break the clock"):
        read_confounds(confounds_file, ["scrub"])
    with pytest.raises(DataError, match="the confounds 'compcor' cannot be had"):
        read_confounds(confounds_file, ["compcor"])
    with pytest.raises(DataError, match="the confounds 'motion' cannot be had .*nonsense"):
        read_confounds(confounds_file, ["motion:nonsense"])
    with pytest.raises(DataError, match="no such table of confounds"):
        read_confounds(tmp_path / "absent.tsv", ["csf"])
    other = write_table(tmp_path / "regressors.tsv", confound_table())
    with pytest.raises(DataError, match="the group 'motion' needs fMRIPrep's"):
        read_confounds(other, ["motion"])


def test_tables_that_cannot_be_used(tmp_path):
    holes = pd.DataFrame({"a": [1.0, 2, np.nan, 4], "b": ["x", "y", "z", "w"]})
    path = write_table(tmp_path / "holes.tsv", holes)
    with pytest.raises(DataError, match="'a' has no number in row 3"):
        read_confounds(path, ["a"])
    with pytest.raises(DataError, match="'b' holds text"):
        read_confounds(path, ["b"])
    (tmp_path / "empty.tsv").write_text("")
    with pytest.raises(DataError, match="not a table of confounds"):
        read_confounds(tmp_path / "empty.tsv", ["a"])


def test_volumes_not_yet_steady_are_counted(tmp_path):
    table = confound_table().assign(non_steady_state_outlier00=0.0, non_steady_state_outlier01=0.0)
    assert count_non_steady(write_table(tmp_path / "c.tsv", table)) == 2
