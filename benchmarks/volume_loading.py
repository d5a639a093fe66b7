"""How fast a window of 20 brain volumes is read, as networks take it: both views, float32.

    python benchmarks/volume_loading.py [--rounds 40]

Four ways side by side, in turns, from files that the system holds in memory (the first round is
not counted):

- 40 tensor files of `torch.save`, two a volume, joined with time last as the published loader does
  (timed once on two other cores: 21 and 173 ms; a plain memory map 1.9 and 12);
- 20 tensor files, one a volume;
- one plain memory map of both views;
- the data set of `VolumeModule`, which maps the cleaned signal (T, V) of the voxels in the brain, a
  fifth of the bytes, and makes both views as it goes.

One thread, no workers; windows begin at random.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from brainreel.data.samples import Fold, Recording, Segment, Series
from brainreel.data.volume_module import VolumeModule
from brainreel.data.volume_windows import VolumeWindowsConfig
from brainreel.fmri.bold import Bold, VoxelMask
from brainreel.timebase import TrGrid

GRIDS = ((40, 64, 64), (75, 93, 81))
N_TRS, WINDOW = 120, 20
Grid = tuple[int, int, int]


def brain(grid: Grid) -> np.ndarray:
    """An ellipsoid of two fifths of the grid, as a brain fills it."""
    axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in grid), indexing="ij")
    return sum((axis / 0.92) ** 2 for axis in axes) < 1


def recorded(folder: Path, grid: Grid) -> VolumeModule:
    """Return a module over one recording, its signal in a file."""
    inside = brain(grid)
    rng = np.random.default_rng(0)
    data = rng.normal(0, 9, (N_TRS, int(inside.sum()))).astype(np.float32)
    np.save(folder / "bold.npy", data)
    bold = Bold(
        np.load(folder / "bold.npy", mmap_mode="r"),
        TrGrid(Fraction(1), N_TRS),
        VoxelMask(inside, np.eye(4)),
    )
    part = (Segment(0, 0, N_TRS),)
    series = Series((Recording("sub-01", "run-1", "film", bold),), (Fold("a", "a", part),))
    config = VolumeWindowsConfig(window_trs=WINDOW, stride_trs=1, crop=None)
    module = VolumeModule(series, series.folds[0], config, seed=0)
    module.setup()
    return module


def ways_of(folder: Path, grid: Grid) -> dict[str, Callable[[int], Tensor]]:
    """Return the ways to read the window from a TR on, (20, 2, X, Y, Z) each."""
    module = recorded(folder, grid)
    dataset = module.dataset((Segment(0, 0, N_TRS),), training=True)
    dataset.offsets = [0]
    views = np.lib.format.open_memmap(folder / "views.npy", "w+", np.float32, (N_TRS, 2, *grid))
    for tr in range(N_TRS):
        views[tr] = module.volumes.volume(0, tr)
        both = torch.from_numpy(np.array(views[tr]))
        torch.save(both, folder / f"TR_{tr}.pt")
        for number, view in enumerate(both):
            torch.save(view.clone()[..., None], folder / f"TR_{tr}_view_{number}.pt")
    views.flush()
    mapped = np.load(folder / "views.npy", mmap_mode="r")

    def files(start: int) -> Tensor:
        return torch.stack(
            [torch.load(folder / f"TR_{tr}.pt") for tr in range(start, start + WINDOW)]
        )

    def published(start: int) -> Tensor:
        trs = range(start, start + WINDOW)
        views = [
            torch.cat([torch.load(folder / f"TR_{tr}_view_{number}.pt") for tr in trs], dim=-1)
            for number in (0, 1)
        ]
        return torch.stack(views).movedim(-1, 0)

    return {
        "40 files, time last": published,
        "20 tensor files": files,
        "plain memory map": lambda start: torch.from_numpy(
            np.array(mapped[start : start + WINDOW])
        ),
        "VolumeModule": lambda start: dataset[start].views[0],
    }


def measure(grid: Grid, rounds: int) -> None:
    rng = np.random.default_rng(1)
    with TemporaryDirectory() as folder:
        ways = ways_of(Path(folder), grid)
        kept = {name: way(7) for name, way in ways.items()}
        for name, views in kept.items():
            assert torch.equal(views, kept["VolumeModule"]), name
        del kept
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for turn in range(rounds + 1):
            start = int(rng.integers(N_TRS - WINDOW + 1))
            for name, way in ways.items():
                begun = time.perf_counter(), time.process_time()
                way(start)
                if turn:
                    wall, cpu = time.perf_counter() - begun[0], time.process_time() - begun[1]
                    spent[name].append((1e3 * wall, 1e3 * cpu))
    print(f"{' x '.join(map(str, grid)):22}{'ms':>8}{'x ours':>8}{'CPU ms':>9}{'x ours':>8}")
    walls = {name: min(wall for wall, _ in times) for name, times in spent.items()}
    cpus = {name: statistics.median(cpu for _, cpu in times) for name, times in spent.items()}
    for name in ways:
        (wall, slower), (cpu, dearer) = (
            (table[name], table[name] / table["VolumeModule"]) for table in (walls, cpus)
        )
        print(f"  {name:20}{wall:8.1f}{slower:8.2f}{cpu:9.1f}{dearer:8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print(f"of {rounds} turns the least time, and the middle of the processor's")
    for grid in GRIDS:
        measure(grid, rounds)


if __name__ == "__main__":
    main()
