"""Film strips: which frames and which sound belong to each TR of a film."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from brainreel.config import Config
from brainreel.data.samples import Recording
from brainreel.errors import DataError
from brainreel.shapes import Sense
from brainreel.stimulus.frames import store_frames
from brainreel.stimulus.spectrograms import SILENCE, store_sound
from brainreel.stimulus.windows import sample_numbers
from brainreel.timebase import Seconds, TrGrid, exact

Float32 = NDArray[np.float32]

SEEING: tuple[Sense, ...] = ("pictures",)


class WindowsConfig(Config):
    """How films are cut into windows for a network."""

    frames_per_tr: int = Field(4, ge=1)
    """Film frames shown to the network in each TR, at the middle of equal steps."""
    height: int = Field(32, ge=1)
    """Height in pixels to which frames are resized."""
    width: int = Field(32, ge=1)
    """Width in pixels to which frames are resized."""
    window_trs: int = Field(16, ge=2)
    """Predicted TRs in one window; the TRs of context come before them."""
    batch_windows: int = Field(4, ge=1)
    """Different film windows per batch and device; each brings all people who saw it."""
    n_workers: int = Field(0, ge=0)
    """Processes that load windows; 0 loads in the main process, enough for memory-mapped frames."""
    mel_bands: int = Field(32, ge=1)
    """Mel bands of the spectrogram that a network hears; 128 in published networks."""
    sound_rate_hz: int = Field(16000, ge=1000)
    """Samples per second to which sound is brought; speech and published networks need 16 kHz."""
    sound_window_s: float = Field(0.025, gt=0)
    """Length in seconds of the window behind each step of the spectrogram."""
    sound_step_s: float = Field(0.010, gt=0)
    """Seconds between steps of the spectrogram; a TR gets the nearest whole number of them."""

    def steps_per_tr(self, tr_s: Seconds) -> int:
        """Return the steps S of the spectrogram in each TR, at least one."""
        return max(1, round(exact(tr_s) / exact(self.sound_step_s)))


@dataclass(frozen=True, eq=False)
class FilmStrip:
    """What each TR of a film shows and sounds like; a sense that is not asked for is None.

    Attributes
    ----------
    frames
        (N, C, H, W) uint8, all stored frames, memory-mapped.
    index
        (T, F) number of the frame at each look; those outside the film show black.
    sound
        (N, M) float32 log-mel spectrogram of the film, memory-mapped.
    steps
        (T, S) number of the step at each moment; those outside the film are silent.
    numbers
        (T, F) number in the film that each frame is told to have; None: its own.
    """

    frames: NDArray[np.uint8] | None
    index: NDArray[np.int64] | None
    sound: Float32 | None = None
    steps: NDArray[np.int64] | None = None
    numbers: NDArray[np.int64] | None = None

    def part(self, trs: slice) -> dict[str, NDArray[Any]]:
        """Return what the TRs hold: `frames` (T, F, C, H, W), `frame_numbers` (T, F) in the film
        (0 before it), `sound` (T, 1, S, M); of those that there are.
        """
        found: dict[str, NDArray[Any]] = {}
        if self.frames is not None and self.index is not None:
            index = self.index[trs]
            found["frames"] = _taken(self.frames, index, np.uint8(0))
            numbers = index if self.numbers is None else self.numbers[trs]
            found["frame_numbers"] = np.maximum(numbers, 0)
        if self.sound is not None and self.steps is not None:
            found["sound"] = _taken(self.sound, self.steps[trs], SILENCE)[:, None]
        return found

    def window(
        self, trs: slice, *, n_before: int, n_trs: int
    ) -> tuple[dict[str, NDArray[Any]], NDArray[np.bool_]]:
        """Return what `n_before` TRs and a window of `n_trs` after them hold, as `part` does.

        TRs before the run, and those of the window after `trs`, are black and silent; the second
        array (n_before + n_trs,) is False there.
        """
        first = trs.start - n_before
        head = max(0, -first)
        shown = np.zeros(n_before + n_trs, np.bool_)
        mine = slice(head, head + trs.stop - max(first, 0))
        shown[mine] = True
        held = {}
        for name, part in self.part(slice(first + head, trs.stop)).items():
            outside = SILENCE if name == "sound" else 0
            held[name] = np.full((len(shown), *part.shape[1:]), outside, part.dtype)
            held[name][mine] = part
        return held, shown


def _taken(stored: NDArray[Any], index: NDArray[np.int64], outside: np.generic) -> NDArray[Any]:
    """Return stored[index], with one value for indices that lie outside."""
    within = (index >= 0) & (index < len(stored))
    taken = np.asarray(stored[np.where(within, index, 0)])
    taken[~within] = outside
    return taken


def window_facts(config: WindowsConfig, tr_s: Seconds, senses: Collection[Sense]) -> dict[str, Any]:
    """Return what the spec tells of the film in one TR: its frames, its sound."""
    seen = {
        "frame_shape": (3, config.height, config.width),
        "frames_per_tr": config.frames_per_tr,
    }
    heard = {"sound_shape": (1, config.steps_per_tr(tr_s), config.mel_bands)}
    return (seen if "pictures" in senses else {}) | (heard if "sound" in senses else {})


def open_strips(
    recordings: Sequence[Recording],
    config: WindowsConfig,
    cache: Path,
    senses: Collection[Sense] = SEEING,
) -> tuple[tuple[FilmStrip, ...], tuple[int, ...]]:
    """Decode each film once; recordings of one film on one clock share a strip.

    Returns
    -------
    tuple
        The strips, and the strip of each recording.
    """
    longest: dict[tuple[str, Fraction, Fraction], tuple[Path, TrGrid]] = {}
    keys = []
    for recording in recordings:
        if recording.film is None:
            raise DataError(f"{recording.label} has no film; a network on films needs one.")
        grid = recording.bold.grid
        key = (recording.film_digest or str(recording.film), grid.tr_s, grid.first_s)
        keys.append(key)
        if key not in longest or longest[key][1].n_trs < grid.n_trs:
            longest[key] = (recording.film, grid)
    strips = [open_strip(film, grid, config, cache, senses) for film, grid in longest.values()]
    order = list(longest)
    return tuple(strips), tuple(order.index(key) for key in keys)


def open_strip(
    film: Path,
    grid: TrGrid,
    config: WindowsConfig,
    cache: Path,
    senses: Collection[Sense] = SEEING,
) -> FilmStrip:
    """Decode what is asked for of a film, unless it is in the cache, and place it in the TRs.

    Each TR is cut into equal steps; the frame on screen, and the step of the spectrogram, at the
    middle of each are taken. A TR that is no whole number of spectrogram steps thus never drifts
    against the film: now and then a step is skipped or stands twice.
    """
    frames = index = sound = steps = None
    if "pictures" in senses:
        shown = store_frames(film, cache, size=(config.height, config.width))
        index = sample_numbers(grid, config.frames_per_tr, shown.rate_hz)
        frames = shown.frames
    if "sound" in senses:
        heard = store_sound(
            film,
            cache,
            n_mels=config.mel_bands,
            sample_rate_hz=config.sound_rate_hz,
            window_s=config.sound_window_s,
            hop_s=config.sound_step_s,
        )
        steps = sample_numbers(grid, config.steps_per_tr(grid.tr_s), 1 / heard.hop_s)
        sound = heard.steps
    return FilmStrip(frames, index, sound, steps)
