"""MBT: film and sound through transformers that meet in a few bottleneck tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from brainreel.errors import DataError
from brainreel.layers.attention import attention_maps
from brainreel.layers.clip import Clip
from brainreel.layers.fusion import Tokens, places
from brainreel.layers.fusion_transformer import Fusion, FusionOptions, FusionTransformer
from brainreel.layers.presence import put_back, rows_alike, senses_there
from brainreel.layers.rollout import rollout
from brainreel.layers.transformer import BlockOptions
from brainreel.models.encoder import Sides, sides
from brainreel.models.mbt_tokens import SenseTokens, frames_looked_at
from brainreel.models.stimulus import (
    PictureOptions,
    SoundOptions,
    StimulusConfig,
    StimulusNetwork,
    linear_head,
    need_frame_shape,
    need_sound_shape,
)
from brainreel.shapes import DataSpec, Sense


class MBTConfig(StimulusConfig, PictureOptions, SoundOptions):
    """Multimodal bottleneck transformer; the defaults are small enough to train on a laptop."""

    name: Literal["mbt"] = "mbt"
    inputs: tuple[Sense, ...] = Field(("pictures", "sound"), min_length=1, max_length=2)
    """What it sees and hears: both senses, or one of them alone."""
    fusion: Fusion = "bottleneck"
    """How the senses meet: through a few tokens, by attention of all to all, or late."""
    fusion_layer: int = Field(1, ge=0)
    """First layer in which they meet: 0 early, the depth late; two thirds of it is the best."""
    bottlenecks: int = Field(4, ge=1)
    """Bottleneck tokens; 4 are published, and more help little."""
    shared: bool = False
    """One set of transformer weights for both senses, or one each."""
    width: int = Field(32, ge=4)
    """Width of a token; the features are one such vector a sense, side by side."""
    depth: int = Field(2, ge=1)
    """Number of transformer layers."""
    heads: int = Field(4, ge=1)
    """Attention heads; the width must be a multiple."""
    mlp_ratio: float = Field(2.0, gt=0)
    """Width of the feed-forward layer over that of a token (4 in the published MBT)."""
    patch: Sides = 8
    """Sides of a patch of a frame in pixels, (H, W), or one for a square."""
    patch_frames: int = Field(1, ge=1)
    """Frames that a patch goes through; 1 for flat patches, more for tubelets."""
    sampled_frames: int | tuple[int, ...] = 0
    """Look at this many frames of the clip, spread evenly, or at these; 0 for all."""
    sound_patch: Sides = 16
    """Steps in time and mel bands of a patch of the spectrogram, or one number for both."""
    pooling: Literal["class", "mean", "max", "sum"] = "class"
    """A class token a sense, or the mean, maximum or sum over the tokens of all senses."""
    representation: int = Field(0, ge=0)
    """Width of a tanh layer between pooling and logits; 0 for none."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Chance to drop an entry after each projection."""
    drop_path: float = Field(0.0, ge=0, lt=1)
    """Chance to skip a branch in the last layer; grows linearly with depth (0.3 published)."""
    recompute: bool = False
    """Compute activations again in the backward pass: less memory, a third more time."""

    @property
    def senses(self) -> frozenset[Sense]:
        """What the network takes in."""
        return frozenset(self.inputs)

    def build(self, spec: DataSpec) -> MBT:
        """Return the network for clips of the data's frames and sound."""
        return MBT(self, spec)


class MBT(StimulusNetwork):
    """Tokens of each sense; layers, fused from L_f on; one LayerNorm; pooling; one head for all.

    With class tokens each sense has logits of its own, and their mean is the answer. Otherwise
    the tokens of all senses are pooled together. A row that lacks a sense is what it would be
    with the other sense alone. Nagrani et al. 2021, "Attention bottlenecks for multimodal
    fusion".

    Attributes
    ----------
    width
        Length of the features: one vector of `config.width` a sense, side by side.
    senses
        What is taken in, in this order.
    """

    def __init__(self, config: MBTConfig, spec: DataSpec) -> None:
        super().__init__()
        self.senses: tuple[str, ...] = tuple(dict.fromkeys(config.inputs))
        self.pooling = config.pooling
        self.width = config.width * len(self.senses)
        self.tokens = nn.ModuleDict({sense: _TOKENS[sense](config, spec) for sense in self.senses})
        block = BlockOptions(
            width=config.width,
            heads=config.heads,
            hidden=max(1, round(config.mlp_ratio * config.width)),
            gelu="tanh",
            dropout=config.dropout,
            drop_path=config.drop_path,
        )
        how = FusionOptions(
            senses=self.senses,
            fusion=config.fusion,
            layer=config.fusion_layer,
            bottlenecks=config.bottlenecks,
            shared=config.shared,
        )
        self.transformer = FusionTransformer(block, config.depth, how, recompute=config.recompute)
        self.norm = nn.LayerNorm(config.width, eps=block.norm_eps)
        self.head = _head(config, spec)

    def features(self, clip: Clip) -> Tensor:
        """Return (B, senses D): the pooled vector of each sense; 0 where a row lacks it."""
        pooled, _ = self._pooled(clip)
        return torch.cat(list(pooled.values()), dim=1)

    def logits_of(self, clip: Clip) -> dict[str, Tensor]:
        """Return the (B, K) logits of each sense, 0 in rows without it.

        Where tokens are not pooled by a class token there is one answer for all senses, `""`.
        """
        pooled, there = self._pooled(clip)
        if self.pooling != "class":
            return {"": self.head(self._pooled_over_senses(pooled, there))}
        logits = {sense: self.head(vectors) for sense, vectors in pooled.items()}
        if there is None:
            return logits
        return {s: values.where(there[s].unsqueeze(1), 0.0) for s, values in logits.items()}

    def forward(self, clip: Clip) -> Tensor:
        """Return (B, K) logits, the mean over the senses that a row has.

        Without classes in the data, the (B, senses D) features.
        """
        if isinstance(self.head, nn.Identity):
            return self.features(clip)
        logits = torch.stack(list(self.logits_of(clip).values()))
        there = senses_there(clip, self.senses)
        if self.pooling != "class" or there is None:
            return logits.mean(dim=0)
        return logits.sum(dim=0) / torch.stack(list(there.values())).sum(dim=0).unsqueeze(1)

    def encode(self, clip: Clip, asked: int | None = None) -> dict[str, Tensor]:
        """Return the tokens of each sense after the last LayerNorm.

        Parameters
        ----------
        clip
            B clips; rows may lack a sense.
        asked
            How many of the first tokens are wanted, such as 1 for the class token; None for all.

        Returns
        -------
        dict
            Sense to (B, N_s or `asked`, D), class token first; 0 in rows without it. A sense that
            no row has is not there.
        """
        tokens, _ = self._by_senses(clip, lambda given: self._encode(given, asked))
        return tokens

    @torch.no_grad()
    def rollout(self, clip: Clip) -> dict[str, Tensor]:
        """Return how much each patch contributes to the answer, by attention roll-out.

        The answer is the mean of the class tokens, or of all tokens where there are none. What
        stems from class and bottleneck tokens themselves is left out.

        Returns
        -------
        dict
            Pictures to (B, F', H', W'), sound to (B, S', M'), in patches; 0 in rows without it.

        See Also
        --------
        brainreel.layers.rollout.rollout
        """
        found, _ = self._by_senses(clip, self._rollout)
        return found

    def _by_senses(
        self, clip: Clip, run: Callable[[Tokens], Tokens]
    ) -> tuple[Tokens, dict[str, Tensor] | None]:
        """Run rows with the same senses together; also say which rows have which, None for all."""
        there = senses_there(clip, self.senses)
        given = {
            sense: self.tokens[sense].check(clip.frames if sense == "pictures" else clip.sound)  # type: ignore[operator]
            for sense in self.senses
        }
        if there is None:
            return run(given), None
        parts = [
            (rows, run({sense: given[sense][rows] for sense in senses}))
            for senses, rows in rows_alike(there, keep_whole=self.training)
        ]
        return put_back(parts, len(clip)), there

    def _encode(self, given: Tokens, asked: int | None) -> Tokens:
        tokens = {sense: self.tokens[sense](values) for sense, values in given.items()}
        return {s: self.norm(x) for s, x in self.transformer(tokens, asked).items()}

    def _pooled(self, clip: Clip) -> tuple[Tokens, dict[str, Tensor] | None]:
        """Return sense -> (B, D), 0 in rows without it; and which rows have which."""
        asked = 1 if self.pooling == "class" else None
        tokens, there = self._by_senses(clip, lambda given: self._encode(given, asked))
        found = {sense: _POOLINGS[self.pooling](x) for sense, x in tokens.items()}
        some = next(iter(found.values()))
        return {s: found.get(s, torch.zeros_like(some)) for s in self.senses}, there

    def _pooled_over_senses(self, pooled: Tokens, there: dict[str, Tensor] | None) -> Tensor:
        """Pool the tokens of all senses that a row has, from those of each."""
        vectors = torch.stack(list(pooled.values()))
        if self.pooling == "sum":
            return vectors.sum(dim=0)
        has = torch.ones_like(vectors[..., :1], dtype=torch.bool)
        if there is not None:
            has = torch.stack(list(there.values())).unsqueeze(-1)
        if self.pooling == "max":
            return vectors.masked_fill(~has, -torch.inf).amax(dim=0)
        counts = [self.tokens[sense].n_tokens for sense in pooled]
        weights = has * vectors.new_tensor(counts).reshape(-1, 1, 1)
        return (vectors * weights).sum(dim=0) / weights.sum(dim=0)

    def _rollout(self, given: Tokens) -> Tokens:
        tokens: Tokens = {sense: self.tokens[sense](values) for sense, values in given.items()}
        place = places(tokens)
        with attention_maps(self.transformer) as maps:
            self.transformer(tokens)
        first = next(iter(tokens.values()))
        start = first.new_zeros((len(first), self.transformer.n_nodes(tokens)))
        for at in place.values():
            start[:, at.start if self.pooling == "class" else at] = 1
        start = start / start.sum(dim=1, keepdim=True)
        rolled = rollout(self.transformer.looks(list(maps.values()), tokens), start)
        skip = int(self.pooling == "class")
        return {
            sense: rolled[:, at.start + skip : at.stop].reshape(-1, *self.tokens[sense].counts)  # type: ignore[misc]
            for sense, at in place.items()
        }


def _picture_tokens(config: MBTConfig, spec: DataSpec) -> SenseTokens:
    shape = need_frame_shape(spec, config.name)
    if spec.clip_frames < 1:
        raise DataError("the data does not say how many frames a clip has. 'mbt' needs clips.")
    return SenseTokens(
        config.pixel_scale(),
        (spec.clip_frames, *shape),
        (config.patch_frames, *sides(config.patch)),
        config.width,
        class_token=config.pooling == "class",
        frames=frames_looked_at(spec.clip_frames, config.sampled_frames),
    )


def _sound_tokens(config: MBTConfig, spec: DataSpec) -> SenseTokens:
    return SenseTokens(
        config.sound_scale(),
        need_sound_shape(spec, config.name),
        sides(config.sound_patch),
        config.width,
        class_token=config.pooling == "class",
    )


def _head(config: MBTConfig, spec: DataSpec) -> nn.Module:
    """Return the layers from a pooled vector to the logits; `nn.Identity` without classes."""
    if not spec.n_classes or not config.representation:
        return linear_head(config.width, spec)
    hidden = nn.Linear(config.width, config.representation)
    return nn.Sequential(hidden, nn.Tanh(), linear_head(config.representation, spec))


def _first(tokens: Tensor) -> Tensor:
    return tokens[:, 0]


def _mean(tokens: Tensor) -> Tensor:
    return tokens.mean(dim=1)


def _max(tokens: Tensor) -> Tensor:
    return tokens.amax(dim=1)


def _sum(tokens: Tensor) -> Tensor:
    return tokens.sum(dim=1)


_TOKENS = {"pictures": _picture_tokens, "sound": _sound_tokens}
_POOLINGS = {"class": _first, "mean": _mean, "max": _max, "sum": _sum}
