"""DC-LDM: what is trained, what a picture depends on, guidance, and first stages."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from brainreel.errors import ConfigError, DataError, ShapeError
from brainreel.models.brain_diffusion import BrainDiffusion, BrainDiffusionConfig
from brainreel.models.first_stage import KLOptions, VQOptions
from brainreel.models.latent_diffusion import LatentDiffusion, LatentDiffusionOptions
from brainreel.models.sampling import SamplingOptions
from brainreel.models.sc_mbm import SCMBMConfig
from brainreel.shapes import DataSpec

from ..contracts.cases_diffusion import TINY, UNET, VQ

SEEDS = torch.tensor([[1, 2], [3, 4], [5, 6]])
FAST = SamplingOptions(sampler="ddim", steps=3, eta=0.5)


def made(**changes: object) -> LatentDiffusion:
    torch.manual_seed(0)
    content = {k: v for k, v in TINY.items() if k != "encoder"} | changes
    return LatentDiffusionOptions.parse(content).assemble(5, 8, (3, 8, 8)).eval()


def brains(n: int = 3) -> Tensor:
    return torch.randn(n, 5, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("trained", "parts"),
    [
        ("conditions", {"conditioner", "time_condition", "null_context", "unet"}),
        ("conditioner", {"conditioner", "null_context"}),
        ("everything", {"conditioner", "time_condition", "null_context", "unet"}),
    ],
)
def test_what_is_frozen_gets_no_gradient(trained: str, parts: set[str]) -> None:
    model = made(trained=trained, null_context=True, first_stage=VQ)
    latents = model.encode(torch.rand(3, 3, 8, 8))
    kept = torch.tensor([True, False, True])
    model(brains(), latents, torch.tensor([1, 2, 3]), kept).square().sum().backward()
    moved = {name for name, p in model.named_parameters() if p.grad is not None}
    assert {name.partition(".")[0] for name in moved} == parts
    inside = {name for name in moved if name.startswith("unet.")}
    if trained == "conditions":
        assert inside
        assert all(".attn2." in name or ".transformer_blocks.0.norm2." in name for name in inside)
        assert not any("resnets" in name for name in inside)


@pytest.mark.parametrize("sampler", ["plms", "ddim", "dpm++", "unipc"])
def test_a_picture_does_not_depend_on_its_batch(sampler: str) -> None:
    model = made()
    options = SamplingOptions.parse({"sampler": sampler, "steps": 3})
    if sampler == "ddim":
        options = FAST
    together = model.reconstruct(model.condition(brains()), SEEDS, options)
    assert together.shape == (3, 2, 3, 8, 8)
    assert 0 <= together.min() <= together.max() <= 1
    alone = model.reconstruct(model.condition(brains()[1:2]), SEEDS[1:2, 1:], options)
    torch.testing.assert_close(alone[0, 0], together[1, 1], rtol=1e-4, atol=1e-5)
    by_four = options.model_copy(update={"rows": 4})
    parted = model.reconstruct(model.condition(brains()), SEEDS, by_four)
    torch.testing.assert_close(parted, together, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together[0, 0], together[0, 1])


def test_the_brain_and_both_its_ways_matter() -> None:
    model = made()
    latents, times = torch.zeros(2, 3, 8, 8), torch.tensor([5, 5])
    tokens = brains(2)
    one, other = model(tokens, latents, times)
    assert not torch.allclose(one, other)
    both = model.condition(tokens)
    assert both.time is not None
    without = model.unet(latents, times, both.rows(torch.tensor([0, 0])))
    torch.testing.assert_close(without[0], without[1])
    crossed = type(both)(both.context[[0, 0]], both.time)
    a, b = model.unet(latents, times, crossed)
    assert not torch.allclose(a, b)
    plain = made(time_condition=False)
    assert plain.condition(tokens).time is None
    one, other = plain(tokens, latents, times)
    assert not torch.allclose(one, other)


def test_guidance_goes_from_no_brain_through_the_brain() -> None:
    model = made(null_context=True)
    tokens, latents = brains(2), torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    told = model.condition(tokens)
    nothing = model.condition(tokens, torch.tensor([False, False]))
    with torch.no_grad():
        plain = model.denoiser(told, FAST)(latents, 7)
        none = model.denoiser(nothing, FAST)(latents, 7)
        for scale in (0.0, 1.0, 2.5):
            options = FAST.model_copy(update={"guidance": scale})
            found = model.denoiser(told, options, nothing)(latents, 7)
            torch.testing.assert_close(found, none + scale * (plain - none))
    guided = FAST.model_copy(update={"guidance": 2.0})
    assert model.reconstruct(told, SEEDS[:2], guided).isfinite().all()
    with pytest.raises(ConfigError, match=r"Train with model\.null_context=true"):
        made().reconstruct(made().condition(tokens), SEEDS[:2], guided)


def test_velocity_is_turned_into_noise() -> None:
    model, latents = made(predicts="velocity"), torch.randn(2, 3, 8, 8)
    told = model.condition(brains(2))
    with torch.no_grad():
        said = model.unet(latents, torch.tensor([7, 7]), told)
        found = model.denoiser(told, FAST)(latents, 7)
    share = model.shares[7]
    torch.testing.assert_close(found, share.sqrt() * said + (1 - share).sqrt() * latents)
    noise = torch.randn(2, 3, 8, 8)
    mixed, target = model.noised(latents, noise, torch.tensor([7, 7]))
    back = share.sqrt() * target + (1 - share).sqrt() * mixed
    torch.testing.assert_close(back, noise)


def test_bf16_is_near_fp32() -> None:
    model = made()
    told = model.condition(brains())
    lean = FAST.model_copy(update={"precision": "bf16"})
    full, rounded = (model.reconstruct(told, SEEDS, options) for options in (FAST, lean))
    assert rounded.dtype == torch.float32
    assert float((full - rounded).abs().mean()) < 0.02


def test_the_encoder_is_that_of_sc_mbm() -> None:
    sizes = TINY["encoder"]
    assert isinstance(sizes, dict)
    spec = DataSpec(subjects=("a",), n_voxels=(14,), picture_shape=(3, 4, 4))
    pretrained = SCMBMConfig.parse({**sizes, "decoder_width": 8, "decoder_heads": 2}).build(spec)
    model = BrainDiffusionConfig.parse(TINY).build(spec)
    assert isinstance(model, BrainDiffusion)
    inside = {n: v for n, v in pretrained.state_dict().items() if n.startswith("encoder.")}
    assert inside.keys() == {n for n in model.state_dict() if n.startswith("encoder.")}
    pooled = BrainDiffusionConfig.parse({**TINY, "encoder": {**sizes, "pooled": True}}).build(spec)
    assert pooled.condition(torch.randn(2, 14)).context.shape == (2, 1, 6)


@pytest.mark.parametrize("kind", [VQOptions, KLOptions])
def test_first_stages_make_pictures_smaller_and_back(
    kind: type[VQOptions] | type[KLOptions],
) -> None:
    sizes = {k: v for k, v in VQ.items() if k not in ("name", "codes")}
    options = kind.parse({**sizes, "attention": (2,), "latent": 2, "scale": 0.5})
    stage = options.build((1, 8, 12)).eval()
    pictures = torch.rand(2, 1, 8, 12)
    latents = stage.encode(pictures)
    assert latents.shape == (2, *stage.latent_shape) == (2, 2, 4, 6)
    torch.testing.assert_close(latents, 0.5 * stage.latents(pictures))
    assert stage.decode(latents).shape == pictures.shape
    with pytest.raises(DataError, match="pictures of 8 x 9 cannot be made 2 times smaller"):
        options.build((1, 8, 9))
    with pytest.raises(ShapeError, match="pictures has 8 along axis W"):
        stage.encode(pictures[..., :8])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"attention": (3,)}, r"attention at \[3\] is at none of the levels \[1, 2\]"),
        ({"norm_groups": 3}, "4 channels cannot be parted into norm_groups=3"),
        ({"heads": 3}, "4 channels cannot be parted into 3 heads"),
        ({"heads": (2, 2, 2)}, "heads should be one number, or one for each of 2 levels"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        made(unet={**UNET, **change})
    with pytest.raises(DataError, match="the data has no pictures"):
        LatentDiffusionOptions.parse({"unet": UNET}).assemble(5, 8, ())


def test_squares_of_pixels_become_channels_and_back() -> None:
    model = made(first_stage={"name": "pixels", "patch": 2})
    pictures = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    latents = model.encode(pictures)
    assert latents.shape == (2, 12, 4, 4)
    # Channel 4 c + 2 y + x of place (i, j) is pixel (2 i + y, 2 j + x) of colour c.
    expected = 2 * pictures[1, 2, 2 * 3 + 1, 2 * 1 + 0] - 1
    assert latents[1, 4 * 2 + 2 * 1 + 0, 3, 1] == expected
    assert torch.allclose(model.decode(latents), pictures, atol=1e-6)
    with pytest.raises(DataError, match="cannot be made 3 times smaller.*a smaller patch"):
        made(first_stage={"name": "pixels", "patch": 3})


@pytest.mark.parametrize("predicts", ["noise", "velocity", "picture"])
def test_who_knows_the_picture_finds_the_noise_whatever_is_asked(predicts: str) -> None:
    model = made(predicts=predicts)
    generator = torch.Generator().manual_seed(0)
    clean, eps = (torch.randn(2, 3, 8, 8, generator=generator) for _ in range(2))
    times = torch.tensor([400, 400])
    mixed, target = model.noised(clean, eps, times)
    model.unet.forward = lambda *given: target  # type: ignore[method-assign]
    found = model.denoiser(model.condition(brains(2)), SamplingOptions())(mixed, 400)
    assert torch.allclose(found, eps, atol=1e-5)


def test_a_first_guess_is_seen_and_withheld_with_the_brain() -> None:
    model = made(first_guess=True, null_context=True)
    guess = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    kept = torch.tensor([True, False, True])
    condition = model.condition(brains(), kept, guess)
    assert condition.guess is not None
    assert torch.equal(condition.guess[0], 2 * guess[0] - 1)
    assert not condition.guess[1].any()
    latents, times = torch.zeros(3, 3, 8, 8), torch.tensor([5, 5, 5])
    other = model(brains(), latents, times, kept, 1 - guess)
    changed = (model(brains(), latents, times, kept, guess) - other).abs().amax(dim=(1, 2, 3))
    assert (changed > 0).tolist() == [True, False, True]
    guessed = torch.tensor([False, True, True])
    alone = model.condition(brains(), kept, guess, guessed)
    assert alone.guess is not None
    assert not alone.guess[0].any()
    assert torch.equal(alone.guess[1], 2 * guess[1] - 1)
    assert torch.equal(alone.context, condition.context)
    with pytest.raises(ConfigError, match="first_guess is true, and a guess was not given"):
        model.condition(brains())
    with pytest.raises(ConfigError, match="first_guess is false, and a guess was given"):
        made().condition(brains(), None, guess)
