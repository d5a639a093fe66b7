"""Confound columns by name, pattern or fMRIPrep group."""

from __future__ import annotations

import fnmatch
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from nilearn.interfaces.fmriprep import load_confounds

from brainreel.errors import DataError, did_you_mean
from brainreel.files import require_file

# Group of nilearn.interfaces.fmriprep -> the option that a ":variant" sets, or none.
_GROUPS = {
    "motion": "motion",
    "wm_csf": "wm_csf",
    "global_signal": "global_signal",
    "compcor": "compcor",
    "high_pass": "",
    "ica_aroma": "ica_aroma",
}
_TABLE = "desc-confounds_timeseries.tsv"
# The columns of HCP's Movement_Regressors.txt, which has no header, under fMRIPrep's names.
_MOTION = tuple(f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz")
_HCP = (*_MOTION, *(f"{name}_derivative1" for name in _MOTION))


def read_confounds(path: Path, wanted: Sequence[str]) -> pd.DataFrame:
    """Return the wanted confounds of a run, (T, K), each column once.

    A derivative has no value in the first row; it gets the second row's, as nilearn does.

    Parameters
    ----------
    path
        Table with a header and one row per volume (`*_desc-confounds_timeseries.tsv`), or the
        Human Connectome Project's `Movement_Regressors.txt`.
    wanted
        Column names; patterns (`trans_*`, `a_comp_cor_0[0-4]`); or fMRIPrep groups, with a
        variant of nilearn's after a colon (`motion:basic`, `compcor:temporal`).

    Raises
    ------
    DataError
        Naming what is not there, or the column and row that hold no number.
    """
    path = require_file(path, "table of confounds")
    try:
        if path.name.startswith("Movement_Regressors"):
            table = _motion_of_hcp(path)
        else:
            table = pd.read_csv(path, sep="\t", na_values=["n/a"])
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as problem:
        raise DataError(f"{path}: not a table of confounds parted by tabs.") from problem
    columns: dict[str, pd.Series] = {}
    for name in wanted:
        for column, values in _chosen(path, table, name).items():
            columns[str(column)] = values
    chosen = pd.DataFrame(columns, index=table.index)
    return _filled(path, chosen)


def _motion_of_hcp(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path, sep=r"\s+", header=None)
    if table.shape[1] not in (len(_MOTION), len(_HCP)):
        raise DataError(
            f"{path}: {table.shape[1]} columns; head motion of HCP has 6, or 12 with derivatives. "
            "Give a table of confounds with a header (.tsv)."
        )
    return table.set_axis(list(_HCP[: table.shape[1]]), axis="columns")


def _chosen(path: Path, table: pd.DataFrame, name: str) -> pd.DataFrame:
    group, _, variant = name.partition(":")
    if name in table.columns:
        return table[[name]]
    if group in _GROUPS:
        return _group(path, group, variant)
    matched = [str(column) for column in table.columns if fnmatch.fnmatchcase(str(column), name)]
    if not matched:
        if group == "scrub":
            raise DataError(
                f"{path}: 'scrub' would cut volumes out and break the clock. Use spike columns "
                "such as motion_outlier* instead."
            )
        near = did_you_mean(name, [*map(str, table.columns), *_GROUPS])
        raise DataError(f"{path}: no confound '{name}'.{near}")
    return table[matched]


def _group(path: Path, group: str, variant: str) -> pd.DataFrame:
    """Ask nilearn for a group; it looks beside an image, of which only the name matters."""
    if not path.name.endswith(_TABLE):
        raise DataError(
            f"{path}: the group '{group}' needs fMRIPrep's *_{_TABLE}. Name the columns instead."
        )
    image = path.with_name(path.name.replace(_TABLE, "space-T1w_desc-preproc_bold.nii.gz"))
    options = {_GROUPS[group]: variant} if variant and _GROUPS[group] else {}
    # CompCor is computed after fMRIPrep's cosine filter; without those columns it is undone.
    strategy = (group, "high_pass") if group == "compcor" else (group,)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about non-steady volumes, which n_dummy drops
            found, _ = load_confounds(str(image), strategy=strategy, demean=False, **options)
    except (ValueError, KeyError) as problem:
        told = " ".join(str(problem).split()).rstrip(".")
        raise DataError(f"{path}: the confounds '{group}' cannot be had ({told}).") from problem
    table: pd.DataFrame = found
    return table


def _filled(path: Path, chosen: pd.DataFrame) -> pd.DataFrame:
    for column in chosen.columns:
        if not pd.api.types.is_numeric_dtype(chosen[column]):
            raise DataError(f"{path}: the confound '{column}' holds text, not numbers.")
    values = chosen.to_numpy(np.float64, copy=True)
    if len(values) > 1:
        values[0] = np.where(np.isnan(values[0]), values[1], values[0])
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = bad[0]
        raise DataError(
            f"{path}: the confound '{chosen.columns[column]}' has no number in row {row + 1}. "
            "Fill it, or leave that column out."
        )
    return pd.DataFrame(values, columns=chosen.columns)


def count_non_steady(path: Path) -> int:
    """Return how many volumes fMRIPrep marks as not yet steady at the head of the run."""
    marks = ("non_steady_state_outlier", "NonSteadyStateOutlier")
    with require_file(path, "table of confounds").open(encoding="utf-8") as file:
        header = file.readline()
    return sum(name.startswith(marks) for name in header.split("\t"))
