"""A film in windows is the film in one window, and costs no more memory for being long."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from brainreel.data.known_people import Person
from brainreel.data.reference_images import Reference
from brainreel.data.strips import FilmStrip, WindowsConfig
from brainreel.data.volume_views import VolumeViews
from brainreel.errors import DataError
from brainreel.fmri.bold import VoxelMask
from brainreel.layers.film_windows import FilmWindows
from brainreel.train.film_imagining import FilmImagination
from brainreel.train.film_prediction import FilmPredictor, PredictedTrs
from tests.contracts.cases_volumes import CASES, GRID
from tests.data.volume_data import write_film

N_TRS, F = 23, 2


@dataclass(frozen=True, eq=False)
class WatchedStrip(FilmStrip):
    """Remembers how many TRs were asked for at once."""

    asked: list[int] = field(default_factory=list)

    def window(self, trs: slice, *, n_before: int, n_trs: int) -> Any:
        self.asked.append(n_before + n_trs)
        return super().window(trs, n_before=n_before, n_trs=n_trs)


def film_strip() -> WatchedStrip:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (N_TRS * F, 3, 8, 12)).astype(np.uint8)
    return WatchedStrip(frames, np.arange(N_TRS * F).reshape(N_TRS, F))


def reference() -> Reference:
    rng = np.random.default_rng(1)
    mask = VoxelMask(rng.random(GRID) > 0.3, np.eye(4))
    data = rng.normal(80, 5, (30, mask.n_voxels)).astype(np.float32)
    views = VolumeViews.of(data, mask)
    level, std = views.moments.mean, views.moments.std
    person = Person("sub-01", "", mask, level, std, "made up")
    return Reference(person, views, views(data[:1])[0], 0)


def predictor(*, target: Any = "voxel", samples: int = 2, draws: int = 5) -> FilmPredictor:
    torch.manual_seed(0)
    case, given = CASES["film_vae"], reference()
    network = case.config.build(case.spec).eval()
    residual = np.linspace(0, 1, given.person.mask.n_voxels, dtype=np.float32)
    imagination = FilmImagination(network, given, -1, target, samples, draws, residual, seed=3)
    windows = WindowsConfig(frames_per_tr=F, height=8, width=12, window_trs=4)
    senses = frozenset({"pictures"})
    return FilmPredictor(
        given.person, Fraction(2), windows, senses, network.context_trs, imagination
    )


def joined(parts: list[PredictedTrs]) -> dict[str, NDArray[Any]]:
    found = {"mean": np.concatenate([part.mean for part in parts])}
    if parts[0].spread is not None:
        found["spread"] = np.concatenate([part.spread for part in parts])
    for number in range(len(parts[0].samples)):
        found[f"sample{number}"] = np.concatenate([part.samples[number] for part in parts])
    return found


@pytest.mark.parametrize("target", ["voxel", "global"])
@pytest.mark.parametrize("window_trs", [1, 3, None, 22])
def test_windows_have_no_seams(target: str, window_trs: int | None) -> None:
    model, strip = predictor(target=target), film_strip()
    assert model.context_trs == 3
    whole = joined(list(model.predicted(film_strip(), N_TRS, window_trs=N_TRS)))
    cut = joined(list(model.predicted(strip, N_TRS, window_trs=window_trs)))
    assert set(cut) == {"mean", "spread", "sample0", "sample1"}
    scale = whole["mean"].std()
    for name, values in whole.items():
        assert values.shape == (N_TRS, model.person.mask.n_voxels)
        np.testing.assert_allclose(cut[name] / scale, values / scale, atol=1e-5)
    assert whole["mean"].std(axis=0).min() > 0


def test_the_largest_window_does_not_grow_with_the_film() -> None:
    model = predictor(samples=0, draws=0)
    for n_trs in (5, 11, N_TRS):
        strip = film_strip()
        sizes = [len(part.mean) for part in model.predicted(strip, n_trs)]
        assert sum(sizes) == n_trs
        assert max(sizes) <= 4
        assert max(strip.asked) == 4 + model.context_trs


def test_the_spread_is_that_of_the_draws_and_what_is_left() -> None:
    model = predictor(samples=6, draws=4)
    found = joined(list(model.predicted(film_strip(), N_TRS)))
    draws = np.stack([found[f"sample{n}"] for n in range(6)])
    residual = np.linspace(0, 1, model.person.mask.n_voxels)
    expected = np.sqrt(draws.var(axis=0, ddof=1) + residual)
    np.testing.assert_allclose(found["spread"], expected, rtol=1e-4)
    assert not np.allclose(draws[0], draws[1])


def test_draws_follow_the_prior() -> None:
    given = predictor().predict
    assert isinstance(given, FilmImagination)
    film = FilmWindows(torch.rand(1, 3 + 4, F, 3, 8, 12))
    row = torch.zeros(1, dtype=torch.long)
    volume = torch.from_numpy(given.reference.volume)[None]
    with torch.no_grad():
        prior = given.network.prior(film, volume, row)
        draws = torch.stack([given._drawn(prior, n, 0) for n in range(3000)])
    z = (draws - prior.mean) / prior.log_std.exp()
    assert z.mean(0).abs().max() < 5 / 3000**0.5
    assert (z.std(0) - 1).abs().max() < 0.08


def test_no_spread_unless_it_is_asked_for() -> None:
    (part,) = predictor(samples=1, draws=0).predicted(film_strip(), 3)
    assert part.spread is None
    assert len(part.samples) == 1


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("prediction") / "film.mp4", seconds=11)


@pytest.mark.parametrize(("start_s", "n_trs"), [(0, 6), (1, 6), (1.5, 7), (2, 7)])
def test_every_moment_of_the_film_has_a_volume(film: Path, start_s: float, n_trs: int) -> None:
    grid = predictor().grid(film, None, Fraction(start_s))
    assert (grid.n_trs, grid.tr_s, grid.first_s) == (n_trs, 2, -start_s)
    assert grid.stop_s >= 11 > grid.stop_s - 2
    assert predictor().grid(film, 4, Fraction(0)).n_trs == 4


@pytest.mark.parametrize("wanted", [0, -1, 7])
def test_more_volumes_than_the_film_has_are_refused(film: Path, wanted: int) -> None:
    with pytest.raises(DataError, match=f"{wanted} volumes cannot be predicted; it shows 6 TRs"):
        predictor().grid(film, wanted, Fraction(0))


def test_a_film_shorter_than_what_a_prediction_depends_on_is_refused(tmp_path: Path) -> None:
    short = write_film(tmp_path / "short.mp4", seconds=5)
    with pytest.raises(DataError, match=r"ends 5\.0 s after .* depends on the 6\.0 s"):
        predictor().grid(short, None, Fraction(0))
