from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import FactorAnalysis

from brainreel.errors import ConfigError, DataError, ShapeError
from brainreel.layers.factors import PatchFactors
from brainreel.layers.positions import fit_positions
from brainreel.layers.tokens import grid_centres, sincos_positions
from brainreel.models.sc_mbm import SCMBM, SCMBMConfig
from brainreel.shapes import DataSpec

TINY = {
    "patch": 4,
    "width": 8,
    "depth": 2,
    "heads": 2,
    "decoder_width": 8,
    "decoder_depth": 1,
    "decoder_heads": 2,
    "mask_ratio": 0.5,
}


def network(n_voxels: tuple[int, ...] = (14, 9), **options: Any) -> SCMBM:
    torch.manual_seed(0)
    people = tuple(f"sub-{i}" for i in range(len(n_voxels)))
    return SCMBMConfig.parse(TINY | options).build(DataSpec(people, n_voxels)).eval()


def voxels(n: int, rows: int = 3) -> torch.Tensor:
    return torch.randn(rows, n, generator=torch.Generator().manual_seed(1))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(2)


@torch.no_grad()
def test_a_person_with_fewer_voxels_is_padded_to_the_same_patches() -> None:
    model = network()
    short, noise = voxels(9), model.noise(3, generator())
    whole = torch.cat([short, short[:, :7]], dim=1)
    out, again = model(short, noise), model(whole, noise)
    assert torch.equal(out.measured, whole.reshape(3, 4, 4))
    assert torch.equal(out.predicted, again.predicted)
    zeros = network(padding="constant").encoder.patches(short)
    assert torch.equal(zeros.flatten(1)[:, 9:], torch.zeros(3, 7))


@torch.no_grad()
def test_what_is_not_seen_changes_nothing() -> None:
    model, seen = network(), voxels(14)
    noise = model.noise(3, generator())
    out = model(seen, noise)
    hidden = out.removed.repeat_interleave(4, dim=1)[:, :14]
    # The last patch begins anew with the first voxels: only whole patches are told apart here.
    hidden[:, :2] = hidden[:, 12:] = False
    other = torch.where(hidden, 100.0, seen)
    assert hidden.any()
    torch.testing.assert_close(model(other, noise).predicted, out.predicted)


@torch.no_grad()
def test_one_patch_is_what_the_layers_give_one_by_one() -> None:
    model = network((12,), mask_ratio=0.0)
    encoder, seen = model.encoder, voxels(12)
    tokens = encoder.embed(seen.reshape(3, 3, 4)) + sincos_positions(grid_centres((3,)), 8)
    for block in encoder.transformer.blocks:
        tokens = block(tokens)
    torch.testing.assert_close(encoder(seen), encoder.norm(tokens))
    pooled = encoder.norm(tokens.mean(dim=1, keepdim=True))
    torch.testing.assert_close(encoder.pooled(seen), pooled)


def test_fixed_positions_are_kept_but_not_learned() -> None:
    fixed, learned = network(), network(positions="learned")
    assert "encoder.positions.table" in fixed.state_dict()
    assert not fixed.encoder.positions.table.requires_grad
    assert learned.decoder.positions.table.requires_grad


def test_weights_move_to_a_brain_with_more_patches() -> None:
    small, large = network((12,)), network((20,))
    state = fit_positions(large, small.state_dict())
    large.load_state_dict(state)
    before, after = small.encoder.positions(), large.encoder.positions()
    assert [int((before == row).all(dim=1).nonzero()) for row in after] == [0, 0, 1, 1, 2]


@torch.no_grad()
def test_pictures_are_told_of_some_rows_alone() -> None:
    model = network(picture_features=(2, 3, 4))
    seen, noise = voxels(14), model.noise(3, generator())
    rows = torch.tensor([2, 0])
    some, everyone = model(seen, noise, rows).pictures, model(seen, noise).pictures
    torch.testing.assert_close(some, everyone[rows])
    assert model(seen, noise, rows[:0]).pictures.shape == (0, 2, 3, 4)


@torch.no_grad()
def test_the_focus_is_seen_less_often() -> None:
    model = network((64,), focus=(16, 32), focus_rate=0.9)
    removed = model(voxels(64, 200), model.noise(200, generator())).removed.float().mean(dim=0)
    inside = removed[4:8]
    assert inside.min() > removed[:4].max()
    assert inside.min() > removed[8:].max()
    assert removed.sum() == pytest.approx(8)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mask_ratio": 0.9}, "leaves none of 4 patches to be seen"),
        ({"focus": (1, 3)}, "holds none of the 4 patches of 4 voxels"),
        ({"focus": (40, 80)}, "Give a longer range"),
        ({"focus": (9, 5)}, r"focus \[9, 5\] is no range"),
        ({"heads": 3}, "a width of 8 cannot be shared by 3 heads"),
        ({"decoder_heads": 3}, "a width of 8 cannot be shared by 3 heads"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        network(**options)


def test_vectors_that_belong_to_nobody_are_refused() -> None:
    model = network()
    with pytest.raises(ShapeError, match=r"voxels has 10 along axis V .* one of 9, 14, 16\."):
        model(voxels(10), model.noise(3, generator()))
    with pytest.raises(ShapeError, match="noise has 2 along axis B"):
        model(voxels(9), model.noise(2, generator()))
    with pytest.raises(DataError, match="no voxel vectors, which 'sc_mbm' works on"):
        SCMBMConfig.parse(TINY).build(DataSpec())


@torch.no_grad()
def test_a_factor_model_tells_what_a_gaussian_with_its_covariance_would() -> None:
    """Against conditioning the whole covariance L L' + diag(v) on what is seen, row by row."""
    model = network((16,), factors=3)
    assert model.factors is not None
    model.factors.loadings += torch.randn(4, 4, 3, generator=generator())
    model.factors.noise += torch.rand(4, 4, generator=generator())
    seen = voxels(16)
    plain = network((16,))
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if "factors" not in k})
    noise = model.noise(3, generator())
    out, without = model(seen, noise), plain(seen, noise)
    loadings, v = model.factors.loadings.flatten(0, 1).double(), model.factors.noise.flatten()
    covariance = loadings @ loadings.T + torch.diag(v.double())
    for row in range(3):
        hidden = out.removed[row].repeat_interleave(4)
        known = covariance[~hidden][:, ~hidden]
        expected = covariance[hidden][:, ~hidden] @ torch.linalg.solve(
            known, seen[row, ~hidden].double()
        )
        found = (out.predicted - without.predicted)[row].flatten()[hidden]
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_factors_are_those_that_maximum_likelihood_finds() -> None:
    """Against sklearn's factor analysis, by the covariance that both imply."""
    rng = np.random.default_rng(0)
    known = rng.normal(size=(12, 2))
    rows = rng.normal(size=(4000, 2)) @ known.T + rng.normal(size=(4000, 12)) * 0.7
    rows /= rows.std(axis=0)
    factors = PatchFactors(3, 4, 2)
    factors.begin(torch.from_numpy(rows).reshape(-1, 3, 4))
    loadings = factors.loadings.flatten(0, 1).double()
    found = (loadings @ loadings.T).numpy() + np.diag(factors.noise.flatten().numpy() - 0.15)
    witness = FactorAnalysis(2, svd_method="lapack", tol=1e-6, max_iter=5000).fit(rows)
    np.testing.assert_allclose(found, witness.get_covariance(), atol=0.02)
    assert not any(parameter.requires_grad for parameter in factors.parameters())
    few = PatchFactors(3, 4, 9)
    few.begin(torch.from_numpy(rows[:5]).reshape(-1, 3, 4))
    assert torch.isfinite(few(torch.zeros(1, 3, 4), torch.tensor([[True, False, False]]))).all()
