"""Task `film_vae`: what is learned, what is predicted, and what breaks, on films of two minutes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from nilearn import signal
from torch.distributions import Normal
from torch.distributions import kl_divergence as torch_kl

from brainreel.data.samples import Segment, Series
from brainreel.errors import CheckpointError, ConfigError, DataError
from brainreel.fmri.normalize import zscore_voxelwise
from brainreel.layers.gaussian import Gaussian
from brainreel.models.film_vae import FilmVAE, FilmVAEConfig, FilmVAEOutput
from brainreel.models.tff import TFFConfig
from brainreel.train.film_course import FilmCourses
from brainreel.train.film_prior import check_film_is_fixed, fit_film_prior
from brainreel.train.film_vae_task import FilmVAETask, Objective
from brainreel.train.film_volumes import FilmVolumesConfig
from brainreel.train.latent_predictions import LatentPrediction
from brainreel.train.optim import OptimConfig
from brainreel.train.predictions import Prediction
from brainreel.train.reconstruct import VolumesConfig
from brainreel.train.task import Job, State
from brainreel.train.trainer import TrainerConfig
from brainreel.train.volume_objective import VolumeLossConfig

from ..contracts.cases_volumes import OVER_TIME, TINY
from ..data.volume_data import in_time, people, write_film
from .breaking import power_cut

SIZES = TINY | OVER_TIME | {"max_trs": 6}
MODEL = FilmVAEConfig.parse(SIZES | {
    "backbone": {"name": "sights", "cells": 1}, "clip_trs": 1, "features": None, "dropout": 0.0,
    "hrf_delay_s": 1.0, "hrf_window_s": 1.0,
})  # fmt: skip
WINDOWS = {"window_trs": 5, "batch_windows": 2, "people_per_window": 3, "frames_per_tr": 2}
LOSS = {"target": "voxel", "error": "squared", "where": "brain", "intensity": 0, "perceptual": 0}


def task(**options: Any) -> FilmVolumesConfig:
    plain = {"windows": WINDOWS | {"height": 8, "width": 8}, "loss": LOSS, "samples": 3}
    return FilmVolumesConfig.parse(plain | options)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("films") / "film.mp4")


def job(film: Path, folder: Path, **changes: Any) -> Job:
    data: Series = changes.pop("series", None) or in_time(people(3, film=film), unseen=1)
    plain = {"max_epochs": 2, "progress": False, "accelerator": "cpu", "log_every_steps": 1}
    trainer = TrainerConfig.parse({**plain, **changes.pop("trainer", {})})
    optim = OptimConfig(name="adam", lr=changes.pop("lr", 0.003))
    return replace(Job(data, data.folds[0], MODEL, optim, trainer, 0, folder), **changes)


def people_of(found: list[Any]) -> list[Prediction]:
    return [item for item in found if isinstance(item, Prediction)]


def test_the_curve_adds_up(film: Path, tmp_path: Path) -> None:
    own = task(beta=0.5, prior_weight=0.3)
    own.fit(job(film, tmp_path, trainer={"max_epochs": 8}))
    head, *lines = (tmp_path / "metrics.csv").read_text().splitlines()
    names = head.split(",")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in lines]
    rows = [{k: float(v) for k, v in row.items() if v} for row in rows if row["validation_loss"]]
    assert rows[-1]["validation_loss"] < rows[0]["validation_loss"]
    for row in rows:
        total = row["validation_reconstruction"] + 0.3 * row["validation_imagined_reconstruction"]
        assert row["validation_loss"] == pytest.approx(total + 0.5 * row["validation_kl"], rel=1e-4)


def test_predictions_are_the_decoded_mean_of_the_prior(film: Path, tmp_path: Path) -> None:
    """Seen and unseen people, in deviations; measured as it is on disk."""
    own, learned = job(film, tmp_path), task()
    state = learned.fit(own)
    found = learned.predict(own, state)
    assert [p.subject for p in people_of(found)] == ["sub-01", "sub-02", "sub-03"]
    network, data = MODEL.build(learned.spec(own)), learned.data(own)
    weights = {k.removeprefix("network/"): torch.from_numpy(v) for k, v in state.items()}
    network.load_state_dict({k: weights[k] for k in network.state_dict()})
    network.eval()
    data.context_trs = network.context_trs
    data.setup()
    by_hand: dict[int, list[np.ndarray[Any, Any]]] = {}
    with torch.no_grad():
        for batch in data.loader(own.fold.test, training=False):
            prior = network.prior(batch.film, batch.reference, batch.row)
            volumes = network.decode(prior.mean).numpy()
            for row, recording in enumerate(batch.recording.tolist()):
                rows = volumes[row][batch.counted[row].numpy()]
                inside = batch.inside[row].numpy()
                # TFF divides by n - 1 and the scores by n: of the person's training TRs, or of
                # the whole run of one who is not in training.
                n = 18 if recording < 2 else 30
                rows = rows[:, inside] * np.sqrt(n / (n - 1))
                by_hand.setdefault(recording, []).append(rows)
    for number, prediction in enumerate(people_of(found)):
        expected = np.concatenate(by_hand[number])
        np.testing.assert_allclose(prediction.predicted, expected, rtol=1e-4, atol=1e-5)
        segment = own.fold.test[number]
        assert prediction.moments is not None
        measured = zscore_voxelwise(own.data.bold_of(segment), prediction.moments[0])  # type: ignore[union-attr]
        np.testing.assert_allclose(prediction.measured, measured, atol=1e-5)


def test_latent_units_come_with_the_predictions(film: Path, tmp_path: Path) -> None:
    own, learned = job(film, tmp_path), task()
    found = learned.predict(own, learned.fit(own))
    latents = [item for item in found if isinstance(item, LatentPrediction)]
    assert [item.subject for item in latents] == ["sub-01", "sub-02", "sub-03"]
    for item in latents:
        assert item.posterior_mean.shape == (8, MODEL.embedding)
        assert (item.prior_std > 0).all()
        # The person's own deviation is part of the prior's.
        assert not np.array_equal(item.prior_mean, item.posterior_mean)


def test_the_spread_is_that_of_draws_and_of_what_is_left(film: Path, tmp_path: Path) -> None:
    own = job(film, tmp_path)
    state = task(noise=True).fit(own)
    known = people_of(task(noise=False, samples=60).predict(own, state))
    more = people_of(task(noise=False, samples=61).predict(own, state))
    whole = people_of(task(noise=True, samples=60).predict(own, state))
    residual = state["residual_variance"]
    for drawn, again, both in zip(known, more, whole, strict=True):
        assert drawn.spread is not None
        assert again.spread is not None
        assert both.spread is not None
        assert np.abs(drawn.spread / again.spread - 1).mean() < 0.05
        added = both.spread**2 - drawn.spread**2
        own_mask = own.data.recordings[int(drawn.subject[-2:]) - 1].bold.mask.inside  # type: ignore[union-attr]
        cut = own_mask[1:4, 1:5, 0:3]
        np.testing.assert_allclose(added, np.tile(residual[cut], (8, 1)), rtol=1e-3, atol=1e-5)
    assert people_of(task(samples=0).predict(own, state))[0].spread is None


def test_slow_changes_are_taken_out_of_the_film_run_by_run(film: Path, tmp_path: Path) -> None:
    own, learned = job(film, tmp_path), task()
    data = learned.data(own)
    network = MODEL.build(learned.spec(own)).eval()
    data.context_trs = network.context_trs
    data.setup()
    plain, filtered = (FilmCourses(network, data, hz) for hz in (None, 0.1))
    train, test = own.fold.train[0], own.fold.test[0]
    raw = plain.of_segment(Segment(0, 0, 30))
    with torch.no_grad():
        batch = next(iter(data.loader([Segment(0, 10, 15)], training=False)))
        vectors = network.film_vectors(batch.film)[0].numpy()
    np.testing.assert_allclose(raw[10:15], vectors, atol=1e-6)
    np.testing.assert_allclose(plain.of_batch(batch)[0], vectors, atol=1e-6)
    np.testing.assert_allclose(plain.level, raw[train.start_tr : train.stop_tr].mean(0), atol=1e-5)
    left = signal.clean(
        raw, detrend=True, standardize=None, filter="cosine", high_pass=0.1, t_r=1.0,
        ensure_finite=False,
    )  # fmt: skip
    wanted = (left + plain.level)[test.start_tr : test.stop_tr]
    np.testing.assert_allclose(filtered.of_segment(test), wanted, atol=1e-4)
    assert task(high_pass_hz=0.1).protocol()["film without changes slower than"] == "10 s"


@pytest.mark.parametrize("control", ["film_shuffled", "film_noise", "reference_other"])
def test_controls_withhold_one_thing(film: Path, tmp_path: Path, control: str) -> None:
    own, learned = job(film, tmp_path), task()
    state = learned.fit(own)
    real = people_of(learned.predict(own, state))
    without = learned.predict_control(own, state, control)
    assert control in learned.control_names()
    for one, two in zip(real, without, strict=True):
        assert np.array_equal(one.measured, two.measured)
        assert not np.allclose(one.predicted, two.predicted)


def test_an_unknown_control_is_refused(film: Path, tmp_path: Path) -> None:
    own, learned = job(film, tmp_path), task()
    state = learned.fit(own)
    with pytest.raises(DataError, match="has no control 'film_backwards'"):
        learned.predict_control(own, state, "film_backwards")


def test_a_broken_run_of_other_options_is_not_gone_on_with(film: Path, tmp_path: Path) -> None:
    every = {"checkpoint_every_steps": 1}
    task().fit(job(film, tmp_path, trainer=every))
    with pytest.raises(CheckpointError, match="other settings or data"):
        task(beta=0.5).fit(job(film, tmp_path, trainer=every))


def same(one: State, two: State) -> bool:
    return one.keys() == two.keys() and all(np.array_equal(one[k], two[k]) for k in one)


def test_a_fit_can_be_made_again(film: Path, tmp_path: Path) -> None:
    states = [task(prior_weight=1.0, prior_draw="draw").fit(job(film, tmp_path / n)) for n in "ab"]
    assert same(*states)


@pytest.mark.parametrize("film_prior", ["gradient", "ridge"])
def test_a_broken_run_ends_as_an_unbroken_one(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, film_prior: str
) -> None:
    learned, every = task(film_prior=film_prior), {"checkpoint_every_steps": 1}
    whole = learned.fit(job(film, tmp_path / "whole", trainer=every))
    with power_cut(monkeypatch, step=2):
        learned.fit(job(film, tmp_path / "broken", trainer=every))
    assert same(learned.fit(job(film, tmp_path / "broken", trainer=every)), whole)


def test_weights_of_tff_are_handed_on(film: Path, tmp_path: Path) -> None:
    sequences = VolumesConfig.parse({"windows": WINDOWS | {"people_per_window": 1}, "loss": LOSS})
    first = sequences.fit(job(film, tmp_path / "tff", model=TFFConfig.parse(SIZES)))
    still = job(film, tmp_path / "vae", start=first, lr=1e-12, trainer={"max_epochs": 1})
    second = task().fit(still)
    shared = [name for name in first if name.startswith("network/")]
    assert any(".transformer." in f".{name.replace('/', '.')}" for name in shared)
    for name in shared:
        np.testing.assert_allclose(second[name], first[name], atol=1e-6)


# The prior in closed form ------------------------------------------------------------------------


class Linear(FilmVAE):
    """A posterior that is a fixed linear map of the z-scored voxels, the same for everybody."""

    def posterior(self, volumes: torch.Tensor) -> Gaussian:
        rng = torch.Generator().manual_seed(0)
        voxels = volumes[:, :, 1].flatten(2)
        mean = voxels @ torch.randn(voxels.shape[-1], MODEL.embedding, generator=rng)
        return Gaussian(mean, torch.full_like(mean, -3.0))

    def person(self, reference: torch.Tensor) -> Gaussian:
        return Gaussian(*torch.zeros(2, len(reference), 1, MODEL.embedding) - 3)


def flickering(path: Path, levels: np.ndarray[Any, Any]) -> Path:
    """A film whose brightness is drawn anew every second."""
    with av.open(str(path), "w") as made:
        stream = made.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for level in np.repeat(levels, 10):
            picture = np.full((32, 32, 3), level, np.uint8)
            made.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        made.mux(stream.encode())
    return path


@pytest.mark.parametrize(("answers", "n"), [("common", 1), ("own", 2)])
def test_the_ridge_prior_finds_what_the_film_says(answers: str, n: int, tmp_path: Path) -> None:
    """Voxels follow the brightness two seconds before; so must the prior on unseen film.

    Masks differ, and with them what two people's units do: they need answers of their own.
    """
    levels = np.random.default_rng(3).integers(20, 230, 31)
    film = flickering(tmp_path / "film.mp4", levels)
    recordings = []
    for number, one in enumerate(people(n, film=film)):
        rng = np.random.default_rng(number)
        seen = np.concatenate([[0, 0], levels[:28]])  # black before the film
        signal = np.outer(seen, np.linspace(-1, 1, one.bold.n_voxels))
        late = signal + rng.normal(size=signal.shape) + 500
        recordings.append(replace(one, bold=replace(one.bold, data=late.astype(np.float32))))
    series = in_time(recordings)
    own, learned = job(film, tmp_path, series=series), task()
    model = FilmVAEConfig.parse({**MODEL.to_dict(), "hrf_delay_s": 2.0, "hrf_window_s": 0.0,
                                 "answers": answers})  # fmt: skip
    own = replace(own, model=model)
    network, data = Linear(model, learned.spec(own)).eval(), learned.data(own)
    data.context_trs = network.context_trs
    data.setup()
    where = {"high_pass_hz": None, "seed": 0, "device": torch.device("cpu")}
    fit_film_prior(network, data, **where)  # type: ignore[arg-type]
    errors = {}
    for part, segments in (("train", series.folds[0].train), ("test", series.folds[0].test)):
        q, p = [], []
        with torch.no_grad():
            for batch in data.loader(segments, training=False):
                prior = network.prior(batch.film, batch.reference, batch.row, batch.subject)
                q.append(network.posterior(batch.views).mean[batch.counted])
                p.append(prior.mean[batch.counted])
                std = prior.log_std.exp().flatten(0, 1)
        posterior, mean = torch.cat(q).numpy(), torch.cat(p).numpy()
        errors[part] = posterior - mean
        explained = 1 - errors[part].var(axis=0).sum() / posterior.var(axis=0).sum()
        assert explained > 0.7
    np.testing.assert_allclose(errors["train"].mean(axis=0), 0, atol=0.02 * posterior.std())
    wanted = np.sqrt(errors["train"].var(axis=0) + np.exp(-6))
    np.testing.assert_allclose(std.numpy(), np.tile(wanted, (len(std), 1)), rtol=0.05)


def test_a_film_side_that_learns_is_refused(film: Path, tmp_path: Path) -> None:
    own = job(film, tmp_path)
    model = FilmVAEConfig.parse({**MODEL.to_dict(), "features": 4})
    with pytest.raises(
        ConfigError, match=r"film\.project\.weight learns. Set model\.features=none"
    ):
        task(film_prior="ridge").fit(replace(own, model=model))
    check_film_is_fixed(MODEL.build(task().spec(own)))


# The objective ---------------------------------------------------------------------------------


def objective(**options: Any) -> Objective:
    plain = {"loss": VolumeLossConfig.parse(LOSS), "beta": 2.0, "warmup": 0.5, "free_bits": 0.0,
             "prior_weight": 0.0, "imagine": "mean", "seed": 0}  # fmt: skip
    return Objective(**(plain | options))


def test_beta_rises_and_stays() -> None:
    told = objective()
    assert [told.beta_at(step, 10) for step in (0, 1, 5, 9)] == [0, 0.4, 2, 2]
    assert objective(warmup=0).beta_at(0, 10) == 2


@pytest.mark.parametrize("free", [0.0, 0.7])
def test_kl_is_that_of_torch_over_the_volumes_that_count(free: float) -> None:
    rng = torch.Generator().manual_seed(1)
    sides = [Gaussian(*torch.randn(2, 2, 3, 4, generator=rng)) for _ in range(2)]
    counted = torch.tensor([[True, True, False], [True, False, False]])
    inside = torch.ones(2, 5, 6, 4, dtype=torch.bool)
    batch: Any = type("Batch", (), {"counted": counted, "inside": inside})()
    nothing = torch.zeros(1)
    out = FilmVAEOutput(sides[0], sides[1], nothing, None)
    network = torch.nn.Linear(1, 1)
    learning = FilmVAETask(network, OptimConfig(), objective(free_bits=free))  # type: ignore[arg-type]
    total, count = learning._kl(out, batch)
    units = torch.stack([
        torch_kl(*(Normal(side.mean[b, t], side.log_std[b, t].exp()) for side in sides))
        for b, t in ((0, 0), (0, 1), (1, 0))
    ])  # fmt: skip
    expected = sum(max(free, float(unit.mean())) for unit in units.T) * 3
    assert float(total) == pytest.approx(expected if free else float(units.sum()), rel=1e-5)
    assert int(count) == 3 * 5 * 6 * 4
