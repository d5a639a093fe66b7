"""What every task on brain volumes does alike: begin, train, keep and restore a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule
from torch import Tensor, nn

from brainreel.checkpoints.store import load_state
from brainreel.data.samples import Series
from brainreel.data.volume_module import VolumeModule
from brainreel.data.volume_moments import VolumeMoments
from brainreel.files import digest_json
from brainreel.train.begin import NETWORK, read_start, take_over
from brainreel.train.film_network import network_state
from brainreel.train.stored_backbone import check_unseen
from brainreel.train.task import Job, State
from brainreel.train.trainer import fit_network, own_randomness, predict_device

Begun = dict[str, float]


def begun_network(
    job: Job,
    data: VolumeModule,
    *,
    start_from: Path | None = None,
    begin: Callable[[Any], Mapping[str, float]] | None = None,
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
        begun |= take_over(network, state, where=str(start_from))
    return network, begun


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
