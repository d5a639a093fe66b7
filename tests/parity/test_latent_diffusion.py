"""DC-LDM: conditions, U-Net, samplers, first stage and average are those of the published code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from brainreel.checkpoints.from_mind_vis_ldm import (
    DiffusionWeights,
    LatentDiffusionImport,
    condition_rules,
    sort_tensors,
)
from brainreel.checkpoints.ldm_keys import Tensors, unet_rules, unet_sizes
from brainreel.checkpoints.remap import Drop, remap
from brainreel.layers.moving_average import MovingAverage
from brainreel.layers.noise_schedule import NoiseOptions, betas, signal_shares
from brainreel.models.conditioner import Condition, TokenConditioner
from brainreel.models.first_stage import PixelOptions, VQOptions, VQStage
from brainreel.models.latent_diffusion import LatentDiffusion
from brainreel.models.sampling import Denoise, Rungs, SamplingOptions, draw, ladder
from brainreel.stimulus.pictures import resize_pictures

from .conftest import close

Given = Mapping[str, Tensor]
UNET = "model.diffusion_model."
SAMPLER = re.compile(r"(plms|ddim)(\d+)(?:_cfg([\d.]+))?(?:_eta([\d.]+))?")


def read(folder: Path, io: str = "io") -> tuple[Given, dict[str, Any]]:
    config = json.loads((folder / "config.json").read_text())
    return load_file(folder / f"{io}.safetensors"), config


def floats(file: Path, prefix: str = "") -> dict[str, Tensor]:
    return {prefix + name: value.float() for name, value in load_file(file).items()}


def unet_of(folder: Path) -> tuple[LatentDiffusion, DiffusionWeights, dict[str, Any]]:
    config = json.loads((folder / "config.json").read_text())
    told = config["unet"]
    found = sort_tensors(
        floats(folder / "state.safetensors", UNET),
        LatentDiffusionImport(heads=told["num_heads"]),
        "golden",
    )
    noise = NoiseOptions(
        beta_start=config["schedule"]["linear_start"],
        beta_end=config["schedule"]["linear_end"],
        steps=config["schedule"]["timesteps"],
    )
    options = found.options.model_copy(update={"first_stage": PixelOptions(), "noise": noise})
    shape = (told["in_channels"], told["image_size"], told["image_size"])
    n_tokens = 1 if told["global_pool"] else 4
    network = options.assemble(n_tokens, 6, shape).eval()
    left = network.load_state_dict(found.state, strict=False)
    assert not left.unexpected_keys
    assert all(name.startswith("conditioner.") for name in left.missing_keys)
    return network, found, config


def conditions(network: LatentDiffusion, context: Tensor) -> Condition:
    time = network.time_condition
    return Condition(context, None if time is None else time(context))


@torch.no_grad()
def test_the_conditioner_with_tokens_and_with_one(golden: Callable[[str], Path]) -> None:
    folder = golden("mindvis_cond_stage")
    variants = json.loads((folder / "config.json").read_text())["variants"]
    assert variants
    for name in variants:
        given = load_file(folder / f"io_{name}.safetensors")
        state = floats(folder / f"state_{name}.safetensors", "cond_stage_model.")
        encoder = Drop(r"cond_stage_model\.mae\..*", "the encoder, which has a test of its own")
        found = remap(state, [*condition_rules(), encoder], where="golden").state
        tokens, theirs = given["inter.mae_latent"], given["output.cond"]
        ours = TokenConditioner(*tokens.shape[1:], *theirs.shape[1:])
        ours.load_state_dict({k.removeprefix("conditioner."): v for k, v in found.items()})
        close(ours(tokens), theirs)


def places(network: nn.Module, told: Mapping[str, Any]) -> dict[str, nn.Module]:
    """Their name of each block -> the part of diffusers' U-Net that ends it."""
    inside: Any = network
    found = {"middle_block": inside.mid_block, "input_blocks.0": inside.conv_in}
    found |= {"time_embed": inside.time_embedding, "timestep_embedding": inside.time_proj}
    n_blocks, number = told["num_res_blocks"], 0
    for block in inside.down_blocks:
        ends = list(getattr(block, "attentions", block.resnets)) + list(block.downsamplers or ())
        for part in ends:
            number += 1
            found[f"input_blocks.{number}"] = part
    number = 0
    for block in inside.up_blocks:
        ends = list(getattr(block, "attentions", block.resnets))
        assert len(ends) == n_blocks + 1
        for part in [*ends[:-1], (*(block.upsamplers or ()), ends[-1])[0]]:
            found[f"output_blocks.{number}"] = part
            number += 1
    return found


def test_the_unet_its_parts_its_loss_and_gradients(golden: Callable[[str], Path]) -> None:
    folder = golden("mindvis_unet")
    network, found, config = unet_of(folder)
    assert not found.dropped
    given, _ = read(folder)
    seen: dict[str, Tensor] = {}
    for name, part in places(network.unet.network, config["unet"]).items():
        part.register_forward_hook(lambda _m, _i, out, name=name: seen.update({name: first(out)}))
    both = conditions(network, given["input.context"])
    with torch.no_grad():
        close(network.unet(given["input.x"], given["input.t"], both), given["output.eps"])
    if both.time is not None:
        seen["time_cond"] = both.time.unsqueeze(1)
    between = [name for name in given if name.startswith("inter.")]
    assert between
    for name in between:
        ours, theirs = seen[name.removeprefix("inter.")], given[name]
        close(ours[: len(theirs)], theirs)

    network.train_only("everything")
    mixed, target = network.noised(given["loss.z"], given["loss.noise"], given["input.t"])
    close(mixed, given["loss.x_noisy"])
    both = conditions(network, given["input.context"])
    loss = (network.unet(mixed, given["input.t"], both) - target).square().mean()
    close(loss, given["loss.simple"])
    close(loss, given["loss.value"])
    loss.backward()
    ours = {name: p.grad for name, p in network.named_parameters()}
    asked = {name: value for name, value in given.items() if name.startswith("grad.")}
    assert asked
    theirs_as_ours = names_of(found, {n.removeprefix("grad."): v for n, v in asked.items()})
    for name, value in theirs_as_ours.items():
        gradient = ours[name]
        assert gradient is not None
        close(gradient, value)


def first(out: Any) -> Tensor:
    value = out[0] if isinstance(out, tuple) else getattr(out, "sample", out)
    assert isinstance(value, Tensor)
    return value


def names_of(found: DiffusionWeights, theirs: Given) -> dict[str, Tensor]:
    unet = found.options.unet
    rules = [*unet_rules(len(unet.multiples), unet.blocks), *condition_rules()]
    named = {
        name if not name.startswith("time_embed_condtion") else UNET + name: value
        for name, value in theirs.items()
    }
    return remap(named, rules, where="golden").state


def test_what_is_trained(golden: Callable[[str], Path]) -> None:
    folder = golden("mindvis_unet")
    network, found, config = unet_of(folder)
    trained = [n.removeprefix(UNET) for n in config["finetune"]["trained"] if n.startswith(UNET)]
    theirs = names_of(found, {name: torch.zeros(1) for name in trained})
    ours = {name for name, p in network.named_parameters() if p.requires_grad}
    assert {name for name in ours if not name.startswith("conditioner.")} == set(theirs)
    assert any(name.startswith("conditioner.") for name in ours)


def test_the_noise_levels(golden: Callable[[str], Path]) -> None:
    folder = golden("mindvis_unet")
    network, _, _ = unet_of(folder)
    given = load_file(folder / "schedule.safetensors")
    beta, share = betas(network.noise), signal_shares(network.noise)
    before = torch.cat([torch.ones(1, dtype=share.dtype), share[:-1]])
    close(beta, given["betas"])
    close(share, given["alphas_cumprod"])
    close(before, given["alphas_cumprod_prev"])
    close(share.sqrt(), given["sqrt_alphas_cumprod"])
    close((1 - share).sqrt(), given["sqrt_one_minus_alphas_cumprod"])
    every = Rungs(list(range(1, len(share)))[::-1], share.tolist())
    sigmas = [every.sigma(i, 1.0) ** 2 for i in range(len(every.times))]
    close(torch.tensor(sigmas[::-1]), given["posterior_variance"][1:])


class GivenNoise:
    """Noise that a fixture gives, in place of a seed's."""

    def __init__(self, noise: Tensor) -> None:
        self.noise = iter(noise)

    def __call__(self, shape: Any) -> Tensor:
        return next(self.noise)


def options_of(name: str) -> SamplingOptions:
    match = SAMPLER.fullmatch(name)
    assert match, name
    kind, steps, guidance, eta = match.groups()
    return SamplingOptions.parse(
        {
            "sampler": kind,
            "steps": int(steps),
            "guidance": float(guidance or 1),
            "eta": float(eta or 0),
        }
    )


def samplers(given: Given) -> list[str]:
    found = [name.removesuffix(".output") for name in given if name.endswith(".output")]
    assert found
    return found


@torch.no_grad()
def test_samplers_through_the_unet(golden: Callable[[str], Path]) -> None:
    folder = golden("mindvis_unet")
    network, _, _ = unet_of(folder)
    given, config = read(folder, "samplers")
    told = conditions(network, given["input.context"])
    for name in samplers(given):
        options = options_of(name)
        if "cfg" in name:
            assert options.guidance == config["cfg_scale"]
        plain = conditions(network, given["input.uncond"]) if options.guidance != 1 else None
        denoise = network.denoiser(told, options, plain)
        own: Any = GivenNoise(given[f"{name}.noise"]) if options.eta else None
        start = given["input.x_T"]
        path = [start, *draw(denoise, start, network.noise, options, own)]
        rungs = Rungs(
            ladder(options.steps, network.noise.steps), signal_shares(network.noise).tolist()
        )
        a, b = torch.tensor(rungs.now[-1]), torch.tensor(rungs.next[-1])
        last = (1 - b).sqrt() * path[-2] - (1 - a).sqrt() * path[-1]
        found = {
            "output": path[-1],
            "x_after_step1": path[1],
            "pred_x0_last": last / ((1 - b).sqrt() * a.sqrt() - (1 - a).sqrt() * b.sqrt()),
            "ddim_timesteps": torch.tensor(rungs.times[::-1]),
            "alphas": torch.tensor(rungs.now[::-1]),
            "alphas_prev": torch.tensor(rungs.next[::-1]),
            "sigmas": torch.tensor(
                [rungs.sigma(i, options.eta) for i in range(len(path) - 1)][::-1]
            ),
        }
        asked = [key.removeprefix(f"{name}.") for key in given if key.startswith(f"{name}.")]
        for key in set(asked) - {"noise"}:
            close(found[key], given[f"{name}.{key}"], 1e-4)


@torch.no_grad()
def test_samplers_with_noise_in_closed_form(golden: Callable[[str], Path]) -> None:
    given, config = read(golden("mindvis_samplers"))
    noise = NoiseOptions(beta_start=config["linear_start"], beta_end=config["linear_end"])
    share = signal_shares(noise).float()
    close(betas(noise), given["schedule.betas"])
    close(share, given["schedule.alphas_cumprod"])

    def found_in(context: Tensor) -> Denoise:
        shift = context.mean(dim=(1, 2))[:, None, None, None]

        def denoise(x: Tensor, time: int) -> Tensor:
            a = share[time]
            exact = x * (1 - a).sqrt() / (0.25 * a + 1 - a)
            return exact + 0.3 * torch.sin(3 * x + shift + 0.01 * time)

        return denoise

    told, plain = found_in(given["input.context"]), found_in(given["input.uncond"])
    for name in samplers(given):
        options = options_of(name)

        def denoise(x: Tensor, time: int, by: float = options.guidance) -> Tensor:
            without = plain(x, time)
            return without + by * (told(x, time) - without)

        start = given["input.x_T"]
        path = [start, *draw(denoise, start, noise, options)]
        close(path[-1], given[f"{name}.output"], 1e-4)
        theirs = given[f"{name}.trajectory"]
        close(torch.stack(path)[:, : theirs.shape[1]], theirs, 1e-4)
        times = torch.tensor(ladder(options.steps, noise.steps)).sort().values
        assert torch.equal(times, given[f"{name}.timesteps"].sort().values)


@torch.no_grad()
def test_the_first_stage(golden: Callable[[str], Path]) -> None:
    folder = golden("mindvis_vq")
    given, config = read(folder)
    found = sort_tensors(floats(folder / "state.safetensors"), LatentDiffusionImport(), "golden")
    options = found.options.first_stage
    assert isinstance(options, VQOptions)
    assert options.codes == config["n_embed"]
    assert not found.dropped
    stage = options.build(tuple(given["input.x"].shape[1:]))
    assert isinstance(stage, VQStage)
    stage.eval().load_state_dict(
        {k.removeprefix("first_stage."): v for k, v in found.state.items()}
    )
    latents = stage.encode(given["input.x"])
    quantised, distance, (_, _, indices) = stage.network.quantize(latents)
    ours = {
        "inter.h": latents,
        "inter.quant": quantised,
        "inter.indices": indices,
        "inter.emb_loss": distance,
        "output.dec": stage.decode(latents),
        "output.dec_z": stage.decode(given["input.z"]),
        "output.dec_not_quantized": stage.network.decode(latents, force_not_quantize=True).sample,
    }
    asked = [name for name in given if not name.startswith("input.")]
    for name in asked:
        close(ours[name], given[name])
    close(stage.reconstructed(latents)[1], distance)


def test_the_moving_average(golden: Callable[[str], Path]) -> None:
    given, config = read(golden("mindvis_ema"))

    def weights(step: str) -> dict[str, Tensor]:
        return {n.removeprefix(f"{step}."): v for n, v in given.items() if n.startswith(f"{step}.")}

    average = MovingAverage(weights("step0"), config["decay"])
    steps = sorted({int(name.split(".")[0][3:]) for name in given if name.startswith("ema")})
    assert steps
    for step in steps:
        average.update(weights(f"step{step}"))
        for name, theirs in weights(f"ema{step}").items():
            close(average.average[name], theirs)


def test_pictures_are_resized_without_aliasing(golden: Callable[[str], Path]) -> None:
    """Without antialiasing, as an older library of theirs does it, ours are never resized."""
    given, _ = read(golden("mindvis_preproc"))
    pictures = given["input.img01"].permute(0, 3, 1, 2)
    asked = [n for n in given if n.startswith("output.img_") and "no_antialias" not in n]
    assert asked
    for name in asked:
        resized = resize_pictures(pictures.numpy(), tuple(given[name].shape[-2:]))
        close(2 * torch.from_numpy(resized) - 1, given[name])


def test_a_unet_that_is_not_whole_names_what_is_missing(golden: Callable[[str], Path]) -> None:
    state = floats(golden("mindvis_unet") / "state.safetensors")
    del state["input_blocks.0.0.weight"]
    with pytest.raises(Exception, match=r"no tensor input_blocks.0.0.weight"):
        unet_sizes(Tensors(state, "golden"))
