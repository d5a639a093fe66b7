"""The file of a reference: whose it is, and on which grid and clock it lies."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from brainreel.data.known_people import KnownPeople
from brainreel.errors import DataError
from brainreel.fmri.bids import Run
from brainreel.fmri.grids import GridConfig, placed
from brainreel.fmri.images import BoldImage, lies_on, load_image, open_bold_image
from brainreel.fmri.names import BidsName, companion, sidecar
from brainreel.fmri.prepare import PrepareConfig
from brainreel.timebase import Seconds, exact


@dataclass(frozen=True, eq=False)
class ReferenceFile:
    """A checked image.

    Attributes
    ----------
    run
        The image as a run, with the mask and the confounds beside it.
    image
        Its header, on the grid of the fit.
    config
        How runs of the fit were prepared, as far as it can be done to this image.
    """

    run: Run
    image: BoldImage
    config: PrepareConfig


def open_reference(
    path: Path,
    people: KnownPeople,
    *,
    subject: str | None = None,
    tr_s: Seconds | None = None,
    mask: Path | None = None,
) -> ReferenceFile:
    """Check an image of a person against the grid of a fit.

    An image that does not lie there is brought there as the runs of the fit were.

    Parameters
    ----------
    path
        3-D or 4-D NIfTI file.
    people
        Whom the fit knows.
    subject
        Whose image it is; None for what its name says.
    tr_s
        Repetition time in seconds, where the header is wrong.
    mask
        Mask of the person; None for fMRIPrep's beside the image.

    Raises
    ------
    DataError
        If it cannot be read, lies on another grid or in another space, or nobody is named.
    """
    name, config = BidsName.of(Path(path)), people.config
    image = _header(name, config, tr_s)
    if lies_on(people.mask, image.grid, image.affine):
        config = config.model_copy(update={"grid": GridConfig()})
    on_grid = placed(image, config.grid)
    _check_grid(on_grid, image, people)
    if name.space and people.mask.space and name.space != people.mask.space:
        raise DataError(
            f"{path}: lies in the space {name.space}, the volumes of the fit in "
            f"{people.mask.space}. Give an image in that space."
        )
    beside = [name.path.parent]
    confounds = companion(name, beside, "timeseries", ".tsv", "confounds")
    if confounds is None:
        clean = config.clean.model_copy(update={"confounds": ()})
        config = config.model_copy(update={"clean": clean})
    run = Run(
        subject=whose(name.path, name.entities.get("sub", ""), subject),
        bold=name.path,
        tr_s=on_grid.tr_s,
        task="reference",
        mask=mask or people.shared_mask or companion(name, beside, "mask", ".nii", "brain"),
        confounds=confounds,
        space=name.space or people.mask.space,
    )
    tr = float(on_grid.tr_s) or None  # trusted from here on
    return ReferenceFile(run, on_grid, config.model_copy(update={"tr_s": tr}))


def whose(path: Path, told: str, subject: str | None) -> str:
    """Return the person (`"30"`) that a name or a user tells of.

    Raises
    ------
    DataError
        If neither does, or they contradict each other.
    """
    told, given = told.removeprefix("sub-"), (subject or "").removeprefix("sub-")
    if given and not given.replace("-", "").isalnum():
        raise DataError(
            f"--subject {subject}: a person is named by letters and digits, as sub-30. Give that."
        )
    if told and given and told != given:
        raise DataError(
            f"{path}: is of sub-{told} by its name, and --subject says sub-{given}. Leave "
            "--subject out, or rename the file."
        )
    if not (told or given):
        raise DataError(f"{path}: its name does not tell whose it is. Give --subject, as sub-30.")
    return told or given


def _header(name: BidsName, config: PrepareConfig, tr_s: Seconds | None) -> BoldImage:
    """Return the header of a run, or of a single volume as a run of one."""
    image = load_image(name.path)
    shape = [int(size) for size in image.shape]
    if len(shape) < 3 or 0 in shape:
        raise DataError(f"{name.path}: {len(shape)}-D; a reference is a volume, or a run of them.")
    if int(np.prod(shape[3:])) == 1:
        x, y, z = shape[:3]
        affine = np.asarray(image.affine, np.float64)
        return BoldImage(name.path, (x, y, z), 1, affine, Fraction(0))
    told = config.tr_s if tr_s is None else tr_s
    if told is not None:
        return open_bold_image(name.path, tr_s=told, trust_tr=True)
    told = sidecar(name, [name.path.parent]).get("RepetitionTime")
    return open_bold_image(name.path, tr_s=None if told is None else exact(told))


def _check_grid(image: BoldImage, as_given: BoldImage, people: KnownPeople) -> None:
    wanted = people.mask
    if lies_on(wanted, image.grid, image.affine):
        return
    if as_given.grid != wanted.grid:
        told = f"volumes are {as_given.grid}, those of the fit are {wanted.grid}"
    else:
        apart = float(np.abs(image.affine - wanted.affine).max())
        told = f"lies elsewhere than the volumes of the fit (affines differ by up to {apart:g} mm)"
    raise DataError(
        f"{image.path}: {told}. Resample it to their grid (nilearn.image.resample_to_img, or "
        "'brainreel prepare' with grid.like=IMAGE, and give the prepared run's folder)."
    )
