"""Task `classify`: films, pictures and sounds to their classes, by a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import expit, softmax

from brainreel.checkpoints.store import load_state
from brainreel.data.clips import ClipsConfig
from brainreel.data.labelled_module import LabelledModule
from brainreel.data.labelled_samples import Labelled
from brainreel.errors import ConfigError, DataError
from brainreel.files import digest_json, read_json, write_json
from brainreel.models.base import ModelConfig
from brainreel.models.stimulus import StimulusConfig, StimulusNetwork
from brainreel.shapes import DataSpec, Sense
from brainreel.train.begin import NETWORK, begin_with, freeze, read_start
from brainreel.train.class_losses import ClassLossName
from brainreel.train.class_predictions import UNTOLD, ClassPrediction
from brainreel.train.classifier import ClassifyTask, Learning, Viewed, view_items
from brainreel.train.film_network import network_state
from brainreel.train.stored_backbone import check_unseen, settled_backbone
from brainreel.train.task import Job, State, TaskConfig
from brainreel.train.trainer import (
    fit_network,
    is_first_process,
    own_randomness,
    predict_device,
)

UNREADABLE = "unreadable.json"
_LOSSES = {"ce": "cross-entropy", "bce": "sigmoid of each class"}


class ClassifyConfig(TaskConfig):
    """A network learns the classes of films, pictures or sounds."""

    data_kinds: ClassVar[tuple[str, ...]] = ("labelled",)
    model_kinds: ClassVar[tuple[str, ...]] = ("vit", "ast", "vtn", "tubevit", "mbt", "pixels")

    name: Literal["classify"] = "classify"
    clips: ClipsConfig = ClipsConfig()
    """How clips are cut, changed at random in training, and viewed in the test."""
    test_frames: int | None = Field(None, ge=1)
    """Test on this many frames, evenly over the whole item, where the network takes any number
    (vtn: 250); none: on clips like those of the training."""
    loss: ClassLossName | None = None
    """ce: cross-entropy over the classes of a label; bce: each class by itself. None: bce for
    labels of which an item may have several classes, ce for others."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target that is spread over all classes."""
    mixup: float = Field(0.0, ge=0)
    """Alpha of mixup: clips are blended in pairs with a weight from Beta(alpha, alpha); 0: none."""
    modality_mixup: bool = False
    """Blend pictures and sound with a weight each, and train each sense on its own targets."""
    start_from: Path | None = None
    """Run folder of an import or a fit whose weights the training starts from; its head is left
    out where the classes differ, and options of the model that are not given are as they are
    there."""
    start_part: str = ""
    """Part of the network that start_from is for (frame of vtn); empty: all of it."""
    freeze: tuple[str, ...] = ()
    """Parts of the network that do not learn, by the beginnings of their names (frame)."""

    def spec(self, job: Job) -> DataSpec:
        """Return the facts of the data that size the model."""
        return self.data(job).spec

    def fit(self, job: Job) -> State:
        """Train on the fold's training items; stop or choose by its validation items."""
        labelled, data = _labelled(job), self.data(job)
        network = self._network(job, data)
        begun = self._begin(job, network, data)
        freeze(network, self.freeze)
        learning = Learning(
            data.spec.classes,
            {label: self._loss_of(label, labelled) for label in labelled.classes},
            self.label_smoothing,
            self.mixup,
            self.modality_mixup,
            job.seed,
        )
        settings = [item.to_dict() for item in (job.model, job.optim, self)]
        told = [settings, job.trainer.decisive(), data.spec.to_json(), dict(labelled.sources)]
        weights = fit_network(
            ClassifyTask(network, job.optim, learning),
            data,
            job.trainer,
            job.folder,
            seed=job.seed,
            identity=digest_json([*told, str(job.fold), job.seed, begun]),
            validates=bool(job.fold.validation_trials),
        )
        if data.unreadable.why and is_first_process():
            # The weights cannot say it, and whoever reads the scores must know.
            why = {str(item): told for item, told in data.unreadable.why.items()}
            write_json(job.folder / UNREADABLE, why)
        return {NETWORK + name: value.numpy() for name, value in weights.items()}

    def predict(self, job: Job, state: State) -> list[ClassPrediction]:
        """Score the test items of the fold, averaged over their views."""
        data = self.data(job)
        network = self._network(job, data)
        load_state(network, network_state(state), where=f"fold '{job.fold.name}'")
        network = network.to(predict_device(job.trainer))
        test = LabelledModule(_labelled(job), job.fold, self._test_clips(), seed=job.seed)
        known = job.folder / UNREADABLE
        if known.is_file():
            test.unreadable.why |= {int(i): told for i, told in read_json(known).items()}
        viewed = view_items(network, test, job.fold.test_trials)
        return [self._prediction(job, viewed, test.notes())]

    def protocol(self) -> dict[str, Any]:
        """Return views, loss and where the training began."""
        clips = self._test_clips()
        views = f"{clips.temporal_views} x {clips.crops}, mean of the logits"
        loss = self.loss or "cross-entropy; sigmoid where an item may have several classes"
        told: dict[str, Any] = {"views (time x crops)": views, "loss": _LOSSES.get(loss, loss)}
        if self.test_frames is not None:
            told["test_frames"] = self.test_frames
        if self.label_smoothing:
            told["label_smoothing"] = self.label_smoothing
        if self.mixup:
            told["mixup"] = self.mixup
            told["modality_mixup"] = self.modality_mixup
        if self.start_from is not None:
            told["start_from"] = str(self.start_from)
        if self.freeze:
            told["frozen"] = list(self.freeze)
        return told

    def data(self, job: Job) -> LabelledModule:
        """Return the clips of the job's fold."""
        return LabelledModule(_labelled(job), job.fold, self.clips, seed=job.seed)

    def _test_clips(self) -> ClipsConfig:
        """Return how test items are viewed."""
        if self.test_frames is None:
            return self.clips
        whole = {"sampling": "uniform", "span_s": None, "frame_rate_hz": None}
        sound = {"sound_s": float(self.clips.sound_window)} if self.clips.hears else {}
        return ClipsConfig.parse(
            self.clips.to_dict() | whole | sound | {"n_frames": self.test_frames}, where="clips"
        )

    def settled(self, model: ModelConfig) -> ModelConfig:
        """Return the model's options, those that are not given taken from `start_from`."""
        if self.start_from is None or not isinstance(model, StimulusConfig):
            return model
        if not self.start_part:
            return settled_backbone(model, self.start_from, key="model")
        part = getattr(model, self.start_part, None)
        if not isinstance(part, StimulusConfig):
            return model
        settled = settled_backbone(part, self.start_from, key=f"model.{self.start_part}")
        return model.model_copy(update={self.start_part: settled})

    def _network(self, job: Job, data: LabelledModule) -> StimulusNetwork:
        """Return the network with first weights drawn from the job's seed."""
        assert isinstance(job.model, StimulusConfig)
        media: dict[str, str] = {"pictures": "frames", "sound": "sound"}
        lacking = [
            media[sense] for sense in sorted(job.model.senses) if not _carries(self.clips, sense)
        ]
        if lacking:
            wanted = "both" if len(job.model.senses) > 1 else lacking[0]
            raise ConfigError(
                f"model '{job.model.name}' takes {' and '.join(lacking)}, which task.clips.media="
                f"{self.clips.media} leaves out. Set task.clips.media={wanted}."
            )
        with own_randomness(job.seed):
            return job.model.build(data.spec)

    def _begin(self, job: Job, network: StimulusNetwork, data: LabelledModule) -> dict[str, float]:
        """Load the weights to start from; return a number of each, by which a run is known."""
        if job.start:
            state, where, same = network_state(job.start), "the stage before", None
        elif self.start_from is not None:
            check_unseen(self.start_from, job.data)
            state, spec = read_start(self.start_from, job.fold.name)
            where, same = str(self.start_from), dict(spec.classes) == dict(data.spec.classes)
        else:
            return {}
        part = "" if job.start else self.start_part
        begin_with(network, state, part=part, same_classes=same, where=where)
        return {name: value.double().sum().item() for name, value in state.items()}

    def _loss_of(self, label: str, labelled: Labelled) -> ClassLossName:
        several = label in labelled.several
        if len(labelled.classes[label]) < 2 and not several:
            raise DataError(
                f"the label '{label}' has one class ({labelled.classes[label][0]}): there is "
                "nothing to tell apart. Give items of another class."
            )
        if several and self.loss == "ce":
            raise ConfigError(
                f"task.loss=ce: an item may have several classes of '{label}', which "
                "cross-entropy cannot learn. Set task.loss=bce, or leave it out."
            )
        return self.loss or ("bce" if several else "ce")

    def _prediction(self, job: Job, viewed: Viewed, notes: tuple[str, ...]) -> ClassPrediction:
        """Turn logits into probabilities, beside the true classes."""
        labelled, test = _labelled(job), job.fold.test_trials
        scored = [item for item in test if item in viewed.logits]
        if not scored:
            raise DataError(f"fold '{job.fold.name}': no test item could be read. Mend data.path.")
        logits = np.stack([viewed.logits[item] for item in scored])
        scores, start = np.empty_like(logits), 0
        for label, names in labelled.classes.items():
            own = slice(start, start + len(names))
            sigmoid = self._loss_of(label, labelled) == "bce"
            scores[:, own] = expit(logits[:, own]) if sigmoid else softmax(logits[:, own], axis=1)
            start = own.stop
        train = targets_of(labelled, job.fold.train_trials)
        told = train != UNTOLD
        return ClassPrediction(
            split=job.fold.split,
            fold=job.fold.name,
            subject="",
            scores=scores.astype(np.float32),
            targets=targets_of(labelled, scored),
            prior=((train == 1).sum(0) / np.maximum(told.sum(0), 1)).astype(np.float32),
            items=tuple(labelled.items[item].name for item in scored),
            n_views=np.array([viewed.n_views[item] for item in scored], dtype=np.int64),
            classes=labelled.classes,
            several=labelled.several,
            unread=tuple(labelled.items[i].name for i in test if i not in viewed.logits),
            notes=notes,
        )


def targets_of(labelled: Labelled, items: Sequence[int]) -> NDArray[np.int8]:
    """Return (N, K) targets of some items, all labels side by side: 1, 0, or -1 for not told."""
    blocks = []
    for label, names in labelled.classes.items():
        block = np.full((len(items), len(names)), UNTOLD, dtype=np.int8)
        for row, item in zip(block, items, strict=True):
            own = labelled.items[item].labels.get(label)
            if own is not None:
                row[:] = 0
                row[list(own)] = 1
        blocks.append(block)
    return np.concatenate(blocks, axis=1)


def _carries(clips: ClipsConfig, sense: Sense) -> bool:
    return clips.sees if sense == "pictures" else clips.hears


def _labelled(job: Job) -> Labelled:
    if not isinstance(job.data, Labelled):
        raise DataError("classify needs labelled films, pictures or sounds; the data has none.")
    return job.data
