"""Small runs on disk, and a BIDS study beside fMRIPrep's results."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

GRID, N_TRS, TR_S = (5, 6, 4), 60, 1.5
AFFINE = np.array([[-3.0, 0, 0, 6], [0, 3, 0, -9], [0, 0, 3, -4], [0, 0, 0, 1]])


def bold_array(seed: int = 0, n_trs: int = N_TRS, grid: tuple[int, ...] = GRID) -> np.ndarray:
    """(X, Y, Z, T) noise with a drift and a level that differs between voxels."""
    rng = np.random.default_rng(seed)
    level = rng.uniform(500, 1500, (*grid, 1))
    drift = rng.normal(0, 20, (*grid, 1)) * np.linspace(-1, 1, n_trs)
    return (level + drift + rng.normal(0, 10, (*grid, n_trs))).astype(np.float32)


def mask_array(grid: tuple[int, ...] = GRID) -> np.ndarray:
    inside = np.zeros(grid, bool)
    inside[1:4, 1:5, 1:3] = True
    return inside


def save(path: Path, values: np.ndarray, tr_s: float | None = TR_S) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(values, AFFINE)
    image.header.set_xyzt_units("mm", "sec")
    if values.ndim == 4 and tr_s is not None:
        image.header["pixdim"][4] = tr_s
    nib.save(image, path)
    return path


def confound_table(n_trs: int = N_TRS, seed: int = 5) -> pd.DataFrame:
    """fMRIPrep's motion columns with the empty first row of derivatives, and two others."""
    rng = np.random.default_rng(seed)
    table = {}
    for name in ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"):
        values = np.cumsum(rng.normal(0, 0.05, n_trs))
        derivative = np.r_[np.nan, np.diff(values)]
        table |= {
            name: values,
            f"{name}_derivative1": derivative,
            f"{name}_power2": values**2,
            f"{name}_derivative1_power2": derivative**2,
        }
    table["csf"] = rng.normal(size=n_trs)
    table["white_matter"] = rng.normal(size=n_trs)
    return pd.DataFrame(table)


def write_table(path: Path, table: pd.DataFrame) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")
    return path


@pytest.fixture
def bold_file(tmp_path: Path) -> Path:
    return save(tmp_path / "run_bold.nii.gz", bold_array())


@pytest.fixture
def mask_file(tmp_path: Path) -> Path:
    return save(tmp_path / "run_mask.nii.gz", mask_array().astype(np.uint8))


@pytest.fixture
def confounds_file(tmp_path: Path) -> Path:
    return write_table(
        tmp_path / "sub-01_task-film_desc-confounds_timeseries.tsv", confound_table()
    )


@pytest.fixture
def cut() -> Callable[[Path], Path]:
    """Cut a file to two thirds of its bytes."""

    def cut_file(path: Path) -> Path:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) * 2 // 3])
        return path

    return cut_file


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two people, a film in two runs and a picture task; results of fMRIPrep in one space."""
    root = tmp_path / "study"
    results = root / "derivatives" / "fmriprep"
    for folder, kind in ((root, "raw"), (results, "derivative")):
        folder.mkdir(parents=True)
        described = {"Name": "study", "BIDSVersion": "1.9.0", "DatasetType": kind}
        (folder / "dataset_description.json").write_text(json.dumps(described))
    (root / "stimuli").mkdir()
    (root / "stimuli" / "cartoon.mp4").write_bytes(b"film")
    (root / "task-film_bold.json").write_text(json.dumps({"RepetitionTime": TR_S}))
    for number, subject in enumerate(("01", "02")):
        for run in ("1", "2"):
            name = f"sub-{subject}_task-film_run-{run}"
            _add_run(root, results, subject, name, seed=10 * number + int(run))
    return root


def _add_run(root: Path, results: Path, subject: str, name: str, seed: int) -> None:
    raw = root / f"sub-{subject}" / "func"
    made = results / f"sub-{subject}" / "func"
    save(raw / f"{name}_bold.nii.gz", bold_array(seed))
    events = {"onset": [6.5], "duration": [75], "trial_type": "film", "stim_file": "cartoon.mp4"}
    write_table(raw / f"{name}_events.tsv", pd.DataFrame(events))
    space = f"{name}_space-MNI152NLin2009cAsym"
    save(made / f"{space}_desc-preproc_bold.nii.gz", bold_array(seed))
    save(made / f"{space}_desc-brain_mask.nii.gz", mask_array().astype(np.uint8))
    write_table(made / f"{name}_desc-confounds_timeseries.tsv", confound_table(seed=seed))
    corrected = {"SliceTimingCorrected": True, "StartTime": 0.75, "RepetitionTime": TR_S}
    (made / f"{space}_desc-preproc_bold.json").write_text(json.dumps(corrected))


@pytest.fixture
def two_member_gzip(tmp_path: Path) -> Path:
    """The bytes of `bold_array()` as a gzip file of two members."""
    plain = save(tmp_path / "plain_bold.nii", bold_array()).read_bytes()
    path = tmp_path / "members_bold.nii.gz"
    path.write_bytes(gzip.compress(plain[:1000]) + gzip.compress(plain[1000:]))
    return path
