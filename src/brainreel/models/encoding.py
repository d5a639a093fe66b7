"""Encoding model: any frame backbone, pooled into TRs, delayed, and read out for each person."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from brainreel.errors import DataError
from brainreel.models.backbones import Backbone
from brainreel.models.base import ModelConfig
from brainreel.models.vit import ViTConfig
from brainreel.shapes import DataSpec, check_shape

Summary = Literal["mean", "std"]


class EncodingConfig(ModelConfig):
    """Film frames -> backbone -> TR features -> delays -> the voxels of each person."""

    name: Literal["encoding"] = "encoding"
    backbone: Backbone = ViTConfig()
    """What turns a film frame into a vector."""
    summaries: tuple[Summary, ...] = Field(("mean", "std"), min_length=1)
    """How the frames of one TR become one vector; the std over frames shows motion and cuts."""
    features: int = Field(16, ge=1)
    """Features per TR, shared by all people; few, because scans are short."""
    hrf_window_s: float = Field(12.0, ge=0)
    """How far back in the film a TR looks, in seconds; BOLD peaks after 5 and fades by 12."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Chance to drop a delayed feature before the readout; minutes of scan overfit without."""

    def context_trs(self, tr_s: float) -> int:
        """TRs of film before a predicted one that it depends on."""
        # A hair below the quotient keeps 12 s / 1.5 s at 8 when the division rounds up.
        return math.ceil(self.hrf_window_s / tr_s - 1e-9)

    def build(self, spec: DataSpec) -> EncodingModel:
        """Return the network with fresh weights."""
        if not spec.subjects or spec.tr_s <= 0:
            raise DataError("the data has no people or no TR. An 'encoding' model needs both.")
        return EncodingModel(self, spec)


class EncodingModel(nn.Module):
    """y_p(t) = W_p [z(t), z(t-1), ..., z(t-context)] + b_p, z(t) = P [mean_f, std_f] g(frame_tf).

    g is the backbone, P one linear map for all people, W_p the readout of person p. No norm comes
    after g: it would take out how bright the picture is. The delays that W_p weighs are a finite
    impulse response (Dale 1999): each voxel has its own haemodynamics. TRs at which nothing was
    shown give z = 0.

    Attributes
    ----------
    context_trs
        TRs at the head of a window that are looked at, not predicted.
    n_voxels
        Voxels of each person.
    """

    def __init__(self, config: EncodingConfig, spec: DataSpec) -> None:
        super().__init__()
        self.subjects = spec.subjects
        self.n_voxels = spec.n_voxels
        self.frame_shape = tuple(spec.frame_shape)
        self.context_trs = config.context_trs(spec.tr_s)
        self.summaries = config.summaries
        self.backbone = config.backbone.build(replace(spec, classes={}))
        pooled = len(config.summaries) * int(self.backbone.width)
        self.project = nn.Linear(pooled, config.features)
        self.dropout = nn.Dropout(config.dropout)
        delayed = config.features * (self.context_trs + 1)
        self.readouts = nn.ModuleDict(
            {_key(who): nn.Linear(delayed, n) for who, n in spec.voxels_of.items()}
        )

    def forward(
        self, frames: Tensor, film: Tensor, subject: Tensor, shown: Tensor | None = None
    ) -> Tensor:
        """Predict BOLD; a film window that several people saw is encoded once.

        Parameters
        ----------
        frames
            (U, T, F, C, H, W) uint8, or float in [0, 1]: U different film windows.
        film
            (B,) which film window each row saw.
        subject
            (B,) which person each row is, as a position in `subjects`.
        shown
            (U, T) False at TRs before the run began; None if all were shown.

        Returns
        -------
        Tensor
            (B, T - context_trs, V) with V the most voxels of a person; 0 beyond a person's own.
        """
        features = self.tr_features(frames)
        if shown is not None:
            check_shape(shown, "U T", name="shown", U=frames.shape[0], T=frames.shape[1])
            features = features * shown.unsqueeze(-1)
        return self.read_out(self.delay(features), film, subject)

    def tr_features(self, frames: Tensor) -> Tensor:
        """(U, T, F, C, H, W) frames to (U, T, D) features of each TR."""
        c, h, w = self.frame_shape
        check_shape(frames, "U T F C H W", name="frames", C=c, H=h, W=w)
        vectors = self.backbone.embed(frames.flatten(0, 2)).reshape(*frames.shape[:3], -1)
        pooled = torch.cat([_SUMMARIES[name](vectors) for name in self.summaries], dim=-1)
        projected: Tensor = self.project(pooled)
        return projected

    def delay(self, features: Tensor) -> Tensor:
        """(U, T, D) to (U, T - context, D (context + 1)): each TR with those before it."""
        if features.shape[1] <= self.context_trs:
            raise DataError(
                f"a window of {features.shape[1]} TRs has none left after {self.context_trs} TRs "
                "of context. Use longer windows, or a shorter hrf_window_s."
            )
        return features.unfold(1, self.context_trs + 1, 1).flatten(2)

    def read_out(self, delayed: Tensor, film: Tensor, subject: Tensor) -> Tensor:
        """(U, S, D') to (B, S, V) by the readout of each row's person."""
        n_rows = check_shape(film, "B", name="film")["B"]
        check_shape(subject, "B", name="subject", B=n_rows)
        delayed = self.dropout(delayed[film])
        most = max(self.n_voxels)
        rows: list[Tensor] = []
        values: list[Tensor] = []
        # People without a row take part with none, so that every rank has every gradient.
        for number, readout in enumerate(self.readouts.values()):
            mine = (subject == number).nonzero().squeeze(1)
            predicted = readout(delayed[mine])
            rows.append(mine)
            values.append(functional.pad(predicted, (0, most - predicted.shape[-1])))
        order = torch.cat(rows)
        if len(order) != n_rows:
            raise DataError(f"subject holds a number outside 0 to {len(self.subjects) - 1}.")
        return torch.cat(values)[order.argsort()]


def _key(subject: str) -> str:
    """A module name may hold no dot."""
    return subject.replace(".", "_")


def _std(vectors: Tensor) -> Tensor:
    """(U, T, F, D) to (U, T, D); the floor keeps the gradient finite where nothing moves."""
    return (vectors.var(dim=2, unbiased=False) + 1e-5).sqrt()


def _mean(vectors: Tensor) -> Tensor:
    return vectors.mean(dim=2)


_SUMMARIES = {"mean": _mean, "std": _std}
