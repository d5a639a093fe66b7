"""From noise to latents: PLMS and DDIM written out, DPM-Solver++ and UniPC by diffusers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from brainreel.config import Config
from brainreel.errors import ConfigError
from brainreel.layers.noise_schedule import NoiseOptions, betas, signal_shares
from brainreel.models.diffusers_parts import diffusers_part

Denoise = Callable[[Tensor, int], Tensor]
"""(B, ...) at a time step -> the noise in it."""


class SamplingOptions(Config):
    """How pictures are drawn from noise."""

    sampler: Literal["plms", "ddim", "dpm++", "unipc"] = "plms"
    """plms: linear multistep (published, with 250 steps); ddim; dpm++: DPM-Solver++ of second
    order; unipc: UniPC. The last two need 10 to 20 steps."""
    steps: int = Field(250, ge=1)
    """Steps from noise to picture; the network is called once a step, by plms once more."""
    eta: float = Field(0.0, ge=0, le=1)
    """Of ddim alone: share of the noise that is drawn anew; 0 is deterministic, 1 is DDPM."""
    guidance: float = Field(1.0, ge=0)
    """Classifier-free guidance: 1 is none; above, the picture goes further from what the network
    draws without a brain. Needs a network with a null context."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Numbers inside the network; steps are taken in fp32."""
    rows: int = Field(32, ge=1)
    """Pictures drawn at once; what is drawn does not depend on it."""


class RowNoise:
    """Noise of each row from a seed of its own, so that it does not depend on the batch.

    Parameters
    ----------
    seeds
        One of each row.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        # On the CPU, so that a seed means the same on every device.
        self.generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]

    def __call__(self, shape: Sequence[int]) -> Tensor:
        """Return the next (B, *shape) of standard normal noise."""
        return torch.stack([torch.randn(*shape, generator=own) for own in self.generators])


def ladder(n_steps: int, n_levels: int) -> list[int]:
    """Return the time steps that PLMS and DDIM visit, falling: 1 + i (K // S) below K.

    Where S does not divide K there are more than S of them, as published.

    Raises
    ------
    ConfigError
        If there are more steps than levels.
    """
    if n_steps > n_levels:
        raise ConfigError(
            f"steps={n_steps} is more than the {n_levels} noise levels of the network. Give fewer."
        )
    stride = n_levels // n_steps
    rising = [step + 1 for step in range(0, n_levels, stride) if step + 1 < n_levels]
    return rising[::-1]


def draw(
    denoise: Denoise,
    start: Tensor,
    noise: NoiseOptions,
    options: SamplingOptions,
    rows: RowNoise | None = None,
) -> Iterator[Tensor]:
    """Yield the latents after each step; the last are those of the picture.

    Parameters
    ----------
    denoise
        What finds the noise.
    start
        (B, ...) standard normal noise.
    noise
        The noise levels that `denoise` was trained with.
    options
        Sampler, steps and eta.
    rows
        Where ddim with eta > 0 has its noise from.
    """
    if options.sampler in ("dpm++", "unipc"):
        yield from _by_diffusers(denoise, start, noise, options)
        return
    rungs = Rungs(ladder(options.steps, noise.steps), signal_shares(noise).tolist())
    if options.sampler == "plms":
        yield from _plms(denoise, start, rungs)
        return
    if options.eta and rows is None:
        raise ConfigError("eta above 0 draws noise at each step. Give the seeds of the rows.")
    yield from _ddim(denoise, start, rungs, options.eta, rows)


class Rungs:
    """The time steps of a ladder, with the share of the picture there and at the next one.

    Attributes
    ----------
    times
        Falling.
    now, next
        Share of the variance that is the picture; the last rung ends at the first noise level,
        which is almost without noise, as published.
    """

    def __init__(self, times: list[int], shares: list[float]) -> None:
        self.times = times
        self.now = [shares[time] for time in times]
        self.next = [*self.now[1:], shares[0]]

    def sigma(self, i: int, eta: float) -> float:
        """Return the deviation of the noise drawn anew, from share a to b; eta = 1 is DDPM's.

        eta sqrt((1 - b) / (1 - a)) sqrt(1 - a / b)
        """
        a, b = self.now[i], self.next[i]
        return eta * ((1 - b) / (1 - a) * (1 - a / b)) ** 0.5 if eta else 0.0

    def step(self, i: int, x: Tensor, eps: Tensor, sigma: float = 0.0) -> Tensor:
        """Return x at the next rung but for its new noise (Song, Meng & Ermon 2021, eq. 12).

        sqrt(b) (x - sqrt(1 - a) eps) / sqrt(a) + sqrt(1 - b - sigma^2) eps
        """
        a, b = self.now[i], self.next[i]
        clean = (x - (1 - a) ** 0.5 * eps) / a**0.5
        ahead: Tensor = b**0.5 * clean + (1 - b - sigma**2) ** 0.5 * eps
        return ahead


def _ddim(
    denoise: Denoise, x: Tensor, rungs: Rungs, eta: float, rows: RowNoise | None
) -> Iterator[Tensor]:
    """DDIM (Song, Meng & Ermon 2021)."""
    for i, time in enumerate(rungs.times):
        sigma = rungs.sigma(i, eta)
        x = rungs.step(i, x, denoise(x, time), sigma)
        if rows is not None and sigma:
            x = x + sigma * rows(x.shape[1:]).to(x)
        yield x


# Adams-Bashforth of order 2 to 4: weights of the noise found now, and before.
_ORDERS = ((3, -1), (23, -16, 5), (55, -59, 37, -9))


def _plms(denoise: Denoise, x: Tensor, rungs: Rungs) -> Iterator[Tensor]:
    """PLMS (Liu et al. 2022): DDIM's step along a mean of the noise of four rungs.

    The first rung takes Heun's mean of its own noise and that of the next, one call more.
    """
    found: list[Tensor] = []
    for i, time in enumerate(rungs.times):
        eps = denoise(x, time)
        found = [eps, *found[:3]]
        if len(found) == 1:
            ahead = rungs.times[min(i + 1, len(rungs.times) - 1)]
            mean = (eps + denoise(rungs.step(i, x, eps), ahead)) / 2
        else:
            weights = _ORDERS[len(found) - 2]
            total = sum(weights)
            mean = sum(
                (w / total * e for w, e in zip(weights, found, strict=True)), torch.zeros_like(x)
            )
        x = rungs.step(i, x, mean)
        yield x


def _by_diffusers(
    denoise: Denoise, x: Tensor, noise: NoiseOptions, options: SamplingOptions
) -> Iterator[Tensor]:
    """DPM-Solver++ 2M (Lu et al. 2022) and UniPC (Zhao et al. 2023)."""
    kind = {"dpm++": "DPMSolverMultistepScheduler", "unipc": "UniPCMultistepScheduler"}
    ladder(options.steps, noise.steps)  # refuses too many steps
    scheduler = diffusers_part(kind[options.sampler])(
        num_train_timesteps=noise.steps,
        trained_betas=betas(noise).float().numpy(),
        use_exponential_sigmas=True,  # even in log noise: ten times nearer than even in time
        solver_order=2,
    )
    with warnings.catch_warnings():
        # It turns a tensor into an array in a way that NumPy 2 dislikes.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        scheduler.set_timesteps(options.steps)
    for time in scheduler.timesteps:
        x = scheduler.step(denoise(x, int(time)), time, x, return_dict=False)[0]
        yield x
