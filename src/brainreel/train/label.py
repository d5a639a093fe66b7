"""Task `label`: a class or a number of a person from windows of their brain volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainreel.data.people import People
from brainreel.data.samples import Segment
from brainreel.data.volume_module import VolumeModule
from brainreel.data.volume_windows import VolumeWindowsConfig
from brainreel.errors import ConfigError, DataError
from brainreel.models.base import ModelConfig
from brainreel.shapes import DataSpec
from brainreel.train.label_learning import (
    LabelObjective,
    LabelTask,
    NumberLoss,
    NumberScale,
    window_outputs,
)
from brainreel.train.label_predictions import LabelPrediction
from brainreel.train.task import Job, State, TaskConfig
from brainreel.train.trainer import predict_device
from brainreel.train.volume_runs import (
    begun_network,
    kept,
    restored,
    settled_volumes,
    train_volumes,
)

_HEAD = "head."


class LabelConfig(TaskConfig):
    """A network tells a label of a person from their brain volumes: TFF's third phase."""

    data_kinds: ClassVar[tuple[str, ...]] = ("people",)
    model_kinds: ClassVar[tuple[str, ...]] = ("tff_label",)

    name: Literal["label"] = "label"
    windows: VolumeWindowsConfig = VolumeWindowsConfig(batch_windows=3)
    """How scans are cut into windows. A scan that is shorter is one window."""
    balance: bool = False
    """Weigh people by n / (K n_k), n_k people of their class in training, so that rare classes
    count as much as common ones (published: off)."""
    number_loss: NumberLoss = "l1"
    """What a number is held to: l1, the absolute error (published), or mse, its square."""
    number_scale: NumberScale = "standard"
    """standard: a number is learned in deviations from its mean over the people in training; raw:
    as it is, through LeakyReLU, as published."""
    start_from: Path | None = None
    """Run folder of an import or a fit of TFF whose weights the training starts from, all but the
    head, where there is no stage before; sizes of the model that are not given are taken from
    there."""

    def settled(self, model: ModelConfig) -> ModelConfig:
        """Return the model with the sizes of the weights in `start_from`."""
        return settled_volumes(model, self.start_from, self.windows.window_trs)

    def spec(self, job: Job) -> DataSpec:
        """Return the facts of the data that size the model."""
        return self.data(job).spec

    def fit(self, job: Job) -> State:
        """Train on the fold's training people; stop or choose by its validation people."""
        people, data = _people(job), self.data(job)
        objective = self._objective(people, job)
        network, begun = begun_network(job, data, start_from=self.start_from, leave_out=(_HEAD,))
        names = data.spec.subjects
        targets = [people.labels.get(who, np.nan) for who in names]
        learning = LabelTask(
            network, job.optim, objective, torch.tensor(targets), self._weights(people, job, names)
        )
        return kept(train_volumes(job, data, learning, begun, self.to_dict()), data)

    @torch.no_grad()
    def predict(self, job: Job, state: State) -> list[LabelPrediction]:
        """Tell the label of every test person: the mean over all windows of their scans."""
        people, data = _people(job), self.data(job)
        objective = self._objective(people, job)
        network, device = restored(job, data, state), predict_device(job.trainer)
        found: dict[str, list[NDArray[np.float64]]] = {}
        for batch in data.loader(job.fold.test, training=False):
            answers = objective.answers(window_outputs(network, batch.to(device))).cpu().numpy()
            for row in batch.counted.any(dim=1).nonzero().squeeze(1).tolist():
                who = data.spec.subjects[batch.subject[row]]
                found.setdefault(who, []).append(answers[row])
        prior = self._prior(people, job)
        found = {who: found[who] for who in data.spec.subjects if who in found}
        return [
            LabelPrediction(
                split=job.fold.split,
                fold=job.fold.name,
                subject="",
                label=people.label,
                classes=people.classes,
                scores=np.stack([np.mean(windows, axis=0) for windows in found.values()]),
                targets=np.array([people.labels[who] for who in found]),
                prior=np.tile(prior, (len(found), 1)),
                people=tuple(found),
                n_windows=np.array([len(windows) for windows in found.values()], np.int64),
                notes=_short(people, job, self.windows.window_trs),
            )
        ]

    def protocol(self) -> dict[str, Any]:
        """Say what a person's label is made of, and what the training was held to."""
        told: dict[str, Any] = {
            "predicted": "a label of each person: probabilities, or numbers, of all windows of "
            "their scans, averaged",
            "window_trs": self.windows.window_trs,
        }
        if self.balance:
            told["balanced"] = True
        if self.start_from is not None:
            told["start_from"] = str(self.start_from)
        return told

    def data(self, job: Job) -> VolumeModule:
        """Return the volumes of the job's fold, each scan normalised by itself."""
        people = _people(job)
        return VolumeModule(people, job.fold, self.windows, seed=job.seed, own_moments=True)

    def _objective(self, people: People, job: Job) -> LabelObjective:
        """Return what is learned; the scale of a number is that of the people in training."""
        n_classes = len(people.classes)
        if n_classes:
            return LabelObjective(n_classes)
        if self.balance:
            raise ConfigError(
                f"task.balance=true weighs classes, and '{people.label}' is a number. Set "
                "task.balance=false, or data.label_kind=classes."
            )
        objective = LabelObjective(0, self.number_loss, self.number_scale)
        if self.number_scale == "raw":
            return objective
        own = [people.labels[who] for who in _trained(people, job)]
        if np.ptp(own) == 0:
            raise DataError(
                f"fold '{job.fold.name}': everybody in training has {own[0]:g} for "
                f"'{people.label}', so nothing can be learned of it. Train on more people."
            )
        return replace(objective, mean=float(np.mean(own)), scale=float(np.std(own)))

    def _weights(self, people: People, job: Job, names: Sequence[str]) -> Tensor:
        """Return the weight of each person's loss: n / (K n_k), or 1."""
        if not self.balance:
            return torch.ones(len(names))
        shares = self._prior(people, job)
        n_there = np.count_nonzero(shares)
        weight = np.divide(1, n_there * shares, out=np.zeros_like(shares), where=shares > 0)
        return torch.tensor([weight[int(people.labels[who])] for who in names])

    def _prior(self, people: People, job: Job) -> NDArray[np.float64]:
        """Return (K,) shares of the classes among the people in training, or (1,) their mean."""
        own = [people.labels[who] for who in _trained(people, job)]
        if not people.classes:
            return np.array([np.mean(own)])
        return np.bincount(np.array(own, np.int64), minlength=len(people.classes)) / len(own)


def _people(job: Job) -> People:
    if not isinstance(job.data, People) or not job.data.label:
        raise DataError(
            "task 'label' learns a column of a table of people, and none is named. Give "
            "data.participants, and the column as data.label."
        )
    return job.data


def _trained(people: People, job: Job) -> list[str]:
    return list(dict.fromkeys(people.recordings[s.recording].subject for s in job.fold.train))


def _short(people: People, job: Job, window_trs: int) -> tuple[str, ...]:
    """Say whose scans are shorter than a window, in the test."""

    def told(segment: Segment) -> str:
        return f"{people.recordings[segment.recording].label} ({segment.n_trs})"

    short = [told(segment) for segment in job.fold.test if segment.n_trs < window_trs]
    if not short:
        return ()
    more = f" and {len(short) - 3} more" if len(short) > 3 else ""
    return (
        f"{job.fold.name}: scans shorter than a window of {window_trs} volumes are seen as long as "
        f"they are: {', '.join(short[:3])}{more}.",
    )
