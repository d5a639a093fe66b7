"""Task `film_vae`: a person's brain volumes from a film and one volume of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from pydantic import Field

from brainreel.checkpoints.store import load_state
from brainreel.data.samples import Series
from brainreel.data.volume_module import VolumeModule
from brainreel.data.volume_windows import VolumeWindowsConfig
from brainreel.errors import DataError
from brainreel.models.base import ModelConfig
from brainreel.models.film_vae import FilmVAE, FilmVAEConfig
from brainreel.shapes import DataSpec
from brainreel.timebase import exact
from brainreel.train.callbacks import cpu_copy
from brainreel.train.controls import Control, withhold
from brainreel.train.film_course import FilmCourses
from brainreel.train.film_imagining import FilmImagination, film_reference
from brainreel.train.film_network import network_state
from brainreel.train.film_prediction import Asked, FilmPredictor
from brainreel.train.film_prior import check_film_is_fixed, fit_film_prior
from brainreel.train.film_vae_task import FilmVAETask, Objective
from brainreel.train.imagine import Imagination, residual_variance
from brainreel.train.predictions import AnyPrediction, Prediction
from brainreel.train.stored_backbone import check_unseen, load_backbone, settled_backbone
from brainreel.train.task import Job, State, TaskConfig
from brainreel.train.trainer import predict_device
from brainreel.train.volume_objective import VolumeLossConfig
from brainreel.train.volume_runs import (
    begun_network,
    built,
    kept,
    moments_of,
    restored,
    settled_volumes,
    train_volumes,
)

_RESIDUAL = "residual_variance"


class FilmVolumesConfig(TaskConfig):
    """A conditional VAE learns volumes from film; what is not said to be otherwise is published."""

    data_kinds: ClassVar[tuple[str, ...]] = ("films", "people")
    model_kinds: ClassVar[tuple[str, ...]] = ("film_vae",)

    name: Literal["film_vae"] = "film_vae"
    windows: VolumeWindowsConfig = VolumeWindowsConfig()
    """How recordings and their films are cut into sequences."""
    loss: VolumeLossConfig = VolumeLossConfig()
    """What decoded volumes are held to."""
    beta: float = Field(1.0, ge=0)
    """Weight of the KL divergence per voxel; 1 is the evidence lower bound."""
    beta_warmup: float = Field(0.3, ge=0, le=1)
    """Share of all steps in which that weight rises from 0; at once, units would fall silent."""
    free_bits: float = Field(0.0, ge=0)
    """Nats that each latent unit may differ by for free, so that it is not silenced."""
    prior_weight: float = Field(0.0, ge=0)
    """Weight of volumes decoded from the prior, beside those from the posterior, so that what is
    asked of the film in the test is trained (Sohn et al. 2015). Published: 0."""
    prior_draw: Literal["mean", "draw"] = "mean"
    """What of the prior is decoded for that: its mean, or a draw."""
    film_prior: Literal["gradient", "ridge"] = "gradient"
    """How the film's part of the prior learns: by gradients (published), or in closed form, by
    banded ridge from film features that do not change to the posterior, before and after the
    rest has learned. Minutes of film are too few for gradients."""
    high_pass_hz: float | None = Field(None, gt=0)
    """Take trends and slower changes (hertz) out of what the film says, run by run, as prepare took
    them out of BOLD (1/128, 0.0078125, unless it was told otherwise); none leaves them in."""
    samples: int = Field(8, ge=0)
    """Draws from the prior whose deviation is the predicted spread; 0 for none."""
    noise: bool = True
    """Whether what volumes of the validation part, or else of training, still differ by is added
    to the spread, so that it covers what is measured and not only what is known."""
    start_from: Path | None = None
    """Run folder of an import or a fit of TFF whose weights the training starts from, those that
    the network has by name, where there is no stage before."""
    backbone_from: Path | None = None
    """Run folder of an import, or of a fit, whose weights the film's backbone begins with; options
    of model.backbone that are not given are taken from there."""
    cache: Path | None = None
    """Folder of decoded frames and sound, kept for later runs; none: in the folder of the fold."""

    def settled(self, model: ModelConfig) -> ModelConfig:
        """Return the model with the sizes of `start_from` and the backbone of `backbone_from`."""
        if self.backbone_from is not None and isinstance(model, FilmVAEConfig):
            backbone = settled_backbone(model.backbone, self.backbone_from, key="model.backbone")
            model = model.model_copy(update={"backbone": backbone})
        return settled_volumes(model, self.start_from, self.windows.window_trs)

    def spec(self, job: Job) -> DataSpec:
        """Return the facts of the data that size the model."""
        return self.data(job).spec

    def fit(self, job: Job) -> State:
        """Train on the fold's training segments; stop or choose by its validation segments."""
        data = self.data(job)
        network, begun = begun_network(
            job, data, start_from=self.start_from, begin=lambda net: self._backbone(job, data, net)
        )
        # Not the trainer's, which may share its data out over several processes.
        whole = self._beside(job, data)
        if self.film_prior == "ridge":
            check_film_is_fixed(network)
            self._fit_prior(job, whole, network)
            network.prior_head.requires_grad_(False)
            if network.own_answers is not None:
                network.own_answers.requires_grad_(False)
        objective = Objective(
            self.loss,
            self.beta,
            self.beta_warmup,
            self.free_bits,
            self.prior_weight,
            self.prior_draw,
            job.seed,
        )
        learning = FilmVAETask(network, job.optim, objective)
        weights = train_volumes(job, data, learning, begun, self.to_dict())
        load_state(network, weights, where=f"fold '{job.fold.name}'")
        network.to(predict_device(job.trainer)).eval()
        if self.film_prior == "ridge":
            self._fit_prior(job, whole, network)
        state = kept(cpu_copy(network.state_dict()), data)
        if self.samples and self.noise:
            state[_RESIDUAL] = residual_variance(self._imagination(job, whole, network, samples=0))
        return state

    def predict(self, job: Job, state: State) -> list[AnyPrediction]:
        """Predict the test segments of every person, with what the latent units did."""
        data = self.data(job)
        imagined = self._restored(job, data, state)
        predictions = self._predicted(imagined, state)
        return [*predictions, *imagined.latents(predictions)]

    def control_names(self) -> tuple[str, ...]:
        """Return the negative controls that are scored beside the predictions."""
        return get_args(Control)

    def predict_control(self, job: Job, state: State, control: str) -> list[Prediction]:
        """Predict with the film or the person withheld."""
        data = self.data(job)
        imagined = self._restored(job, data, state)
        withhold(data, _control(control), job.seed)
        return self._predicted(imagined, state)

    def predictor(self, job: Job, state: State, asked: Asked) -> FilmPredictor:
        """Return what imagines a new film's volumes of the person of a reference.

        Slow changes are not taken out (`high_pass_hz`): that would need the whole film at once.
        """
        data = self.data(job)
        assert isinstance(job.model, FilmVAEConfig)
        where, residual = f"fold '{job.fold.name}'", state.get(_RESIDUAL)
        network = built(job, data)
        load_state(network, network_state(state), where=where)
        # The data is not set up: the films of the fit are not needed.
        data.moments = moments_of(state, data.series, where=where)
        reference, told = film_reference(data, asked)
        imagination = FilmImagination(
            network.to(predict_device(job.trainer)).eval(),
            reference,
            subject=_position(reference.person.subject, data),
            target=self.loss.target,
            samples=asked.samples,
            draws=max(self.samples, 2) if asked.spread else 0,
            residual=None if residual is None else residual[reference.views.mask.inside],
            seed=job.seed,
        )
        told["HaemodynamicDelay"] = job.model.hrf_delay_s
        if asked.spread:
            told["Spread"] = imagination.told()
        return FilmPredictor(
            reference.person,
            exact(data.spec.tr_s),
            self.windows,
            job.model.senses,
            network.context_trs,
            imagination,
            told,
            self.cache,
        )

    def protocol(self) -> dict[str, Any]:
        """Return what a reader of the scores must know."""
        told = {
            "predicted": "the decoded mean of the prior: film and one volume of the person",
            "objective": f"beta {self.beta:g}, prior x {self.prior_weight:g}",
            "film's part of the prior": self.film_prior,
        }
        if self.high_pass_hz is not None:
            told["film without changes slower than"] = f"{1 / self.high_pass_hz:g} s"
        for key in ("start_from", "backbone_from"):
            if getattr(self, key) is not None:
                told[key] = str(getattr(self, key))
        return told | self.loss.told()

    def data(self, job: Job) -> VolumeModule:
        """Return the volumes of the job's fold, with film and references."""
        if not isinstance(job.data, Series) or not isinstance(job.model, FilmVAEConfig):
            raise DataError("film_vae needs recordings in time, and a model 'film_vae'.")
        return VolumeModule(
            job.data,
            job.fold,
            self.windows,
            cache=self.cache or job.folder / "frames",
            seed=job.seed,
            with_film=True,
            with_reference=True,
            senses=job.model.senses,
        )

    def _beside(self, job: Job, data: VolumeModule) -> VolumeModule:
        """Return the same volumes for one process."""
        whole = self.data(job)
        whole.moments, whole.context_trs = data.moments, data.context_trs
        whole.setup()
        return whole

    def _fit_prior(self, job: Job, whole: VolumeModule, network: FilmVAE) -> None:
        fit_film_prior(
            network,
            whole,
            high_pass_hz=self.high_pass_hz,
            seed=job.seed,
            device=predict_device(job.trainer),
        )

    def _backbone(self, job: Job, data: VolumeModule, network: FilmVAE) -> Mapping[str, float]:
        """Put the weights of `backbone_from` into the film's backbone."""
        if self.backbone_from is None:
            return {}
        assert isinstance(job.model, FilmVAEConfig)
        check_unseen(self.backbone_from, data.series)
        return load_backbone(
            network, job.model.backbone, self.backbone_from, job.fold.name, part="film.backbone"
        )

    def _restored(self, job: Job, data: VolumeModule, state: State) -> Imagination:
        own = {name: value for name, value in state.items() if name != _RESIDUAL}
        network = restored(job, data, own)
        return self._imagination(job, data, network, samples=self.samples)

    def _imagination(
        self, job: Job, data: VolumeModule, network: FilmVAE, *, samples: int
    ) -> Imagination:
        return Imagination(
            network,
            data,
            target=self.loss.target,
            samples=samples,
            courses=FilmCourses(network, data, self.high_pass_hz),
            seed=job.seed,
            device=predict_device(job.trainer),
        )

    def _predicted(self, imagined: Imagination, state: State) -> list[Prediction]:
        return imagined.predictions(state.get(_RESIDUAL) if self.samples and self.noise else None)


def _position(subject: str, data: VolumeModule) -> int:
    """Return which person of the fit's training somebody is; -1 if none of them."""
    return data.spec.subjects.index(subject) if subject in data.moments else -1


def _control(name: str) -> Control:
    for control in get_args(Control):
        if control == name:
            found: Control = control
            return found
    raise DataError(f"task 'film_vae' has no control '{name}'.")
