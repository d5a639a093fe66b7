"""Latent diffusion from files: LDM's and VQ's `model.ckpt`, MinD-Vis's `finetuned.pth`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from torch import Tensor

from brainreel.checkpoints.ldm_keys import Tensors, unet_rules, unet_sizes, vq_rules, vq_sizes
from brainreel.checkpoints.readers import read_with_options, without_prefix
from brainreel.checkpoints.remap import Drop, Rename, remap
from brainreel.config import Config
from brainreel.errors import CheckpointError
from brainreel.models.latent_diffusion import LatentDiffusionOptions

_UNET, _VQ, _BRAIN, _AVERAGE = (
    "model.diffusion_model.",
    "first_stage_model.",
    "cond_stage_model.",
    "model_ema.",
)
_PARTS = r"\.(weight|bias)"
_SCHEDULE = Drop(
    r"betas|alphas_cumprod(_prev)?|sqrt_\w+|log_one_minus_\w+|posterior_\w+|lvlb_weights|logvar|"
    r"scale_factor",
    "noise levels, which the options tell",
)


class LatentDiffusionImport(Config):
    """What a file of latent diffusion does not tell."""

    heads: int = Field(1, ge=1)
    """Attention heads of the U-Net (label2img: 1)."""
    norm_groups: int = Field(32, ge=1)
    """Groups of the group norms."""
    weights: Literal["trained", "averaged"] = "trained"
    """Of a U-Net whose file holds both: the weights as trained (which MinD-Vis begins with), or
    their moving average."""


@dataclass(frozen=True, eq=False)
class DiffusionWeights:
    """What a file of latent diffusion holds.

    Attributes
    ----------
    options
        Sizes of the parts that are there; of others, as published.
    state
        Name in a `LatentDiffusion` -> tensor, of the parts that are there.
    encoder
        Tensors of the encoder of brains, by their own names; empty without.
    dropped
        Their name of each tensor that is not used -> why.
    settings
        Plain values that the training kept beside the weights.
    """

    options: LatentDiffusionOptions
    state: dict[str, Tensor]
    encoder: dict[str, Tensor]
    dropped: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def encoder_width(self) -> int | None:
        """Width of the tokens that the conditioner takes; None without a conditioner."""
        return self._size("conditioner.over_width.weight")

    @property
    def n_tokens(self) -> int | None:
        """Tokens that the conditioner takes; None without a conditioner."""
        own = self._size("conditioner.over_tokens.0.weight")
        return 1 if own is None and self.encoder_width else own

    def _size(self, name: str) -> int | None:
        return int(self.state[name].shape[1]) if name in self.state else None


def condition_rules() -> list[Rename | Drop]:
    """Return the rules of MinD-Vis's two conditions, with tokens and with one that is pooled."""
    time = r"model\.diffusion_model\.time_embed_condtion"
    return [
        Rename(
            rf"cond_stage_model\.channel_mapper\.(\d){_PARTS}", r"conditioner.over_tokens.\1.\2"
        ),
        Rename(rf"cond_stage_model\.dim_mapper{_PARTS}", r"conditioner.over_width.\1"),
        Rename(rf"{time}\.([01]){_PARTS}", r"time_condition.over_tokens.\1.\2"),
        Rename(rf"{time}(?:\.2)?{_PARTS}", r"time_condition.over_width.\1"),
    ]


def read_latent_diffusion(path: Path, options: Mapping[str, Any] | None = None) -> DiffusionWeights:
    """Read latent diffusion, with or without a brain; or a VQ first stage alone.

    Sizes come from the shapes of the tensors. Objects that a training script kept beside them are
    read as plain values, and no code is run.

    Parameters
    ----------
    path
        `model.ckpt` of latent diffusion (Rombach et al. 2022) or of its VQ first stage,
        `finetuned.pth` or `checkpoint.pth` of MinD-Vis's stage B, or safetensors of the same names.
    options
        Options of `LatentDiffusionImport`.

    Raises
    ------
    CheckpointError
        If a tensor is not known or is missing, or the file could run code.
    """
    told = LatentDiffusionImport.parse(options or {}, where="import latent diffusion")
    state, settings = read_with_options(Path(path), "config")
    return sort_tensors(without_prefix(state, "module."), told, str(path), settings)


def sort_tensors(
    state: Mapping[str, Tensor],
    told: LatentDiffusionImport,
    where: str,
    settings: Mapping[str, Any] | None = None,
) -> DiffusionWeights:
    """Give every tensor its place, or name it as dropped."""
    if any(name.startswith("encoder.conv_in.") for name in state):
        state = {f"{_VQ}{name}": value for name, value in state.items()}
    state = _weights(state, told.weights, where)
    rules: list[Rename | Drop] = [*condition_rules(), _SCHEDULE]
    sizes: dict[str, Any] = {}
    own: dict[str, Any]
    unet, stage = _part(state, _UNET, where), _part(state, _VQ, where)
    if not unet.state and not stage.state:
        raise CheckpointError(
            f"{where}: has neither a U-Net nor a first stage of latent diffusion. Check the file."
        )
    if unet.state:
        own = {"heads": told.heads, "norm_groups": told.norm_groups}
        sizes["unet"] = unet_sizes(unet) | own
        n_levels, n_blocks = len(sizes["unet"]["multiples"]), sizes["unet"]["blocks"]
        rules += _under(_UNET, unet_rules(n_levels, n_blocks))
        sizes["time_condition"] = any(name.startswith("time_embed_condtion") for name in unet.state)
    if stage.state:
        own = {"name": "vq", "norm_groups": told.norm_groups}
        sizes["first_stage"] = vq_sizes(stage) | own
        rules += _under(_VQ, vq_rules(len(sizes["first_stage"]["multiples"])))
    last, over = "cond_stage_model.channel_mapper.1.weight", "time_embed_condtion.0.weight"
    if last in state:
        sizes["context_tokens"] = len(state[last])
    elif over in unet.state:
        sizes["context_tokens"] = unet.size(over, 1)
    encoder = f"{_BRAIN}mae."
    rules += [
        Drop(r"model_ema\..*", "the moving average of the U-Net"),
        Drop(r"cond_stage_model\.embedding\.weight", "classes, for which a brain now stands"),
    ]
    kept = {name: value for name, value in state.items() if not name.startswith(encoder)}
    found = remap(kept, rules, where=where)
    return DiffusionWeights(
        LatentDiffusionOptions.parse(sizes, where=where),
        found.state,
        {n.removeprefix(encoder): v for n, v in state.items() if n.startswith(encoder)},
        found.dropped,
        dict(settings or {}),
    )


def _part(state: Mapping[str, Tensor], prefix: str, where: str) -> Tensors:
    inside = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
    return Tensors(inside, where)


def _under(prefix: str, rules: Sequence[Rename | Drop]) -> list[Rename | Drop]:
    """Return rules for names that stand behind a prefix."""
    start = prefix.replace(".", r"\.")
    return [
        Rename(f"{start}{rule.source}", rule.target, rule.convert)
        if isinstance(rule, Rename)
        else Drop(f"{start}{rule.source}", rule.why)
        for rule in rules
    ]


def _weights(
    state: Mapping[str, Tensor], which: Literal["trained", "averaged"], where: str
) -> dict[str, Tensor]:
    """Put the moving average where the trained weights stand, if it is asked for."""
    if which == "trained":
        return dict(state)
    changed = dict(state)
    for name in state:
        if not name.startswith(_UNET):
            continue
        own = _AVERAGE + name.removeprefix("model.").replace(".", "")
        if own not in state:
            raise CheckpointError(f"{where}: has no moving average of {name}. Set weights=trained.")
        changed[name] = state[own]
    return changed
