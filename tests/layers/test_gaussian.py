from __future__ import annotations

import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as witness

from brainreel.layers.gaussian import Gaussian, kl_divergence


def drawn(seed: int) -> Gaussian:
    generator = torch.Generator().manual_seed(seed)
    return Gaussian.split(torch.randn(3, 5, 14, dtype=torch.float64, generator=generator))


def normal(given: Gaussian) -> Normal:
    return Normal(given.mean, given.log_std.exp())


def test_kl_is_pytorchs() -> None:
    q, p = drawn(0), drawn(1)
    torch.testing.assert_close(kl_divergence(q, p), witness(normal(q), normal(p)))
    assert kl_divergence(q, q).abs().max() < 1e-12


def test_kl_is_the_mean_of_the_log_ratio_over_draws() -> None:
    q = Gaussian(torch.tensor([0.3]), torch.tensor([-0.5]))
    p = Gaussian(torch.tensor([-0.2]), torch.tensor([0.1]))
    many = Gaussian(q.mean.expand(200_000), q.log_std.expand(200_000))
    z = many.draw(torch.Generator().manual_seed(0))
    ratio = normal(q).log_prob(z) - normal(p).log_prob(z)
    torch.testing.assert_close(ratio.mean()[None], kl_divergence(q, p), rtol=0, atol=0.01)


def test_draws_have_the_mean_and_the_deviation_and_come_from_the_generator() -> None:
    wide = Gaussian(torch.full((100_000,), 2.0), torch.full((100_000,), 3.0).log())
    z = wide.draw(torch.Generator().manual_seed(1))
    assert abs(z.mean() - 2) < 0.05
    assert abs(z.std() - 3) < 0.05
    assert torch.equal(z, wide.draw(torch.Generator().manual_seed(1)))


def test_a_draw_can_be_differentiated() -> None:
    values = torch.zeros(4, requires_grad=True)
    Gaussian.split(values).draw(torch.Generator().manual_seed(0)).sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad[:2], torch.ones(2))
    assert (values.grad[2:] != 0).all()
