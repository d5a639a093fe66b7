from __future__ import annotations

import torch

from brainreel.layers.noise_schedule import (
    NoiseOptions,
    betas,
    noise_of_velocity,
    noised,
    signal_shares,
    velocity,
)


def test_betas_are_linear_in_their_root_and_shares_are_a_loop() -> None:
    options = NoiseOptions(beta_start=0.04, beta_end=0.25, steps=4)
    torch.testing.assert_close(
        betas(options), torch.tensor([0.2, 0.3, 0.4, 0.5], dtype=torch.float64) ** 2
    )
    left, expected = 1.0, []
    for beta in betas(options).tolist():
        left *= 1 - beta
        expected.append(left)
    torch.testing.assert_close(signal_shares(options), torch.tensor(expected, dtype=torch.float64))


def test_the_last_level_is_almost_noise_alone() -> None:
    shares = signal_shares(NoiseOptions())
    assert shares[0] > 0.99
    assert shares[-1] < 0.01
    assert (shares.diff() < 0).all()


def test_clean_and_noise_come_back_from_the_velocity() -> None:
    draw = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 3, 2, 4, 4, generator=draw)
    share = torch.tensor([0.9, 0.5, 0.1])
    mixed, told = noised(clean, noise, share), velocity(clean, noise, share)
    torch.testing.assert_close(noise_of_velocity(told, mixed, share), noise)
    row = 0.9**0.5 * clean[0] + 0.1**0.5 * noise[0]
    torch.testing.assert_close(mixed[0], row)
