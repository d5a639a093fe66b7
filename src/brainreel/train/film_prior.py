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
from brainreel.models.film_vae import FilmVAE
from brainreel.models.ridge import BandedRidgeConfig
from brainreel.shapes import DataSpec
from brainreel.train.film_course import FilmCourses

Float32 = NDArray[np.float32]

# Least part of a prior's deviation that is left to the film, where the person's is wide enough.
_LEAST_STD = 1e-3


@dataclass
class _Units:
    """What the latent units did on the training segments: (T, L) of each, mean s_q^2, mean s_0."""

    of: dict[Segment, Float32]
    squares: Float32
    person_std: Float32


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

    m_film(t) = V x(t) + b, with x(t) the film of the delays before t and V by `BandedRidgeConfig`
    from x to m_q(t) - m_0: each unit has penalties of its own for each feature space of the film,
    chosen on left-out films, and expects responses of haemodynamic form over the delays.
    s_film = max(sqrt(var(m_q - m_p) + mean s_q^2) - mean s_0, 0.001)

    Given q, these are the mean and the deviation that make KL(q || p) least, but for the penalty.
    People who saw the same film are averaged: their film is one. Where the network has answers of
    people's own, V_p is the same ridge from x to what V leaves of that person, so that it shrinks
    to what is common.

    Parameters
    ----------
    network
        Its film side must not learn; see `check_film_is_fixed`.
    data
        The training volumes, with film and reference, set up.
    high_pass_hz
        Take trends and slower changes out of the film, run by run, as they were taken out of BOLD;
        None takes nothing.
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
    courses, units = FilmCourses(network, data, high_pass_hz), _collected(network, data, device)
    film = {segment: courses.of_segment(segment) for segment in units.of}
    strip = {segment: data.strip_of[segment.recording] for segment in units.of}
    alike: dict[tuple[int, int, int], list[Segment]] = {}
    for segment in units.of:
        alike.setdefault((strip[segment], segment.start_tr, segment.stop_tr), []).append(segment)
    groups = [alike[place] for place in sorted(alike)]
    averages = [np.mean([units.of[segment] for segment in group], axis=0) for group in groups]
    heads = [group[0] for group in groups]
    fit = _RidgeOnFilm(network, data.spec.tr_s, seed)
    weights, level = fit([film[s] for s in heads], averages, [strip[s] for s in heads])
    left = {segment: units.of[segment] - film[segment] @ weights - level for segment in units.of}
    if network.own_answers is not None and network.own_level is not None:
        for number, who in enumerate(data.spec.subjects):
            mine = [s for s in left if data.series.recordings[s.recording].subject == who]
            if not mine:
                continue
            sides = [film[s] for s in mine], [left[s] for s in mine], [strip[s] for s in mine]
            own, own_level = fit(*sides)
            network.own_answers[number] = torch.from_numpy(own.T.copy()).to(network.own_answers)
            network.own_level[number] = torch.from_numpy(own_level).to(network.own_level)
            left |= {s: left[s] - film[s] @ own - own_level for s in mine}
    wanted = np.sqrt(np.concatenate(list(left.values())).var(axis=0) + units.squares)
    _put(network, weights, level, np.maximum(wanted - units.person_std, _LEAST_STD))


def _collected(network: FilmVAE, data: VolumeModule, device: torch.device) -> _Units:
    """Let the posterior look at the training segments."""
    width = network.posterior_head.in_features
    whole: dict[int, Float32] = {}
    squares: list[torch.Tensor] = []
    persons: list[torch.Tensor] = []
    for batch in data.loader(data.fold.train, training=False):
        given = batch.to(device)
        assert given.reference is not None
        posterior, person = network.posterior(given.views), network.person(given.reference)
        units = (posterior.mean - person.mean).float().cpu().numpy()
        squares.append((2 * posterior.log_std[given.counted]).exp().cpu())
        persons.append(person.log_std.exp().flatten(0, 1).cpu())
        for row, recording in enumerate(batch.recording.tolist()):
            n_trs = data.series.recordings[recording].bold.n_trs
            kept = whole.setdefault(recording, np.zeros((n_trs, width), np.float32))
            counted = batch.counted[row].numpy()
            kept[np.flatnonzero(counted) + int(batch.start_tr[row])] = units[row, counted]
    of = {s: whole[s.recording][s.start_tr : s.stop_tr] for s in data.fold.train}
    return _Units(of, torch.cat(squares).mean(0).numpy(), torch.cat(persons).mean(0).numpy())


class _RidgeOnFilm:
    """Banded ridge from the delayed vectors of film, as the network has them, to latent units."""

    def __init__(self, network: FilmVAE, tr_s: float, seed: int) -> None:
        n_delays, spaces = network.film.delay_trs + 1, network.film.spaces()
        self.order = _by_delay(list(spaces.values()), n_delays)
        self.seed = seed
        spec = DataSpec(
            tr_s=tr_s,
            feature_sizes={name: size * n_delays for name, size in spaces.items()},
            delays_s=tuple((network.lag_trs + k) * tr_s for k in range(n_delays)),
        )
        self.ridge = BandedRidgeConfig().build(spec)

    def __call__(
        self, film: Sequence[Float32], units: Sequence[NDArray[np.floating]], runs: Sequence[int]
    ) -> tuple[Float32, Float32]:
        """Return (D, L) weights and (L,) level from segments of (T, D) and (T, L)."""
        X, Y = np.concatenate(film), np.concatenate(units).astype(np.float32)
        groups = [run for run, part in zip(runs, film, strict=True) for _ in part]
        rng = np.random.default_rng([self.seed, 11])
        fitted = self.ridge.fit(X[:, self.order], Y, groups=groups, rng=rng).fitted
        weights = np.empty_like(fitted.weights)
        weights[self.order] = fitted.weights * fitted.feature_scale[:, None]
        level: Float32 = Y.mean(axis=0) - X.mean(axis=0) @ weights
        return weights, level


def _by_delay(sizes: Sequence[int], n_delays: int) -> NDArray[np.intp]:
    """Return where the columns that a ridge takes, space by space and delay by delay, stand.

    A `FilmReader` has all delays of a feature side by side, the longest first.
    """
    columns = np.arange(sum(sizes) * n_delays).reshape(-1, n_delays)[:, ::-1]
    edges = np.cumsum([0, *sizes])
    return np.concatenate([columns[a:b].T.ravel() for a, b in pairwise(edges)])


def _put(network: FilmVAE, weights: Float32, level: Float32, std: Float32) -> None:
    head = network.prior_head
    width = head.out_features // 2
    head.weight.zero_()
    head.weight[:width] = torch.from_numpy(weights.T.copy()).to(head.weight)
    head.bias[:width] = torch.from_numpy(level).to(head.bias)
    head.bias[width:] = torch.from_numpy(np.log(std)).to(head.bias)
