"""Film transformers: time and memory of a forward pass and of a training step, on CPU and GPU.

    python benchmarks/transformers.py [--only VTN] [--rounds 3] [--plain] [--long]

On the CPU, at the settings at which the published implementations were timed (milliseconds on
two cores with PyTorch 2.13, or JAX 0.10 for MBT, compiled): each row in processes of its own, in
turns, the best of all turns. A training step is forward and backward in training mode. On a busy
machine only the CPU time tells anything; it is given per thread, and what an idle machine would
take is not less. `--plain` adds the same networks with PyTorch's own matrix product in each
layer, as a second measure at the same time. `--long` adds VTN on films of up to 2000 frames.
Where a GPU is at hand: published sizes in bfloat16 with and without torch.compile, against the
card's own rate of multiplying matrices.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

import brainreel.layers.linear
from brainreel.layers.clip import Clip
from brainreel.layers.flops import count_flops
from brainreel.models.mbt import MBTConfig
from brainreel.models.tubevit import PUBLISHED_TUBES, TubeViTConfig
from brainreel.models.vtn import VTNConfig
from brainreel.shapes import DataSpec

BASE = {"width": 768, "depth": 12, "heads": 12, "mlp_ratio": 4}
VIT_B = {
    **BASE, "name": "vit", "patch": 16, "pooling": "class", "positions": "learned"
}  # fmt: skip
Spent = tuple[float, float]
CLASSES = {"label": 400}


@dataclass(frozen=True)
class Row:
    """A network, what it is shown, and the published implementation's milliseconds."""

    config: Any
    frames: tuple[int, ...]  # (B, F, C, H, W)
    sound: tuple[int, ...] = ()  # (B, C, S, M)
    published: tuple[float, float] = (0, 0)  # forward; forward and backward

    def build(self) -> nn.Module:
        torch.manual_seed(0)
        spec = DataSpec(
            frame_shape=self.frames[2:],
            clip_frames=self.frames[1],
            sound_shape=self.sound[1:],
            classes=CLASSES,
        )
        network: nn.Module = self.config.build(spec)
        return network

    def clip(self) -> Clip:
        frames = torch.randint(0, 256, self.frames, dtype=torch.uint8)
        return Clip(frames=frames, sound=torch.randn(self.sound) if self.sound else None)


def tubevit(**sizes: Any) -> TubeViTConfig:
    return TubeViTConfig(tubes=PUBLISHED_TUBES, **{**BASE, **sizes})


def vtn() -> VTNConfig:
    sizes = {"depth": 3, "heads": 12, "mlp_ratio": 4, "window": 18, "head_width": 768}
    return VTNConfig.parse({"frame": VIT_B, **sizes})


def mbt(**sizes: Any) -> MBTConfig:
    return MBTConfig(**{**BASE, "patch": 16, **sizes})


SMALL_MBT = {"width": 384, "depth": 6, "heads": 6, "fusion_layer": 4}
CPU_ROWS = {
    "TubeViT-B, 32 x 224 x 224": Row(tubevit(), (1, 32, 3, 224, 224), published=(742, 2055)),
    "VTN-B, 16 frames of 224": Row(vtn(), (1, 16, 3, 224, 224), published=(3639, 11637)),
    "MBT 384 x 6, bottleneck": Row(
        mbt(**SMALL_MBT), (2, 4, 3, 112, 112), (2, 1, 400, 128), (93, 358)
    ),
    "MBT 384 x 6, vanilla": Row(
        mbt(**SMALL_MBT, fusion="self_attention"), (2, 4, 3, 112, 112), (2, 1, 400, 128), (126, 448)
    ),
}
SMALL_VTN = {
    "frame": {**VIT_B, "width": 96, "depth": 2, "heads": 3, "patch": 32},
    "depth": 3,
    "heads": 3,
    "window": 32,
}
LONG_ROWS = {
    f"{n} frames of 224": Row(VTNConfig.parse(SMALL_VTN), (1, n, 3, 224, 224))
    for n in (500, 1000, 2000)
}
ALL_CPU_ROWS = {**CPU_ROWS, **LONG_ROWS}
GPU_ROWS = {
    "TubeViT-B, 32 x 224 x 224": Row(tubevit(), (16, 32, 3, 224, 224)),
    "TubeViT-L, 32 x 224 x 224": Row(
        tubevit(width=1024, depth=24, heads=16), (16, 32, 3, 224, 224)
    ),
    "VTN-B, 250 frames of 224": Row(vtn(), (1, 250, 3, 224, 224)),
    "MBT-B, 8 frames and 8 s": Row(mbt(fusion_layer=8), (16, 8, 3, 224, 224), (16, 1, 800, 128)),
}


def work_of(
    network: nn.Module, clip: Clip, *, training: bool, cast: Callable[[], AbstractContextManager]
) -> Callable[[], None]:
    """A forward pass in evaluation, or forward and backward in training."""
    network.train(training)

    def forward() -> None:
        with torch.no_grad(), cast():
            network(clip)

    def step() -> None:
        network.zero_grad(set_to_none=True)
        with cast():
            loss = network(clip).float().square().mean()
        loss.backward()

    return step if training else forward


def best_of(work: Callable[[], object], seconds: float, wait: Callable[[], None]) -> Spent:
    """Least wall and CPU time of one call, of as many as fit in, at least three."""
    work()
    found: list[Spent] = []
    begun = time.perf_counter()
    while len(found) < 3 or time.perf_counter() - begun < seconds:
        wait()
        start = time.perf_counter(), time.process_time()
        work()
        wait()
        found.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return min(wall for wall, _ in found), min(cpu for _, cpu in found)


def child(name: str, *, training: bool, half: bool, plain: bool, seconds: float) -> None:
    """Measure one row alone and print it as JSON."""
    if plain:
        brainreel.layers.linear._ONEDNN = False
    row = ALL_CPU_ROWS[name]
    network, clip = row.build(), row.clip()
    cast = (lambda: torch.autocast("cpu", torch.bfloat16)) if half else nullcontext
    work = work_of(network, clip, training=training, cast=cast)
    wall, cpu = best_of(work, seconds, lambda: None)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(json.dumps({"ms": 1e3 * wall, "cpu": 1e3 * cpu / torch.get_num_threads(), "mib": peak}))


def measure(name: str, flags: list[str]) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", name, *flags]
    # Threads that wait must not be taken for threads that work.
    told = subprocess.run(
        command,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={"OMP_WAIT_POLICY": "passive", **os.environ},
    ).stdout
    found: dict[str, float] = json.loads(told.splitlines()[-1])
    return found


def on_cpu(names: list[str], rounds: int, *, plain: bool, seconds: float) -> None:
    kinds = {"fp32": [], "bf16": ["--half"], **({"plain": ["--plain"]} if plain else {})}
    print(f"CPU, {torch.get_num_threads()} threads, best of {rounds} turns")
    print(f"{'':28}{'':15}{'':7}{'published ms':>13}{'ms':>8}{'x':>6}{'CPU ms':>8}{'MiB':>7}")
    for name in names:
        for number, mode in enumerate(("forward", "training step")):
            flags = ["--seconds", str(seconds), *(["--training"] if number else [])]
            turns = [
                {kind: measure(name, [*flags, *more]) for kind, more in kinds.items()}
                for _ in range(rounds)
            ]
            theirs = CPU_ROWS[name].published[number]
            for kind in kinds:
                ms, cpu, mib = (
                    min(turn[kind][unit] for turn in turns) for unit in ("ms", "cpu", "mib")
                )
                times = f"{theirs:13.0f}{ms:8.0f}{theirs / ms:6.2f}{cpu:8.0f}{mib:7.0f}"
                print(f"{name:28}{mode:15}{kind:7}{times}", flush=True)


def on_long_films() -> None:
    print(f"{'VTN, forward':28}{'ms':>8}{'CPU ms':>8}{'MiB':>7}{'of it the film':>16}")
    for name, row in LONG_ROWS.items():
        found = measure(name, ["--seconds", "0"])
        film = math.prod(row.frames) / 2**20
        print(f"{name:28}{found['ms']:8.0f}{found['cpu']:8.0f}{found['mib']:7.0f}{film:16.0f}")


def matrix_rate(device: torch.device) -> float:
    """Operations per second of a large bfloat16 product."""
    n = 8192
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * n**3 / best_of(lambda: torch.mm(a, b), 2.0, torch.cuda.synchronize)[0]


def on_gpu(names: list[str], seconds: float) -> None:
    device = torch.device("cuda")
    rate = matrix_rate(device)
    print(f"{torch.cuda.get_device_name()}, bfloat16; matrices at {rate / 1e12:.0f} TFLOP/s")
    print(f"{'':28}{'':18}{'compiled':>10}{'clips/s':>10}{'GiB':>8}{'TFLOP/s':>10}{'share':>8}")
    for name in names:
        row = GPU_ROWS[name]
        network, clip = row.build().to(device), row.clip().to(device)
        for training in (False, True):
            for compiled in (False, True):
                run = torch.compile(network) if compiled else network
                cast = lambda: torch.autocast("cuda", torch.bfloat16)  # noqa: E731
                work = work_of(run, clip, training=training, cast=cast)
                flops = count_flops(work_of(network, clip, training=training, cast=cast))
                torch.cuda.reset_peak_memory_stats()
                spent, _ = best_of(work, seconds, torch.cuda.synchronize)
                peak = torch.cuda.max_memory_allocated() / 2**30
                mode = "training step" if training else "forward"
                print(
                    f"{name:28}{mode:18}{'yes' if compiled else 'no':>10}"
                    f"{len(clip) / spent:10.1f}{peak:8.1f}{flops / spent / 1e12:10.0f}"
                    f"{flops / spent / rate:8.0%}",
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="rows whose name begins so")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each; the best counts")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each turn of each row")
    parser.add_argument("--plain", action="store_true", help="also by PyTorch's own product")
    parser.add_argument("--long", action="store_true", help="also films of up to 2000 frames")
    parser.add_argument("--child", choices=ALL_CPU_ROWS, help=argparse.SUPPRESS)
    parser.add_argument("--half", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--training", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(
            given.child,
            training=given.training,
            half=given.half,
            plain=given.plain,
            seconds=given.seconds,
        )
        return
    chosen = [name for name in CPU_ROWS if name.startswith(given.only)]
    on_cpu(chosen, given.rounds, plain=given.plain, seconds=given.seconds)
    if given.long:
        on_long_films()
    if torch.cuda.is_available():
        on_gpu([name for name in GPU_ROWS if name.startswith(given.only)], given.seconds)


if __name__ == "__main__":
    main()
