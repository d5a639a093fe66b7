from __future__ import annotations

from dataclasses import replace

import torch

from brainreel.models.brain_diffusion import BrainDiffusionConfig
from brainreel.models.first_stage import Coded
from brainreel.models.picture_autoencoder import PictureAutoencoderConfig
from brainreel.shapes import DataSpec

from .cases import Case, Inputs, noise

UNET = {
    "channels": 4,
    "multiples": (1, 2),
    "blocks": 1,
    "attention": (2,),
    "heads": 2,
    "context": 6,
    "norm_groups": 2,
}
VQ = {"name": "vq", "channels": 4, "multiples": (1, 2), "blocks": 1, "norm_groups": 2, "codes": 8}
TINY = {
    "unet": UNET,
    "first_stage": {"name": "pixels"},
    "context_tokens": 4,
    "trained": "everything",
    "encoder": {"patch": 4, "width": 8, "depth": 1, "heads": 2},
}


def inputs() -> Inputs:
    return {
        "brain": noise(3, 14),
        "latents": noise(4, 3, 4, 4)[1:],
        "times": torch.tensor([1, 500, 999]),
    }


def guessed() -> Inputs:
    """As above, with latents of squares of pixels, and first guesses of the pictures."""
    return inputs() | {"latents": noise(4, 12, 4, 4)[1:], "guess": noise(3, 3, 8, 8).sigmoid()}


def one(given: Inputs, i: int) -> Inputs:
    return {name: value[i : i + 1] for name, value in given.items()}


def diffusion_case(**changes: object) -> Case:
    return Case(
        config=BrainDiffusionConfig.parse({**TINY, **changes}),
        spec=DataSpec(subjects=("a", "b"), n_voxels=(14, 9), picture_shape=(3, 4, 4)),
        inputs=inputs,
        row=one,
        out=(3, 3, 4, 4),
        wrong=lambda given: {**given, "latents": torch.cat([given["latents"]] * 2, dim=3)},
        axis="latents has 8 along axis W",
    )


def guess_case() -> Case:
    stage = {"name": "pixels", "patch": 2}
    told = diffusion_case(first_guess=True, predicts="picture", first_stage=stage)
    spec = replace(told.spec, picture_shape=(3, 8, 8))
    return replace(told, spec=spec, inputs=guessed, out=(3, 12, 4, 4))


def stage_case(name: str) -> Case:
    sizes = {**{k: v for k, v in VQ.items() if k != "codes"}, "name": name}
    sizes |= {"codes": 2} if name == "vq" else {}

    def joined(out: Coded) -> torch.Tensor:
        return torch.cat([out.pictures.flatten(1), out.cost[:, None]], dim=1)

    return Case(
        config=PictureAutoencoderConfig.parse({"first_stage": sizes}),
        spec=DataSpec(picture_shape=(1, 4, 4)),
        inputs=lambda: {"pictures": noise(3, 1, 4, 4)},
        row=one,
        out=(3, 17),
        wrong=lambda given: {"pictures": torch.cat([given["pictures"]] * 2, dim=3)},
        axis="pictures has 8 along axis W",
        joined=joined,
    )


# Not with a pooled brain: attention to a single token has no gradient for its queries.
CASES = {
    "latent_diffusion": diffusion_case(),
    "latent_diffusion_published": diffusion_case(trained="conditions"),
    "latent_diffusion_guess": guess_case(),
    "first_stage_vq": stage_case("vq"),
    "first_stage_kl": stage_case("kl"),
}
