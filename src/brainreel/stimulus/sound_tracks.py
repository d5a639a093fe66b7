"""The sound track of a film, decoded to mono: whole, or around a span of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

Float32 = NDArray[np.float32]

# Time stamps of compressed sound are rounded to the container's tick; less than this is no gap.
_GAP_S = 0.010
# Coded sound leans on what came before; a decoder is in step again well within this time.
_PREROLL_S = Fraction(1)


class TrackSpan:
    """The samples of a track [start, stop) that samples [first, last) of its resampled form need.

    The start is a whole number of periods of the two rates, so that the filter meets the samples
    in the phase in which it would meet those of the whole track.
    """

    def __init__(self, rate: int, new_rate: int, first: int, last: int | None) -> None:
        ratio = Fraction(new_rate, rate)
        self.up, self.down = ratio.numerator, ratio.denominator
        # Half the taps of resample_poly's filter, in samples of the track.
        reach = 0 if self.up == self.down else math.ceil(10 * max(self.up, self.down) / self.up)
        periods = max(0, first // self.up - math.ceil(reach / self.down))
        self.start = periods * self.down
        self.stop = None if last is None else math.ceil(last / ratio) + reach + 1
        self.skipped = first - periods * self.up
        self.length = None if last is None else last - first

    def resampled(self, sound: Float32) -> Float32:
        """Return the wanted samples from those around them."""
        if self.up != self.down:
            sound = resample_poly(sound, self.up, self.down) if sound.size else sound
        stop = None if self.length is None else self.skipped + self.length
        return np.asarray(sound[self.skipped : stop], np.float32)


def jump(container: Any, stream: Any, sample: int, rate: int, start_s: Fraction) -> bool:
    """Go to shortly before a sample, where the file's stamps count samples; else stay."""
    before = Fraction(sample, rate) - _PREROLL_S
    exact_stamps = stream.time_base == Fraction(1, rate) and "mp4" in container.format.name
    if before <= _PREROLL_S or not exact_stamps:
        return False
    container.seek(math.floor((before + start_s) / stream.time_base), stream=stream)
    return True


def decode_mono(
    container: Any, stream: Any, rate: int, start_s: Fraction, around: TrackSpan, *, jumped: bool
) -> Float32:
    """Join the decoded pieces around a span where their time stamps say."""
    pieces: list[Float32] = []
    begun = 0
    for place, piece in decoded_pieces(container, stream, rate, start_s, jumped=jumped):
        begun = begun if pieces else place
        pieces.append(piece)
        length = place + len(piece)
        if length <= around.start:
            pieces, begun = [], length
        if around.stop is not None and length >= around.stop:
            break
    if not pieces:
        return np.empty(0, np.float32)
    stop = None if around.stop is None else around.stop - begun
    return np.concatenate(pieces)[around.start - begun : stop]


def decoded_pieces(
    container: Any, stream: Any, rate: int, start_s: Fraction, *, jumped: bool
) -> Iterator[tuple[int, Float32]]:
    """Yield number of the first sample, and samples, one piece following the other without gap."""
    to_float = av.AudioResampler(format="fltp", layout=stream.layout, rate=rate)
    length = 0
    for frame in container.decode(stream):
        for part in to_float.resample(frame):
            piece = np.asarray(part.to_ndarray().mean(axis=0), np.float32)
            place = length
            if part.pts is not None:
                place = round((part.pts * part.time_base - start_s) * rate)
            if jumped:
                length, jumped = place, False
            if place < 0 or abs(place - length) > _GAP_S * rate:
                if place > length:
                    yield length, np.zeros(place - length, np.float32)
                    length = place
                piece = piece[length - place :]
            yield length, piece
            length += len(piece)
