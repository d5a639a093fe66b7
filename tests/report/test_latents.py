"""Latent units on the page: who is moved by the film, and how far it is from the brain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.container import BarContainer

from brainreel.evaluate.scorecard import Scorecard
from brainreel.metrics.latents import Gaussians, gaussian_kl
from brainreel.report.latents import Units, kl_figure, latent_figures, units_figure
from brainreel.report.page import write_report
from brainreel.report.runs import read_run
from brainreel.train.latent_predictions import LatentPrediction
from brainreel.train.prediction_files import save_predictions

T, L = 50, 6


def prediction(split: str = "unseen_person-unseen_film") -> LatentPrediction:
    """Units 1 and 2 are moved by the film, 3 and 4 by the brain alone, 5 and 6 by nothing."""
    rng = np.random.default_rng(0)
    drive = rng.standard_normal((T, L)) * [2, 1, 1, 1, 0.01, 0.01]
    prior = drive * [1, 1, 0, 0, 0, 0]
    ones = np.ones((T, L))
    sides = (drive, 0.5 * ones, prior, ones)
    return LatentPrediction(
        split,
        split,
        "sub-01",
        *(side.astype(np.float32) for side in sides),
        np.repeat([0, 1], [40, 10]),
        np.arange(T) * 1.5,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "run"
    home.mkdir()
    (home / "config.yaml").write_text("seed: 0\n")
    Scorecard("Latents", scores={"r_median": 0.2}).save(home / "scorecard.json")
    save_predictions(home / "predictions", [prediction(), prediction("seen_person-unseen_film")])
    return home


def test_the_figures_tell_the_first_test_in_words_and_drawings(folder: Path) -> None:
    drawings, told = latent_figures(read_run(folder), "r1")
    assert len(drawings) == 2
    assert told.startswith("sub-01, unseen person, unseen film part: of 6 units 4 move with the")
    assert "and 2 with the film" in told
    page = write_report([folder], folder / "report.html").read_text()
    assert "Latent units: what the brain says, and what the film says" in page
    assert page.count(told.split(":")[0]) >= 3


def units() -> Units:
    item = prediction()
    return Units(
        item.split,
        item.subject,
        item.film_time_s,
        Gaussians(item.posterior_mean, item.posterior_std),
        Gaussians(item.prior_mean, item.prior_std),
    )


def test_bars_are_the_kl_from_the_largest() -> None:
    found = units()
    kl = gaussian_kl(found.posterior, found.prior).mean(axis=0)
    (axes,) = kl_figure(kl, found).axes
    bars = [bar for group in axes.containers for bar in group if isinstance(group, BarContainer)]
    heights = [bar.get_height() for bar in sorted(bars, key=lambda bar: bar.get_x())]
    np.testing.assert_allclose(heights, np.sort(kl)[::-1], rtol=1e-6)
    moved = axes.containers[0]
    assert isinstance(moved, BarContainer)
    assert len(moved) == 2


def test_the_units_that_the_film_moves_most_are_drawn() -> None:
    found = units()
    rows = units_figure(found).axes
    assert len(rows) == 4
    posterior, prior = rows[0].lines
    np.testing.assert_allclose(posterior.get_ydata(), found.posterior.mean[:, 0])
    np.testing.assert_allclose(prior.get_ydata(), found.prior.mean[:, 0])


def test_a_run_without_latent_units_has_no_such_figure(ridge_run: Path) -> None:
    assert latent_figures(read_run(ridge_run), "r1") == ((), "")
