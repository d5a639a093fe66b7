"""Films heard once: log-mel spectrograms on the film's clock, in a memory-mapped array."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.files import digest_json, fingerprint, read_json, write_aside, write_json
from brainreel.stimulus.audio import MEL_FLOOR, iter_sound, log_mel, read_sound
from brainreel.stimulus.film import FilmInfo, probe_film
from brainreel.timebase import Seconds, exact

Float32 = NDArray[np.float32]

SILENCE = np.float32(math.log(MEL_FLOOR))
"""Log-mel energy of silence, and of what lies before and after a film."""

_STORE_LAYOUT = 1
# Longer films are heard in pieces of this length, so that memory does not grow with them.
_BLOCK_S = Fraction(300)


@dataclass(frozen=True, eq=False)
class SoundStore:
    """A film's spectrogram, made once: equal steps of time in a memory-mapped array.

    Attributes
    ----------
    path
        The `.npy` file.
    steps
        (N, M) float32 log-mel energies, read-only memory map. Step i stands for the film time
        [i hop_s, (i + 1) hop_s).
    hop_s
        Seconds between steps.
    """

    path: Path
    steps: Float32
    hop_s: Fraction

    def indices(self, times_s: Sequence[Seconds]) -> NDArray[np.int64]:
        """Return the number floor(t / hop_s) of the step at each film time; not clipped."""
        return np.asarray([math.floor(exact(time) / self.hop_s) for time in times_s], np.int64)


def store_sound(
    path: Path,
    out: Path,
    *,
    n_mels: int,
    sample_rate_hz: int = 16000,
    window_s: float = 0.025,
    hop_s: float = 0.010,
) -> SoundStore:
    """Make the `log_mel` spectrogram of a film once, or open the one made before.

    A store is used again only if the digest of the film and of the options are the same; other
    options make another file.

    Parameters
    ----------
    path
        The film, or a sound file.
    out
        Folder of the store; `<film>_mel-<digest>.npy` and a `.json` manifest are written aside
        and renamed into place, the manifest last.
    n_mels, sample_rate_hz, window_s, hop_s
        As in `log_mel` and `read_sound`; the hop must be a whole number of samples.

    Raises
    ------
    DataError
        If the film has no sound, its sound is damaged, or the hop is no whole number of samples.
    OutputError
        If the array cannot be written.
    """
    info = probe_film(path)
    if not info.has_sound:
        raise DataError(
            f"{path}: the film has no sound, and the network listens. Choose a backbone that "
            "only sees, or films with sound."
        )
    hop = exact(hop_s)
    if (hop * sample_rate_hz).denominator != 1 or hop <= 0:
        raise DataError(
            f"a step of {float(hop):g} s is no whole number of samples at {sample_rate_hz} Hz, so "
            "the spectrogram would drift against the film. Give a multiple of "
            f"1/{sample_rate_hz} s."
        )
    source = fingerprint(info.path)
    manifest = {
        "layout": _STORE_LAYOUT,
        "film": source,
        "n_mels": n_mels,
        "sample_rate_hz": sample_rate_hz,
        "window_s": str(exact(window_s)),
        "hop_s": str(hop),
    }
    stem = f"{info.path.stem}_mel-{digest_json(manifest)[:8]}"
    array, told = Path(out) / f"{stem}.npy", Path(out) / f"{stem}.json"
    if not (array.is_file() and told.is_file() and read_json(told) == manifest):
        mel = _Mel(info, n_mels, sample_rate_hz, window_s, hop)
        with write_aside(array) as aside, aside.open("wb") as stream:
            if info.duration_s <= _BLOCK_S:
                np.save(stream, mel.whole())
            else:
                _write_blocks(stream, mel)
        write_json(told, manifest)
    return SoundStore(array, np.load(array, mmap_mode="r", allow_pickle=False), hop)


@dataclass(frozen=True)
class _Mel:
    """How a film's spectrogram is made."""

    info: FilmInfo
    n_mels: int
    rate: int
    window_s: float
    hop_s: Fraction

    @property
    def n_steps(self) -> int:
        """Steps up to the film's end."""
        return math.ceil(self.info.duration_s / self.hop_s)

    def whole(self) -> Float32:
        """Return all steps of the sound."""
        return self._log_mel(read_sound(self.info.path, self.rate, info=self.info))

    def parts(self, n_steps: int) -> Iterator[Float32]:
        """Yield the steps, so many at once, as `whole` has them."""
        # The window of a step reaches beyond it on both sides.
        reach, hop = math.ceil(exact(self.window_s) / self.hop_s), int(self.hop_s * self.rate)
        starts = range(0, self.n_steps, n_steps)
        firsts = [max(0, start - reach) for start in starts]
        stops = [min(start + n_steps, self.n_steps) for start in starts]
        spans = [(a * hop, (b + reach) * hop) for a, b in zip(firsts, stops, strict=True)]
        sounds = iter_sound(self.info, self.rate, spans)
        for start, first, stop, sound in zip(starts, firsts, stops, sounds, strict=True):
            yield self._log_mel(sound)[start - first : stop - first]

    def _log_mel(self, sound: Float32) -> Float32:
        return log_mel(sound, self.rate, self.n_mels, self.window_s, float(self.hop_s))


def _write_blocks(stream: IO[bytes], mel: _Mel) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (mel.n_steps, mel.n_mels)}
    np.lib.format.write_array_header_1_0(stream, header)
    for part in mel.parts(max(1, math.floor(_BLOCK_S / mel.hop_s))):
        stream.write(np.ascontiguousarray(part, "<f4").data)
