"""How fast films are decoded, against plain PyAV; decode once or on demand.

    python benchmarks/film_decoding.py [--seconds 120] [--size 360 640]

A procedural film is rendered into a temporary folder. The first table gives frames per second of
a whole pass; the second the time in which a training reads windows of frames at random, from the
film itself and from an array that was decoded once. Each time is the best of three.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import av
import numpy as np

from brainreel.simulate.film import render_film
from brainreel.stimulus.film import probe_film
from brainreel.stimulus.frames import iter_frames, read_frames, store_frames

SMALL = (96, 96)
WINDOW_S, FRAMES_PER_WINDOW = 15, 30


def timed(action: Callable[[], object], n_times: int = 3) -> float:
    """Return the least seconds that an action takes."""
    seconds = []
    for _ in range(n_times):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def plain_pyav(film: Path, size: tuple[int, int] | None) -> None:
    """Decode every frame to an array with PyAV alone."""
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            height, width = size or (frame.height, frame.width)
            frame.to_ndarray(format="rgb24", width=width, height=height)


def whole_pass(film: Path, folder: Path) -> None:
    info = probe_film(film)
    times = [(i + Fraction(1, 2)) / info.frame_rate_hz for i in range(info.n_frames)]
    ways: dict[str, Callable[[], object]] = {
        "plain PyAV": lambda: plain_pyav(film, None),
        "iter_frames": lambda: [None for _ in iter_frames(film, times)],
        f"plain PyAV {SMALL}": lambda: plain_pyav(film, SMALL),
        f"iter_frames {SMALL}": lambda: [None for _ in iter_frames(film, times, SMALL)],
        f"read_frames {SMALL}": lambda: read_frames(film, times, SMALL),
        f"store_frames {SMALL}": lambda: store_frames(film, Path(mkdtemp(dir=folder)), size=SMALL),
    }
    for name, action in ways.items():
        print(f"  {name:28s} {info.n_frames / timed(action):9.0f} frames/s")


def random_windows(film: Path, folder: Path, n_windows: int) -> None:
    duration = float(probe_film(film).duration_s)
    starts = np.random.default_rng(0).uniform(0, duration - WINDOW_S, n_windows)
    steps = (np.arange(FRAMES_PER_WINDOW) + 0.5) * WINDOW_S / FRAMES_PER_WINDOW
    windows = [(start + steps).tolist() for start in starts]
    on_demand = timed(lambda: [read_frames(film, times, SMALL) for times in windows])
    once = timed(lambda: store_frames(film, Path(mkdtemp(dir=folder)), size=SMALL))
    store = store_frames(film, folder / "windows", size=SMALL)
    stored = timed(lambda: [store.at(times) for times in windows])
    print(f"  on demand     {on_demand / n_windows * 1e3:9.2f} ms a window")
    print(f"  decode once   {stored / n_windows * 1e3:9.2f} ms a window, {once:.2f} s before")
    gain = (on_demand - stored) / n_windows
    print(f"  decode once pays from {once / gain:.0f} windows on")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--size", type=int, nargs=2, default=(360, 640))
    parser.add_argument("--windows", type=int, default=20)
    options = parser.parse_args()
    for size, rate in ((tuple(options.size), 25), (SMALL, 12.5)):
        with TemporaryDirectory() as name:
            folder = Path(name)
            film = folder / "film.mp4"
            render_film(film, options.seconds, seed=0, size=size, frame_rate_hz=rate)
            megabytes = film.stat().st_size / 1e6
            print(f"{size[0]} x {size[1]} at {rate} Hz, {options.seconds} s, {megabytes:.1f} MB")
            whole_pass(film, folder)
            random_windows(film, folder, options.windows)


if __name__ == "__main__":
    main()
