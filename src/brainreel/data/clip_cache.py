"""Films and sounds of a small set, decoded once and kept on disk, and in memory while it lasts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

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

# What a process keeps in memory; arrays beyond it are mapped from disk each time.
_MEMORY_BYTES = 256 << 20


class CachedMedia:
    """Reads films from arrays of all their frames and all their samples, made on first use.

    Clips are those of the decoder, except that frames of films with an uneven rate are found by
    the mean rate. One cache serves one `ClipsConfig`.

    Parameters
    ----------
    folder
        Where the arrays lie; one decoded film takes 3 H W bytes a frame.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._infos: dict[Path, FilmInfo] = {}
        self._frames: dict[tuple[Path, Size], Path] = {}
        self._sounds: dict[tuple[Path, int], Path] = {}
        self._memory: dict[Path | tuple[Path, Span], NDArray[Any]] = {}
        self._room = _MEMORY_BYTES

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
        stored = self._stored(self._frames[key])
        found = [math.floor(time * info.frame_rate_hz) for time in times]
        return np.asarray(stored[np.clip(found, 0, len(stored) - 1)])

    def mel(self, item: Item, info: FilmInfo, span: Span, clips: ClipsConfig) -> Float32:
        """Return the (S, M) spectrogram of a clip whose sound is a span.

        A span that returns each epoch, such as a whole item, is transformed once.
        """
        known = self._memory.get((item.path, span))
        if known is None:
            samples = self._samples(item.path, info, span, clips.sample_rate_hz)
            known = self._kept((item.path, span), spectrogram(samples, clips))
        return known

    def _samples(self, path: Path, info: FilmInfo, span: Span, rate: int) -> Float32:
        """Return the samples of a span; fewer where the sound ends before it."""
        key = path, rate
        if key not in self._sounds:
            self._sounds[key] = self._store_sound(path, info, rate)
        wanted = samples_between(*span, rate)
        return np.asarray(self._stored(self._sounds[key])[wanted.start : wanted.stop])

    def _store_sound(self, path: Path, info: FilmInfo, rate: int) -> Path:
        """Write the whole sound of a file, unless it is there."""
        digest = digest_json([fingerprint(path), rate])[:8]
        stored = self.folder / f"{path.stem}_sound-{digest}.npy"
        if not stored.is_file():
            sound = read_sound(path, rate, info=info)
            with write_aside(stored) as aside:
                np.save(aside, sound)
        return stored

    def _stored(self, path: Path) -> NDArray[Any]:
        """Return an array of the folder: from memory, else mapped, and no longer than needed.

        Maps are not kept: each holds a file handle.
        """
        known = self._memory.get(path)
        if known is None:
            known = self._kept(path, np.load(path, mmap_mode="r", allow_pickle=False))
        return known

    def _kept(self, key: Path | tuple[Path, Span], array: NDArray[Any]) -> NDArray[Any]:
        """Keep a copy of an array in memory where there is room, and return it."""
        if array.nbytes > self._room:
            return array
        self._room -= array.nbytes
        self._memory[key] = np.array(array)
        return self._memory[key]
