"""Hidden patches of unseen people's volumes: SC-MBM against ridge from the patches that are seen.

    python benchmarks/masked_patches.py partlycloudy_40.npz --ratios 0.25 0.5 0.75 0.9

The file holds regions or voxels as (people, time, voxels). Both learn from the same people and are
chosen by the same others: SC-MBM by its epoch, ridge by a penalty of its own for each pattern of
hidden patches. Both then tell what is hidden, in the same few patterns, of people who took no part;
nothing is averaged over patterns. Printed, for each mask ratio: the share of variance explained of
hidden voxels (1 - squared error, in deviations of each person's recording) by ridge, by the factors
of SC-MBM alone (0 without) and by all of it; and the difference of all to ridge, paired within
people, with its 95 % interval over resampled people.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from brainreel.checkpoints.store import load_state
from brainreel.data.samples import Fold, Segment, Series
from brainreel.data.series import SeriesData
from brainreel.layers.masking import keep_lowest
from brainreel.models.sc_mbm import SCMBM, SCMBMConfig
from brainreel.train.filling import rounds
from brainreel.train.film_network import network_state
from brainreel.train.mask_fill import MaskConfig
from brainreel.train.optim import OptimConfig
from brainreel.train.task import Job
from brainreel.train.trainer import TrainerConfig

PENALTIES = np.logspace(1.5, 4.5, 13)


def people_of(path: Path, key: str, n_validation: int, n_test: int) -> Series:
    """Everybody's recording; the last people by number are tested, those before them validate."""
    told = {
        "name": "series",
        "path": path,
        "bold_key": key,
        "splits": [{"name": "hold_out_subject"}],
    }
    data = SeriesData.parse(told).open()
    whole = tuple(Segment(i, 0, r.bold.n_trs) for i, r in enumerate(data.recordings))
    n = len(whole) - n_test
    fold = Fold(
        "people",
        "people",
        train=whole[: n - n_validation],
        validation=whole[n - n_validation : n],
        test=whole[n:],
    )
    return Series(data.recordings, (fold,), data.sources)


def deviations(data: Series, segments: tuple[Segment, ...]) -> list[np.ndarray]:
    """(T, V) of each person, z-scored by their own recording."""
    found = []
    for segment in segments:
        values = data.bold_of(segment).astype(np.float64)
        spread = values.std(axis=0)
        found.append((values - values.mean(axis=0)) / np.where(spread > 0, spread, 1))
    return found


def ridge_errors(
    train: list[np.ndarray], chosen: list[np.ndarray], test: list[np.ndarray], hidden: np.ndarray
) -> np.ndarray:
    """(people,) summed squared error of hidden voxels, by the penalty that is best for others."""
    rows, others = np.concatenate(train), np.concatenate(chosen)
    seen = ~hidden
    covariance = rows.T @ rows
    size, ways = np.linalg.eigh(covariance[np.ix_(seen, seen)])
    target = ways.T @ covariance[np.ix_(seen, hidden)]

    def weights(penalty: float) -> np.ndarray:
        return ways @ (target / (size + penalty)[:, None])

    losses = [
        np.square(others[:, seen] @ weights(penalty) - others[:, hidden]).sum()
        for penalty in PENALTIES
    ]
    best = weights(PENALTIES[int(np.argmin(losses))])
    return np.array([np.square(x[:, seen] @ best - x[:, hidden]).sum() for x in test])


@torch.no_grad()
def network_errors(
    network: SCMBM, test: list[np.ndarray], noise: torch.Tensor, hidden: np.ndarray
) -> np.ndarray:
    """(2, people) summed squared error of hidden voxels, of the network and of its factors alone.

    Hidden voxels are 0 in what the network is given.
    """
    found = []
    for x in test:
        given = torch.from_numpy(np.where(hidden, 0, x).astype(np.float32))
        out = network(given, noise.expand(len(x), -1))
        linear = torch.zeros_like(out.predicted)
        if network.factors is not None:
            linear = network.factors(out.measured, out.removed)
        both = [t.flatten(1)[:, : x.shape[1]].double().numpy() for t in (out.predicted, linear)]
        found.append([np.square(told - x)[:, hidden].sum() for told in both])
    return np.array(found).T


def fitted(data: Series, options: argparse.Namespace, ratio: float) -> SCMBM:
    """The network, trained; of the epoch that was best for the people who validate."""
    model = SCMBMConfig.parse({
        "patch": options.patch, "width": options.width, "depth": options.depth, "heads": 8,
        "decoder_width": options.width, "decoder_depth": 1, "decoder_heads": 8,
        "mask_ratio": ratio, "factors": options.factors, "positions": "learned",
        "padding": "constant",
    })  # fmt: skip
    trainer = TrainerConfig.parse(
        {"max_epochs": options.epochs, "progress": False, "accelerator": "cpu"}
        | {"checkpoint_every_steps": 0}
    )
    task = MaskConfig(batch=options.batch, voxel_dropout=options.voxel_dropout)
    with tempfile.TemporaryDirectory() as folder:
        job = Job(
            data,
            data.folds[0],
            model,
            OptimConfig(lr=options.lr),
            trainer,
            options.seed,
            Path(folder),
        )
        state = task.fit(job)
    network = model.build(task.spec(job))
    load_state(network, network_state(state), where="fit")
    return network.eval()


def interval(differences: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean over resampled people."""
    rng = np.random.default_rng(0)
    n = len(differences)
    means = differences[rng.integers(0, n, (10_000, n))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--bold-key", default="bold")
    parser.add_argument("--ratios", type=float, nargs="+", default=[0.25, 0.5, 0.75, 0.9])
    parser.add_argument("--validation", type=int, default=6, help="people who choose")
    parser.add_argument("--test", type=int, default=8, help="people who are tested")
    parser.add_argument("--patch", type=int, default=16)
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--voxel-dropout", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = people_of(options.path, options.bold_key, options.validation, options.test)
    fold = data.folds[0]
    parts = (fold.train, fold.validation, fold.test)
    sides = [deviations(data, part) for part in parts]
    n_voxels = sides[0][0].shape[1]
    print(f"{len(fold.train)} people train, {len(fold.validation)} choose, {len(fold.test)} test")
    print("mask ratio   ridge  factors  SC-MBM   difference (95 % interval)  better for  seconds")
    for ratio in options.ratios:
        began = time.perf_counter()
        network = fitted(data, options, ratio)
        spent = time.perf_counter() - began
        draws = rounds(
            network.encoder.n_patches, ratio, torch.Generator().manual_seed(options.seed)
        )
        ours, theirs, counted = np.zeros((2, len(fold.test))), np.zeros(len(fold.test)), 0
        for noise in draws:
            removed = keep_lowest(noise[None], ratio).removed[0]
            hidden = removed.repeat_interleave(options.patch)[:n_voxels].numpy()
            ours += network_errors(network, sides[2], noise[None], hidden)
            theirs += ridge_errors(*sides, hidden)
            counted += hidden.sum()
        each = counted * np.array([len(x) for x in sides[2]])
        gain = (theirs - ours[0]) / each
        shares = [1 - (errors / each).mean() for errors in (theirs, ours[1], ours[0])]
        low, high = interval(gain)
        print(
            f"{ratio:10g}  {shares[0]:.4f}   {shares[1]:.4f}  {shares[2]:.4f}  "
            f"{gain.mean():+.4f} ({low:+.4f} to {high:+.4f})      {(gain > 0).sum()} of {len(gain)}"
            f"   {spent:6.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
