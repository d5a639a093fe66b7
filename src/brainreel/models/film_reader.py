"""The film side of a brain model: any backbone, a vector for each TR, and the TRs before it."""

from __future__ import annotations

import math
from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from brainreel.errors import DataError
from brainreel.layers.film_windows import FilmWindows
from brainreel.models.backbones import Backbone
from brainreel.models.base import ModelConfig
from brainreel.models.sound_backbones import SoundBackbone
from brainreel.models.tr_features import (
    Summary,
    clip_spec,
    tr_features,
    tr_spaces,
    tr_width,
    trs_per_clip,
)
from brainreel.models.vit import ViTConfig
from brainreel.shapes import DataSpec, Sense


class FilmReaderOptions(ModelConfig):
    """How a brain model takes in a film."""

    backbone: Backbone = ViTConfig()
    """What turns film into vectors: single frames, or clips of pictures, of sound, or of both."""
    listener: SoundBackbone | None = None
    """A second network, on the sound of the same clips, for a backbone that only sees; none: what
    the backbone does not hear is not heard."""
    frozen: bool = False
    """Keep the backbone as it is: no gradient, no dropout, not in the optimiser."""
    clip_trs: int | None = Field(None, ge=1)
    """TRs of film in the clip that a TR's vector is made from, the last one its own; none: 2, which
    shows what moves over TRs and blurs little, or 1 for networks on single pictures."""
    summaries: tuple[Summary, ...] = Field(("mean", "std"), min_length=1)
    """How the frames of one TR become one vector, for networks on single pictures; the std over
    frames shows motion and cuts."""
    features: int | None = Field(16, ge=1)
    """Features per TR, shared by all people, that the backbone's are projected to; few, because
    scans are short. none: the backbone's own, as they are."""
    hrf_window_s: float = Field(12.0, ge=0)
    """How far back in the film a TR looks, in seconds; BOLD peaks after 5 and fades by 12."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Chance to drop a delayed feature before the readout; minutes of scan overfit without."""

    @model_validator(mode="after")
    def _pictures_have_no_clips(self) -> Self:
        trs_per_clip(self.backbone, self.clip_trs)
        return self

    @property
    def senses(self) -> frozenset[Sense]:
        """What of a film the model takes in."""
        return self.backbone.senses | (self.listener.senses if self.listener else frozenset())

    def trs_per_clip(self) -> int:
        """TRs in the clip that a TR's vector is made from."""
        return trs_per_clip(self.backbone, self.clip_trs)

    def delay_trs(self, tr_s: float) -> int:
        """TRs before a predicted one whose vectors it is read out from."""
        # A hair below the quotient keeps 12 s / 1.5 s at 8 when the division rounds up.
        return math.ceil(self.hrf_window_s / tr_s - 1e-9)

    def context_trs(self, tr_s: float) -> int:
        """TRs of film before a predicted one that it depends on."""
        return self.delay_trs(tr_s) + self.trs_per_clip() - 1


class FilmReader(nn.Module):
    """x(t) = [z(t), z(t-1), ..., z(t-delays)], z(t) = P g(film up to and in TR t).

    g is the backbone TR by TR (`tr_features`) with the listener beside it, P one linear map for
    all people. No norm comes after g: it would take out how bright the picture is. Whatever
    weighs the delays is a finite impulse response (Dale 1999). TRs at which nothing was shown
    give z = 0.

    Attributes
    ----------
    width
        Features D of a TR.
    context_trs
        TRs at the head of a window that are looked at, not predicted.
    """

    def __init__(self, config: FilmReaderOptions, spec: DataSpec) -> None:
        super().__init__()
        self.delay_trs = config.delay_trs(spec.tr_s)
        self.context_trs = config.context_trs(spec.tr_s)
        self.clip_trs, self.summaries = config.trs_per_clip(), config.summaries
        self.frozen = config.frozen
        facts = clip_spec(spec, self.clip_trs)
        self.backbone = config.backbone.build(facts)
        if config.frozen:  # else what the backbone itself keeps frozen stays so
            self.backbone.requires_grad_(False)
        self.listener = config.listener.build(facts) if config.listener else None
        width = tr_width(self.backbone, config.summaries)
        width += self.listener.width if self.listener else 0
        self.width = config.features or width
        self.project = nn.Linear(width, self.width) if config.features else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)

    def train(self, mode: bool = True) -> Self:
        """Switch dropout on or off; a frozen backbone has none."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def tr_features(self, windows: FilmWindows) -> Tensor:
        """Return the (U, T - clip_trs + 1, D) features of the TRs that have a whole clip."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            vectors = tr_features(self.backbone, windows, self.clip_trs, self.summaries)
        if self.listener is not None:
            heard = tr_features(self.listener, windows, self.clip_trs, self.summaries)
            vectors = torch.cat([vectors, heard], dim=-1)
        projected: Tensor = self.project(vectors)
        if windows.shown is None:
            return projected
        return projected * windows.shown[:, self.clip_trs - 1 :].unsqueeze(-1)

    def spaces(self) -> dict[str, int]:
        """Return the feature spaces of a TR, in order; a projection makes one of all."""
        if isinstance(self.project, nn.Linear):
            return {"features": self.width}
        named = tr_spaces(self.backbone, self.summaries)
        if self.listener is not None:
            heard = tr_spaces(self.listener, self.summaries)
            named |= {f"sound-{name}": size for name, size in heard.items()}
        return named

    def delay(self, features: Tensor) -> Tensor:
        """(U, T, D) to (U, T - delays, D (delays + 1)): each TR with those before it.

        The delays of each feature stand together, the earliest TR first.
        """
        if features.shape[1] <= self.delay_trs:
            raise DataError(
                f"a window of {features.shape[1]} TRs has none left after {self.delay_trs} TRs "
                "of context. Use longer windows, or a shorter hrf_window_s."
            )
        return features.unfold(1, self.delay_trs + 1, 1).flatten(2)
