"""Brain volumes: reading windows of 20, and a training step of TFF, beside plain ways.

    python benchmarks/volumes.py [loading] [training] [--rounds 3] [--only L1]

`loading`, one thread, both views in float32, from files that the system holds in memory: 40
tensor files of `torch.save`, two a volume, joined with time last as the published loader does; 20
tensor files, one a volume; one plain memory map of both views; and the data set of `VolumeModule`,
which maps the cleaned signal (T, V) of the voxels in the brain, a fifth of the bytes, and makes
both views as it goes. Windows begin at random; the first turn is not counted.

`training`: forward and backward in training mode, float32, 2 x 40 x 64 x 64, ours with and without
`recompute`, and `plain_tff.py`, which has the same weights and the same loss. In one process, in
turns; each turn's least time on the clock, and the least of the processor's per thread, which other
programs disturb less. Memory is what a process of its own grows by in two steps, gradients
included.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from plain_tff import PlainTFF, plain_loss
from torch import Tensor, nn

from brainreel.data.samples import Fold, Recording, Segment, Series
from brainreel.data.volume_module import VolumeModule
from brainreel.data.volume_windows import VolumeBatch, VolumeWindowsConfig
from brainreel.fmri.bold import Bold, VoxelMask
from brainreel.models.tff import TFFAutoencoder, TFFAutoencoderConfig, TFFConfig
from brainreel.shapes import DataSpec
from brainreel.timebase import TrGrid
from brainreel.train.volume_losses import VGGFront, draw_slices
from brainreel.train.volume_objective import VolumeLoss, VolumeLossConfig

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


def measure_loading(grid: Grid, rounds: int) -> None:
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


@dataclass(frozen=True)
class Row:
    """A training step: volumes (B, T), parts of the loss, the published milliseconds."""

    shape: tuple[int, int]
    intensity: bool
    slices: float
    published: float | None

    def network(self, *, recompute: bool) -> TFFAutoencoder:
        torch.manual_seed(0)
        config = TFFAutoencoderConfig if self.shape[1] == 1 else TFFConfig
        network: TFFAutoencoder = config(recompute=recompute).build(DataSpec(grid=GRIDS[0]))
        return network

    def batch(self) -> VolumeBatch:
        n, n_trs = self.shape
        views = torch.randn(n, n_trs, 2, *GRIDS[0], generator=torch.Generator().manual_seed(1))
        zero = torch.zeros(n, dtype=torch.long)
        return VolumeBatch(
            views=views,
            inside=torch.ones(n, *GRIDS[0], dtype=torch.bool),
            counted=torch.ones(n, n_trs, dtype=torch.bool),
            subject=zero,
            recording=zero,
            start_tr=zero,
            row=zero,
            film=None,
            reference=None,
        )


ROWS = {
    "single volumes: L1": Row((4, 1), False, 0, 1197),
    "  + intense voxels": Row((4, 1), True, 0, 1390),
    "  + VGG16 on a quarter": Row((4, 1), True, 0.25, 2078),
    "20 volumes: L1": Row((1, 20), False, 0, None),
    "  + both, VGG16 on a tenth": Row((1, 20), True, 0.1, 7247),
}
WAYS = ("plain", "ours", "recompute")


def random_vgg() -> VGGFront:
    generator = torch.Generator().manual_seed(2)
    weights = {}
    for number, channels, out in ((0, 3, 64), (2, 64, 64), (5, 64, 128), (7, 128, 128)):
        drawn = torch.randn(out, channels, 3, 3, generator=generator)
        weights[f"features.{number}.weight"] = drawn * (2 / (9 * channels)) ** 0.5
        weights[f"features.{number}.bias"] = torch.zeros(out)
    return VGGFront(weights, where="random")


def step_of(row: Row, way: str) -> tuple[nn.Module, Callable[[], Tensor]]:
    """Return the network of a way, and what gives its loss."""
    ours, batch = row.network(recompute=way == "recompute"), row.batch()
    vgg = random_vgg() if row.slices else None
    if way == "plain":
        network = PlainTFF(ours, GRIDS[0], 0.2)
        volumes = batch.views.permute(0, 2, 3, 4, 5, 1).contiguous()
        shape = (1, row.shape[0] * row.shape[1], *GRIDS[0])
        chosen = draw_slices(shape, row.slices, torch.Generator().manual_seed(0))

        def plain() -> Tensor:
            return plain_loss(
                network(volumes), volumes, intensity=row.intensity, vgg=vgg, slices=chosen
            )

        return network, plain
    config = VolumeLossConfig(
        intensity=float(row.intensity), perceptual=float(row.slices > 0), slices=row.slices or 1
    )
    loss = VolumeLoss(config)
    loss.vgg = vgg

    def fast() -> Tensor:
        parts = loss(ours(batch.views), batch, 0)
        return torch.stack([total / count for total, count in parts.values()]).sum()

    return ours, fast


def trained(network: nn.Module, loss: Callable[[], Tensor]) -> tuple[float, float]:
    """Wall and CPU milliseconds of one step, the latter per thread."""
    network.zero_grad(set_to_none=True)
    begun = time.perf_counter(), time.process_time()
    loss().backward()
    spent = time.perf_counter() - begun[0], time.process_time() - begun[1]
    network.zero_grad(set_to_none=True)
    return 1e3 * spent[0], 1e3 * spent[1] / torch.get_num_threads()


def grown_mib(name: str, way: str) -> float:
    command = [sys.executable, __file__, "--child", json.dumps([name, way])]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return float(told.splitlines()[-1])


def child(name: str, way: str) -> None:
    network, loss = step_of(ROWS[name], way)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of building
    before = resident_mib("VmRSS")
    for _ in range(2):
        trained(network, loss)
    print(resident_mib("VmHWM") - before)


def resident_mib(kind: str) -> float:
    """Memory of this process as Linux tells it: VmRSS now, VmHWM at most."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(kind):
            return int(line.split()[1]) / 2**10
    raise RuntimeError(f"no {kind} in /proc/self/status")


def measure_training(name: str, rounds: int) -> None:
    row = ROWS[name]
    steps = {way: step_of(row, way) for way in WAYS}
    with torch.no_grad():
        losses = {way: float(loss()) for way, (network, loss) in steps.items() if network.eval()}
    assert max(losses.values()) - min(losses.values()) < 1e-4 * max(losses.values()), losses
    spent: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for turn in range(rounds + 1):
        for way, (network, loss) in steps.items():
            found = trained(network.train(), loss)
            if turn:
                spent[way].append(found)
    best = {way: [min(times) for times in zip(*found, strict=True)] for way, found in spent.items()}
    mib = {way: grown_mib(name, way) for way in WAYS}
    print(f"{name:28}" + (f"published {row.published} ms" if row.published else ""))
    for way in WAYS:
        (wall, cpu), (slow, dear) = best[way], best["plain"]
        print(
            f"  {way:12}{wall:8.0f} ms {slow / wall:5.2f} x{cpu:8.0f} CPU ms {dear / cpu:5.2f} x"
            f"{mib[way]:7.0f} MiB {mib[way] / mib['plain']:5.2f} x",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help="loading, training; both without")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="training rows with these letters")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(*given.child)
        return
    threads = torch.get_num_threads()
    if not given.parts or "training" in given.parts:
        print(f"a training step, {threads} threads, best of {given.rounds} turns")
        for name in [name for name in ROWS if given.only in name]:
            measure_training(name, given.rounds)
    if not given.parts or "loading" in given.parts:
        torch.set_num_threads(1)
        turns = 12 * given.rounds
        print(f"a window of {WINDOW}: of {turns} turns the least time, and the middle of the CPU's")
        for grid in GRIDS:
            measure_loading(grid, turns)


if __name__ == "__main__":
    main()
