from __future__ import annotations

from fractions import Fraction

import av
import nibabel as nib
import numpy as np
import pytest

from brainreel.data.catalog import DataConfig
from brainreel.data.films import FilmsData
from brainreel.data.samples import Segment
from brainreel.errors import AlignmentError, DataError, LeakError
from brainreel.files import digest_file
from brainreel.fmri.bids import Run
from brainreel.fmri.prepare import PrepareConfig, prepare

TR_S, FILM_S, FILM_START_S = 2, 40, 4
N_TRS = (FILM_START_S + FILM_S) // TR_S


def write_film(path, seconds, level):
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 32
        for i in range(5 * seconds):
            pixels = np.full((32, 32, 3), (level + i) % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def write_bold(path, seed, n_trs=N_TRS):
    values = 100 + np.random.default_rng(seed).standard_normal((3, 3, 2, n_trs))
    image = nib.Nifti1Image(values.astype(np.float32), np.diag([3.0, 3.0, 3.0, 1.0]))
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((3, 3, 3, TR_S))
    nib.save(image, path)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two people who watched two films; anna watched the first twice."""
    root = tmp_path_factory.mktemp("study")
    mask = write_mask(root / "mask.nii.gz", 17)
    for i, name in enumerate(["cartoon", "drama"]):
        write_film(root / f"{name}.mp4", FILM_S, 60 * i)
    runs = []
    plan = [("anna", "cartoon", "1"), ("anna", "cartoon", "2"), ("anna", "drama", ""),
            ("bert", "cartoon", "1"), ("bert", "drama", "")]  # fmt: skip
    for seed, (who, film, run) in enumerate(plan):
        bold = root / f"{who}_{film}{run}.nii.gz"
        write_bold(bold, seed)
        events = bold.with_suffix("").with_suffix(".tsv")
        kind = "speech" if film == "drama" else "music"
        rows = f"{FILM_START_S}\t10\t{kind}\n{FILM_START_S + 20}\t4\tcut\n"
        events.write_text("onset\tduration\ttrial_type\n" + rows)
        runs.append(Run.single(
            bold, root / f"{film}.mp4", subject=who, task=film, run=run, mask=mask,
            events=events, film_start_s=FILM_START_S,
        ))  # fmt: skip
    prepare(runs, root / "store")
    return root, runs


def films(study, **options):
    return FilmsData.parse({"path": study[0] / "store", **options})


def test_runs_become_recordings_on_the_films_clock(study):
    series = films(study).open()
    assert series.subjects == ("sub-anna", "sub-bert")
    assert [recording.stimulus for recording in series.recordings].count("cartoon") == 3
    first = series.recordings[0]
    assert first.label == "sub-anna task-cartoon_run-1"
    assert first.film == (study[0] / "cartoon.mp4").resolve()
    assert first.film_digest == digest_file(study[0] / "cartoon.mp4")
    assert first.bold.grid.first_s == -FILM_START_S
    assert first.bold.data.shape == (N_TRS, 17)
    assert first.bold.mask.n_voxels == 17
    assert isinstance(first.bold.data, np.memmap)
    assert series.sources["cartoon.mp4"] == first.film_digest
    assert series.sources["sub-bert_task-drama bold"] == digest_file(study[1][4].bold)


def test_the_last_film_is_held_out_unless_said_otherwise(study):
    series = films(study).open()
    (fold,) = series.folds
    assert {series.recordings[s.recording].stimulus for s in fold.test} == {"drama"}
    assert {series.recordings[s.recording].stimulus for s in fold.train} == {"cartoon"}
    assert fold.test[0] == Segment(fold.test[0].recording, 0, N_TRS)


def test_people_and_tasks_are_chosen(study):
    series = films(study, subjects=["sub-bert"], splits=[{"name": "time", "gap_s": 4}]).open()
    assert [r.label for r in series.recordings] == [
        "sub-bert task-cartoon_run-1",
        "sub-bert task-drama",
    ]
    series = films(study, tasks=["drama"], splits=[{"name": "hold_out_subject"}]).open()
    assert [recording.subject for recording in series.recordings] == ["sub-anna", "sub-bert"]
    with pytest.raises(DataError, match="no prepared run of sub-carl. Known: anna, bert"):
        films(study, subjects=["carl"]).open()


def test_runs_without_a_film_are_left_out_unless_their_task_is_named(study, tmp_path):
    root, runs = study
    rest = root / "rest.nii.gz"
    write_bold(rest, 9)
    without = Run.single(rest, subject="anna", task="rest", mask=runs[0].mask)
    prepare([*runs, without], tmp_path / "store")
    series = FilmsData.parse({"path": tmp_path / "store"}).open()
    assert len(series.recordings) == len(runs)
    assert "1 of 6 runs were left out: they have no film." in series.notes
    named = {
        "path": tmp_path / "store",
        "tasks": ["rest"],
        "splits": [{"name": "time", "gap_s": 2}],
    }
    (recording,) = FilmsData.parse(named).open().recordings
    assert recording.film is None


def test_repeats_of_a_film_cannot_be_on_both_sides(study):
    series = films(study, splits=[{"name": "blocks", "n_folds": 3, "gap_s": 6}]).open()
    for fold in series.folds:
        tested = {
            (series.recordings[s.recording].stimulus, s.start_tr, s.stop_tr) for s in fold.test
        }
        assert len(tested) == 2
        assert len(fold.test) == 5


def test_a_copy_of_a_film_under_another_name_is_a_leak(study, tmp_path):
    root, runs = study
    copy = tmp_path / "copy.mp4"
    copy.write_bytes((root / "cartoon.mp4").read_bytes())
    twin = Run.single(
        runs[0].bold, copy, subject="anna", task="copy", mask=runs[0].mask, film_start_s=4
    )
    prepare([runs[0], twin], tmp_path / "store")
    with pytest.raises(LeakError, match="task-cartoon_run-1 .* task-copy .* of the same film"):
        FilmsData(path=tmp_path / "store").open()


def test_events_are_laid_on_the_films_clock(study):
    series = films(study, events=True).open()
    music, drama = series.recordings[0].features["events"], series.recordings[2].features["events"]
    # Columns: cut, music, speech. Volume 2 begins with the film.
    assert music.shape == (N_TRS, 3)
    assert np.flatnonzero(music[:, 0]).tolist() == [12, 13]
    assert np.flatnonzero(music[:, 1]).tolist() == [2, 3, 4, 5, 6]
    assert not music[:, 2].any()
    assert np.flatnonzero(drama[:, 2]).tolist() == [2, 3, 4, 5, 6]


def test_a_shift_moves_the_clock_and_the_events_and_is_noted(study):
    plain, moved = films(study, events=True).open(), films(study, events=True, shift_s=6).open()
    for before, after in zip(plain.recordings, moved.recordings, strict=True):
        assert after.bold.grid.first_s == before.bold.grid.first_s - 6
        shifted = after.features["events"]
        np.testing.assert_array_equal(shifted[3:], before.features["events"][:-3])
    assert moved.notes == ("Negative control: the film was shifted by 6 s.",)
    assert plain.notes == ()


def write_mask(path, n_inside):
    inside = np.zeros(18, np.uint8)
    inside[:n_inside] = 1
    nib.save(nib.Nifti1Image(inside.reshape(3, 3, 2), np.diag([3.0, 3.0, 3.0, 1.0])), path)
    return path


def one_run(tmp_path, *, n_trs=N_TRS, film_start_s=FILM_START_S, run="", n_inside=18, events=None):
    """Prepare one run of noise into a store, its mask for itself, and return the data."""
    film, bold = tmp_path / "film.mp4", tmp_path / f"bold{run}.nii.gz"
    if not film.exists():
        write_film(film, FILM_S, 0)
    write_bold(bold, 7, n_trs)
    mask = write_mask(tmp_path / f"mask{run}.nii.gz", n_inside)
    record = Run.single(bold, film, film_start_s=film_start_s, mask=mask, run=run, events=events)
    prepare([record], tmp_path / "store", PrepareConfig(mask_over="run"))
    return FilmsData.parse({"path": tmp_path / "store", "splits": [{"name": "time", "gap_s": 4}]})


@pytest.mark.parametrize(("n_trs", "told"), [
    (30, r"sub-01_task-film: film lasts 40\.0 s, 30 TRs of 2 s cover -4\.0 to 56\.0 s of it"),
    (15, r"cover -4\.0 to 26\.0 s of it\. Trim the film"),
])  # fmt: skip
def test_a_film_that_does_not_fit_the_scan_is_refused_or_trimmed(tmp_path, n_trs, told):
    data = one_run(tmp_path, n_trs=n_trs)
    with pytest.raises(AlignmentError, match=told):
        data.open()
    series = data.model_copy(update={"film_mismatch": "trim"}).open()
    bold = series.recordings[0].bold
    left_out = f"left out in 1 of 1 runs: {n_trs - bold.n_trs} each."
    assert series.notes == (f"TRs outside of the film were {left_out}",)
    assert bold.grid.first_s == 0
    assert bold.grid.stop_s == (Fraction(42) if n_trs == 30 else 26)
    assert bold.n_trs == bold.grid.n_trs == bold.data.shape[0]


def test_trimming_keeps_bold_and_events_together(tmp_path):
    events = tmp_path / "events.tsv"
    events.write_text("onset\tduration\ttrial_type\n10\t2\tcut\n")
    data = one_run(tmp_path, events=events).model_copy(update={"events": True})
    whole = data.open().recordings[0]
    trimmed = data.model_copy(update={"film_mismatch": "trim"}).open().recordings[0]
    np.testing.assert_array_equal(trimmed.bold.data, whole.bold.data[2:])
    np.testing.assert_array_equal(trimmed.features["events"], whole.features["events"][2:])
    assert trimmed.features["events"][3] == 1


def test_a_scan_without_its_film_is_named(tmp_path):
    data = one_run(tmp_path, film_start_s=100)
    with pytest.raises(AlignmentError, match=r"no TR lies in the film\. Mend the film"):
        data.model_copy(update={"film_mismatch": "trim"}).open()


def test_a_film_that_is_gone_or_changed_is_named(tmp_path):
    data = one_run(tmp_path)
    film = tmp_path / "film.mp4"
    whole = film.read_bytes()
    film.write_bytes(whole)
    assert data.open().recordings[0].film == film
    film.write_bytes(whole[:-1] + b"?")
    with pytest.raises(DataError, match=r"film\.mp4 was changed since\. Prepare the run again"):
        data.open()
    film.unlink()
    with pytest.raises(DataError, match=r"film\.mp4 is gone\. Put it back"):
        data.open()


def test_a_person_s_runs_must_have_the_same_voxels(tmp_path):
    one_run(tmp_path, run="1", n_inside=18)
    data = one_run(tmp_path, run="2", n_inside=17)
    with pytest.raises(DataError, match=r"run-1 and .*run-2 have different masks \(18 and 17"):
        data.open()


def test_events_must_be_there_to_be_used(tmp_path):
    data = one_run(tmp_path).model_copy(update={"events": True})
    with pytest.raises(DataError, match="sub-01_task-film: has no table of events"):
        data.open()


def test_a_missing_store_is_named(tmp_path):
    with pytest.raises(DataError, match="no prepared runs here. Make them with: brainreel prepare"):
        FilmsData(path=tmp_path).open()


def test_the_catalog_knows_all_kinds_by_name():
    assert {kind.model_fields["name"].default for kind in DataConfig.__origin__.__args__} == {
        "bold5000", "films", "god", "hcp_voxels", "labelled", "mixed", "people", "series", "trials",
    }  # fmt: skip
