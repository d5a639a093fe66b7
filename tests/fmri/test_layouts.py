"""Folders of three public collections go through one `prepare`."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from brainreel.errors import DataError
from brainreel.fmri.bids import find_runs
from brainreel.fmri.confounds import read_confounds
from brainreel.fmri.grids import GridConfig
from brainreel.fmri.names import BidsName
from brainreel.fmri.normalize import CleanConfig
from brainreel.fmri.prepare import PrepareConfig, prepare, read_store

from .conftest import AFFINE, N_TRS, bold_array, mask_array, save
from .layouts import write_cnp, write_film_study, write_hcp

CROP = GridConfig(crop=((1, 1), (0, 1), (0, 1)))


def test_hcp(tmp_path: Path) -> None:
    root = write_hcp(tmp_path / "hcp")
    runs = find_runs(root)
    assert [run.label for run in runs][:3] == [
        "sub-100307_task-MOVIE1_acq-7T_dir-AP",
        "sub-100307_task-REST1_dir-LR",
        "sub-100307_task-REST1_dir-RL",
    ]
    assert len(runs) == 6
    run = runs[1]
    folder = root / "100307/MNINonLinear/Results/rfMRI_REST1_LR"
    assert run.bold == folder / "rfMRI_REST1_LR.nii.gz"
    assert run.mask == folder / "brainmask_fs.2.nii.gz"
    assert run.confounds == folder / "Movement_Regressors.txt"
    assert (run.tr_s, run.space, run.film) == (Fraction("0.72"), "MNI152NLin6Asym", None)
    rest = find_runs(root, tasks=["REST1"], subjects=["100408"])
    assert [r.label for r in rest] == [
        "sub-100408_task-REST1_dir-LR",
        "sub-100408_task-REST1_dir-RL",
    ]
    with pytest.raises(DataError, match="no run of task-REST3. Did you mean 'REST1'"):
        find_runs(root, tasks=["REST3"])
    config = PrepareConfig(grid=CROP, n_dummy=10, clean=CleanConfig(confounds=("trans_*", "rot_x")))
    prepare(rest, tmp_path / "store", config)
    prepared = read_store(tmp_path / "store")
    assert [item.mask.grid for item in prepared] == [(3, 5, 3)] * 2
    assert prepared[0].confounds_used.shape == (N_TRS - 10, 7)
    raw = bold_array(10)[1:-1, :-1, :-1][prepared[0].mask.inside].T[10:]
    np.testing.assert_allclose(prepared[0].clean(raw), prepared[0].bold().data, atol=1e-3)


def test_hcp_without_a_mask_or_with_other_motion_files(tmp_path: Path) -> None:
    root = write_hcp(tmp_path / "hcp", ("100307",))
    folder = root / "100307/MNINonLinear/Results/rfMRI_REST1_LR"
    (folder / "brainmask_fs.2.nii.gz").unlink()
    (folder / "Movement_Regressors.txt").write_text("1 2 3\n4 5 6\n")
    run = find_runs(root, tasks=["REST1"])[0]
    assert run.mask is None
    with pytest.raises(DataError, match="3 columns; head motion of HCP has 6, or 12 with deriv"):
        read_confounds(folder / "Movement_Regressors.txt", ["trans_x"])


@pytest.mark.parametrize("former", [False, True])
def test_cnp(tmp_path: Path, former: bool) -> None:
    root = write_cnp(tmp_path / "cnp", former=former)
    for place in (root, root / "derivatives" / "fmriprep"):
        runs = find_runs(place, tasks=["rest"])
        assert [run.label for run in runs] == ["sub-10159_task-rest", "sub-50004_task-rest"]
        assert all("preproc" in run.bold.name for run in runs)
        assert all(run.mask is not None and run.confounds is not None for run in runs)
        assert {run.space for run in runs} == {"MNI152NLin2009cAsym"}
        assert {run.tr_s for run in runs} == {2} or place != root
    names = ("X", "Y", "RotX") if former else ("motion:basic",)
    clean = CleanConfig(confounds=names)
    runs = find_runs(root)
    assert [run.n_dummy for run in runs] == ([1, 1] if former else [0, 0])
    prepare(runs, tmp_path / "store", PrepareConfig(clean=clean, mask_over="all"))
    for number, prepared in enumerate(read_store(tmp_path / "store")):
        np.testing.assert_array_equal(prepared.mask.inside, mask_array())
        raw = bold_array(number + 5)[mask_array()].T[int(former) :]
        np.testing.assert_allclose(prepared.clean(raw), prepared.bold().data, atol=1e-3)
        assert prepared.confounds_used.shape[1] == (3 if former else 6)


def test_former_names_of_fmriprep_are_read_as_present_ones() -> None:
    name = BidsName.of(Path("sub-1_task-rest_bold_space-T1w_preproc.nii.gz"))
    assert (name.suffix, name.entities["desc"], name.space) == ("bold", "preproc", "T1w")
    raw = BidsName.of(Path("sub-1_task-rest_bold.nii.gz"))
    assert (raw.suffix, "desc" in raw.entities) == ("bold", False)
    other = BidsName.of(Path("sub-1_task-rest_desc-brain_mask.nii.gz"))
    assert (other.suffix, other.entities["desc"]) == ("mask", "brain")


def test_film_study(tmp_path: Path) -> None:
    root = write_film_study(tmp_path / "ds003688")
    film = root / "stimuli" / "film.mp4"
    film.write_bytes(b"film")
    runs = find_runs(root, tasks=["film"], films={"film": film})
    assert [run.label for run in runs] == [
        "sub-01_ses-mri3t_task-film_run-1",
        "sub-02_ses-mri3t_task-film_run-1",
    ]
    assert {(run.tr_s, run.film, run.film_start_s) for run in runs} == {
        (Fraction("0.608"), film, 0)
    }
    assert {(run.mask, run.events) for run in runs} == {(None, None)}
    assert len(find_runs(root)) == 4
    # People's native spaces are brought to one grid.
    grid = GridConfig(voxel_mm=4)
    mask = tmp_path / "mask.nii.gz"
    save(mask, mask_array().astype(np.uint8))
    prepare(runs, tmp_path / "store", PrepareConfig(grid=grid, mask=mask))
    prepared = read_store(tmp_path / "store")
    assert {item.mask.grid for item in prepared} == {(4, 4, 3)}
    assert prepared[0].film == film.resolve()
    assert (prepared[0].grid.tr_s, prepared[0].grid.n_trs) == (Fraction("0.608"), N_TRS)
    np.testing.assert_allclose(np.linalg.norm(prepared[0].mask.affine[:3, :3], axis=0), 4)
    assert AFFINE[0, 0] < 0 > prepared[0].mask.affine[0, 0]
