"""What every task on brain volumes does alike: begin, train, keep and restore a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule
from torch import Tensor, nn

from brainreel.checkpoints.run_network import stored_model
from brainreel.checkpoints.store import load_state
from brainreel.config import to_flow
from brainreel.data.samples import Series
from brainreel.data.volume_module import VolumeModule
from brainreel.data.volume_moments import VolumeMoments
from brainreel.errors import CheckpointError, ConfigError
from brainreel.files import digest_json
from brainreel.models.base import ModelConfig
from brainreel.models.tff import TFFOptions, VolumeOptions
from brainreel.train.begin import NETWORK, read_start, take_over
from brainreel.train.film_network import network_state
from brainreel.train.stored_backbone import check_unseen
from brainreel.train.task import Job, State
from brainreel.train.trainer import fit_network, own_randomness, predict_device

Begun = dict[str, float]

# Options that change how a network of volumes learns, not what it computes.
_OF_LEARNING = frozenset({"encoder_dropout", "decoder_dropout", "transformer_dropout"})


def begun_network(
    job: Job,
    data: VolumeModule,
    *,
    start_from: Path | None = None,
    begin: Callable[[Any], Mapping[str, float]] | None = None,
    leave_out: tuple[str, ...] = (),
) -> tuple[Any, Begun]:
    """Build the job's network and put in what it begins with.

    Parameters
    ----------
    job
        What to fit. Weights of the stage before are taken over by name.
    data
        The volumes of its fold; they are set up.
    start_from
        Run folder whose weights are taken over where there is no stage before.
    begin
        What else is put into the fresh network before; returns numbers as below.
    leave_out
        Beginnings of names of what is learned anew, not taken from `start_from`.

    Returns
    -------
    network
        Ready to train.
    begun
        A number of each tensor that was taken, by which a broken run knows itself.
    """
    network = built(job, data)
    data.setup()
    begun = dict(begin(network)) if begin else {}
    if job.start:
        begun |= take_over(network, network_state(job.start), where="the stage before")
    elif start_from is not None:
        check_unseen(start_from, data.series)
        state, _ = read_start(start_from, job.fold.name)
        state = {name: value for name, value in state.items() if not name.startswith(leave_out)}
        begun |= take_over(network, state, where=str(start_from))
    return network, begun


def settled_volumes(model: ModelConfig, folder: Path | None, window_trs: int) -> ModelConfig:
    """Return a model of volumes with the sizes of the weights that it starts from.

    Options that were not given are taken from there; those that change only how a network learns
    may differ.

    Parameters
    ----------
    model
        The model of a recipe.
    folder
        Run folder of an import or a fit; None changes nothing.
    window_trs
        Volumes in the sequences that it will see.

    Raises
    ------
    CheckpointError
        If it holds no network of volumes.
    ConfigError
        If an option that was given contradicts it, or sequences are longer than the transformer
        has positions for.
    """
    found = _sized(model, folder)
    if isinstance(found, TFFOptions) and window_trs >= found.max_trs:
        raise ConfigError(
            f"task.windows.window_trs is {window_trs}, and model.max_trs={found.max_trs} has "
            f"positions for {found.max_trs - 1} volumes and the class token. Use shorter windows, "
            "or a larger max_trs where no weights are taken over."
        )
    return found


def _sized(model: ModelConfig, folder: Path | None) -> ModelConfig:
    if folder is None or not isinstance(model, VolumeOptions):
        return model
    stored = stored_model(folder)
    if not isinstance(stored, VolumeOptions):
        raise CheckpointError(
            f"{folder}: holds a model '{stored.name}', which is no network of brain volumes. Give "
            "a run of TFF, or what 'brainreel import tff' made."
        )
    own, theirs = model.to_dict(), stored.to_dict()
    alike = own.keys() & theirs.keys() & TFFOptions.model_fields.keys() - _OF_LEARNING - {"name"}
    for name in sorted(alike & model.model_fields_set):
        if own[name] != theirs[name]:
            raise ConfigError(
                f"model.{name} is {to_flow(own[name])}, and the weights in {folder} are for "
                f"{to_flow(theirs[name])}. Leave it out, and it is taken from there."
            )
    return type(model).parse(own | {name: theirs[name] for name in alike}, where="model")


def train_volumes(
    job: Job, data: VolumeModule, learning: LightningModule, begun: Begun, told: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Train a network on volumes; `told` are the task's options. Return its weights."""
    settings = [dict(told), job.model.to_dict(), job.optim.to_dict(), job.trainer.decisive()]
    sources = {"data": dict(data.series.sources), "fold": str(job.fold)}
    return fit_network(
        learning,
        data,
        job.trainer,
        job.folder,
        seed=job.seed,
        identity=digest_json([settings, data.spec.to_json(), sources, job.seed, begun]),
        validates=bool(job.fold.validation),
    )


def kept(weights: Mapping[str, Tensor], data: VolumeModule) -> State:
    """Return weights, and the moments of everybody in training, as the state of a fit."""
    state: State = {NETWORK + name: value.numpy() for name, value in weights.items()}
    for who, moments in data.moments.items():
        state |= {f"{who}/{name}": value for name, value in moments.to_state().items()}
    return state


def restored(job: Job, data: VolumeModule, state: State) -> Any:
    """Return the fitted network, ready to predict, and give the data the moments of the fit."""
    network = built(job, data)
    load_state(network, network_state(state), where=f"fold '{job.fold.name}'")
    data.moments = moments_of(state, data.series, where=f"fold '{job.fold.name}'")
    data.setup()
    return network.to(predict_device(job.trainer)).eval()


def built(job: Job, data: VolumeModule) -> Any:
    """Return the network with first weights drawn from the seed; the data learns its context."""
    with own_randomness(job.seed):
        network: nn.Module = job.model.build(data.spec)
    data.context_trs = int(getattr(network, "context_trs", 0))
    return network


def moments_of(state: State, series: Series, *, where: str) -> dict[str, VolumeMoments]:
    """Return the moments that the fit kept, of the people it knew."""
    found = {}
    for who in series.subjects:
        own = {
            name.removeprefix(f"{who}/"): value
            for name, value in state.items()
            if name.startswith(f"{who}/")
        }
        if own:
            found[who] = VolumeMoments.from_state(own, where=where)
    return found
