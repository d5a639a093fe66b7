"""Predicted BOLD of a new film as images: BIDS derivatives, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from brainreel import __version__
from brainreel.checkpoints.store import VERSIONS
from brainreel.data.known_people import Person
from brainreel.data.reference_images import ReferenceChoice
from brainreel.data.samples import Fold
from brainreel.errors import ConfigError, DataError, did_you_mean
from brainreel.files import digest_file, read_json, require_free, write_aside, write_json
from brainreel.fmri.derivatives import PredictedNames, task_of_film, write_description
from brainreel.fmri.image_series import ImageSeries
from brainreel.fmri.store import BOLD
from brainreel.stimulus.film import probe_film
from brainreel.timebase import Seconds, TrGrid, exact
from brainreel.train.film_prediction import Asked, FilmPredictor, PredictedTrs
from brainreel.train.fit import FittedRun, load_fitted

Float32 = NDArray[np.float32]
Progress = Callable[[int, int], None]
Units = Literal["scanner", "z"]

_MOST_SAMPLES = 99
_UNITS = {
    "scanner": "scanner units, those of the person's own images",
    "z": "standard deviations of each voxel's signal, around its mean",
}


@dataclass(frozen=True)
class PredictOptions:
    """What to predict.

    Attributes
    ----------
    film
        The film.
    reference
        An image of the person, or None.
    subject
        The person, where the reference does not tell.
    fold
        Which fit of a run with several; None for the only one.
    n_volumes
        How many volumes; None for all of the film.
    film_start_s
        Time at which the film begins, in seconds after the onset of the first volume.
    samples
        Draws to write.
    spread
        Whether to write the deviation of each voxel.
    units
        scanner: level + deviation * prediction; z: the prediction as the model gives it.
    """

    film: Path
    reference: ReferenceChoice | None = None
    subject: str | None = None
    fold: str | None = None
    n_volumes: int | None = None
    film_start_s: Seconds = 0
    samples: int = 0
    spread: bool = False
    units: Units = "scanner"


@dataclass(frozen=True)
class PredictedImages:
    """What was written, or would be.

    Attributes
    ----------
    files
        Images, relative to the data set.
    subject
        Whose.
    n_volumes, n_voxels
        Volumes of each image, and voxels in the mask.
    tr_s
        Repetition time in seconds.
    units, scale
        What a number means, and where the scale comes from.
    """

    files: tuple[Path, ...]
    subject: str
    n_volumes: int
    n_voxels: int
    tr_s: float
    units: str
    scale: str


def predict_images(
    run: Path,
    out: Path,
    options: PredictOptions,
    *,
    progress: Progress | None = None,
    dry_run: bool = False,
) -> PredictedImages:
    """Predict the BOLD of a film and write it as a data set of BIDS derivatives.

    Memory does not grow with the film: volumes are written as they come.

    Parameters
    ----------
    run
        Run folder of a fit; its data must be there, for masks and grid.
    out
        Folder to make; it appears when all is written.
    options
        What to predict.
    progress
        Called with (volumes done, volumes in all).
    dry_run
        Check everything and write nothing.

    Raises
    ------
    BrainreelError
        In one sentence: what is wrong with run, film, reference or folder.
    """
    require_free(out)
    if not 0 <= options.samples <= _MOST_SAMPLES:
        raise ConfigError(
            f"--samples {options.samples}: should be 0 to {_MOST_SAMPLES}, one file each."
        )
    probe_film(options.film)
    fitted = load_fitted(run)
    with TemporaryDirectory(prefix="brainreel-") as scratch:
        predictor = _predictor(fitted, options, Path(scratch))
        grid = predictor.grid(options.film, options.n_volumes, exact(options.film_start_s))
        names = PredictedNames(
            predictor.person.subject, task_of_film(options.film), predictor.person.space
        )
        found = _summary(predictor, grid, options, names)
        if not dry_run:
            facts = _facts(fitted, predictor, grid, options)
            with write_aside(out) as aside:
                _write(aside, predictor, grid, options, names, facts, Path(scratch), progress)
    return found


def fold_named(fitted: FittedRun, name: str | None) -> Fold:
    """Return a fold of a run by its name, or its only one.

    Raises
    ------
    ConfigError
        Naming those that there are.
    """
    folds = {fold.name: fold for fold in fitted.data.folds if fold.name in fitted.states}
    told = ", ".join(folds)
    if name is None and len(folds) == 1:
        return next(iter(folds.values()))
    if name is None:
        raise ConfigError(f"{fitted.folder}: has several fits. Choose one by --fold: {told}.")
    if name not in folds:
        near = did_you_mean(name, folds)
        raise ConfigError(f"{fitted.folder}: has no fold '{name}', but {told}.{near}")
    return folds[name]


def _predictor(fitted: FittedRun, options: PredictOptions, scratch: Path) -> FilmPredictor:
    fold = fold_named(fitted, options.fold)
    job = fitted.job(fold)
    asked = Asked(options.subject, options.reference, options.samples, options.spread, scratch)
    task = fitted.config.resolved_stages()[-1].task
    return task.predictor(job, fitted.states[fold.name], asked)


def _descs(options: PredictOptions) -> list[str]:
    """Return the kinds of images: the mean, the spread, and each draw."""
    samples = [f"sample{n + 1:02}" for n in range(options.samples)]
    return ["predicted", *(["spread"] if options.spread else []), *samples]


def _summary(
    predictor: FilmPredictor, grid: TrGrid, options: PredictOptions, names: PredictedNames
) -> PredictedImages:
    person = predictor.person
    return PredictedImages(
        tuple(names.image(desc) for desc in _descs(options)),
        person.subject,
        grid.n_trs,
        person.mask.n_voxels,
        float(grid.tr_s),
        _UNITS[options.units],
        person.known_by,
    )


def _write(
    root: Path,
    predictor: FilmPredictor,
    grid: TrGrid,
    options: PredictOptions,
    names: PredictedNames,
    facts: Mapping[str, Any],
    scratch: Path,
    progress: Progress | None,
) -> None:
    strip = predictor.strip(options.film, grid, scratch)
    descs, person = _descs(options), predictor.person
    (root / names.image("predicted")).parent.mkdir(parents=True)
    told = "BOLD of a film predicted from the film and the person, not measured."
    write_description(
        root,
        "Predicted BOLD",
        {"Name": "brainreel predict", "Version": __version__, "Description": told},
    )
    for desc in descs:
        write_json(root / names.sidecar(desc), {"Description": _described(desc), **facts})
    with ExitStack() as files:
        images = [
            files.enter_context(
                ImageSeries(root / names.image(desc), person.mask, grid.n_trs, grid.tr_s)
            )
            for desc in descs
        ]
        done = 0
        for part in predictor.predicted(strip, grid.n_trs):
            for image, values in zip(images, _scaled(part, person, options.units), strict=True):
                image.write(_checked(values))
            done += len(part.mean)
            if progress is not None:
                progress(done, grid.n_trs)


def _scaled(part: PredictedTrs, person: Person, units: Units) -> Sequence[Float32]:
    """Return mean, spread and draws in the units that are asked for."""
    level = person.level if units == "scanner" else np.float32(0)
    std = person.std if units == "scanner" else np.float32(1)
    spread = [] if part.spread is None else [part.spread * std]
    return [level + part.mean * std, *spread, *(level + one * std for one in part.samples)]


def _checked(values: Float32) -> Float32:
    if not np.isfinite(values).all():
        raise DataError(
            "the prediction holds NaN or infinite values, so the fit has gone astray. Fit again "
            "with a smaller optim.lr."
        )
    return values


def _described(desc: str) -> str:
    return {
        "predicted": "Predicted BOLD: the mean",
        "spread": "Predicted standard deviation of BOLD, voxel by voxel",
    }.get(desc, f"Predicted BOLD: draw {desc.removeprefix('sample').lstrip('0')}")


def _facts(
    fitted: FittedRun, predictor: FilmPredictor, grid: TrGrid, options: PredictOptions
) -> dict[str, Any]:
    """Return what the sidecars tell of all images."""
    weights = read_json(fitted.folder / VERSIONS)["digests"]["weights"]
    sources = {options.film: digest_file(options.film)}
    if options.reference is not None:
        image = Path(options.reference.image)
        sources[image] = digest_file(image / BOLD if image.is_dir() else image)
    return {
        "TaskName": task_of_film(options.film),
        "RepetitionTime": float(grid.tr_s),
        "Units": _UNITS[options.units],
        "FilmStart": float(exact(options.film_start_s)),
        "FilmContext": float(predictor.context_trs * predictor.tr_s),
        **predictor.told,
        "Sources": [*(str(path.resolve()) for path in sources), str(fitted.folder.resolve())],
        "SourcesSHA256": [*sources.values(), weights],
        "Fold": fold_named(fitted, options.fold).name,
    }
