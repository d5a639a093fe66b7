"""What a scanner adds that no film explains: slow drifts, and the traces of head motion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Float = NDArray[np.float64]

MOTION_NAMES = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")

# Slower than the usual high-pass of 1/128 Hz, so that cleaning takes a drift away whole.
_DRIFT_PERIOD_S = 140.0
_HEAD_RADIUS_MM = 50.0


@dataclass(frozen=True, eq=False)
class Nuisance:
    """Drift and motion in one run: `design @ weights` is what they add to the signal.

    Attributes
    ----------
    design
        (T, R) regressors, each of mean 0 and deviation 1: six of motion, then cosines.
    weights
        (R, V) their weight in each voxel, in scanner units.
    motion
        (T, 6) translations in millimetres and rotations in radians.
    """

    design: Float
    weights: Float
    motion: Float

    @property
    def signal(self) -> Float:
        """(T, V) what drifts and motion add."""
        return self.design @ self.weights


def draw_nuisance(
    n_trs: int,
    tr_s: float,
    noise_std: Float,
    *,
    drift: float,
    motion: float,
    rng: np.random.Generator,
) -> Nuisance:
    """Draw drifts and motion of one run; their sizes are in units of each voxel's noise."""
    moved = _draw_motion(n_trs, rng)
    slow = _drift_cosines(n_trs, tr_s)
    regressors = np.concatenate([moved, slow], axis=1)
    regressors = regressors - regressors.mean(axis=0)
    design = regressors / regressors.std(axis=0)
    n_moved, n_slow = moved.shape[1], slow.shape[1]
    sizes = [motion / np.sqrt(n_moved)] * n_moved + [drift / np.sqrt(max(n_slow, 1))] * n_slow
    drawn = rng.standard_normal((n_moved + n_slow, len(noise_std)))
    return Nuisance(design, np.array(sizes)[:, None] * drawn * noise_std, moved)


def confounds_table(
    nuisance: Nuisance, global_signal: NDArray[np.floating], inner: NDArray[np.floating]
) -> tuple[pd.DataFrame, dict[str, object]]:
    """Return the confounds of one run and their sidecar, with the columns that fMRIPrep writes.

    Parameters
    ----------
    nuisance
        The run's motion.
    global_signal
        (T,) mean of the measured signal over the brain.
    inner
        (T, I) measured signal of untuned voxels that stand for white matter and ventricles.
    """
    table: dict[str, Float] = {}
    for name, moved in zip(MOTION_NAMES, nuisance.motion.T, strict=True):
        change = np.concatenate([[np.nan], np.diff(moved)])
        table[name], table[f"{name}_derivative1"] = moved, change
        table[f"{name}_power2"], table[f"{name}_derivative1_power2"] = moved**2, change**2
    steps = np.abs(np.diff(nuisance.motion, axis=0)) * ([1.0] * 3 + [_HEAD_RADIUS_MM] * 3)
    table["framewise_displacement"] = np.concatenate([[np.nan], steps.sum(axis=1)])
    table["global_signal"] = global_signal.astype(np.float64)
    table["white_matter"] = inner.mean(axis=1)
    centred = inner - inner.mean(axis=0)
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    share = size**2 / np.sum(size**2)
    sidecar: dict[str, object] = {}
    for number in range(min(5, len(size))):
        name = f"a_comp_cor_{number:02d}"
        table[name] = left[:, number]
        sidecar[name] = {
            "Mask": "combined",
            "Method": "aCompCor",
            "Retained": True,
            "SingularValue": float(size[number]),
            "VarianceExplained": float(share[number]),
            "CumulativeVarianceExplained": float(share[: number + 1].sum()),
        }
    return pd.DataFrame(table), sidecar


def _draw_motion(n_trs: int, rng: np.random.Generator) -> Float:
    """Draw a slow wander of about 0.1 mm and 0.1 degrees, with breathing and small jerks on it.

    The quick part keeps motion apart from drifts and from what films evoke, as breathing does.
    """
    wander = np.cumsum(rng.standard_normal((n_trs, 6)), axis=0) / np.sqrt(n_trs)
    jerks = np.where(rng.random((n_trs, 1)) < 0.03, 3.0, 0.0)
    quick = (0.6 + jerks) * rng.standard_normal((n_trs, 6))
    moved: Float = (wander + quick) * ([0.1] * 3 + [0.0018] * 3)
    return moved


def _drift_cosines(n_trs: int, tr_s: float) -> Float:
    """Return (T, R) cosines (DCT-II) with periods above 140 s; none in a short run."""
    n_waves = int(np.ceil(2 * n_trs * tr_s / _DRIFT_PERIOD_S)) - 1
    order = np.arange(1, n_waves + 1)
    return np.cos(np.pi * (np.arange(n_trs)[:, None] + 0.5) * order / n_trs)
