"""The features of any network on film or sound as a feature space, kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from brainreel.data.strips import FilmStrip, WindowsConfig, open_strip, window_facts
from brainreel.errors import DataError
from brainreel.files import digest_file, digest_json, write_aside
from brainreel.layers.film_windows import FilmWindows
from brainreel.models.stimulus import StimulusConfig, StimulusNetwork
from brainreel.models.tr_features import Summary, clip_spec, tr_features
from brainreel.shapes import DataSpec
from brainreel.timebase import TrGrid

Float32 = NDArray[np.float32]

# TRs whose clips are computed at once: bounds the memory of large networks.
_TRS_AT_ONCE = 16
# Part of every cache file's digest: raise it whenever the values change.
_VERSION = 1


@dataclass(frozen=True, eq=False)
class NetworkSpace:
    """A network as a feature space; call it with a film and a grid for its (T, D) columns.

    y[t] = g(the film of the last `clip_trs` TRs up to and including t), see `tr_features`. What
    lies outside the film is black and silent.

    Attributes
    ----------
    config
        The network's options.
    network
        The network, with its weights and without a head.
    windows
        How films are cut into TRs.
    clip_trs
        TRs in a clip.
    summaries
        How frames become one vector, for networks on single pictures.
    cache
        Folder of the values, and of decoded frames and sound.
    device
        Where the network computes.
    """

    config: StimulusConfig
    network: StimulusNetwork
    windows: WindowsConfig
    clip_trs: int
    summaries: Sequence[Summary]
    cache: Path
    device: torch.device

    def digest(self) -> str:
        """Return the SHA-256 of all that decides the values but film and clock."""
        kept = ("n_workers", "window_trs", "batch_windows")
        windows = {k: v for k, v in self.windows.to_dict().items() if k not in kept}
        told = [self.config.to_dict(), digest_weights(self.network), windows]
        return digest_json([*told, self.clip_trs, list(self.summaries), _VERSION])

    def __call__(self, film: Path, grid: TrGrid) -> Float32:
        """Return the (T, D) float32 columns of a film, from the cache where it has them."""
        clock = [str(grid.tr_s), grid.n_trs, str(grid.first_s)]
        made_from = digest_json([digest_file(film), self.digest(), clock])
        path = Path(self.cache) / f"{film.stem}_{self.config.name}-{made_from[:16]}.npy"
        if not path.is_file():
            values = self._computed(film, grid)
            with write_aside(path) as aside:
                np.save(aside, values)
        found: Float32 = np.load(path, allow_pickle=False)
        return found

    @torch.no_grad()
    def _computed(self, film: Path, grid: TrGrid) -> Float32:
        lead = self.clip_trs - 1
        longer = TrGrid(grid.tr_s, grid.n_trs + lead, grid.onset_s(-lead))
        strip = open_strip(film, longer, self.windows, self.cache, self.config.senses)
        parts = []
        for first in range(0, grid.n_trs, _TRS_AT_ONCE):
            stop = min(first + _TRS_AT_ONCE, grid.n_trs) + lead
            seen = _windows(strip, slice(first, stop), self.device)
            found = tr_features(self.network, seen, self.clip_trs, self.summaries)
            parts.append(found[0].float().cpu().numpy())
        values = np.concatenate(parts)
        if not np.isfinite(values).all():
            raise DataError(
                f"{film}: the features of '{self.config.name}' hold NaN or infinite values. "
                "Check its weights, and the scale of its pictures and sound."
            )
        return values


def network_space(
    config: StimulusConfig,
    network: StimulusNetwork,
    windows: WindowsConfig,
    clip_trs: int,
    summaries: Sequence[Summary],
    *,
    cache: Path,
    device: torch.device,
) -> NetworkSpace:
    """Return a network as a feature space, in eval mode on its device."""
    ready = network.eval().to(device)
    return NetworkSpace(config, ready, windows, clip_trs, summaries, cache, device)


def facts_for(
    config: StimulusConfig, windows: WindowsConfig, tr_s: float, clip_trs: int
) -> DataSpec:
    """Return the facts that size a network on clips of so many TRs."""
    return clip_spec(DataSpec(tr_s=tr_s, **window_facts(windows, tr_s, config.senses)), clip_trs)


def digest_weights(network: nn.Module) -> str:
    """Return the SHA-256 of a network's names and tensors."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        array = value.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}".encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _windows(strip: FilmStrip, trs: slice, device: torch.device) -> FilmWindows:
    held = strip.part(trs)
    return FilmWindows(**{k: torch.from_numpy(v)[None].to(device) for k, v in held.items()})
