"""Single-trial betas: 4-D images of one volume a trial, with a table of the trials beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from brainreel.errors import DataError, did_you_mean
from brainreel.fmri.bold import Float32, VoxelMask
from brainreel.fmri.images import BoldImage, open_bold_image
from brainreel.fmri.names import BidsName
from brainreel.fmri.volumes import read_volumes

_IMAGES = "*betas*.nii*"
_TABLE_ENDS = ("betas", "trials", "events")


@dataclass(frozen=True, eq=False)
class BetaImage:
    """Betas of some trials of one person.

    Attributes
    ----------
    subject
        Who (`"01"`).
    image
        The checked header; volume i is trial i.
    table
        Table with one row a volume, in their order.
    space
        Space of the image, as its name tells it.
    """

    subject: str
    image: BoldImage
    table: Path
    space: str

    @property
    def label(self) -> str:
        """Name of the image without its suffix."""
        return _stem(self.image.path)


def find_betas(
    source: Path, *, subjects: Sequence[str] | None = None, table: Path | None = None
) -> list[BetaImage]:
    """Find the images of betas, sorted by person and path.

    Parameters
    ----------
    source
        A 4-D NIfTI, or a folder that holds some, named `*betas*.nii.gz`, at any depth. The person
        is told by `sub-01` in the name or in a folder above.
    subjects
        People to take; of a single image, whose it is (sub-01, if its name does not tell).
    table
        Table of trials of a single image; by default the one beside it: `x_betas.tsv`, or
        `x_trials.tsv` or `x_events.tsv` for `x_betas.nii.gz`.

    Raises
    ------
    DataError
        If no image is found, a table is missing, or it is not known whose an image is.
    """
    source = Path(source)
    if source.is_file():
        if len(subjects or []) > 1:
            raise DataError(f"{source}: one image is of one person. Give --subject once.")
        told = BidsName.of(source).entities.get("sub", "01")
        return [_beta_image(source, (subjects or [told])[0].removeprefix("sub-"), table)]
    if not source.is_dir():
        raise DataError(f"{source}: no such file or folder. Give betas (.nii.gz) or their folder.")
    paths = [path for path in sorted(source.rglob(_IMAGES)) if not path.name.startswith(".")]
    if not paths:
        raise DataError(f"{source}: no image of betas ({_IMAGES}) in this folder.")
    people = {path: _subject_of(path, source) for path in paths}
    wanted = None if subjects is None else {name.removeprefix("sub-") for name in subjects}
    for name in sorted((wanted or set()) - set(people.values())):
        raise DataError(f"{source}: no betas of sub-{name}.{did_you_mean(name, people.values())}")
    kept = [path for path in paths if wanted is None or people[path] in wanted]
    if table is not None and len(kept) > 1:
        raise DataError(
            f"{source}: {len(kept)} images of betas, and one table. Leave --events out, and put a "
            "table beside each."
        )
    found = [_beta_image(path, people[path], table) for path in kept]
    return sorted(found, key=lambda item: (item.subject, str(item.image.path)))


def _subject_of(path: Path, top: Path) -> str:
    names = [path.name, *(folder.name for folder in path.parents if folder.is_relative_to(top))]
    for name in names:
        subject = BidsName.of(Path(name)).entities.get("sub", "")
        if subject:
            return subject
    raise DataError(
        f"{path}: it is not told whose betas these are. Put them into a folder sub-01, or begin "
        "their name with sub-01_."
    )


def _beta_image(path: Path, subject: str, table: Path | None) -> BetaImage:
    # Betas have no clock, so the header's TR is not asked for.
    image = open_bold_image(path, tr_s=1, trust_tr=True)
    return BetaImage(subject, image, table or _table_beside(path), BidsName.of(path).space)


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii")


def _table_beside(path: Path) -> Path:
    found = table_beside(path)
    if found is None:
        raise DataError(
            f"{path}: no table of its trials beside it ({' or '.join(_table_names(path))}). Put "
            "one there with a row a volume, or give --events."
        )
    return found


def table_beside(path: Path) -> Path | None:
    """Return the table of trials beside an image of betas, if there is one."""
    tables = (path.with_name(name) for name in _table_names(path))
    return next((table for table in tables if table.is_file()), None)


def _table_names(path: Path) -> list[str]:
    stem = _stem(path)
    head, found, tail = stem.rpartition("betas")
    return [f"{head}{end}{tail}.tsv" for end in _TABLE_ENDS] if found else [f"{stem}.tsv"]


def read_betas(
    image: BoldImage, mask: VoxelMask, nonfinite: Literal["refuse", "zero"]
) -> tuple[Float32, int]:
    """Return the (B, V) betas inside a mask, and how many voxels lack some (which are then 0).

    Raises
    ------
    DataError
        If voxels hold NaN or infinite values and `nonfinite` is "refuse".
    """
    values = np.empty((image.n_volumes, mask.n_voxels), np.float32)
    for start, block in read_volumes(image.path, mask):
        values[start : start + len(block)] = block
    broken = ~np.isfinite(values).all(axis=0)
    if broken.any() and nonfinite == "refuse":
        where = np.argwhere(mask.inside)[np.flatnonzero(broken)[0]]
        raise DataError(
            f"{image.path}: {int(broken.sum())} of {mask.n_voxels} voxels have no betas (NaN or "
            f"infinite), the first at {tuple(map(int, where))}. Narrow the mask or the regions, or "
            "set nonfinite=zero."
        )
    values[:, broken] = 0.0
    return values, int(broken.sum())
