"""A BIDS, fMRIPrep or HCP folder, or a single file, as `Run` records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from brainreel.errors import DataError, did_you_mean
from brainreel.files import read_json, require_file
from brainreel.fmri.confounds import count_non_steady
from brainreel.fmri.films import film_of_run
from brainreel.fmri.hcp import hcp_confounds, hcp_images, hcp_mask
from brainreel.fmri.images import open_bold_image
from brainreel.fmri.names import BidsName, companion, folders_for, sidecar
from brainreel.timebase import Seconds, exact

_PREPROCESSED = ("*_desc-preproc_bold", "*_bold_*preproc")


@dataclass(frozen=True)
class Run:
    """One run of one person: the files, and where it lies on the film's clock.

    Attributes
    ----------
    subject, session, task, run
        Values of the BIDS entities (`"01"`), empty if absent.
    bold
        4-D NIfTI file.
    mask, confounds, events, film
        Files that belong to it, or None.
    tr_s
        Repetition time in seconds.
    film_start_s
        Scan time at which the film began, in seconds after the onset of the file's first volume.
    space
        Space and resolution of the image, as fMRIPrep writes it.
    n_dummy
        Volumes to drop from the head of the file.
    slice_time_s
        When within its TR a volume is taken to be sampled, in seconds.
    variant
        Further entities that tell runs apart (`"acq-AP"`).
    """

    subject: str
    bold: Path
    tr_s: Fraction
    session: str = ""
    task: str = ""
    run: str = ""
    mask: Path | None = None
    confounds: Path | None = None
    events: Path | None = None
    film: Path | None = None
    film_start_s: Fraction = Fraction(0)
    space: str = ""
    n_dummy: int = 0
    slice_time_s: Fraction = Fraction(0)
    variant: str = ""

    @property
    def key(self) -> str:
        """Session, task and run, the same for all people: `"ses-1_task-film_run-1"`."""
        named = (("ses", self.session), ("task", self.task), ("", self.variant), ("run", self.run))
        return "_".join(f"{key}-{value}" if key else value for key, value in named if value)

    @property
    def label(self) -> str:
        """The name used in files and errors: `"sub-01_ses-1_task-film_run-1"`."""
        return "_".join(part for part in (f"sub-{self.subject}", self.key) if part)

    @classmethod
    def single(
        cls,
        bold: Path,
        film: Path | None = None,
        *,
        subject: str = "01",
        task: str = "film",
        run: str = "",
        mask: Path | None = None,
        confounds: Path | None = None,
        events: Path | None = None,
        tr_s: Seconds | None = None,
        film_start_s: Seconds = 0,
        n_dummy: int = 0,
        slice_time_s: Seconds = 0,
    ) -> Run:
        """Make a record of one NIfTI file without BIDS; the TR is the header's unless given."""
        for path, what in ((film, "film"), (mask, "mask"), (confounds, "table of confounds")):
            if path is not None:
                require_file(path, what)
        image = open_bold_image(Path(bold), tr_s=tr_s, trust_tr=True)
        return cls(
            subject=subject.removeprefix("sub-"),
            task=task,
            run=run,
            bold=Path(bold),
            tr_s=image.tr_s,
            mask=mask,
            confounds=confounds,
            events=events,
            film=film,
            film_start_s=exact(film_start_s),
            n_dummy=n_dummy,
            slice_time_s=exact(slice_time_s),
        )


def find_runs(
    root: Path,
    *,
    derivatives: Path | str | None = None,
    subjects: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    space: str | None = None,
    films: Mapping[str, Path | None] | None = None,
) -> list[Run]:
    """Find the runs of a data set, sorted by subject, session, task and run.

    Parameters
    ----------
    root
        A raw BIDS folder, an fMRIPrep folder, or one of people in the Human Connectome Project's
        layout (`100307/MNINonLinear/Results/rfMRI_REST1_LR/rfMRI_REST1_LR.nii.gz`).
    derivatives
        Folder of fMRIPrep's results; by default `root/derivatives/fmriprep` if it is there.
        `"raw"` uses the raw images.
    subjects, tasks
        Which to keep (`"01"` or `"sub-01"`); all by default.
    space
        Which of fMRIPrep's spaces (`"MNI152NLin2009cAsym"`, with `":res-2"` if there are several).
    films
        Task -> film file, or None for no film, where the events do not tell it right.

    Raises
    ------
    DataError
        If no run is found, several images fit one run, the TR is missing or zero, or a run has
        two films.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root}: no such file or folder. Give a BIDS folder, or a NIfTI file.")
    raw, derived = _data_sets(root, derivatives)
    images = _bold_images(raw, derived)
    asked = derivatives not in (None, "raw")
    if asked and not any("desc" in image.entities for image in images):
        raise DataError(
            f"{derivatives}: no preprocessed image (sub-*/func/*_desc-preproc_bold.nii.gz) in it. "
            "Give fMRIPrep's folder, or derivatives='raw' for the raw images."
        )
    images = images or hcp_images(root)
    if not images:
        raise DataError(f"{root}: no BOLD image (sub-*/func/*_bold.nii.gz) in this folder.")
    chosen = _keep(images, "sub", subjects, root)
    chosen = _keep(chosen, "task", tasks, root)
    chosen = _in_space(chosen, space, root)
    _check_tasks_of(films or {}, chosen, root)
    found = [_run(image, raw, derived, films or {}) for image in chosen]
    return sorted(_unique(found), key=lambda run: run.label)


def _data_sets(root: Path, derivatives: Path | str | None) -> tuple[Path, Path | None]:
    """Return the raw folder and the one of results, which may be the same or missing."""
    if derivatives == "raw":
        return root, None
    if derivatives is not None:
        if not Path(derivatives).is_dir():
            raise DataError(f"{derivatives}: no such folder of derivatives.")
        return root, Path(derivatives)
    if _is_derivative(root):
        above = [p for p in list(root.resolve().parents)[:3] if _describes(p) and p != root]
        return (above[0] if above else root), root
    usual = root / "derivatives" / "fmriprep"
    return root, usual if usual.is_dir() else None


def _describes(folder: Path) -> bool:
    return (folder / "dataset_description.json").is_file()


def _is_derivative(root: Path) -> bool:
    if not _describes(root):
        return bool(_preprocessed(root))
    described = read_json(root / "dataset_description.json")
    return isinstance(described, dict) and described.get("DatasetType") == "derivative"


def _bold_images(raw: Path, derived: Path | None) -> list[BidsName]:
    images = [] if derived is None else _preprocessed(derived)
    if images:
        return images
    names = map(BidsName.of, sorted(raw.glob("sub-*/**/func/*_bold.nii*")))
    return [n for n in names if n.extension in (".nii", ".nii.gz") and "desc" not in n.entities]


def _preprocessed(folder: Path) -> list[BidsName]:
    """Return fMRIPrep's images of a folder, under present and former names."""
    paths = {p for end in _PREPROCESSED for p in folder.glob(f"sub-*/**/func/{end}.nii*")}
    names = map(BidsName.of, sorted(paths))
    return [name for name in names if name.extension in (".nii", ".nii.gz")]


def _keep(
    images: list[BidsName], entity: str, wanted: Sequence[str] | None, root: Path
) -> list[BidsName]:
    if wanted is None:
        return images
    there = {name.entities.get(entity, "") for name in images}
    values = [value.removeprefix(f"{entity}-") for value in wanted]
    for value in values:
        if value not in there:
            near = did_you_mean(value, there)
            raise DataError(f"{root}: no run of {entity}-{value}.{near}")
    return [name for name in images if name.entities.get(entity, "") in values]


def _check_tasks_of(films: Mapping[str, Path | None], images: list[BidsName], root: Path) -> None:
    there = {image.entities.get("task", "") for image in images}
    for task in films:
        if task not in there:
            near = did_you_mean(task, there)
            raise DataError(f"{root}: a film is given for task-{task}, which no run has.{near}")


def _in_space(images: list[BidsName], space: str | None, root: Path) -> list[BidsName]:
    spaces = sorted({name.space for name in images})
    if space is not None:
        fitting = [s for s in spaces if s == space or s.partition(":")[0] == space]
        if not fitting:
            raise DataError(
                f"{root}: no image in the space '{space}'.{did_you_mean(space, spaces)}"
            )
        spaces = fitting
    if len(spaces) > 1:
        told = ", ".join(item or "native" for item in spaces)
        raise DataError(f"{root}: images in several spaces ({told}). Choose one with space=.")
    return [name for name in images if name.space == spaces[0]]


def _run(image: BidsName, raw: Path, derived: Path | None, films: Mapping[str, Path | None]) -> Run:
    tops = list(dict.fromkeys(top for top in (raw, derived) if top is not None))
    facts = sidecar(image, tops)
    beside = folders_for(derived, image) if derived is not None else []
    around = [folder for top in tops for folder in folders_for(top, image)]
    entities = image.entities
    confounds = companion(image, beside, "timeseries", ".tsv", "confounds") or hcp_confounds(image)
    run = Run(
        subject=entities.get("sub", ""),
        session=entities.get("ses", ""),
        task=entities.get("task", ""),
        run=entities.get("run", ""),
        variant=image.variant,
        bold=image.path,
        mask=companion(image, beside, "mask", ".nii", "brain") or hcp_mask(image),
        confounds=confounds,
        events=companion(image, around, "events", ".tsv"),
        tr_s=_tr_s(image, facts),
        space=image.space,
        n_dummy=0 if confounds is None else count_non_steady(confounds),
        slice_time_s=_slice_time_s(facts),
    )
    return _with_film(run, image, raw, films)


def _with_film(run: Run, image: BidsName, raw: Path, films: Mapping[str, Path | None]) -> Run:
    given = films.get(run.task)
    if run.task in films and given is None:
        return run
    if given is not None:
        require_file(given, "film")
    film, start_s = film_of_run(run.label, image, run.events, raw / "stimuli", given)
    return replace(run, film=film, film_start_s=start_s)


def _tr_s(image: BidsName, facts: Mapping[str, Any]) -> Fraction:
    told = facts.get("RepetitionTime")
    if told is None:
        return open_bold_image(image.path).tr_s
    if not isinstance(told, int | float) or isinstance(told, bool) or told <= 0:
        raise DataError(
            f"{image.path}: the sidecar's RepetitionTime is {told!r}. Give a number of seconds "
            "above 0."
        )
    return exact(told)


def _slice_time_s(facts: Mapping[str, Any]) -> Fraction:
    """Return the time within a TR to which slices were brought (BIDS `StartTime`)."""
    if not facts.get("SliceTimingCorrected"):
        return Fraction(0)
    return exact(float(facts.get("StartTime", 0.0)))


def _unique(runs: Iterable[Run]) -> list[Run]:
    seen: dict[str, Run] = {}
    for run in runs:
        if run.label in seen:
            raise DataError(
                f"{run.label}: two images for one run, {seen[run.label].bold.name} and "
                f"{run.bold.name}. Remove one, or give derivatives= or space=."
            )
        seen[run.label] = run
    return list(seen.values())
