"""Task `denoise`: pictures drawn from brains by latent diffusion; stage B of MinD-Vis."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from brainreel.checkpoints.store import load_state
from brainreel.data.picture_module import PictureModule
from brainreel.data.samples import Fold
from brainreel.errors import ConfigError, DataError
from brainreel.files import digest_json
from brainreel.layers.picture_changes import PictureChanges
from brainreel.models.base import ModelConfig
from brainreel.models.brain_diffusion import BrainDiffusion, BrainDiffusionConfig
from brainreel.models.picture_ridge import PictureRidgeConfig
from brainreel.models.sampling import ladder
from brainreel.train.begin import NETWORK
from brainreel.train.denoise_learning import DenoiseTask
from brainreel.train.diffusion_begin import begin_diffusion, settled_diffusion
from brainreel.train.diffusion_reconstruction import DiffusionDraws, diffusion_reconstructor
from brainreel.train.drawing import DrawOptions
from brainreel.train.drawn import CONTROLS, Drawn
from brainreel.train.film_network import network_state
from brainreel.train.first_guess import FirstGuess
from brainreel.train.first_stage_begin import SCALE, STAGE, measure_scale
from brainreel.train.kept_moments import kept_moments, moments_state
from brainreel.train.picture_reconstruction import DrawAsked, Reconstructor
from brainreel.train.picture_task import PictureTaskConfig
from brainreel.train.predictions import PicturePrediction
from brainreel.train.task import Job, State
from brainreel.train.trainer import fit_network, own_randomness, predict_device

Float32 = NDArray[np.float32]
_BEGUN = ("start_from", "encoder_from", "first_stage_from")


class DenoiseConfig(PictureTaskConfig):
    """Voxel vectors -> the pictures that were seen, drawn by latent diffusion (DC-LDM)."""

    model_kinds: ClassVar[tuple[str, ...]] = ("latent_diffusion",)

    name: Literal["denoise"] = "denoise"
    batch: int = Field(25, ge=1)
    """Pairs of brain and picture in a batch, per process; published: 5 for GOD, 25 for BOLD5000."""
    start_from: Path | None = None
    """Latent diffusion that the training starts from: a run folder, a folder of diffusers (Stable
    Diffusion), or a published file (`model.ckpt` of LDM). Sizes of the model that are not given are
    taken from there."""
    encoder_from: Path | None = None
    """Run folder of SC-MBM whose encoder the training starts from; its sizes are taken from there.
    """
    first_stage_from: Path | None = None
    """First stage alone that pictures are drawn in: a run folder of task autoencode, a folder of
    diffusers, or a file of latent diffusion or of its first stage; its sizes are taken from there.
    """
    changes: PictureChanges = PictureChanges()
    """Random changes of training pictures; crops as published."""
    dropped_voxels: float = Field(0.0, ge=0, lt=1)
    """Share of the voxels of a training vector that are set to their mean (MinD-Vis meant 0.2)."""
    withheld: float = Field(0.0, ge=0, le=1)
    """Share of training brains that are withheld, which guidance needs; 0.1 is usual. 1 learns
    pictures alone: a diffusion for a later stage to fine-tune. Needs model.null_context."""
    guess: PictureRidgeConfig = PictureRidgeConfig(voxels="by_what_they_tell")
    """Ridge that gives the first guess, of a model with first_guess."""
    guess_parts: int = Field(15, ge=2)
    """Parts that training trials are left out in, so that their first guesses are as those of new
    trials."""
    average: float | None = Field(None, gt=0, lt=1)
    """Decay of a moving average of the weights, which are then handed on (latent diffusion:
    0.9999); none hands on the weights as they are."""
    sampling: DrawOptions = DrawOptions()
    """How pictures are drawn."""

    def settled(self, model: ModelConfig) -> ModelConfig:
        """Return the model with the sizes of the weights that it starts from."""
        begun = (self.start_from, self.encoder_from, self.first_stage_from)
        return settled_diffusion(model, *begun)

    def fit(self, job: Job) -> State:
        """Train on the fold's training pairs; stop or choose by its validation part."""
        data = self.learned(job, self.batch)
        network = built(job, data)
        self._check(job, network)
        sources = (self.start_from, self.encoder_from, self.first_stage_from)
        begun = begin_diffusion(network, job, *sources)
        self._check_null(begun)
        self._check_stage(job, data, network, begun)
        state: State = {}
        if network.first_guess:
            guess = FirstGuess.fit(self.guess, data.trials, job.fold.train_trials, job.seed)
            data.guesses = self.guesses(guess, job.fold, job.seed)
            if data.more is not None:
                train = job.fold.train_trials
                data.more_guesses = guess.imitated(
                    data.more, train, data.guesses[list(train)], job.seed
                )
            state |= guess.state()
        data.setup()
        weights = self._trained(job, data, network, begun)
        state |= {NETWORK + name: value.numpy() for name, value in weights.items()}
        return state | moments_state(data.moments)

    def _check(self, job: Job, network: BrainDiffusion) -> None:
        if self.average is not None and job.trainer.strategy == "fsdp":
            raise ConfigError(
                "task.average needs whole weights, and trainer.strategy=fsdp shards them. Set "
                "trainer.strategy=ddp, or task.average=none."
            )
        ladder(self.sampling.steps, network.noise.steps)
        needs = [name for name in ("withheld", "more_pictures") if getattr(self, name)]
        needs += ["sampling.guidance"] * (self.sampling.guidance != 1)
        if needs and network.null_context is None:
            raise ConfigError(
                f"task.{needs[0]} needs a context that stands for no brain. Set "
                "model.null_context=true."
            )

    def _check_null(self, begun: Mapping[str, float]) -> None:
        """Refuse guidance away from a context that nothing has taught what no brain is."""
        taught = self.withheld or self.more_pictures or "null_context" in begun
        if self.sampling.guidance != 1 and not taught:
            raise ConfigError(
                "task.sampling.guidance goes away from what is drawn without a brain, and nothing "
                "is learned without one. Set task.withheld=0.1, or leave guidance at 1."
            )

    def _check_stage(
        self, job: Job, data: PictureModule, network: BrainDiffusion, begun: Mapping[str, float]
    ) -> None:
        """Refuse a first stage that has learned nothing; measure its scale where none is kept."""
        stage = network.first_stage
        if list(stage.parameters()) and not any(name.startswith(STAGE) for name in begun):
            raise ConfigError(
                "model.first_stage has no weights, and pictures cannot be drawn in one that has "
                "learned nothing. Give task.start_from or task.first_stage_from, a stage of task "
                "autoencode before this one, or model.first_stage.name=pixels."
            )
        if SCALE in network.state_dict() and SCALE not in begun:
            measure_scale(stage, data.trials, job.fold.train_trials, self.batch)

    def predict(self, job: Job, state: State) -> list[PicturePrediction]:
        """Draw pictures of the test trials, person by person."""
        return self.drawn(job, state).predictions("")

    def control_names(self) -> tuple[str, ...]:
        """Return the controls: brains of other trials, and the predicted class alone."""
        return CONTROLS

    def predict_control(self, job: Job, state: State, control: str) -> list[PicturePrediction]:
        """Draw pictures of the test trials without their brains; none if no class is known."""
        if control not in self.control_names():
            raise DataError(f"denoise has no control '{control}'.")
        return self.drawn(job, state).predictions(control)

    def protocol(self) -> dict[str, Any]:
        """Say how pictures were drawn."""
        told: dict[str, Any] = {"drawn": f"{self.sampling.sampler}, {self.sampling.steps} steps"}
        if self.sampling.guidance != 1:
            told["guidance"] = self.sampling.guidance
        if self.more_pictures is not None:
            told["further pictures"] = str(self.more_pictures)
        begun = {name: str(path) for name in _BEGUN if (path := getattr(self, name)) is not None}
        return told | begun

    def drawn(self, job: Job, state: State) -> Drawn:
        """Return the fitted network with what it draws of."""
        data = PictureModule(self.trials(job), job.fold, batch=self.batch, seed=job.seed)
        network = built(job, data)
        load_state(network, network_state(state), where=f"fold '{job.fold.name}'")
        data.moments = kept_moments(state, data.trials.subjects)
        data.setup()
        if network.first_guess:
            guess = FirstGuess.from_state(self.guess, data.trials, state)
            data.guesses = self.guesses(guess, job.fold, job.seed)
        return Drawn(job, data, network, self.sampling)

    def reconstructor(self, job: Job, state: State, asked: DrawAsked) -> Reconstructor:
        """Return what draws pictures of any brain of a person."""
        trials, who = self.trials(job), asked.subject
        data = PictureModule(trials, job.fold, batch=1, seed=job.seed)
        network = built(job, data)
        load_state(network, network_state(state), where=f"fold '{job.fold.name}'")
        guess = None
        if network.first_guess:
            guess = FirstGuess.from_state(self.guess, trials, state).models.get(who)
            if guess is None:
                raise DataError(f"{who}: took no part in training, so there is no first guess.")
        draws = DiffusionDraws(
            network,
            data.padding,
            asked.options(self.sampling),
            job.seed if asked.seed is None else asked.seed,
            predict_device(job.trainer),
            guess,
        )
        return diffusion_reconstructor(draws, kept_moments(state, trials.subjects).get(who))

    def guesses(self, guess: FirstGuess, fold: Fold, seed: int) -> Float32:
        """Return first guesses of all trials of a fold, each from a fit that did not see it."""
        trials = guess.trials
        found = np.zeros((len(trials.voxels), *trials.spec().picture_shape), dtype=np.float32)
        found[list(fold.train_trials)] = guess.unseen(fold.train_trials, self.guess_parts, seed)
        others = [*fold.validation_trials, *fold.test_trials]
        found[others] = guess.guesses(others)
        return found

    def _trained(
        self, job: Job, data: PictureModule, network: BrainDiffusion, begun: Mapping[str, float]
    ) -> dict[str, Tensor]:
        settings = [self.to_dict(), job.model.to_dict(), job.optim.to_dict()]
        facts = [data.spec.to_json(), dict(data.trials.sources), str(job.fold), job.seed, begun]
        facts += data.further_digests()
        learning = DenoiseTask(
            network,
            job.optim,
            job.seed,
            changes=self.changes,
            dropped_voxels=self.dropped_voxels,
            withheld=self.withheld,
            decay=self.average,
        )
        validates = bool(job.fold.validation_trials)
        weights = fit_network(
            learning,
            data,
            job.trainer,
            job.folder,
            seed=job.seed,
            identity=digest_json([settings, job.trainer.decisive(), facts]),
            validates=validates,
        )
        # Weights chosen by validation are averaged ones already.
        chosen = validates and job.trainer.keep == "best"
        return weights if chosen else weights | learning.averaged()


def built(job: Job, data: PictureModule) -> BrainDiffusion:
    """Return the network with first weights drawn from the seed; the data learns its length."""
    model = job.model
    if not isinstance(model, BrainDiffusionConfig):
        raise DataError(f"denoise cannot fit a model '{model.name}'. Use 'latent_diffusion'.")
    with own_randomness(job.seed):
        network = model.build(data.spec)
    data.length = network.encoder.n_patches * model.encoder.patch
    data.padding = model.encoder.padding
    return network
