"""Time of ridge against himalaya called directly, on the same random data in one process.

    python benchmarks/ridge.py --trs 1000 --features 2000 --voxels 50000

Both choose one penalty per voxel by the same inner folds and refit on all rows. himalaya is given
its faster solver for the shape (kernels where features outnumber TRs) and the same batches of
voxels. The two take turns. Printed: the best wall and CPU seconds of each, their ratios, peak
memory, and the largest difference of the predictions. On a busy
machine set OPENBLAS_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
from himalaya.kernel_ridge import KernelRidgeCV
from himalaya.ridge import RidgeCV

from brainreel.models.inner_folds import inner_folds
from brainreel.models.ridge import Ridge, RidgeConfig


def make(n_trs: int, n_features: int, n_voxels: int) -> tuple[np.ndarray, np.ndarray]:
    """Standardised features, and targets of zero mean that they explain in part."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_trs, n_features), dtype=np.float32)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    W = rng.standard_normal((n_features, n_voxels), dtype=np.float32) / np.sqrt(n_features)
    Y = X @ W + rng.standard_normal((n_trs, n_voxels), dtype=np.float32)
    return X, Y - Y.mean(axis=0)


def clocks() -> np.ndarray:
    """Wall and CPU clocks in seconds; only the second tells anything on a busy machine."""
    return np.array([time.perf_counter(), time.process_time()])


def run_himalaya(
    config: RidgeConfig, X: np.ndarray, Y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Wall and CPU seconds of the fit, and predictions of the training rows."""
    folds = inner_folds(len(X), n_folds=config.n_folds, gap_rows=config.gap_trs)
    longest = max(validation.size for _, validation in folds)
    batch = max(1, (config.batch_mb << 20) // (4 * len(config.alphas) * longest))
    refit = max(1, (config.batch_mb << 20) // (4 * len(config.alphas) * max(X.shape)))
    params = {"n_targets_batch": batch, "n_targets_batch_refit": refit}
    kernel = X.shape[1] > X.shape[0]
    solver = KernelRidgeCV if kernel else RidgeCV
    alphas = np.array(config.alphas, dtype=np.float32)
    model = solver(alphas=alphas, cv=folds, solver_params=params)
    begun = clocks()
    model.fit(X, Y)
    return clocks() - begun, model.predict(X)


def run_brainreel(
    config: RidgeConfig, X: np.ndarray, Y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Wall and CPU seconds of the fit, and predictions of the training rows."""
    model = Ridge(config, {"all": X.shape[1]})
    begun = clocks()
    model.fit(X, Y, rng=np.random.default_rng(0))
    return clocks() - begun, model.predict(X)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trs", type=int, default=1000)
    parser.add_argument("--features", type=int, default=2000)
    parser.add_argument("--voxels", type=int, default=50_000)
    parser.add_argument("--backend", default="numpy", help="of brainreel's search")
    parser.add_argument("--batch-mb", type=int, default=RidgeConfig().batch_mb)
    parser.add_argument("--repeats", type=int, default=3, help="turns of both; the best counts")
    parser.add_argument("--alone", action="store_true", help="do not run himalaya directly")
    options = parser.parse_args()
    X, Y = make(options.trs, options.features, options.voxels)
    config = RidgeConfig(backend=options.backend, batch_mb=options.batch_mb)
    print(
        f"{X.shape[0]} TRs x {X.shape[1]} features x {Y.shape[1]} voxels, "
        f"{len(config.alphas)} penalties, {config.n_folds} folds, {config.backend}"
    )
    ours, predicted = run_brainreel(config, X, Y)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if options.alone:
        print(f"brainreel  {ours[0]:8.1f} s wall {ours[1]:8.1f} s CPU   peak {peak:.1f} GB")
        return
    theirs, witness = run_himalaya(config, X, Y)
    for _ in range(options.repeats - 1):
        ours = np.minimum(ours, run_brainreel(config, X, Y)[0])
        theirs = np.minimum(theirs, run_himalaya(config, X, Y)[0])
    difference = np.abs(predicted - witness).max()
    wall, cpu = ours / theirs
    print(f"brainreel  {ours[0]:8.1f} s wall {ours[1]:8.1f} s CPU   peak {peak:.1f} GB")
    print(f"himalaya   {theirs[0]:8.1f} s wall {theirs[1]:8.1f} s CPU   called directly")
    print(f"ratio      {wall:8.2f}        {cpu:8.2f}         largest difference {difference:.1e}")


if __name__ == "__main__":
    main()
