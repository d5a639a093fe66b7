"""A reference image as volumes of a fit are seen, against plain arithmetic."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brainreel.data.films import FilmsData
from brainreel.data.known_people import KnownPeople
from brainreel.data.recorded_volumes import RecordedVolumes, common_box, training_volume_moments
from brainreel.data.reference_images import ReferenceChoice, read_reference
from brainreel.data.splits import HoldOutSubject
from brainreel.errors import DataError
from brainreel.fmri.bids import find_runs
from brainreel.fmri.normalize import Moments
from brainreel.fmri.prepare import PrepareConfig, prepare
from brainreel.simulate.study import StudyConfig, simulate_study

Known = tuple[KnownPeople, RecordedVolumes]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("references") / "study"
    config = StudyConfig(
        n_subjects=3, n_films=1, film_duration_s=30, voxel_size_mm=24, frame_size=(16, 16),
        frame_rate_hz=5, n_train_pictures=0, n_test_pictures=0,
    )  # fmt: skip
    simulate_study(root, config)
    options = PrepareConfig.parse({"clean": {"confounds": ["motion:basic"]}}, where="test")
    prepare(find_runs(root, tasks=["film"]), root.parent / "store", options)
    return root


@pytest.fixture(scope="module")
def known(study: Path) -> Known:
    """sub-03 is not in training."""
    split = HoldOutSubject(test_subjects=("sub-03",))
    series = FilmsData(path=study.parent / "store", splits=(split,)).open()
    fold = series.folds[0]
    moments = training_volume_moments(series, fold.train)
    people = KnownPeople(series, fold.train, {w: m.voxelwise for w, m in moments.items()})
    return people, RecordedVolumes(series, common_box(series, crop=True), moments)


def image(study: Path, who: int) -> Path:
    folder = study / "derivatives" / "fmriprep" / f"sub-{who:02}" / "func"
    (found,) = folder.glob("*desc-preproc_bold.nii.gz")
    return found


def recording(volumes: RecordedVolumes, who: str) -> int:
    return [r.subject for r in volumes.series.recordings].index(who)


@pytest.mark.parametrize("who", [1, 3])
def test_a_run_is_seen_as_in_the_data(study: Path, known: Known, tmp_path: Path, who: int) -> None:
    people, volumes = known
    given = ReferenceChoice(image(study, who), number=4)
    found = read_reference(given, people, volumes, 1.5, tmp_path)
    number = recording(volumes, f"sub-{who:02}")
    np.testing.assert_array_equal(found.volume, volumes.volume(number, 4))
    item = volumes.series.recordings[number]
    assert item.bold.mask is not None
    np.testing.assert_array_equal(found.person.mask.inside, item.bold.mask.inside)
    assert (found.person.subject, found.number) == (f"sub-{who:02}", 4)
    raw = nib.load(given.image).get_fdata()[item.bold.mask.inside]
    np.testing.assert_allclose(found.person.level, raw.mean(axis=1), rtol=1e-5)
    std = volumes.views(number).moments.std
    np.testing.assert_array_equal(found.person.std, std)
    prepared = read_reference(
        ReferenceChoice(item.prepared.folder, number=4), people, volumes, 1.5, tmp_path
    )
    np.testing.assert_array_equal(prepared.volume, found.volume)
    middle = read_reference(
        ReferenceChoice(image(study, who)), people, volumes, 1.5, tmp_path / "m"
    )
    assert middle.number == item.bold.n_trs // 2


def single(study: Path, path: Path, who: int, number: int) -> Path:
    whole = nib.load(image(study, who))
    volume = whole.get_fdata()[..., number].astype(np.float32)
    nib.save(nib.Nifti1Image(volume, whole.affine), path)
    return path


def test_one_volume_of_somebody_unknown_is_their_level(
    study: Path, known: Known, tmp_path: Path
) -> None:
    people, volumes = known
    path = single(study, tmp_path / "sub-03_bold.nii", 3, 2)
    (mask,) = image(study, 3).parent.glob("*brain_mask.nii.gz")
    found = read_reference(ReferenceChoice(path, mask=mask), people, volumes, 1.5, tmp_path)
    y = nib.load(path).get_fdata()
    np.testing.assert_allclose(found.person.level, y[found.person.mask.inside])
    shares = np.zeros((2, *y.shape))
    for who in (0, 1):
        item = volumes.series.recordings[recording(volumes, f"sub-{who + 1:02}")]
        assert item.bold.mask is not None
        raw = nib.load(image(study, who + 1)).get_fdata()
        for voxel, place in enumerate(np.argwhere(item.bold.mask.inside)):
            x, y_, z = place
            shares[who, x, y_, z] = item.bold.data[:, voxel].std() / raw[x, y_, z].mean()
    expected = shares.sum(0) / np.maximum((shares > 0).sum(0), 1)
    expected[(shares == 0).all(0)] = np.median(expected[(shares > 0).any(0)])
    inside = found.person.mask.inside
    np.testing.assert_allclose(found.person.std, (y * expected)[inside], rtol=1e-4)
    box = found.views.mask.inside
    assert not found.volume[1].any()
    values, std = y[inside], found.person.std.astype(float)
    whole = np.sqrt(values.var() + np.mean(std**2))
    np.testing.assert_allclose(found.volume[0][box], (values - values.mean()) / whole, rtol=1e-3)


def test_one_volume_of_somebody_known_is_seen_by_their_moments(
    study: Path, known: Known, tmp_path: Path
) -> None:
    people, volumes = known
    path = single(study, tmp_path / "sub-01_bold.nii", 1, 2)
    found = read_reference(ReferenceChoice(path), people, volumes, 1.5, tmp_path)
    number = recording(volumes, "sub-01")
    views, item = volumes.views(number), volumes.series.recordings[number]
    raw = nib.load(path).get_fdata()[found.person.mask.inside]
    assert item.level is not None
    np.testing.assert_allclose(found.volume, views((raw - item.level)[None])[0], rtol=1e-4)
    np.testing.assert_allclose(found.person.level, item.level, rtol=1e-6)


def test_people_without_a_level_tell_no_deviation(known: Known) -> None:
    people, _ = known
    below = {w: Moments(m.n, m.mean - 1e6, m.std) for w, m in people.moments.items()}
    with pytest.raises(DataError, match="are not above 0, so the deviation of somebody else's"):
        KnownPeople(people.series, people.training, below).relative_std()


def test_a_brain_elsewhere_is_refused(study: Path, known: Known, tmp_path: Path) -> None:
    people, volumes = known
    path = single(study, tmp_path / "sub-09_bold.nii", 3, 0)
    corner = np.zeros(people.mask.grid, np.uint8)
    corner[0, 0, 0] = 1
    nib.save(nib.Nifti1Image(corner, people.mask.affine), tmp_path / "mask.nii")
    x, y, z = (slice(2, None) for _ in range(3))
    narrow = RecordedVolumes(volumes.series, (x, y, z), volumes.moments)
    given = ReferenceChoice(path, mask=tmp_path / "mask.nii")
    with pytest.raises(DataError, match="lies outside of what the fit has seen"):
        read_reference(given, people, narrow, 1.5, tmp_path)


def test_a_mask_says_nothing_of_somebody_known(study: Path, known: Known, tmp_path: Path) -> None:
    given = ReferenceChoice(image(study, 1), mask=image(study, 1))
    with pytest.raises(DataError, match="--mask says nothing about sub-01"):
        read_reference(given, *known, 1.5, tmp_path)
