"""An image of a person, new or known, as the reference volume that tells a model who they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainreel.data.known_people import KnownPeople, Person
from brainreel.data.recorded_volumes import Box, RecordedVolumes
from brainreel.data.reference_files import ReferenceFile, open_reference, whose
from brainreel.data.samples import Recording
from brainreel.data.volume_moments import VolumeMoments
from brainreel.data.volume_views import VolumeViews
from brainreel.errors import DataError
from brainreel.fmri.bold import VoxelMask
from brainreel.fmri.images import lies_on, save_volume
from brainreel.fmri.make import make_run
from brainreel.fmri.masks import masks_of_runs
from brainreel.fmri.prepare import plan_runs
from brainreel.fmri.sources import MANIFEST
from brainreel.fmri.store import PreparedRun, read_run
from brainreel.fmri.volumes import read_volumes
from brainreel.timebase import Seconds, exact

Float32 = NDArray[np.float32]

# A volume of the same scan lies within a few deviations of what was seen, drifts and all.
_FARTHEST = 10.0
_TR_TOLERANCE_S = Fraction(1, 1000)
_FEWEST_TRS = 10  # of fewer, hardly a deviation is left once drifts and confounds are out


@dataclass(frozen=True, eq=False)
class Reference:
    """The one volume of a person that a model is told, as it sees volumes.

    Attributes
    ----------
    person
        Whose it is, with the scale of their voxels.
    views
        What makes the two views of their volumes.
    volume
        (2, X, Y, Z) the views of the reference.
    number
        Which volume of the image it is.
    """

    person: Person
    views: VolumeViews
    volume: Float32
    number: int


@dataclass(frozen=True)
class ReferenceChoice:
    """What a user says of a reference.

    Attributes
    ----------
    image
        3-D or 4-D NIfTI file on the grid of the fit (or brought there as its runs were), or the
        folder of a prepared run.
    subject
        Whose it is, where its name does not tell.
    number
        Which volume, counted from 0; None for the one in the middle.
    mask
        Mask of a person that the fit does not know; None for fMRIPrep's beside the image, or one
        that is found in it.
    tr_s
        Repetition time in seconds, where the header is wrong.
    """

    image: Path
    subject: str | None = None
    number: int | None = None
    mask: Path | None = None
    tr_s: Seconds | None = None


def read_reference(
    given: ReferenceChoice,
    people: KnownPeople,
    volumes: RecordedVolumes,
    tr_s: Seconds,
    scratch: Path,
) -> Reference:
    """Return a reference as volumes of a fit are seen.

    Of a person in training, mean and deviation of each voxel are those of the fit. Of anybody
    else they are those of the run that the image is, prepared with the options of the fit's runs.
    A single volume of somebody unknown has no moments: the person is taken to stand at it, so
    that its second view is 0, and the deviation of a voxel is that of the people in training,
    relative to the level.

    Parameters
    ----------
    given
        The image and what is said of it.
    people
        Whom the fit knows.
    volumes
        Their recordings, with the moments of the fit.
    tr_s
        Repetition time of the fit; a run of another is refused.
    scratch
        Folder for the prepared run; to be removed afterwards.

    Raises
    ------
    DataError
        If the image cannot be read, lies on another grid, has another TR or no such volume, holds
        NaN, or nobody says whose it is.
    """
    if (Path(given.image) / MANIFEST).is_file():
        if given.mask is not None or given.tr_s is not None:
            option = "--mask" if given.mask is not None else "--tr-s"
            raise DataError(
                f"{given.image}: is a prepared run, of which {option} says nothing. Leave it out."
            )
        return _of_run(read_run(given.image), given, people, volumes, tr_s)
    file = open_reference(
        given.image, people, subject=given.subject, tr_s=given.tr_s, mask=given.mask
    )
    who, number = f"sub-{file.run.subject}", _number(file.image.n_volumes, given)
    if who in volumes.moments and given.mask is not None:
        raise DataError(f"--mask says nothing about {who}, whom the fit knows. Leave it out.")
    mask = people.mask_of(who) if who in volumes.moments else _own_mask(file, volumes.box)
    if file.image.n_volumes == 1:
        return _of_volume(file, mask, people, volumes)
    _check_tr(given.image, file.image.tr_s, tr_s)
    saved = save_volume(scratch / "mask.nii.gz", np.ones(mask.n_voxels), mask)
    config = file.config.model_copy(update={"mask": saved})
    (plan,) = plan_runs([file.run], scratch / "reference", config)
    if number < plan.n_dummy:
        raise DataError(
            f"{given.image}: volume {number} is one of the {plan.n_dummy} at its head that the fit "
            "leaves out. Give a later --reference-volume."
        )
    chosen = replace(given, number=number - plan.n_dummy)
    found = _of_run(read_run(make_run(plan)), chosen, people, volumes, tr_s)
    return replace(found, number=number)


def _number(n_volumes: int, given: ReferenceChoice) -> int:
    """Return which volume is meant; the one in the middle unless told."""
    number = n_volumes // 2 if given.number is None else given.number
    if not 0 <= number < n_volumes:
        raise DataError(
            f"{given.image}: has no volume {number}; they are counted from 0 to {n_volumes - 1}. "
            "Give another --reference-volume."
        )
    return number


def _own_mask(file: ReferenceFile, box: Box) -> VoxelMask:
    """Return the mask of a person that the fit does not know, within what the network sees."""
    (mask,) = masks_of_runs([file.run], [file.image], None, "run")
    inside = np.zeros_like(mask.inside)
    inside[box] = mask.inside[box]
    if not inside.any():
        raise DataError(
            f"{file.image.path}: its brain lies outside of what the fit has seen of the grid. "
            "Align it with the people of the fit, or give --mask."
        )
    return VoxelMask(inside, mask.affine, mask.space)


def _check_tr(path: Path, found: Fraction, wanted: Seconds) -> None:
    if abs(found - exact(wanted)) > _TR_TOLERANCE_S:
        raise DataError(
            f"{path}: has a TR of {float(found):g} s, the fit one of {float(exact(wanted)):g} s. "
            "Give a run of that TR, or a single volume; --tr-s mends a wrong header."
        )


def _of_run(
    run: PreparedRun,
    given: ReferenceChoice,
    people: KnownPeople,
    volumes: RecordedVolumes,
    tr_s: Seconds,
) -> Reference:
    """Return a volume of a prepared run, as one of a recording that is predicted is seen."""
    who = f"sub-{whose(given.image, run.subject, given.subject)}"
    number = _number(run.grid.n_trs, given)
    _check_tr(given.image, run.grid.tr_s, tr_s)
    _check_mask(given.image, run.mask, people, who)
    recording = Recording(who, run.key, "reference", run.bold(), prepared=run)
    told, moments = "the person's training runs", volumes.moments.get(who)
    if moments is None:
        told = "the reference's own run"
        moments = _own_moments(given.image, recording)
    views = VolumeViews(moments, run.mask.within(volumes.box), run.level)
    person = Person(
        who,
        str(run.manifest["space"]) or people.mask.space,
        run.mask,
        run.level + moments.mean,
        moments.std,
        f"the deviation of each voxel is that of {told}, the level that of the reference's run",
    )
    volume = views(recording.bold.data[number : number + 1])[0]
    return Reference(person, views, volume, number)


def _own_moments(path: Path, recording: Recording) -> VolumeMoments:
    """Return the moments of the run of somebody whom the fit does not know."""
    n_trs = recording.bold.n_trs
    if n_trs < _FEWEST_TRS:
        raise DataError(
            f"{path}: {n_trs} volumes are too few to tell the deviation of a voxel. Give a run of "
            f"at least {_FEWEST_TRS}, or a single volume (3-D)."
        )
    moments = VolumeMoments.of_segments([(recording, 0, n_trs)])
    if not moments.std.any():
        raise DataError(f"{path}: its volumes are all the same. Give a run, or one of them (3-D).")
    return moments


def _check_mask(path: Path, mask: VoxelMask, people: KnownPeople, who: str) -> None:
    """Refuse a prepared run on another grid, or with other columns than the fit knows."""
    wanted = people.mask
    if not lies_on(wanted, mask.grid, mask.affine):
        raise DataError(
            f"{path}: volumes are {mask.grid}, those of the fit are {wanted.grid}, or lie "
            "elsewhere. Prepare the run with grid.like=IMAGE, an image of the fit's grid."
        )
    if who in people.moments and not np.array_equal(people.mask_of(who).inside, mask.inside):
        raise DataError(
            f"{path}: was prepared with another mask than the runs of {who} that the fit knows. "
            "Give a run of the fit's own store, or the image itself."
        )


def _of_volume(
    file: ReferenceFile, mask: VoxelMask, people: KnownPeople, volumes: RecordedVolumes
) -> Reference:
    """Return a single volume as the views would show it in a run of the person."""
    who = f"sub-{file.run.subject}"
    volume = _read_volume(file, mask)
    in_box = mask.within(volumes.box)
    if who in volumes.moments:
        person = replace(people.person(who), space=file.run.space)
        level = people.level(who)
        views = VolumeViews(volumes.moments[who], in_box, level)
        seen = views((volume - level)[None])[0]
        far = float(np.sqrt(np.mean(np.square(seen[1][in_box.inside], dtype=np.float64))))
        if far > _FARTHEST:
            raise DataError(
                f"{file.image.path}: its voxels lie {far:.0f} deviations from what the fit knows "
                f"of {who}, as in another session or other units. Give a whole run (4-D)."
            )
        return Reference(person, views, seen, 0)
    moments = _stood_at(volume, people, mask, file.image.path)
    views = VolumeViews(moments, in_box, volume)
    told = (
        "the level of each voxel is the reference itself, the deviation that of the people in "
        "training, relative to their level"
    )
    person = Person(who, file.run.space, mask, volume, moments.std, told)
    return Reference(person, views, views(np.zeros_like(volume)[None])[0], 0)


def _read_volume(file: ReferenceFile, mask: VoxelMask) -> Float32:
    blocks = read_volumes(
        file.image.path,
        mask,
        smoothing_mm=file.config.clean.smoothing_mm,
        placement=file.image.placement,
    )
    ((_, block),) = blocks
    volume: Float32 = block[0]
    if not np.isfinite(volume).all():
        raise DataError(
            f"{file.image.path}: {np.count_nonzero(~np.isfinite(volume))} voxels in the mask hold "
            "NaN or infinite values. Mend them, or give another volume."
        )
    return volume


def _stood_at(volume: Float32, people: KnownPeople, mask: VoxelMask, path: Path) -> VolumeMoments:
    """Return the moments of somebody of whom one volume is known, taken for their level."""
    if volume.mean() <= 0:
        raise DataError(
            f"{path}: its voxels are {volume.mean():.3g} on average, which no BOLD volume is as "
            "the scanner gives it. Give one that was not demeaned or z-scored, or a whole run."
        )
    std = volume.clip(min=0) * people.relative_std()[mask.inside]
    whole_std = float(np.sqrt(volume.var(dtype=np.float64) + np.mean(np.square(std, dtype=float))))
    mean = float(volume.mean(dtype=np.float64))
    zeros = np.zeros_like(volume)
    return VolumeMoments(people.typical_n(), zeros, std, mean, whole_std, float(volume.min()))
