"""Which moments of an item a clip shows and plays, exact as fractions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from brainreel.data.clips import ClipsConfig
from brainreel.timebase import samples_between

Span = tuple[Fraction, Fraction]

# Draws are fractions of 2^24, so that exact times keep small denominators.
_STEPS = 1 << 24


@dataclass(frozen=True)
class Place:
    """Where in an item a clip lies, whatever the item's length; each from 0 to 1.

    Attributes
    ----------
    window
        Place of the window in the room that it leaves: 0 at the item's start, 1 at its end.
    phase
        Place of each frame in its share of the item, for frames over the whole item.
    sound
        Place of the sound's window in the room that it leaves; None: around the middle of the
        frames.
    """

    window: Fraction
    phase: Fraction
    sound: Fraction | None


@dataclass(frozen=True)
class ClipTimes:
    """The moments of a clip, in seconds of film time.

    Attributes
    ----------
    frames
        Time of each frame; a window longer than the item stays at its last frame.
    sound
        Start of the sound, and its end at most at the item's; after it is silence.
    """

    frames: tuple[Fraction, ...]
    sound: Span


def drawn_place(clips: ClipsConfig, rng: np.random.Generator) -> Place:
    """Draw where a training clip lies; three numbers are drawn whatever is used of them."""
    window, phase, sound = (Fraction(int(n), _STEPS) for n in rng.integers(0, _STEPS, 3))
    return Place(window, phase, None if clips.sync and clips.sees else sound)


def view_places(clips: ClipsConfig) -> tuple[Place, ...]:
    """Return where the temporal views of a test lie: evenly, from the item's start to its end.

    View k of t: windows at k / (t - 1) of their room (1/2 for a single view), frames over the
    whole item at (k + 1/2) / t of their shares.
    """
    t = clips.temporal_views
    places = []
    for k in range(t):
        window = Fraction(k, t - 1) if t > 1 else Fraction(1, 2)
        sound = None if clips.sync and clips.sees else window
        places.append(Place(window, Fraction(2 * k + 1, 2 * t), sound))
    return tuple(places)


def plan_times(clips: ClipsConfig, span: Span, frame_rate_hz: Fraction, place: Place) -> ClipTimes:
    """Return the moments of a clip.

    With an item [a, b), a window of w seconds and F frames, i = 0 .. F - 1:

    dense:   begin = a + window (b - a - w),  t_i = begin + (i + 1/2) w / F
    uniform: t_i = a + (i + phase) (b - a) / F

    Sound of s seconds begins at a + sound (b - a - s), or (sync) s / 2 before the middle of the
    frames' window, moved into the item; at a where the item is shorter.

    Parameters
    ----------
    clips
        How clips are cut.
    span
        [a, b) of the item in seconds of film time.
    frame_rate_hz
        Rate of the film, by which the last frame before b is found; 0 without pictures.
    place
        Where the clip lies.
    """
    begin, stop = span
    length = clips.window
    if clips.sampling == "uniform" or length is None:
        first, length, phase = begin, stop - begin, place.phase
    else:
        first = begin + place.window * max(stop - begin - length, Fraction(0))
        phase = Fraction(1, 2)
    frames = [first + (i + phase) * length / clips.n_frames for i in range(clips.n_frames)]
    last = _last_frame(span, frame_rate_hz)
    sound = _sound_start(clips.sound_window, span, first + length / 2, place.sound)
    return ClipTimes(
        tuple(min(time, last) for time in frames) if clips.sees else (),
        (sound, min(sound + clips.sound_window, stop)),
    )


def frame_numbers(times: tuple[Fraction, ...], frame_rate_hz: Fraction) -> list[int]:
    """Return floor(t r), the number of the frame on screen at each time of a film of r Hz.

    Films whose frames stand unequally long are numbered as if they had their mean rate.
    """
    return [math.floor(time * frame_rate_hz) for time in times]


def _last_frame(span: Span, rate: Fraction) -> Fraction:
    """Return a time within [start, stop) at which the last frame that begins there is shown."""
    inside = samples_between(*span, rate) if rate else range(0)
    if not inside:
        return span[0]
    shown = inside[-1] / rate
    return (shown + min(shown + 1 / rate, span[1])) / 2


def _sound_start(
    length: Fraction, span: Span, middle: Fraction, place: Fraction | None
) -> Fraction:
    start, stop = span
    room = max(stop - start - length, Fraction(0))
    if place is not None:
        return start + place * room
    return min(max(middle - length / 2, start), start + room)
