"""Any network on film or sound, TR by TR: one vector for what was shown up to and in each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from brainreel.errors import ConfigError, DataError
from brainreel.layers.film_windows import FilmWindows, joined_clips
from brainreel.models.stimulus import FrameNetwork, StimulusConfig, StimulusNetwork
from brainreel.shapes import DataSpec, check_shape

Summary = Literal["mean", "std"]


@runtime_checkable
class EmbedsFrames(Protocol):
    """A network that looks at each frame alone before it looks at their order."""

    frame_shape: tuple[int, ...]

    def embed_frames(self, frames: Tensor) -> Tensor:
        """(B, C, H, W) frames to (B, D) vectors."""

    def attend(
        self, vectors: Tensor, frame_numbers: Tensor | None = None, valid: Tensor | None = None
    ) -> Tensor:
        """(B, F, D) vectors, (B, F) numbers in the film, and which are there, to (B, D)."""


def trs_per_clip(backbone: StimulusConfig, asked: int | None = None) -> int:
    """Return the TRs of a clip: those asked for, or else 2, and 1 for single pictures.

    Raises
    ------
    ConfigError
        If several are asked for and the network looks at single pictures.
    """
    single = backbone.single_pictures
    if single and (asked or 1) > 1:
        raise ConfigError(
            f"clip_trs={asked} is for networks on clips, and '{backbone.name}' looks at single "
            "pictures. Leave clip_trs out, or choose another backbone."
        )
    return asked or (1 if single else 2)


def clip_spec(spec: DataSpec, clip_trs: int) -> DataSpec:
    """Return the facts of one clip of `clip_trs` TRs, for a network without classes."""
    sound = spec.sound_shape
    if sound:
        channels, steps, bands = sound
        sound = (channels, steps * clip_trs, bands)
    frames = spec.frames_per_tr * clip_trs
    return replace(spec, classes={}, clip_frames=frames, sound_shape=sound)


def tr_width(network: StimulusNetwork, summaries: Sequence[Summary]) -> int:
    """Return the columns D of `tr_features`."""
    return network.width * (len(summaries) if isinstance(network, FrameNetwork) else 1)


def tr_spaces(network: StimulusNetwork, summaries: Sequence[Summary]) -> dict[str, int]:
    """Return the feature spaces that the columns of `tr_features` fall into, in order."""
    if not isinstance(network, FrameNetwork):
        return dict(network.spaces)
    return {
        f"{name}-{summary}": size for summary in summaries for name, size in network.spaces.items()
    }


def tr_features(
    network: StimulusNetwork, windows: FilmWindows, clip_trs: int, summaries: Sequence[Summary]
) -> Tensor:
    """Return what a network makes of each TR.

    A network on single pictures gives y[t] = [mean_f, std_f] g(frame_tf) over the frames of TR t;
    any other gives y[t] = g(the film of the last `clip_trs` TRs up to and including t). What a
    TR gets depends on nothing outside its clip, so that it does not matter where windows are cut.

    Parameters
    ----------
    network
        The network, without a head.
    windows
        U windows of film, of T TRs each.
    clip_trs
        TRs in a clip, 1 for a network on single pictures.
    summaries
        How the frames of a TR become one vector; for networks on single pictures.

    Returns
    -------
    Tensor
        (U, T - clip_trs + 1, D), of the TRs that have a whole clip.
    """
    if isinstance(network, FrameNetwork):
        vectors = _frame_vectors(network.embed, network.frame_shape, windows)
        return torch.cat([_SUMMARIES[name](vectors) for name in summaries], dim=-1)
    if isinstance(network, EmbedsFrames):
        return _attended(network, windows, clip_trs)
    features = network.features(windows.clips(clip_trs))
    return features.reshape(windows.shape[0], -1, features.shape[-1])


def _frame_vectors(
    embed: Callable[[Tensor], Tensor], frame_shape: Sequence[int], windows: FilmWindows
) -> Tensor:
    """Embed every frame once: (U, T, F, D)."""
    if windows.frames is None:
        raise DataError("the windows have no frames. The backbone looks at pictures.")
    c, h, w = frame_shape
    check_shape(windows.frames, "U T F C H W", name="frames", C=c, H=h, W=w)
    vectors = embed(windows.frames.flatten(0, 2))
    return vectors.reshape(*windows.frames.shape[:3], -1)


def _attended(network: EmbedsFrames, windows: FilmWindows, clip_trs: int) -> Tensor:
    """Embed every frame once, and attend to the frames of each clip that were shown."""
    vectors = _frame_vectors(network.embed_frames, network.frame_shape, windows)
    n_windows, _, n_frames, _ = vectors.shape
    numbers, shown = windows.frame_numbers, windows.shown
    valid = None if shown is None else shown.unsqueeze(-1).expand(-1, -1, n_frames)
    attended = network.attend(
        joined_clips(vectors, clip_trs),
        None if numbers is None else joined_clips(numbers, clip_trs),
        None if valid is None else joined_clips(valid, clip_trs),
    )
    return attended.reshape(n_windows, -1, attended.shape[-1])


def _mean(vectors: Tensor) -> Tensor:
    """(U, T, F, D) to (U, T, D)."""
    return vectors.mean(dim=2)


def _std(vectors: Tensor) -> Tensor:
    """(U, T, F, D) to (U, T, D); the floor keeps the gradient finite where nothing moves."""
    return (vectors.var(dim=2, unbiased=False) + 1e-5).sqrt()


_SUMMARIES = {"mean": _mean, "std": _std}
