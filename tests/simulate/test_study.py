from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from nilearn.interfaces.fmriprep import load_confounds

from brainreel.errors import ConfigError, OutputError
from brainreel.files import digest_file, read_json
from brainreel.simulate import study as module
from brainreel.simulate.study import StudyConfig, simulate_study
from brainreel.simulate.truth import StudyTruth

SPACE = "space-MNI152NLin2009aSym"


def measured(root: Path, label: str) -> np.ndarray:
    """(T, V) of a run, read with nibabel alone."""
    folder = root / "derivatives" / "fmriprep" / label[:6] / "func"
    bold = nibabel.load(folder / f"{label}_{SPACE}_desc-preproc_bold.nii.gz")
    mask = nibabel.load(folder / f"{label}_{SPACE}_desc-brain_mask.nii.gz")
    return np.asarray(bold.dataobj)[np.asarray(mask.dataobj) > 0].T.astype(float)


def test_folder_holds_what_bids_asks_for(study: StudyTruth, toy: StudyConfig) -> None:
    root = study.root
    description = read_json(root / "dataset_description.json")
    assert {"Name", "BIDSVersion", "DatasetType"} <= set(description)
    for name in ("fmriprep", "trials", "truth"):
        derived = read_json(root / "derivatives" / name / "dataset_description.json")
        assert derived["DatasetType"] == "derivative"
        assert derived["GeneratedBy"][0]["Name"]
    people = pd.read_csv(root / "participants.tsv", sep="\t")
    assert people["participant_id"].tolist() == ["sub-01", "sub-02"]
    assert (root / "README.md").is_file()
    for task in ("film", "pictures"):
        sidecar = read_json(root / f"task-{task}_bold.json")
        assert sidecar["TaskName"] == task
        assert sidecar["RepetitionTime"] == toy.tr_s
    assert len(study.labels) == 2 * (2 + 1)
    for label in study.labels:
        assert (root / label[:6] / "func" / f"{label}_bold.nii.gz").is_file()


def test_events_name_the_film_and_the_pictures(study: StudyTruth, toy: StudyConfig) -> None:
    func = study.root / "sub-01" / "func"
    film = pd.read_csv(func / "sub-01_task-film_run-2_events.tsv", sep="\t")
    assert film.to_dict("records") == [
        {"onset": 2.0, "duration": 20.0, "trial_type": "film", "stim_file": "film-2.mp4"}
    ]
    pictures = pd.read_csv(func / "sub-01_task-pictures_events.tsv", sep="\t")
    assert len(pictures) == 9
    np.testing.assert_allclose(pictures["onset"], 2.0 + 3.0 * np.arange(9))
    for name in [*film["stim_file"], *pictures["stim_file"]]:
        assert (study.root / "stimuli" / name).is_file()
    with np.load(study.root / "derivatives" / "trials" / "sub-01_pictures.npz") as trials:
        names = trials["label_names"][trials["labels"]]
    assert pictures["category"].tolist() == names.tolist()


def test_pictures_that_nobody_sees_are_others_and_change_nothing(
    tmp_path: Path, toy: StudyConfig, study: StudyTruth
) -> None:
    told = toy.to_dict() | {"n_more_pictures": 5, "n_subjects": 1}
    more = simulate_study(tmp_path / "more", StudyConfig.parse(told))
    with np.load(more.root / "derivatives" / "pictures" / "more.npz") as file:
        unseen = file["pictures"]
    name = Path("derivatives") / "trials" / "sub-01_pictures.npz"
    with np.load(more.root / name) as one, np.load(study.root / name) as two:
        np.testing.assert_array_equal(one["pictures"], two["pictures"])
        np.testing.assert_array_equal(one["voxels"], two["voxels"])
        seen = {picture.tobytes() for picture in one["pictures"]}
    assert unseen.shape == (5, 3, toy.picture_size, toy.picture_size)
    assert seen.isdisjoint(picture.tobytes() for picture in unseen)


def test_images_say_where_and_when(study: StudyTruth, toy: StudyConfig) -> None:
    raw = nibabel.load(study.root / "sub-01" / "func" / "sub-01_task-film_run-1_bold.nii.gz")
    assert raw.shape[-1] == np.ceil(22 / 1.5)
    assert raw.header.get_zooms() == pytest.approx((24, 24, 24, 1.5))
    assert raw.header.get_xyzt_units() == ("mm", "sec")
    assert int(raw.header["sform_code"]) == 4
    assert raw.get_data_dtype() == np.int16
    inside = np.asarray(raw.dataobj).std(axis=-1) > 0
    mask = f"derivatives/fmriprep/sub-01/func/sub-01_task-film_run-1_{SPACE}_desc-brain_mask.nii.gz"
    mask_image = nibabel.load(study.root / mask)
    np.testing.assert_array_equal(inside, np.asarray(mask_image.dataobj) > 0)
    np.testing.assert_array_equal(raw.affine, mask_image.affine)


def test_nilearn_reads_the_confounds(study: StudyTruth) -> None:
    name = f"sub-01_task-film_run-1_{SPACE}_desc-preproc_bold.nii.gz"
    image = study.root / "derivatives" / "fmriprep" / "sub-01" / "func" / name
    table, _ = load_confounds(str(image), strategy=("motion",), motion="full", demean=False)
    assert table.shape == (15, 24)


def test_measured_is_baseline_signal_nuisance_and_noise(study: StudyTruth) -> None:
    for label in study.labels:
        truth = study.run(label)
        rest = measured(study.root, label) - truth.signal - truth.nuisance
        noise = (rest - rest.mean(axis=0)) / truth.noise_std
        assert noise.std() == pytest.approx(1, abs=0.15)
        assert (rest.mean(axis=0) > 7000).all()


def test_people_answer_differently_to_the_same_film(study: StudyTruth) -> None:
    one, two = (study.run(f"sub-0{n}_task-film_run-1") for n in (1, 2))
    assert not np.allclose(one.signal, two.signal)
    np.testing.assert_array_equal(one.regions, two.regions)


def test_trials_lie_beside_their_pictures(study: StudyTruth) -> None:
    with np.load(study.root / "derivatives" / "trials" / "sub-01_pictures.npz") as trials:
        n_seeing = np.isin(
            study.run("sub-01_task-pictures").regions, ("luminance", "contrast", "motion")
        ).sum()
        assert trials["voxels"].shape == (9, n_seeing)
        assert trials["voxels"].dtype == np.float32
        assert trials["pictures"].shape == (9, 3, 12, 12)
        assert trials["pictures"].dtype == np.uint8
        assert len(trials["label_names"]) == 8
        assert trials["labels"].shape == (9,)
        assert int(trials["n_train"]) == 6
        assert trials["voxel_indices"].shape == (n_seeing,)
        answering = study.run("sub-01_task-pictures").signal.std(axis=0) > 0
        np.testing.assert_array_equal(np.flatnonzero(answering), trials["voxel_indices"])


def test_regions_are_also_an_image(study: StudyTruth) -> None:
    folder = study.root / "derivatives" / "truth"
    image = nibabel.load(folder / f"{SPACE}_dseg.nii.gz")
    names = pd.read_csv(folder / f"{SPACE}_dseg.tsv", sep="\t").set_index("index")["name"]
    codes = np.asarray(image.dataobj)
    regions = study.run(study.labels[0]).regions
    for code, name in names.drop(0).items():
        assert np.count_nonzero(codes == code) == np.count_nonzero(regions == name)


def test_same_seed_same_study(study: StudyTruth, toy: StudyConfig, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    again = simulate_study(tmp_path / "again", toy, progress=lambda *step: told.append(step))
    other = simulate_study(
        tmp_path / "other", toy.model_copy(update={"seed": 4, "n_test_pictures": 0})
    )
    assert told[0] == ("film-1", 0, 5)
    assert told[-1] == ("done", 5, 5)
    assert again.labels == study.labels == other.labels
    label = study.labels[0]
    np.testing.assert_array_equal(measured(again.root, label), measured(study.root, label))
    assert not np.array_equal(measured(other.root, label), measured(study.root, label))
    films = [digest_file(truth.root / "stimuli" / "film-1.mp4") for truth in (study, again, other)]
    assert films[0] == films[1] != films[2]


def test_without_pictures_the_task_is_left_out(toy: StudyConfig, tmp_path: Path) -> None:
    small = {"n_train_pictures": 0, "n_test_pictures": 0, "n_subjects": 1, "n_films": 1}
    truth = simulate_study(tmp_path / "films", toy.model_copy(update=small))
    assert truth.labels == ("sub-01_task-film_run-1",)
    assert not (truth.root / "stimuli" / "pictures").exists()


def test_a_folder_in_use_is_refused(toy: StudyConfig, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="already in use"):
        simulate_study(tmp_path, toy)


def test_a_failure_leaves_nothing(
    toy: StudyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "scan", full)
    small = toy.model_copy(update={"n_subjects": 1, "n_films": 1})
    with pytest.raises(OutputError, match="No space left on device"):
        simulate_study(tmp_path / "study", small)
    assert list(tmp_path.iterdir()) == []


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'n_subjects'"):
        StudyConfig.parse({"n_subject": 2})
    with pytest.raises(ConfigError, match="tr_s"):
        StudyConfig.parse({"tr_s": 0})
