"""A run folder that pictures are drawn from: a fit with its data, or published weights alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainreel.checkpoints.imported import STORY, load_imported
from brainreel.data.given_pictures import PictureLayout
from brainreel.data.samples import Fold, Trials
from brainreel.data.trials import TrialsData
from brainreel.errors import CheckpointError, ConfigError, DataError, did_you_mean
from brainreel.fmri.voxel_vectors import mask_beside
from brainreel.models.brain_diffusion import BrainDiffusion, BrainDiffusionConfig
from brainreel.train.diffusion_reconstruction import DiffusionDraws, diffusion_reconstructor
from brainreel.train.drawing import DrawOptions
from brainreel.train.fit import FittedRun, load_fitted
from brainreel.train.lineage import adapted_on_test, digest_vector
from brainreel.train.picture_reconstruction import DrawAsked, Reconstructor
from brainreel.train.predicted_images import fold_named
from brainreel.train.trainer import TrainerConfig, predict_device

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PictureRun:
    """What draws pictures of one person's brains.

    Attributes
    ----------
    reconstructor
        The model.
    subject
        Whose brains.
    least, most
        Voxels that a vector may have.
    layout
        Shape of the pictures, and how they stand in the fit's files.
    vector_keys, mask
        Arrays that the fit took its vectors from, and the mask of their voxels, if it is known.
    trial_of
        Digest of each of the person's vectors in the fit's data -> its trial.
    part_of
        Trial -> training, validation or test; of trials that are in one.
    told
        What a reader must know of the run, by name.
    """

    reconstructor: Reconstructor
    subject: str
    least: int
    most: int
    layout: PictureLayout
    vector_keys: tuple[str, ...] = ()
    mask: Path | None = None
    trial_of: Mapping[str, int] = field(default_factory=dict)
    part_of: Mapping[int, str] = field(default_factory=dict)
    told: Mapping[str, Any] = field(default_factory=dict)


def open_picture_run(
    folder: Path, subject: str | None, fold: str | None, changes: tuple[str, ...], seed: int | None
) -> PictureRun:
    """Open a run folder, with its weights in place.

    Parameters
    ----------
    folder
        Of a fit, or of an import.
    subject, fold
        Whose brain, and which fit; None where there is one.
    changes, seed
        As in `DrawAsked`.

    Raises
    ------
    CheckpointError, ConfigError, DataError
        In one sentence, if it cannot draw pictures or it is not said whose or which.
    """
    if (Path(folder) / STORY).is_file():
        return _of_import(Path(folder), subject, fold, changes, seed)
    return _of_fit(load_fitted(Path(folder)), subject, fold, changes, seed)


def _of_fit(
    fitted: FittedRun,
    subject: str | None,
    fold_name: str | None,
    changes: tuple[str, ...],
    seed: int | None,
) -> PictureRun:
    stage, data = fitted.config.resolved_stages()[-1], fitted.data
    fold = fold_named(fitted, fold_name)
    if not isinstance(data, Trials):
        # Its task says what it cannot do.
        stage.task.reconstructor(fitted.job(fold), fitted.states[fold.name], DrawAsked(""))
        raise DataError(f"{fitted.folder}: was not fitted on trials with pictures.")
    who = _person(data, subject, fitted.folder)
    asked = DrawAsked(who, changes, seed)
    reconstructor = stage.task.reconstructor(fitted.job(fold), fitted.states[fold.name], asked)
    person = data.subjects.index(who)
    rows = data.of_person(person)
    digests = map(digest_vector, data.own_voxels(person, rows))
    told = {
        "run": str(fitted.folder.resolve()),
        "task": stage.task.name,
        "model": stage.model.name,
        "fold": fold.name,
        "transductive": list(adapted_on_test(fitted.folder)),
    }
    return PictureRun(
        reconstructor,
        who,
        least=data.sizes[person],
        most=data.sizes[person],
        layout=_layout(stage.data, data),
        vector_keys=tuple(getattr(stage.data, "voxel_keys", ())),
        mask=_mask(stage.data, who),
        trial_of=dict(zip(digests, map(int, rows), strict=True)),
        part_of=_parts(fold),
        told=told,
    )


def _of_import(
    folder: Path, subject: str | None, fold: str | None, changes: tuple[str, ...], seed: int | None
) -> PictureRun:
    imported = load_imported(folder)
    config, spec = imported.config, imported.spec
    if not isinstance(config, BrainDiffusionConfig):
        raise CheckpointError(
            f"{folder}: holds '{config.name}', which draws no pictures. Give an import of DC-LDM "
            "whole, or a run of task pictures or denoise."
        )
    if subject is not None or fold is not None:
        raise ConfigError(
            f"{folder}: published weights know one person and one fit. Leave --subject and --fold "
            "out."
        )
    network = imported.build(where=str(folder))
    assert isinstance(network, BrainDiffusion)
    if network.first_guess:
        raise CheckpointError(f"{folder}: needs first guesses, which no import tells.")
    asked = DrawAsked("", changes, seed)
    draws = DiffusionDraws(
        network,
        config.encoder.padding,
        asked.options(DrawOptions()),
        seed or 0,
        predict_device(TrainerConfig()),
    )
    n_voxels = max(spec.n_voxels)
    told = {"run": str(folder.resolve()), "model": config.name, "transductive": []}
    return PictureRun(
        diffusion_reconstructor(draws, None),
        "whoever it was trained on",
        # Its weights tell whole patches; the vectors were padded to these.
        least=n_voxels - config.encoder.patch + 1,
        most=n_voxels,
        layout=PictureLayout(_three(spec.picture_shape)),
        told=told,
    )


def _person(data: Trials, subject: str | None, folder: Path) -> str:
    told = ", ".join(data.subjects)
    if subject is None and len(data.subjects) > 1:
        raise ConfigError(f"{folder}: whose brain is it? Give --subject, one of {told}.")
    who = data.subjects[0] if subject is None else subject
    if who not in data.subjects and f"sub-{who}" in data.subjects:
        who = f"sub-{who}"
    if who not in data.subjects:
        near = did_you_mean(who, data.subjects)
        raise ConfigError(f"{folder}: knows no '{who}', but {told}.{near}")
    return who


def _layout(config: Any, data: Trials) -> PictureLayout:
    shape = _three(data.spec().picture_shape)
    if not isinstance(config, TrialsData):
        return PictureLayout(shape)
    return PictureLayout(
        shape,
        keys=dict(zip(config.voxel_keys, config.picture_keys, strict=False)),
        pixels=config.picture_shape,
        order=config.picture_order,
        white=config.picture_max,
        size=config.picture_size,
    )


def _mask(config: Any, who: str) -> Path | None:
    if not isinstance(config, TrialsData):
        return None
    path = config.path[who] if isinstance(config.path, Mapping) else config.path
    return mask_beside(path)


def _parts(fold: Fold) -> dict[int, str]:
    parts = {
        "training": fold.train_trials,
        "validation": fold.validation_trials,
        "test": fold.test_trials,
    }
    return {trial: name for name, trials in parts.items() for trial in trials}


def _three(shape: tuple[int, ...]) -> tuple[int, int, int]:
    channels, height, width = shape
    return channels, height, width
