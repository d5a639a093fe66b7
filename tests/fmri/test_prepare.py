import errno
import json
import os
import signal
import subprocess
import sys
from fractions import Fraction
from io import StringIO
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from nilearn.glm.first_level.design_matrix import create_cosine_drift
from nilearn.masking import apply_mask
from nilearn.signal import clean as nilearn_clean
from rich.console import Console

from brainreel.errors import DataError, OutputError
from brainreel.files import digest_file
from brainreel.fmri import make
from brainreel.fmri.bids import Run, find_runs
from brainreel.fmri.columns import change_columns
from brainreel.fmri.normalize import CleanConfig, Moments
from brainreel.fmri.prepare import PrepareConfig, prepare, read_run, read_store

from .conftest import GRID, N_TRS, TR_S, bold_array, confound_table, mask_array, save, write_table

MOTION = PrepareConfig(clean=CleanConfig(confounds=("motion",)))


def state(store: Path) -> dict[str, int]:
    """Every file of a store with its time of change."""
    return {str(p.relative_to(store)): p.stat().st_mtime_ns for p in store.rglob("*")}


@pytest.fixture
def runs(study) -> list[Run]:
    return find_runs(study)


@pytest.fixture
def store(tmp_path) -> Path:
    return tmp_path / "store"


def one(path: Path, mask: Path | None = None, **facts) -> Run:
    return Run.single(path, mask=mask, **facts)


def test_prepared_equals_nilearn(runs, store):
    prepare(runs, store, MOTION)
    drifts = create_cosine_drift(1 / 128, np.arange(N_TRS) * TR_S)[:, :-1]
    for run, prepared in zip(runs, read_store(store), strict=True):
        confounds = pd.read_csv(run.confounds, sep="\t").drop(columns=["csf", "white_matter"])
        expected = nilearn_clean(
            apply_mask(str(run.bold), str(run.mask)),
            standardize=None,
            filter=False,
            # Given as confounds: nilearn drops its own cosines if a confound resembles one.
            confounds=[confounds.bfill(limit=1).to_numpy(), drifts],
            t_r=TR_S,
        )
        data = prepared.bold().data
        assert isinstance(data, np.memmap)
        assert data.dtype == np.float32
        np.testing.assert_allclose(data, expected, atol=2e-3)
        assert data.std() > 3


def test_what_a_prepared_run_tells(runs, store, study):
    prepare(runs, store, MOTION)
    prepared = read_store(store, subjects=["02"])[1]
    run = runs[3]
    assert (prepared.label, prepared.subject, prepared.key, prepared.task) == (
        run.label,
        "sub-02",
        "task-film_run-2",
        "film",
    )
    assert (prepared.film, prepared.events) == (run.film.resolve(), run.events.resolve())
    # Volume 0 begins 6.5 s before the film; slices were brought to 0.75 s into each TR.
    assert prepared.grid.first_s == Fraction(3, 4) - Fraction(13, 2)
    assert (prepared.grid.n_trs, prepared.grid.tr_s) == (N_TRS, Fraction(3, 2))
    assert prepared.bold().grid == prepared.grid
    np.testing.assert_array_equal(prepared.mask.inside, mask_array())
    assert prepared.mask.space == "MNI152NLin2009cAsym"
    assert prepared.clean_config == MOTION.clean
    assert prepared.confounds_used.shape == (N_TRS, 24)
    source = prepared.manifest["sources"]["bold"]
    assert source["sha256"] == digest_file(run.bold)
    assert set(prepared.manifest["versions"]) >= {"brainreel", "nilearn", "numpy", "python"}
    assert prepared.manifest["config"] == MOTION.to_dict()


def test_moments_and_reference_volume(runs, store):
    prepare(runs[:1], store)
    prepared = read_store(store)[0]
    exact = Moments.of([prepared.bold().data])
    np.testing.assert_allclose(prepared.moments.mean, exact.mean, atol=1e-6)
    np.testing.assert_allclose(prepared.moments.std, exact.std, rtol=1e-6)
    assert prepared.manifest["moments"]["global_std"] == pytest.approx(exact.global_std)
    expected = apply_mask(str(runs[0].bold), str(runs[0].mask)).mean(axis=0)
    np.testing.assert_allclose(prepared.raw_mean, expected, rtol=1e-5)


def test_a_known_truth_is_cleaned_like_the_data(runs, store):
    prepare(runs[:1], store, MOTION)
    prepared = read_store(store)[0]
    raw = apply_mask(str(runs[0].bold), str(runs[0].mask))
    np.testing.assert_allclose(prepared.clean(raw), prepared.bold().data, atol=1e-3)


def test_without_confounds(bold_file, mask_file, store):
    prepare([one(bold_file, mask_file)], store)
    prepared = read_store(store)[0]
    assert prepared.confounds_used.shape == (N_TRS, 0)
    raw = bold_array()[mask_array()].T
    np.testing.assert_allclose(prepared.clean(raw), prepared.bold().data, atol=1e-3)


@pytest.mark.parametrize("columns", [1, 7, 24])
def test_groups_of_columns_do_not_show(runs, store, tmp_path, monkeypatch, columns):
    prepare(runs[:1], tmp_path / "whole", MOTION)
    monkeypatch.setattr("brainreel.fmri.columns._CHUNK_BYTES", 4 * N_TRS * columns)
    prepare(runs[:1], store, MOTION)
    whole, parts = (read_store(s)[0].bold().data for s in (tmp_path / "whole", store))
    np.testing.assert_allclose(parts, whole, atol=1e-4)


def test_dummies_move_the_clock_and_their_confounds_go(runs, store):
    config = MOTION.model_copy(update={"n_dummy": 4})
    prepare(runs[:1], store, config)
    prepared = read_store(store)[0]
    assert prepared.bold().data.shape[0] == N_TRS - 4 == prepared.grid.n_trs
    assert prepared.grid.first_s == 4 * Fraction(3, 2) + Fraction(3, 4) - Fraction(13, 2)
    raw = apply_mask(str(runs[0].bold), str(runs[0].mask))[4:]
    np.testing.assert_allclose(prepared.clean(raw), prepared.bold().data, atol=1e-3)
    table = confound_table(seed=1)["trans_x"].to_numpy()[4:]
    np.testing.assert_allclose(prepared.confounds_used["trans_x"], table)


def test_dummies_over_several_blocks(bold_file, mask_file, store, monkeypatch):
    monkeypatch.setitem(make.read_volumes.__kwdefaults__, "block_bytes", 3 * 480)
    prepare([one(bold_file, mask_file, n_dummy=7)], store)
    prepared = read_store(store)[0]
    raw = bold_array()[mask_array()].T[7:]
    np.testing.assert_allclose(prepared.clean(raw), prepared.bold().data, atol=1e-3)


def test_a_second_call_does_nothing(runs, store):
    folders = prepare(runs, store, MOTION)
    before = state(store)
    assert prepare(runs, store, MOTION) == folders
    assert state(store) == before


def test_a_changed_option_makes_new_files_beside_the_old(runs, store):
    old = prepare(runs, store, MOTION)
    before = state(store)
    new = prepare(runs, store, PrepareConfig())
    assert not set(old) & set(new)
    after = state(store)
    assert all(after[name] == when for name, when in before.items() if "/" in name)
    assert [run.folder for run in read_store(store)] == new
    chosen = read_store(store, config_digest=MOTION.options_digest()[:8])
    assert [run.folder for run in chosen] == old


@pytest.mark.parametrize(
    "change", [{"film_start_s": Fraction(1)}, {"n_dummy": 1}, {"slice_time_s": Fraction(1, 2)}]
)
def test_another_clock_makes_a_new_file(bold_file, mask_file, store, change):
    run = one(bold_file, mask_file)
    assert prepare([run], store) != prepare([Run(**{**vars(run), **change})], store)


def test_a_run_is_read_once_though_it_was_prepared_by_two_clocks(bold_file, mask_file, store):
    prepare([one(bold_file, mask_file)], store)
    prepare([one(bold_file, mask_file, film_start_s=1)], store)
    digest = PrepareConfig().options_digest()
    assert [run.grid.first_s for run in read_store(store, config_digest=digest)] == [-1]
    prepare([one(bold_file, mask_file)], store, PrepareConfig(n_dummy=1))
    with pytest.raises(DataError, match="was prepared several times with these options"):
        read_store(store, config_digest=digest)


def test_a_changed_source_is_prepared_again(bold_file, mask_file, store):
    run = one(bold_file, mask_file)
    (folder,) = prepare([run], store)
    first = read_run(folder).bold().data.copy()
    os.utime(bold_file)  # touched, not changed
    before = state(store)
    prepare([run], store)
    assert state(store) == before
    save(bold_file, bold_array(seed=9))
    assert prepare([run], store) == [folder]
    assert np.abs(read_run(folder).bold().data - first).max() > 1


def test_a_moved_source_is_found_without_preparing_again(bold_file, mask_file, store, tmp_path):
    film = tmp_path / "film.mp4"
    film.write_bytes(b"film")
    run = one(bold_file, mask_file, film=film)
    (folder,) = prepare([run], store)
    made = (folder / "bold.npy").stat().st_mtime_ns
    (tmp_path / "other").mkdir()
    moved = film.rename(tmp_path / "other" / "film.mp4")
    prepare([Run(**{**vars(run), "film": moved})], store)
    assert read_run(folder).film == moved.resolve()
    assert (folder / "bold.npy").stat().st_mtime_ns == made


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_in_parallel_as_in_line(runs, store, tmp_path, backend):
    prepare(runs, tmp_path / "line", MOTION)
    prepare(runs, store, MOTION, n_jobs=2, backend=backend)
    for line, together in zip(read_store(tmp_path / "line"), read_store(store), strict=True):
        np.testing.assert_allclose(together.bold().data, line.bold().data, atol=1e-4)


def test_the_backend_may_come_from_outside(runs, store):
    with joblib.parallel_config(backend="threading", n_jobs=2):
        assert len(prepare(runs, store, n_jobs=None)) == 4


def test_progress_is_shown_on_request(runs, store, capsys):
    console = Console(file=StringIO(), width=100)
    prepare(runs, store, progress=console)
    assert "4/4 runs" in console.file.getvalue()
    prepare(runs, store, MOTION)
    assert capsys.readouterr() == ("", "")


KILLED_IN_THE_SECOND_RUN = """
import os, signal, sys
from pathlib import Path
from brainreel.fmri import make
from brainreel.fmri.bids import find_runs
from brainreel.fmri.prepare import prepare

usual = make.change_columns
def change_columns(path, *rest):
    if "run-2" in path.parent.name:
        usual(path, *rest)
        os.kill(os.getpid(), signal.SIGKILL)
    usual(path, *rest)
make.change_columns = change_columns
prepare(find_runs(Path(sys.argv[1])), Path(sys.argv[2]))
"""


def test_killed_half_way_it_finishes_what_is_missing(study, runs, store, tmp_path):
    command = [sys.executable, "-c", KILLED_IN_THE_SECOND_RUN, str(study), str(store)]
    killed = subprocess.run(command, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    left = [path for path in store.iterdir() if path.name.startswith(".")]
    assert [path.name[10:].split("_")[0] for path in left] == ["sub-01"]
    (whole,) = store.glob("sub-*")
    before = state(whole)
    folders = prepare(runs, store)
    assert folders[0] == whole
    assert state(whole) == before
    assert sorted(p.name for p in store.iterdir() if p.is_dir()) == sorted(f.name for f in folders)
    undisturbed = prepare(runs, tmp_path / "undisturbed")
    for one_folder, other in zip(folders, undisturbed, strict=True):
        assert digest_file(one_folder / "bold.npy") == digest_file(other / "bold.npy")


def full_disk(*arguments, **options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("step", ["write_rows", "change_columns", "save_volume", "write_json"])
def test_a_full_disk_leaves_nothing_half_written(runs, store, monkeypatch, step):
    prepare(runs[:1], store)
    before = state(store)
    monkeypatch.setattr(make, step, full_disk)
    with pytest.raises(OutputError, match="cannot be written .No space left on device"):
        prepare(runs[:2], store)
    assert state(store).keys() == before.keys() | {".lock"}
    monkeypatch.undo()
    assert len(prepare(runs[:2], store)) == 2


def test_one_bad_run_does_not_stop_the_others(runs, store, cut):
    cut(runs[1].bold)
    with pytest.raises(DataError, match=r"run-2_space-.*truncated"):
        prepare(runs, store)
    assert [run.label for run in read_store(store)] == [runs[i].label for i in (0, 2, 3)]
    assert len(list(store.glob("*sub-*"))) == 3
    cut(runs[0].bold)
    with pytest.raises(DataError, match="2 of 4 runs could not be prepared; the first: "):
        prepare(runs, store, MOTION)


def test_masks_of_one_person_are_intersected(runs, store, tmp_path):
    smaller = mask_array()
    smaller[1] = False
    save(runs[1].mask, smaller.astype(np.uint8))
    kept = {}
    for over in ("run", "subject", "all"):
        prepare(runs, tmp_path / over, PrepareConfig(mask_over=over))
        kept[over] = [run.n_voxels for run in read_store(tmp_path / over)]
    assert kept == {"run": [24, 16, 24, 24], "subject": [16, 16, 24, 24], "all": [16] * 4}


def test_a_mask_for_all_and_masks_that_do_not_meet(runs, store, tmp_path):
    single = np.zeros(GRID, np.uint8)
    single[2, 2, 2] = 1
    path = save(tmp_path / "roi.nii.gz", single)
    prepare(runs, store, PrepareConfig(mask=path))
    assert {run.n_voxels for run in read_store(store)} == {1}
    save(runs[0].mask, 1 - mask_array().astype(np.uint8))
    with pytest.raises(DataError, match="sub-01_task-film_run-1 and 1 more runs: their masks have"):
        prepare(runs, store)


def test_the_brain_is_found_where_no_mask_is_given(tmp_path, store):
    grid = (16, 18, 14)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in grid), indexing="ij")
    brain = sum(axis**2 for axis in axes) < 0.6
    values = bold_array(n_trs=30, grid=grid) * np.where(brain, 1.0, 0.05)[..., None]
    run = one(save(tmp_path / "b.nii.gz", values.astype(np.float32)))
    prepare([run], store)
    found = read_store(store)[0].mask.inside
    assert (found & brain).sum() / (found | brain).sum() > 0.7
    nothing = one(save(tmp_path / "n.nii.gz", np.zeros((*grid, 5), np.float32)))
    with pytest.raises(DataError, match=r"to be seen in its volumes\. Give one: mask=PATH"):
        prepare([nothing], store)


def test_voxels_without_variance_are_zero_and_counted(tmp_path, mask_file, store):
    values = bold_array()
    values[2, 2, 1] = 0.1
    values[2, 3, 1] = 1e4 + np.linspace(-1, 1, N_TRS)  # all of it is trend
    prepare([one(save(tmp_path / "c.nii.gz", values), mask_file)], store)
    prepared = read_store(store)[0]
    still = np.zeros(GRID, bool)
    still[2, 2:4, 1] = True
    columns = still[mask_array()]
    assert prepared.n_constant == 2
    assert not prepared.bold().data[:, columns].any()
    np.testing.assert_array_equal(prepared.moments.std == 0, columns)


def test_nan_and_inf_are_refused_by_name_or_set_to_zero(tmp_path, mask_file, store):
    values = bold_array()
    values[2, 2, 1, 5], values[3, 1, 2, 0], values[0, 0, 0, 0] = np.nan, np.inf, np.nan
    run = one(save(tmp_path / "nan.nii.gz", values), mask_file)
    match = r"nan\.nii\.gz: 2 voxels in the mask hold NaN or infinite .* first at \(2, 2, 1\)"
    with pytest.raises(DataError, match=match):
        prepare([run], store)
    assert not store.exists()
    prepare([run], store, PrepareConfig(nonfinite="zero"))
    prepared = read_store(store)[0]
    assert np.isfinite(prepared.bold().data).all()
    assert (prepared.manifest["n_nonfinite"], prepared.n_constant) == (2, 2)
    prepare([run], store, PrepareConfig(nonfinite="zero", clean={"smoothing_mm": 4.0}))
    assert read_store(store)[0].n_constant == 2


def test_headers_and_masks_are_checked_before_any_work(runs, store, tmp_path):
    save(runs[3].bold, bold_array(), tr_s=2.0)
    with pytest.raises(DataError, match="header says a TR of 2 s, the sidecar 1.5 s"):
        prepare(runs, store)
    assert not store.exists()
    prepare(runs, store, PrepareConfig(tr_s=1.25))
    assert {run.grid.tr_s for run in read_store(store)} == {Fraction(5, 4)}
    save(runs[3].bold, bold_array(grid=(5, 6, 5)))
    with pytest.raises(DataError, match=r"volumes are \(5, 6, 5\), the mask .* is \(5, 6, 4\)"):
        prepare(runs, store)
    empty = save(tmp_path / "0.nii.gz", np.zeros(GRID, np.uint8))
    with pytest.raises(DataError, match=r"0\.nii\.gz: the mask is all zero"):
        prepare(runs, store, PrepareConfig(mask=empty))


def test_confounds_that_do_not_fit(runs, bold_file, mask_file, store):
    with pytest.raises(DataError, match="sub-01_task-film: no table of confounds, and motion"):
        prepare([one(bold_file, mask_file)], store, MOTION)
    write_table(runs[0].confounds, confound_table(n_trs=50))
    with pytest.raises(DataError, match="50 rows, the run has 60 volumes"):
        prepare(runs[:1], store, MOTION)


def test_calls_that_cannot_be_meant(runs, store, tmp_path):
    with pytest.raises(DataError, match="no runs were given"):
        prepare([], store)
    with pytest.raises(DataError, match="the run sub-01_task-film_run-1 was given twice"):
        prepare([runs[0], runs[0]], store)
    with pytest.raises(DataError, match="60 volumes less 59 dummies leave too few"):
        prepare(runs, store, PrepareConfig(n_dummy=59))
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.doc").touch()
    with pytest.raises(OutputError, match="already in use"):
        prepare(runs, tmp_path / "used")


def test_stores_that_cannot_be_read(runs, store, tmp_path):
    with pytest.raises(DataError, match="no prepared runs here"):
        read_store(tmp_path)
    prepare(runs[:2], store)
    with pytest.raises(DataError, match="no prepared run of task-rest. Known: film. Change tasks."):
        read_store(store, tasks=["rest"])
    (folder,) = prepare(runs[:1], store, MOTION)
    with pytest.raises(DataError, match="were prepared with different options"):
        read_store(store)
    facts = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**facts, "format": 0}))
    with pytest.raises(DataError, match="not a run of this version"):
        read_store(store)


def test_a_row_written_in_part_is_an_error(tmp_path, monkeypatch):
    make.write_rows(tmp_path / "x.npy", [np.zeros((3, 2), np.float32)], 3, 2)
    monkeypatch.setattr(os, "pwrite", lambda *_: 1)
    with pytest.raises(OSError, match="only be read or written in part"):
        change_columns(tmp_path / "x.npy", 3, 2, lambda _, x: x)
