"""Samplers against the exact path of Gaussian pictures, whose noise is known in closed form."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from brainreel.errors import ConfigError
from brainreel.layers.noise_schedule import NoiseOptions, betas, signal_shares
from brainreel.models.sampling import RowNoise, Rungs, SamplingOptions, draw, ladder

NOISE = NoiseOptions()
SHARE = signal_shares(NOISE)
VARIANCE = 0.25  # of the pictures


def gaussian_noise(x: Tensor, time: int) -> Tensor:
    """The noise to be expected in x, of pictures N(0, VARIANCE)."""
    a = float(SHARE[time])
    return x * (1 - a) ** 0.5 / (VARIANCE * a + 1 - a)


def last(start: Tensor, options: SamplingOptions, rows: RowNoise | None = None) -> Tensor:
    return list(draw(gaussian_noise, start, NOISE, options, rows))[-1]


@pytest.mark.parametrize(
    ("sampler", "steps", "within"),
    [("ddim", 250, 0.015), ("plms", 250, 0.005), ("dpm++", 20, 0.015), ("unipc", 20, 0.01)],
)
def test_each_follows_the_exact_path(sampler: str, steps: int, within: float) -> None:
    start = RowNoise([0])([64, 4]).double()[0]
    options = SamplingOptions.parse({"sampler": sampler, "steps": steps})
    a = float(SHARE[-1])
    exact = start * (VARIANCE / (VARIANCE * a + 1 - a)) ** 0.5
    off = (last(start, options) - exact).norm() / exact.norm()
    assert off < within


@pytest.mark.parametrize("sampler", ["ddim", "plms", "dpm++", "unipc"])
def test_one_step_is_enough_to_get_something(sampler: str) -> None:
    found = last(RowNoise([1])([8]), SamplingOptions.parse({"sampler": sampler, "steps": 1}))
    assert found.isfinite().all()


def test_ddim_with_eta_1_is_ddpm() -> None:
    """Mean and variance of each step are those of the posterior of Ho et al. (2020, eq. 6, 7)."""
    beta = betas(NOISE)
    every = Rungs(list(range(1, 1000))[::-1], SHARE.tolist())
    x, eps = RowNoise([0, 1])([5]).double()
    for i, time in enumerate(every.times):
        a, before = SHARE[time], SHARE[time - 1]
        clean = (x - (1 - a).sqrt() * eps) / a.sqrt()
        mean = before.sqrt() * beta[time] / (1 - a) * clean
        mean = mean + (1 - beta[time]).sqrt() * (1 - before) / (1 - a) * x
        sigma = every.sigma(i, 1.0)
        torch.testing.assert_close(every.step(i, x, eps, sigma), mean)
        assert sigma**2 == pytest.approx(float((1 - before) / (1 - a) * beta[time]))


def test_ddim_with_eta_1_draws_the_right_spread() -> None:
    rows = RowNoise(range(64))
    found = last(rows([64]), SamplingOptions(sampler="ddim", steps=250, eta=1.0), rows)
    # 4096 draws: the deviation is known to 1.1 %; the last level still holds 0.15 % of noise.
    assert float(found.std()) == pytest.approx(VARIANCE**0.5, rel=0.04)


def test_the_ladder_falls_and_stays_below_the_last_level() -> None:
    assert ladder(10, 1000) == [901, 801, 701, 601, 501, 401, 301, 201, 101, 1]
    assert len(ladder(250, 1000)) == 250
    assert len(ladder(30, 1000)) == 31  # 30 does not divide 1000
    assert ladder(300, 1000)[0] == 997
    with pytest.raises(ConfigError, match="steps=1001 is more than the 1000 noise levels"):
        ladder(1001, 1000)


def test_eta_without_seeds_is_refused() -> None:
    with pytest.raises(ConfigError, match="Give the seeds of the rows"):
        last(torch.zeros(2, 3), SamplingOptions(sampler="ddim", steps=2, eta=0.5))


def test_noise_of_a_row_does_not_depend_on_the_others() -> None:
    many, one = RowNoise([3, 4, 5]), RowNoise([4])
    for _ in range(2):
        assert torch.equal(many([2, 2])[1], one([2, 2])[0])
    assert not torch.equal(RowNoise([3])([4]), RowNoise([4])([4]))
