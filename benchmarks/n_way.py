"""N-way identification and n-way scores by a classifier: exact, and drawn trials, against a loop.

    python benchmarks/n_way.py [--items 1000] [--n-way 50] [--trials 1000]

The loop draws the distractors of every trial of every item, as published scoring code does; it
is timed on a few items and scaled up.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from brainreel.metrics.identification import segment_identification_null
from brainreel.metrics.image_pairs import ssim_pairs
from brainreel.metrics.images import ssim
from brainreel.metrics.permutation import block_permutation_p
from brainreel.metrics.ranking import n_way_classification, n_way_identification


def loop(
    similarity: np.ndarray, n_way: int, n_trials: int, items: int, rng: np.random.Generator
) -> np.ndarray:
    """Share of trials won by each of the first `items` items."""
    n = similarity.shape[1]
    found = np.empty(items)
    for i in range(items):
        others = np.delete(np.arange(n), i)
        won = 0
        for _ in range(n_trials):
            drawn = rng.choice(others, n_way - 1, replace=False)
            won += similarity[i, i] > similarity[i, drawn].max()
        found[i] = won / n_trials
    return found


def class_loop(
    scores: np.ndarray, label: np.ndarray, n_way: int, n_trials: int, rng: np.random.Generator
) -> np.ndarray:
    """Share of trials in which the true class beats n - 1 random others, picture by picture."""
    found = np.empty(len(scores))
    for i, row in enumerate(scores):
        others = np.delete(np.arange(len(row)), label[i])
        won = 0
        for _ in range(n_trials):
            won += row[label[i]] > row[rng.choice(others, n_way - 1, replace=False)].max()
        found[i] = won / n_trials
    return found


def classifier_scores(n: int, ways: int, trials: int, rng: np.random.Generator) -> None:
    """Time the n-way score of n pictures by a classifier of ImageNet's 1000 classes."""
    label = rng.integers(1000, size=n)
    logits = rng.standard_normal((n, 1000))
    logits[np.arange(n), label] += 2
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    few = min(n, 5)
    slow = seconds(lambda: class_loop(scores[:few], label, ways, trials, rng), repeats=1) * n / few
    drawn = seconds(lambda: n_way_classification(scores, label, ways, n_trials=trials, rng=rng))
    exact = seconds(lambda: n_way_classification(scores, label, ways))
    gap = class_loop(scores[:few], label, ways, trials, rng)
    gap = np.abs(gap - n_way_classification(scores, label, ways)[:few]).max()
    print(f"{ways}-way top-1 of {n} pictures by a classifier of 1000 classes, {trials} trials each")
    print(f"  loop                {slow:9.2f} s (scaled from {few} pictures)")
    print(f"  drawn trials        {drawn:9.4f} s, {slow / drawn:8.0f} times faster")
    print(f"  exact expectation   {exact:9.4f} s, {slow / exact:8.0f} times faster")
    print(f"  largest difference from the loop: {gap:.4f}")


def all_pairs(n: int, rng: np.random.Generator) -> None:
    """Time SSIM of n reconstructions against n pictures, against one call a pair."""
    predicted, true = rng.random((2, n, 3, 64, 64), dtype=np.float32)
    few = min(n, 10)
    one = seconds(lambda: [ssim(predicted[:1], true[j : j + 1]) for j in range(few)]) * n * n / few
    pairs = seconds(lambda: ssim_pairs(predicted, true), repeats=1)
    print(f"SSIM of all pairs of {n} pictures of 3 x 64 x 64")
    print(f"  a call a pair       {one:9.2f} s (scaled from {few} pairs)")
    print(f"  at once             {pairs:9.2f} s, {one / pairs:8.0f} times faster")


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """Best of some runs."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--n-way", type=int, default=50)
    parser.add_argument("--trials", type=int, default=1000)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    n, ways, trials = options.items, options.n_way, options.trials
    similarity = rng.standard_normal((n, n)) + 2.5 * np.eye(n)
    few = min(n, 5)
    slow = seconds(lambda: loop(similarity, ways, trials, few, rng), repeats=1) * n / few
    drawn = seconds(lambda: n_way_identification(similarity, ways, n_trials=trials, rng=rng))
    exact = seconds(lambda: n_way_identification(similarity, ways))
    by_loop = loop(similarity, ways, trials, few, rng)
    expected = n_way_identification(similarity, ways).per_item[:few]
    print(f"{ways}-way identification of {n} items, {trials} trials each")
    print(f"  loop                {slow:9.2f} s (scaled from {few} items)")
    print(f"  drawn trials        {drawn:9.4f} s, {slow / drawn:8.0f} times faster")
    print(f"  exact expectation   {exact:9.4f} s, {slow / exact:8.0f} times faster")
    print(f"  largest difference from the loop: {np.abs(by_loop - expected).max():.4f}")

    classifier_scores(50, ways, trials, rng)
    all_pairs(50, rng)

    x, y = rng.standard_normal((2, 240, 1000))
    options_p = {"n_permutations": 1000, "block_trs": 10, "rng": rng}
    p = seconds(lambda: block_permutation_p(x, y, **options_p))
    null = seconds(lambda: segment_identification_null(x, y, segment_trs=10, n_way=5, **options_p))
    print("1000 surrogates of 240 TRs x 1000 voxels")
    print(f"  voxelwise p, max-statistic and median  {p:6.2f} s")
    print(f"  identification of 24 windows           {null:6.2f} s")


if __name__ == "__main__":
    main()
