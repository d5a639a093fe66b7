import json
import shutil
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest

from brainreel.errors import DataError
from brainreel.fmri.bids import Run, find_runs
from brainreel.fmri.names import BidsName

from .conftest import bold_array, confound_table, save, write_table


def func(study: Path, subject: str = "01") -> Path:
    return study / f"sub-{subject}" / "func"


def results(study: Path, subject: str = "01") -> Path:
    return study / "derivatives" / "fmriprep" / f"sub-{subject}" / "func"


def set_events(study: Path, run: str = "1", **columns) -> None:
    write_table(func(study) / f"sub-01_task-film_run-{run}_events.tsv", pd.DataFrame(columns))


def test_names_are_taken_apart():
    name = BidsName.of(Path("sub-01_ses-a_task-film_space-T1w_res-2_desc-preproc_bold.nii.gz"))
    assert (name.suffix, name.extension, name.space) == ("bold", ".nii.gz", "T1w:res-2")
    assert name.entities["ses"] == "a"
    film = BidsName.of(Path("task-cartoon.mp4"))
    assert (film.entities, film.suffix, film.extension) == ({"task": "cartoon"}, "", ".mp4")


def test_fmriprep_results_are_found_with_all_that_belongs_to_them(study):
    runs = find_runs(study)
    assert [run.label for run in runs] == [
        "sub-01_task-film_run-1",
        "sub-01_task-film_run-2",
        "sub-02_task-film_run-1",
        "sub-02_task-film_run-2",
    ]
    run = runs[1]
    assert (run.subject, run.task, run.run, run.key) == ("01", "film", "2", "task-film_run-2")
    assert run.space == "MNI152NLin2009cAsym"
    assert (
        run.bold.name == "sub-01_task-film_run-2_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
    )
    assert run.mask == results(study) / run.bold.name.replace("preproc_bold", "brain_mask")
    assert run.confounds == results(study) / "sub-01_task-film_run-2_desc-confounds_timeseries.tsv"
    assert run.events == func(study) / "sub-01_task-film_run-2_events.tsv"
    assert run.film == study / "stimuli" / "cartoon.mp4"
    assert run.film_start_s == Fraction(13, 2)
    assert (run.tr_s, run.slice_time_s, run.n_dummy) == (Fraction(3, 2), Fraction(3, 4), 0)


def test_the_results_folder_itself_finds_the_raw_data_above(study):
    assert find_runs(study / "derivatives" / "fmriprep") == find_runs(study)


def test_results_elsewhere(study, tmp_path):
    moved = shutil.move(study / "derivatives", tmp_path / "elsewhere")
    runs = find_runs(study, derivatives=Path(moved) / "fmriprep")
    assert all(run.mask is not None and run.film is not None for run in runs)
    with pytest.raises(DataError, match="no such folder of derivatives"):
        find_runs(study, derivatives=tmp_path / "nowhere")


def test_raw_images_on_request_or_where_there_is_nothing_else(study):
    raw = find_runs(study, derivatives="raw")
    assert [run.bold.parent for run in raw[:2]] == [func(study)] * 2
    assert {(run.mask, run.confounds, run.space) for run in raw} == {(None, None, "")}
    assert raw[0].film_start_s == Fraction(13, 2)
    shutil.rmtree(study / "derivatives")
    assert find_runs(study) == raw


def test_results_without_images_lend_their_confounds(study):
    for image in results(study).parents[1].rglob("*preproc_bold.nii.gz"):
        image.unlink()
    run = find_runs(study)[0]
    assert run.bold.parent == func(study)
    assert run.confounds is not None


def test_sidecars_inherit_and_the_nearest_wins(study):
    (study / "task-film_bold.json").write_text(json.dumps({"RepetitionTime": 9}))
    raw = {run.label: run.tr_s for run in find_runs(study, derivatives="raw")}
    assert set(raw.values()) == {9}
    (func(study) / "sub-01_task-film_run-2_bold.json").write_text('{"RepetitionTime": 0.608}')
    (func(study, "02") / "sub-02_bold.json").write_text('{"RepetitionTime": 2}')
    (study / "task-other_bold.json").write_text('{"RepetitionTime": 3}')
    raw = {
        run.label[4:].replace("task-film_", ""): run.tr_s
        for run in find_runs(study, derivatives="raw")
    }
    assert raw == {"01_run-1": 9, "01_run-2": Fraction(76, 125), "02_run-1": 2, "02_run-2": 2}


def test_without_a_sidecar_the_header_tells_the_tr(study):
    (study / "task-film_bold.json").unlink()
    assert find_runs(study, derivatives="raw")[0].tr_s == Fraction(3, 2)


@pytest.mark.parametrize("told", [0, -1.5, "two", True])
def test_a_sidecar_with_an_impossible_tr(study, told):
    (study / "task-film_bold.json").write_text(json.dumps({"RepetitionTime": told}))
    with pytest.raises(DataError, match="the sidecar's RepetitionTime is"):
        find_runs(study, derivatives="raw")


def test_choosing_people_and_tasks(study):
    save(func(study) / "sub-01_task-rest_bold.nii.gz", bold_array(n_trs=3))
    runs = find_runs(study, derivatives="raw", subjects=["sub-01"], tasks=["film"])
    assert {run.label[:16] for run in runs} == {"sub-01_task-film"}
    assert len(runs) == 2
    with pytest.raises(DataError, match=r"no run of sub-03. Known: 01, 02"):
        find_runs(study, subjects=["03"])
    with pytest.raises(DataError, match="no run of task-flim. Did you mean 'film'"):
        find_runs(study, tasks=["flim"])


def test_several_spaces_must_be_chosen_from(study):
    image = next(results(study).glob("*run-1*preproc_bold.nii.gz"))
    other = image.with_name(image.name.replace("MNI152NLin2009cAsym", "T1w_res-2"))
    shutil.copy(image, other)
    with pytest.raises(DataError, match="several spaces .MNI152NLin2009cAsym, T1w:res-2"):
        find_runs(study)
    assert [run.bold for run in find_runs(study, space="T1w")] == [other]
    assert len(find_runs(study, space="MNI152NLin2009cAsym")) == 4
    with pytest.raises(DataError, match="no image in the space 'T2w'"):
        find_runs(study, space="T2w")


def test_sessions_and_phase_directions_tell_runs_apart(tmp_path):
    folder = tmp_path / "bids" / "sub-1" / "ses-b" / "func"
    for direction in ("AP", "PA"):
        save(folder / f"sub-1_ses-b_task-film_dir-{direction}_bold.nii", bold_array(n_trs=3))
    write_table(folder / "sub-1_ses-b_task-film_events.tsv", pd.DataFrame({"onset": [1]}))
    runs = find_runs(tmp_path / "bids")
    assert [run.key for run in runs] == ["ses-b_task-film_dir-AP", "ses-b_task-film_dir-PA"]
    assert all(run.events is not None for run in runs)


def test_volumes_not_yet_steady_become_dummies(study):
    table = confound_table().assign(non_steady_state_outlier00=0.0)
    write_table(results(study) / "sub-01_task-film_run-1_desc-confounds_timeseries.tsv", table)
    assert [run.n_dummy for run in find_runs(study, subjects=["01"])] == [1, 0]


def test_film_of_the_task_where_events_name_none(study):
    set_events(study, onset=[3, 8], duration=[1, 2], trial_type=["fixation", "Movie"])
    assert find_runs(study)[0].film is None
    (study / "stimuli" / "task-film.mp4").write_bytes(b"")
    run = find_runs(study)[0]
    assert (run.film, run.film_start_s) == (study / "stimuli" / "task-film.mp4", 8)
    (study / "stimuli" / "task-film_run-1.mkv").write_bytes(b"")
    assert find_runs(study)[0].film == study / "stimuli" / "task-film_run-1.mkv"


def test_several_film_events_do_not_begin_at_0_in_silence(study):
    (study / "stimuli" / "task-film.mp4").write_bytes(b"")
    set_events(study, onset=[0, 40], duration=[40, 40], trial_type=["movie", "movie"])
    assert find_runs(study)[0].film_start_s == 0
    set_events(study, onset=[10, 40], duration=[30, 40], trial_type=["movie", "movie"])
    with pytest.raises(DataError, match="run-1: 2 events of type film, movie or video, the first"):
        find_runs(study)


def test_pictures_are_no_film_and_one_sound_is(study):
    set_events(study, onset=[0, 2], duration=[1, 1], stim_file=["a.png", "n/a"])
    assert find_runs(study)[0].film is None
    (study / "stimuli" / "story.wav").write_bytes(b"")
    set_events(study, onset=["1.5"], duration=[1], stim_file=["story.wav"])
    assert find_runs(study)[0].film == study / "stimuli" / "story.wav"
    set_events(study, onset=[0, 2], duration=[1, 1], stim_file=["story.wav", "story.wav"])
    assert find_runs(study)[0].film is None


def test_two_films_for_one_run(study):
    set_events(study, onset=[0, 40], duration=[40, 40], stim_file=["cartoon.mp4", "b.mp4"])
    with pytest.raises(DataError, match="run-1: two films for one run, cartoon.mp4 and b.mp4"):
        find_runs(study)
    set_events(study, onset=[0, 40], duration=[40, 40], stim_file=["cartoon.mp4"] * 2)
    with pytest.raises(DataError, match="cartoon.mp4 begins 2 times in one run"):
        find_runs(study)
    set_events(study, onset=[0], duration=[40])
    for ending in ("mp4", "mov"):
        (study / "stimuli" / f"task-film.{ending}").write_bytes(b"")
    with pytest.raises(DataError, match="two films for one run, task-film.mov and task-film.mp4"):
        find_runs(study)


def test_a_film_can_be_given_or_left_out(study):
    set_events(study, onset=[0, 40], duration=[4, 4], stim_file=["cartoon.mp4", "b.mp4"])
    (study / "stimuli" / "b.mp4").write_bytes(b"")
    given = find_runs(study, films={"film": study / "stimuli" / "b.mp4"})
    assert (given[0].film.name, given[0].film_start_s) == ("b.mp4", 40)
    without = find_runs(study, films={"film": None})[0]
    assert (without.film, without.film_start_s) == (None, 0)
    with pytest.raises(DataError, match="no such film"):
        find_runs(study, films={"film": study / "c.mp4"})
    with pytest.raises(DataError, match="task-flim, which no run has. Did you mean .film"):
        find_runs(study, films={"flim": study / "stimuli" / "b.mp4"})


def test_films_and_events_that_are_not_there(study):
    (study / "stimuli" / "cartoon.mp4").unlink()
    with pytest.raises(DataError, match="name the film cartoon.mp4, which is not in"):
        find_runs(study)
    set_events(study, duration=[4])
    with pytest.raises(DataError, match="no column 'onset'"):
        find_runs(study)
    set_events(study, onset=["soon"], stim_file=["cartoon.mp4"])
    (study / "stimuli" / "cartoon.mp4").write_bytes(b"")
    with pytest.raises(DataError, match="'soon' is not a number of seconds"):
        find_runs(study)


def test_folders_that_hold_no_runs(tmp_path):
    with pytest.raises(DataError, match="no such file or folder. Give a BIDS folder"):
        find_runs(tmp_path / "absent")
    with pytest.raises(DataError, match="no BOLD image"):
        find_runs(tmp_path)


def test_two_images_for_one_run(study):
    image = func(study) / "sub-01_task-film_run-1_bold.nii.gz"
    shutil.copy(image, func(study) / "sub-01_task-film_run-1_chunk-2_bold.nii.gz")
    with pytest.raises(DataError, match="sub-01_task-film_run-1: two images for one run"):
        find_runs(study, derivatives="raw")


def test_a_single_file_without_bids(bold_file, mask_file, tmp_path):
    film = tmp_path / "film.mp4"
    film.write_bytes(b"")
    run = Run.single(bold_file, film, mask=mask_file, subject="sub-7", film_start_s="6.4")
    assert (run.label, run.tr_s, run.film_start_s) == (
        "sub-7_task-film",
        Fraction(3, 2),
        Fraction(32, 5),
    )
    assert Run.single(bold_file, tr_s=2).tr_s == 2
    with pytest.raises(DataError, match="no such mask"):
        Run.single(bold_file, mask=tmp_path / "absent.nii")


def test_a_folder_of_results_without_preprocessed_images_is_refused(study, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no preprocessed image"):
        find_runs(study, derivatives=tmp_path / "empty")
