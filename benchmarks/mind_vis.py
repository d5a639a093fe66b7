"""SC-MBM's training step beside a plain one; pictures by few steps of a sampler beside many.

    python benchmarks/mind_vis.py step [--rounds 3]
    python benchmarks/mind_vis.py sampling --run RUN [--pictures 50]

`step`: forward and backward, float32, batch 8, 4096 voxels in patches of 16, encoder 512 x 8 with 8
heads, decoder 256 x 8 with 8 heads, a feed-forward of once and of four times the width: ours,
`recompute`, and `plain_sc_mbm.py`, which has the same weights and gives the same loss (checked
first). In one process, in turns; each turn's least time on the clock, and of the processor's per
thread, which other programs disturb less. Where there is a GPU: the published size in bf16, with
and without `torch.compile`, vectors a second, memory, and the share of the card's own rate of
products of matrices.

`sampling`: the test pictures of a fitted run of task `denoise`, one sample of each brain, drawn by
PLMS with 250 steps as published, and from the same noise by others with few: time, how near the
pictures are to those of PLMS (SSIM), and to what was seen (SSIM, pixel correlation, 50-way class
score by EfficientNet-Lite0).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from plain_sc_mbm import PlainSCMBM

from brainreel.metrics.images import pixel_correlation, ssim
from brainreel.metrics.ranking import n_way_classification
from brainreel.models.picture_layers import PictureNetwork
from brainreel.models.sampling import SamplingOptions
from brainreel.models.sc_mbm import SCMBM, SCMBMConfig
from brainreel.shapes import DataSpec
from brainreel.train.denoise import DenoiseConfig
from brainreel.train.drawing import DrawOptions
from brainreel.train.fit import load_fitted
from brainreel.train.masked_losses import removed_error
from brainreel.train.score_networks import load_classifier

N_VOXELS, BATCH = 4096, 8
SIZES = {
    "patch": 16,
    "width": 512,
    "depth": 8,
    "heads": 8,
    "decoder_width": 256,
    "decoder_depth": 8,
    "decoder_heads": 8,
}
Step = Callable[[], torch.Tensor]


def step_of(model: SCMBM, voxels: torch.Tensor, noise: torch.Tensor) -> Step:
    """Return a step of ours."""

    def step() -> torch.Tensor:
        out = model(voxels, noise)
        total, count = removed_error(out.predicted, out.measured, out.removed)
        return total / count

    return step


def timed(step: Step, model: torch.nn.Module) -> tuple[float, float]:
    """Return a step's seconds on the clock, and of the processor for each thread."""
    model.zero_grad()
    clock, own = time.perf_counter(), time.process_time()
    step().backward()
    spent = time.process_time() - own
    return time.perf_counter() - clock, spent / torch.get_num_threads()


def measure_steps(rounds: int) -> None:
    """Print the table of `step`."""
    generator = torch.Generator().manual_seed(0)
    voxels = torch.randn(BATCH, N_VOXELS, generator=generator)
    print("mlp ratio | way | clock ms | CPU ms | times the plain one (CPU)")
    for ratio in (1.0, 4.0):
        config = SCMBMConfig.parse({**SIZES, "mlp_ratio": ratio})
        spec = DataSpec(subjects=("a",), n_voxels=(N_VOXELS,))
        ours = config.build(spec)
        frugal = SCMBMConfig.parse({**SIZES, "mlp_ratio": ratio, "recompute": True}).build(spec)
        frugal.load_state_dict(ours.state_dict())
        plain = PlainSCMBM(config, ours.encoder.n_patches)
        plain.load(ours)
        noise = ours.noise(BATCH, generator)
        ways: dict[str, tuple[Step, torch.nn.Module]] = {
            "plain": (partial(plain, voxels, noise), plain),
            "ours": (step_of(ours, voxels, noise), ours),
            "recompute": (step_of(frugal, voxels, noise), frugal),
        }
        losses = [float(step().detach()) for step, _ in ways.values()]
        assert max(losses) - min(losses) < 1e-5 * max(losses), losses
        turns = [{name: timed(*way) for name, way in ways.items()} for _ in range(rounds + 1)][1:]
        least = {n: np.min([turn[n] for turn in turns], axis=0) for n in ways}
        for name, (clock, own) in least.items():
            gain = least["plain"][1] / own
            print(f"{ratio:g} | {name} | {1000 * clock:.0f} | {1000 * own:.0f} | {gain:.2f}")


def card_rate() -> float:
    """Return the products of bf16 matrices that the GPU does, in floating point operations a
    second."""
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    for _ in range(3):
        a @ a
    torch.cuda.synchronize()
    clock = time.perf_counter()
    for _ in range(20):
        a @ a
    torch.cuda.synchronize()
    return 20 * 2 * 8192**3 / (time.perf_counter() - clock)


def measure_card(batch: int = 100) -> None:
    """Print the published size on a GPU."""
    config = SCMBMConfig()
    model = config.build(DataSpec(subjects=("a",), n_voxels=(N_VOXELS,))).cuda()
    voxels = torch.randn(batch, N_VOXELS, device="cuda")
    noise = model.noise(batch, torch.Generator().manual_seed(0)).cuda()
    # Forward 2, backward 4 a weight and token; attention is small beside it at 256 patches.
    n_seen = 1 + int(model.encoder.n_patches * (1 - config.mask_ratio))
    n_all = 1 + model.encoder.n_patches
    inside = sum(p.numel() for p in model.encoder.parameters())
    outside = sum(p.numel() for p in model.decoder.parameters())
    operations = 6 * batch * (inside * n_seen + outside * n_all)
    print("way | vectors a second | share of the card's rate | GiB")
    rate = card_rate()
    for way in ("eager", "compiled"):
        run = model if way == "eager" else torch.compile(model)
        torch.cuda.reset_peak_memory_stats()
        for turn in range(13):
            if turn == 3:
                torch.cuda.synchronize()
                clock = time.perf_counter()
            with torch.autocast("cuda", torch.bfloat16):
                step_of(run, voxels, noise)().backward()  # type: ignore[arg-type]
            model.zero_grad()
        torch.cuda.synchronize()
        spent = (time.perf_counter() - clock) / 10
        memory = torch.cuda.max_memory_allocated() / 2**30
        share = operations / spent / rate
        print(f"{way} | {batch / spent:.0f} | {share:.2f} | {memory:.1f}")


def class_score(network: PictureNetwork, found: np.ndarray, true: np.ndarray) -> float:
    """Return the 50-way top-1 score of pictures, as the classifier sees them."""
    given, seen = (network.look(torch.from_numpy(part), ())[0].cpu() for part in (found, true))
    labels = seen.argmax(dim=1).numpy()
    scores = given.softmax(dim=1).numpy()
    return float(n_way_classification(scores, labels, 50).mean())


SAMPLERS = (("plms", 250), ("plms", 50), ("ddim", 50), ("dpm++", 20), ("dpm++", 10), ("unipc", 10))


def measure_sampling(run: Path, n_pictures: int) -> None:
    """Print the table of `sampling`."""
    fitted = load_fitted(run)
    stage = fitted.config.resolved_stages()[-1]
    if not isinstance(stage.task, DenoiseConfig):
        raise SystemExit(f"{run}: is no run of task denoise.")
    fold = fitted.data.folds[0]
    fold = replace(fold, test_trials=fold.test_trials[:n_pictures])
    drawn = stage.task.drawn(fitted.job(fold), fitted.states[fold.name])
    rows = list(fold.test_trials)
    true = np.asarray(drawn.data.rows(rows).pairs.pictures[:])
    reference: np.ndarray | None = None
    print(f"{len(rows)} pictures of {true.shape[1:]}")
    network = load_classifier("efficientnet_lite0")
    print(
        "sampler | steps | s | SSIM to PLMS 250 | SSIM to the truth | pixel r to the truth | "
        "50-way class score"
    )
    for sampler, steps in SAMPLERS:
        own = SamplingOptions(sampler=sampler, steps=steps).to_dict()
        options = DrawOptions.parse({**own, "samples": 1, "rows": 64})
        clock = time.perf_counter()
        found = replace(drawn, options=options).of(rows, rows)[:, 0]
        spent = time.perf_counter() - clock
        reference = found if reference is None else reference
        near, right = ssim(found, reference).mean(), ssim(found, true).mean()
        r = np.nanmean(pixel_correlation(found, true))
        told = [f"{value:.3f}" for value in (near, right, r, class_score(network, found, true))]
        print(f"{sampler} | {steps} | {spent:.1f} | {' | '.join(told)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("step", "sampling"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--pictures", type=int, default=50)
    options = parser.parse_args()
    if options.part == "step":
        measure_steps(options.rounds)
        if torch.cuda.is_available():
            measure_card()
    elif options.run is None:
        parser.error("sampling needs --run RUN, a fitted run of task denoise")
    else:
        measure_sampling(options.run, options.pictures)


if __name__ == "__main__":
    main()
