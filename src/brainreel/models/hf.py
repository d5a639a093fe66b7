"""Backbone `hf`: any Hugging Face network on pictures, videos or spectrograms."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from brainreel.errors import ConfigError, DataError
from brainreel.layers.clip import Clip, Standardise
from brainreel.models.hf_files import load_hf, own_scale
from brainreel.models.stimulus import (
    FrameNetwork,
    Scale,
    SoundOptions,
    StimulusConfig,
    StimulusNetwork,
    linear_head,
    need_frame_shape,
    need_sound_shape,
)
from brainreel.shapes import DataSpec, Sense, check_shape

Pooling = Literal["mean", "class", "pooler"]
# What a network calls its input -> what it must be given.
_INPUTS = {
    "pictures": ("pixel_values",),
    "video": ("pixel_values", "pixel_values_videos"),
    "sound": ("input_values",),
}


class HFConfig(StimulusConfig, SoundOptions):
    """Any Hugging Face network on pictures, videos or spectrograms; needs 'brainreel[hf]'.

    Networks on raw waveforms (wav2vec 2, HuBERT) and on spectrograms of their own kind (Whisper)
    cannot be used: a clip holds a log-mel spectrogram, as AST takes it.
    """

    name: Literal["hf"] = "hf"
    path: str = Field(min_length=1)
    """Name on the Hugging Face hub, or a local folder that save_pretrained made. Weights must be
    safetensors; code from the hub is never run."""
    takes: Literal["pictures", "video", "sound"] = "pictures"
    """What the network was made for: single pictures (ViT, DINOv2, CLIP), clips of frames
    (VideoMAE, ViViT), or spectrograms (AST)."""
    layer: int | None = None
    """Hidden layer to read, 0 for the embedding, -1 for the last; none: what the network gives as
    its last hidden state, after its final norm."""
    pooling: Pooling = "mean"
    """Tokens to one vector: their mean, the first (class) token, or the network's own pooler."""
    pixel_mean: Scale | None = None
    """Subtracted from pixels in [0, 1]; none: as the network's preprocessor_config.json says, or
    0.5 without one."""
    pixel_std: Scale | None = None
    """Pixels are divided by it; none: as for pixel_mean."""

    @property
    def senses(self) -> frozenset[Sense]:
        """What the network takes in."""
        return frozenset({"sound" if self.takes == "sound" else "pictures"})

    @property
    def single_pictures(self) -> bool:
        """Whether it looks at each frame by itself."""
        return self.takes == "pictures"

    def build(self, spec: DataSpec) -> StimulusNetwork:
        """Return the network with its published weights."""
        model = _load(self)
        if self.takes == "sound":
            return HFSound(self, model, spec)
        need_frame_shape(spec, self.name)
        return (HFPictures if self.takes == "pictures" else HFVideo)(self, model, spec)


class HFPictures(FrameNetwork):
    """One vector for a picture.

    Attributes
    ----------
    width
        Length D of the vector that comes out.
    """

    def __init__(self, config: HFConfig, model: nn.Module, spec: DataSpec) -> None:
        super().__init__()
        self.frame_shape = tuple(spec.frame_shape)
        self.scale = _pixel_scale(config)
        self.read = _Reader(config, model)
        self.width = _tried(config, self.read, torch.zeros(1, *spec.frame_shape))
        self.head = linear_head(self.width, spec)

    def embed(self, frames: Tensor) -> Tensor:
        """(B, C, H, W) pictures to (B, D) vectors."""
        c, h, w = self.frame_shape
        check_shape(frames, "B C H W", name="frames", C=c, H=h, W=w)
        vectors: Tensor = self.read(self.scale(frames))
        return vectors


class HFVideo(StimulusNetwork):
    """One vector for a clip of frames.

    Attributes
    ----------
    width
        Length D of the vector that comes out.
    clip_shape
        (F, C, H, W) of a clip; these networks take one number of frames.
    """

    def __init__(self, config: HFConfig, model: nn.Module, spec: DataSpec) -> None:
        super().__init__()
        if spec.clip_frames < 1:
            raise DataError("the data does not tell the frames of a clip. 'hf' needs clips.")
        self.clip_shape = (spec.clip_frames, *spec.frame_shape)
        self.scale = _pixel_scale(config)
        self.read = _Reader(config, model)
        self.width = _tried(config, self.read, torch.zeros(1, *self.clip_shape))
        self.head = linear_head(self.width, spec)

    def features(self, clip: Clip) -> Tensor:
        """Return the (B, D) vectors of B clips."""
        frames = clip.need_frames(self.clip_shape[1:], who="hf")
        check_shape(frames, "B F C H W", name="frames", F=self.clip_shape[0])
        vectors: Tensor = self.read(self.scale(frames))
        return vectors


class HFSound(StimulusNetwork):
    """One vector for a spectrogram, which is filled up with zeros as AST's own extractor does.

    Attributes
    ----------
    width
        Length D of the vector that comes out.
    sound_shape
        (1, S, M) of a spectrogram.
    steps
        Steps of time that the network takes.
    """

    def __init__(self, config: HFConfig, model: nn.Module, spec: DataSpec) -> None:
        super().__init__()
        channels, steps, bands = need_sound_shape(spec, config.name)
        self.sound_shape = (channels, steps, bands)
        told = getattr(model, "config", None)
        self.steps, own_bands = (int(getattr(told, k)) for k in ("max_length", "num_mel_bins"))
        if (channels, bands) != (1, own_bands) or steps > self.steps:
            raise DataError(
                f"{config.path}: takes spectrograms of at most {self.steps} steps and {own_bands} "
                f"mel bands in one channel; the clips have {steps}, {bands} and {channels}. Set "
                "mel_bands and clip_trs (or the clip's span) to fit."
            )
        self.scale = config.sound_scale()
        self.read = _Reader(config, model)
        self.width = _tried(config, self.read, torch.zeros(1, self.steps, bands))
        self.head = linear_head(self.width, spec)

    def features(self, clip: Clip) -> Tensor:
        """Return the (B, D) vectors of the sound of B clips."""
        sound = clip.need_sound(self.sound_shape, who="hf")[:, 0]
        padded = functional.pad(sound, (0, 0, 0, self.steps - sound.shape[1]))
        vectors: Tensor = self.read(self.scale(padded))
        return vectors


class _Reader(nn.Module):
    """The network, one of its layers, and the tokens of that layer to one vector."""

    def __init__(self, config: HFConfig, model: nn.Module) -> None:
        super().__init__()
        self.network = model
        self.input = str(getattr(model, "main_input_name", ""))
        self.layer, self.pooling = config.layer, config.pooling

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) input on the network's scale to (B, D)."""
        out = self.network(**{self.input: x}, output_hidden_states=self.layer is not None)
        if self.pooling == "pooler":
            pooled: Tensor | None = getattr(out, "pooler_output", None)
            if pooled is None:
                raise ConfigError("pooling=pooler: the network has none. Set pooling to mean.")
            return pooled.flatten(1)
        tokens: Tensor = (
            out.last_hidden_state if self.layer is None else out.hidden_states[self.layer]
        )
        if tokens.ndim == 4:  # a map (B, D, H, W) of a convolutional network
            tokens = tokens.flatten(2).transpose(1, 2)
        return tokens[:, 0] if self.pooling == "class" else tokens.mean(dim=1)


def _load(config: HFConfig) -> nn.Module:
    """Return the network for what the options say it takes."""
    model = load_hf(config.path, pooler=config.pooling == "pooler")
    inner = getattr(model, "vision_model", None)
    if config.takes == "pictures" and isinstance(inner, nn.Module):
        model = inner  # of a network on pictures and text, such as CLIP
    name = str(getattr(model, "main_input_name", ""))
    fits = name in _INPUTS[config.takes]
    if config.takes == "sound":
        fits = fits and hasattr(getattr(model, "config", None), "num_mel_bins")
    if not fits:
        raise ConfigError(
            f"{config.path}: a {type(model).__name__} takes '{name}', which is not a log-mel "
            f"spectrogram, picture or video as takes={config.takes} wants it. Set 'takes' to what "
            "it was made for; networks on waveforms cannot be used."
        )
    return model


def _tried(config: HFConfig, read: nn.Module, example: Tensor) -> int:
    """Return the width of what comes out for an example; a refusal becomes one sentence."""
    try:
        with torch.no_grad():
            return int(read.eval()(example).shape[-1])
    except (IndexError, RuntimeError, TypeError, ValueError) as problem:
        shape = " x ".join(map(str, example.shape[1:]))
        told = " ".join(str(problem).split())[:200]
        raise DataError(
            f"{config.path}: refuses an input of {shape} ({told}). Bring the data to the size "
            "that the network was trained on, and check takes, layer and pooling."
        ) from problem
    finally:
        read.train()


def _pixel_scale(config: HFConfig) -> Standardise:
    mean, std = own_scale(config.path)
    return Standardise(
        mean if config.pixel_mean is None else config.pixel_mean,
        std if config.pixel_std is None else config.pixel_std,
    )
