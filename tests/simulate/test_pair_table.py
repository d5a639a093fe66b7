"""Ceilings in closed form against draws, a convex fit, and all rules that there are."""

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax

from brainreel.errors import ConfigError
from brainreel.simulate.pair_table import CUBE, PairTable

LATIN = tuple(tuple((m + s) % 3 for s in range(3)) for m in range(3))
UNEVEN = ((0, 1, 1), (2, 0, 1))


def drawn(table: PairTable, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    cells = np.array([table.cell(i) for i in range(n)])
    classes = np.array([table.draw(m, s, rng) for m, s in cells])
    return cells[:, 0], cells[:, 1], classes


@pytest.mark.parametrize("classes", [CUBE, LATIN, UNEVEN])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_ceilings_are_what_the_best_guess_from_many_draws_reaches(
    classes: tuple[tuple[int, ...], ...], noise: float
) -> None:
    table = PairTable(classes, noise)
    n = 24_000
    motion, sound, label = drawn(table, n)
    pair = motion * table.n_sounds + sound
    for name, seen in (("chance", 0 * pair), ("picture", motion), ("sound", sound), ("both", pair)):
        counts = np.zeros((pair.max() + 1, table.n_classes))
        np.add.at(counts, (seen, label), 1)
        assert counts.max(axis=1).sum() / n == pytest.approx(table.ceilings()[name], abs=0.015)


def test_the_cube_leaves_four_classes_to_one_sense_and_two_to_both_apart() -> None:
    assert PairTable().ceilings() == {
        "chance": 0.125, "picture": 0.25, "sound": 0.25, "late": 0.5, "both": 1.0,
    }  # fmt: skip
    rows = [set(row) for row in CUBE]
    columns = [set(column) for column in zip(*CUBE, strict=True)]
    # Every motion and every sound is told by its classes: one sense alone teaches to know it.
    for senses in (rows, columns):
        assert len({frozenset(classes) for classes in senses}) == 4
        assert all(len(classes) == 4 for classes in senses)
    assert all(len(row & column) == 2 for row, column in itertools.product(rows, columns))


def test_label_noise_lowers_every_ceiling_towards_chance() -> None:
    clean, noisy = PairTable().ceilings(), PairTable(label_noise=0.2).ceilings()
    for name, ceiling in clean.items():
        assert noisy[name] == pytest.approx(0.8 * ceiling + 0.2 / 8)


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_a_sum_of_logits_fitted_by_cross_entropy_ends_at_the_late_ceiling(noise: float) -> None:
    table = PairTable(label_noise=noise)
    both = table.given_both()

    def logits(x: np.ndarray) -> np.ndarray:
        picture, sound = x.reshape(2, 4, 8)
        return picture[:, None] + sound[None]

    def loss(x: np.ndarray) -> float:
        return float(-np.mean(np.sum(both * log_softmax(logits(x), axis=-1), axis=-1)))

    start = np.random.default_rng(0).normal(size=64)
    found = minimize(loss, start, method="L-BFGS-B", options={"maxfun": 10**6, "maxiter": 500})
    values = np.sort(logits(found.x), axis=-1)
    # The two best classes tie, all others lie below: a coin decides.
    np.testing.assert_allclose(values[..., -1], values[..., -2], atol=0.05)
    assert (values[..., -2] - values[..., -3] > 1).all()
    top = np.argsort(logits(found.x), axis=-1)[..., -2:]
    share = np.take_along_axis(both, top, axis=-1).mean(axis=-1)
    assert share.mean() == pytest.approx(table.ceilings()["late"])


def test_a_table_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="rows of one length"):
        PairTable(((0, 1), (1,)))
    with pytest.raises(ConfigError, match="without gaps"):
        PairTable(((0, 2), (2, 0)))
    with pytest.raises(ConfigError, match=r"must lie in \[0, 1\]"):
        PairTable(label_noise=1.5)
