"""Transformer layers of several senses, which meet from a layer on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from brainreel.errors import ConfigError
from brainreel.layers.fusion import (
    Layers,
    Tokens,
    Wanted,
    meet_in_bottleneck,
    meet_in_cross_attention,
    meet_in_one_tower,
    meet_in_self_attention,
    places,
)
from brainreel.layers.joint import JointAttention
from brainreel.layers.rollout import Look
from brainreel.layers.transformer import Block, BlockOptions, Transformer

Fusion = Literal["bottleneck", "self_attention", "cross_attention", "late"]
SHARED = "shared"


@dataclass(frozen=True)
class FusionOptions:
    """How the senses meet.

    Attributes
    ----------
    senses
        Their names.
    fusion
        `"bottleneck"`: through a few tokens. `"self_attention"`: every token looks at all.
        `"cross_attention"`: the same, where a sense sees the others through its own weights.
        `"late"`: never.
    layer
        First layer L_f in which they meet: 0 is early fusion, the depth is late fusion.
    bottlenecks
        Number B of bottleneck tokens.
    shared
        One set of weights for all senses, or one each.
    """

    senses: tuple[str, ...]
    fusion: Fusion = "bottleneck"
    layer: int = 0
    bottlenecks: int = 4
    shared: bool = False


class FusionTransformer(nn.Module):
    """Layers before L_f go sense by sense, later ones as `fusion` says; see `layers.fusion`.

    Nagrani et al. 2021, "Attention bottlenecks for multimodal fusion", section 3.

    Parameters
    ----------
    options
        How a block computes, pre-norm; drop path grows linearly with depth.
    depth
        Number of layers L.
    how
        How the senses meet.
    recompute
        Compute activations again in the backward pass.

    Attributes
    ----------
    bottleneck
        (1, B, D) tokens, drawn from N(0, 0.02^2); None where no layer needs them.
    """

    def __init__(
        self, options: BlockOptions, depth: int, how: FusionOptions, *, recompute: bool = False
    ) -> None:
        super().__init__()
        if not 0 <= how.layer <= depth:
            raise ConfigError(
                f"the senses cannot meet in layer {how.layer} of {depth}. "
                f"Give a fusion layer from 0 (early) to {depth} (late)."
            )
        self.how = how
        self.depth = depth
        self.recompute = recompute
        names = (SHARED,) if how.shared else how.senses
        self.towers = nn.ModuleDict(
            {name: Transformer(options, depth, recompute=recompute) for name in names}
        )
        self.joint = JointAttention()
        self.bottleneck = None
        if how.fusion == "bottleneck" and self.first_fused < depth:
            fresh = 0.02 * torch.randn(1, how.bottlenecks, options.width)
            self.bottleneck = nn.Parameter(fresh)

    @property
    def first_fused(self) -> int:
        """First layer in which the senses meet; the depth if they never do."""
        alone = len(self.how.senses) < 2 or self.how.fusion == "late"
        return self.depth if alone else self.how.layer

    def forward(self, tokens: Tokens, asked: int | None = None) -> Tokens:
        """Run all layers.

        Parameters
        ----------
        tokens
            Sense to (B, N_s, D), for the senses that these clips have: one that is not there is
            looked at by nobody, and the bottleneck is the mean over those that are.
        asked
            How many of the first tokens of each sense are wanted; None for all.

        Returns
        -------
        dict
            Sense to (B, N_s or `asked`, D).
        """
        every = {sense: x.shape[1] for sense, x in tokens.items()}
        wanted = every if asked is None else {s: min(asked, n) for s, n in every.items()}
        start = self.first_fused
        tokens = {
            s: self._tower(s)(
                x, layers=slice(start), first=wanted[s] if start == self.depth else None
            )
            for s, x in tokens.items()
        }
        return self._meet(tokens, wanted) if start < self.depth else tokens

    def n_nodes(self, tokens: Tokens) -> int:
        """Return the number of tokens of the whole graph, bottleneck tokens last."""
        own = sum(x.shape[1] for x in tokens.values())
        return own + (0 if self.bottleneck is None else self.bottleneck.shape[1])

    def looks(self, maps: Sequence[Tensor], tokens: Tokens) -> list[list[Look]]:
        """Return who looked at whom in each layer, for `rollout`.

        Parameters
        ----------
        maps
            Attention weights of a run with all tokens asked for, in the order of the calls.
        tokens
            What went into that run.
        """
        device = next(iter(tokens.values())).device
        nodes = [torch.arange(at.start, at.stop, device=device) for at in places(tokens).values()]
        own = torch.cat(nodes)
        between = torch.arange(len(own), self.n_nodes(tokens), device=device)
        rest = iter(maps)
        apart = [[Look(next(rest), ids, ids) for _ in range(self.first_fused)] for ids in nodes]
        found = [list(looks) for looks in zip(*apart, strict=True)]
        for number in range(self.first_fused, self.depth):
            if self.bottleneck is not None:
                both = [torch.cat([ids, between]) for ids in nodes]
                # In the last layer the bottleneck tokens are looked at, and look no more.
                asking = nodes if number == self.depth - 1 else both
                looks = [Look(next(rest), *pair) for pair in zip(asking, both, strict=True)]
            elif self.how.shared or self.how.fusion == "self_attention":
                looks = [Look(next(rest), own, own)]
            else:
                others = [torch.cat([ids, *(o for o in nodes if o is not ids)]) for ids in nodes]
                looks = [Look(next(rest), *pair) for pair in zip(nodes, others, strict=True)]
            found.append(looks)
        return found

    def _meet(self, tokens: Tokens, wanted: Wanted) -> Tokens:
        rest = slice(self.first_fused, self.depth)
        if self.bottleneck is None and self.how.shared:
            # Cross-attention through the same weights is self-attention.
            return meet_in_one_tower(self._tower(SHARED), rest, tokens, wanted)
        towers = {sense: list(self._tower(sense).blocks)[rest] for sense in tokens}
        layers: Layers = [
            {sense: cast(Block, tower[i]) for sense, tower in towers.items()}
            for i in range(rest.stop - rest.start)
        ]
        if self.bottleneck is not None:
            return meet_in_bottleneck(layers, tokens, wanted, self._run, self.bottleneck)
        if self.how.fusion == "cross_attention":
            return meet_in_cross_attention(layers, tokens, wanted, self._run)
        return meet_in_self_attention(layers, tokens, wanted, self._run, self.joint)

    def _tower(self, sense: str) -> Transformer:
        tower = self.towers[SHARED if self.how.shared else sense]
        assert isinstance(tower, Transformer)
        return tower

    def _run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call, keeping no activations for the backward pass where they are to be recomputed."""
        if self.recompute and self.training and torch.is_grad_enabled():
            return checkpoint(function, *args, use_reentrant=False, **kwargs)
        return function(*args, **kwargs)
