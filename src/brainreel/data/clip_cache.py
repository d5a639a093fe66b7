"""Films and sounds of a small set, decoded once and kept on disk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainreel.data.clip_reading import spectrogram
from brainreel.data.clip_times import Span
from brainreel.data.clips import ClipsConfig
from brainreel.data.labelled_samples import Item
from brainreel.files import digest_json, fingerprint, write_aside
from brainreel.stimulus.audio import read_sound
from brainreel.stimulus.film import FilmInfo, probe_film
from brainreel.stimulus.frames import store_frames
from brainreel.timebase import samples_between

Float32 = NDArray[np.float32]
UInt8 = NDArray[np.uint8]
Size = tuple[int, int]

_MEL_BYTES = 256 << 20


class CachedMedia:
    """Reads films from arrays of all their frames and all their samples, made on first use.

    Clips are those of the decoder, except that frames of films with an uneven rate are found by
    the mean rate.

    Parameters
    ----------
    folder
        Where the arrays lie; one decoded film takes 3 H W bytes a frame.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._infos: dict[Path, FilmInfo] = {}
        # Paths, not maps: each open map would hold a file handle.
        self._frames: dict[tuple[Path, Size], Path] = {}
        self._sounds: dict[tuple[Path, int], Path] = {}
        self._mels: dict[tuple[Path, Span], Float32] = {}
        self._room = _MEL_BYTES

    def info(self, item: Item) -> FilmInfo:
        """Return what a film or sound file holds, asked once."""
        if item.path not in self._infos:
            self._infos[item.path] = probe_film(item.path)
        return self._infos[item.path]

    def frames(self, item: Item, info: FilmInfo, times: Sequence[Fraction], size: Size) -> UInt8:
        """Return the (F, 3, H, W) frames at film times."""
        key = item.path, size
        if key not in self._frames:
            self._frames[key] = store_frames(item.path, self.folder, size=size).path
        stored = np.load(self._frames[key], mmap_mode="r", allow_pickle=False)
        found = [math.floor(time * info.frame_rate_hz) for time in times]
        return np.asarray(stored[np.clip(found, 0, len(stored) - 1)])

    def mel(self, item: Item, info: FilmInfo, span: Span, clips: ClipsConfig) -> Float32:
        """Return the (S, M) spectrogram of a clip; the first ones stay in memory.

        Spans that return each epoch (of whole items) are then made once.
        """
        known = self._mels.get((item.path, span))
        if known is None:
            known = spectrogram(self._samples(item.path, info, span, clips.sample_rate_hz), clips)
            self._room -= known.nbytes
            if self._room >= 0:
                self._mels[item.path, span] = known
        return known

    def _samples(self, path: Path, info: FilmInfo, span: Span, rate: int) -> Float32:
        """Return the samples of a span; fewer where the sound ends before it."""
        key = path, rate
        if key not in self._sounds:
            self._sounds[key] = self._store_sound(path, info, rate)
        stored = np.load(self._sounds[key], mmap_mode="r", allow_pickle=False)
        wanted = samples_between(*span, rate)
        return np.asarray(stored[wanted.start : wanted.stop])

    def _store_sound(self, path: Path, info: FilmInfo, rate: int) -> Path:
        """Write the whole sound of a file, unless it is there."""
        digest = digest_json([fingerprint(path), rate])[:8]
        stored = self.folder / f"{path.stem}_sound-{digest}.npy"
        if not stored.is_file():
            sound = read_sound(path, rate, info=info)
            with write_aside(stored) as aside:
                np.save(aside, sound)
        return stored
