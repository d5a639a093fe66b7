"""The film's part of a VAE's prior in closed form: banded ridge from film to latent units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from brainreel.data.samples import Segment
from brainreel.data.volume_module import VolumeModule
from brainreel.errors import ConfigError
from brainreel.fmri.normalize import CleanConfig, clean
from brainreel.models.film_vae import FilmVAE
from brainreel.models.ridge import BandedRidgeConfig
from brainreel.shapes import DataSpec

Float32 = NDArray[np.float32]

# Least part of a prior's deviation that is left to the film, where the person's is wide enough.
_LEAST_STD = 1e-3


@dataclass
class _Shown:
    """What a stretch of film was, and what the latent units of all who saw it did, added up."""

    film: Float32
    units: NDArray[np.float64]
    people: int = 0


@dataclass
class _Seen:
    """One stretch of a recording, as it is put together from batches."""

    film: Float32
    units: Float32


def check_film_is_fixed(network: FilmVAE) -> None:
    """Refuse a film side that would learn while a ridge stands on it.

    Raises
    ------
    ConfigError
        Naming what to set.
    """
    learns = [name for name, p in network.film.named_parameters() if p.requires_grad]
    if learns:
        raise ConfigError(
            "task.film_prior=ridge stands on film features that do not change, and "
            f"film.{learns[0]} learns. Set model.features=none, and model.frozen=true or a "
            "backbone without weights (sights, pixels), with no listener or bands."
        )


@torch.no_grad()
def fit_film_prior(
    network: FilmVAE,
    data: VolumeModule,
    *,
    high_pass_hz: float | None,
    seed: int,
    device: torch.device,
) -> None:
    """Set the film's part of the prior to what best predicts the posterior on training volumes.

    m_film(t) = W x(t) + b, with x(t) the film of the delays before t and W by `BandedRidgeConfig`
    from x to m_q(t) - m_0: each unit has penalties of its own for each feature space of the film,
    chosen on left-out films, and expects responses of haemodynamic form over the delays.
    s_film = max(sqrt(var(m_q - m_p) + mean s_q^2) - mean s_0, 0.001)

    Given q, these are the mean and the deviation that make KL(q || p) least, but for the penalty.
    People who saw the same film are averaged: their film is one.

    Parameters
    ----------
    network
        Its film side must not learn; see `check_film_is_fixed`.
    data
        The training volumes, with film and reference, set up.
    high_pass_hz
        Take trends and slower changes out of film and units, run by run, as they were taken out of
        BOLD; None takes nothing.
    seed
        Of the candidates that banded ridge tries.
    device
        Where the network computes.

    References
    ----------
    Dupre la Tour, Eickenberg, Nunez-Elizalde & Gallant 2022 (banded ridge); Kingma & Welling 2014.
    """
    check_film_is_fixed(network)
    network.to(device).eval()
    seen, stds, person_std = _collected(network, data, device)
    cleaned: dict[tuple[int, int, int], _Shown] = {}
    tr_s = data.spec.tr_s
    for segment, one in seen.items():
        film, units = _high_passed(one.film, tr_s, high_pass_hz), one.units
        place = (data.strip_of[segment.recording], segment.start_tr, segment.stop_tr)
        shown = cleaned.setdefault(place, _Shown(film, np.zeros(units.shape)))
        shown.units += _high_passed(units, tr_s, high_pass_hz)
        shown.people += 1
    order = sorted(cleaned)
    level = np.concatenate([one.units for one in seen.values()]).mean(axis=0)
    X = np.concatenate([cleaned[place].film for place in order])
    Y = np.concatenate([cleaned[place].units / cleaned[place].people for place in order])
    runs = [place[0] for place in order for _ in range(place[2] - place[1])]
    weights = _ridge_weights(network, X, Y, runs, tr_s, seed)
    left = np.concatenate(
        [_high_passed(one.units - one.film @ weights, tr_s, high_pass_hz) for one in seen.values()]
    )
    wanted = np.sqrt(left.var(axis=0) + stds)
    mean_film = np.concatenate([one.film for one in seen.values()]).mean(axis=0)
    _put(network, weights, level - mean_film @ weights, np.maximum(wanted - person_std, _LEAST_STD))


def _collected(
    network: FilmVAE, data: VolumeModule, device: torch.device
) -> tuple[dict[Segment, _Seen], Float32, Float32]:
    """Return film and units of each training segment, mean s_q^2, and mean s_0."""
    segments = data.fold.train
    width = network.posterior_head.in_features
    n_film = network.prior_head.in_features
    whole: dict[int, _Seen] = {}
    squares: list[torch.Tensor] = []
    persons: list[torch.Tensor] = []
    for batch in data.loader(segments, training=False):
        given = batch.to(device)
        assert given.film is not None
        assert given.reference is not None
        posterior, person = network.posterior(given.views), network.person(given.reference)
        film = network.film_vectors(given.film)[given.row].cpu().numpy()
        units = (posterior.mean - person.mean).float().cpu().numpy()
        squares.append((2 * posterior.log_std[given.counted]).exp().cpu())
        persons.append(person.log_std.exp().flatten(0, 1).cpu())
        for row, recording in enumerate(batch.recording.tolist()):
            n_trs = data.series.recordings[recording].bold.n_trs
            kept = whole.setdefault(
                recording,
                _Seen(np.zeros((n_trs, n_film), np.float32), np.zeros((n_trs, width), np.float32)),
            )
            counted = batch.counted[row].numpy()
            trs = np.flatnonzero(counted) + int(batch.start_tr[row])
            kept.film[trs], kept.units[trs] = film[row, counted], units[row, counted]
    seen = {
        s: _Seen(
            whole[s.recording].film[s.start_tr : s.stop_tr],
            whole[s.recording].units[s.start_tr : s.stop_tr],
        )
        for s in segments
    }
    return seen, torch.cat(squares).mean(0).numpy(), torch.cat(persons).mean(0).numpy()


def _ridge_weights(
    network: FilmVAE, X: Float32, Y: Float32, runs: Sequence[int], tr_s: float, seed: int
) -> Float32:
    """Return the (D, L) weights on the features as the network has them."""
    n_delays = network.film.delay_trs + 1
    spaces = network.film.spaces()
    order = _by_delay(list(spaces.values()), n_delays)
    spec = DataSpec(
        tr_s=tr_s,
        feature_sizes={name: size * n_delays for name, size in spaces.items()},
        delays_s=tuple((network.lag_trs + k) * tr_s for k in range(n_delays)),
    )
    rng = np.random.default_rng([seed, 11])
    ridge = BandedRidgeConfig().build(spec)
    fitted = ridge.fit(X[:, order], Y.astype(np.float32), groups=runs, rng=rng).fitted
    weights = np.empty_like(fitted.weights)
    weights[order] = fitted.weights * fitted.feature_scale[:, None]
    return weights


def _by_delay(sizes: Sequence[int], n_delays: int) -> NDArray[np.intp]:
    """Return where the columns that a ridge takes, space by space and delay by delay, stand.

    A `FilmReader` has all delays of a feature side by side, the longest first.
    """
    columns = np.arange(sum(sizes) * n_delays).reshape(-1, n_delays)[:, ::-1]
    edges = np.cumsum([0, *sizes])
    return np.concatenate([columns[a:b].T.ravel() for a, b in pairwise(edges)])


def _high_passed(values: Float32, tr_s: float, high_pass_hz: float | None) -> Float32:
    if high_pass_hz is None:
        return values
    return clean(values, tr_s, CleanConfig(high_pass_hz=high_pass_hz))


def _put(network: FilmVAE, weights: Float32, level: Float32, std: Float32) -> None:
    head = network.prior_head
    width = head.out_features // 2
    head.weight.zero_()
    head.weight[:width] = torch.from_numpy(weights.T.copy()).to(head.weight)
    head.bias[:width] = torch.from_numpy(level).to(head.bias)
    head.bias[width:] = torch.from_numpy(np.log(std)).to(head.bias)
