"""What is known of a simulated run, and the exact ceiling that follows from it.

The truth lies beside the data in `derivatives/truth/`; nothing that fits a model reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainreel.errors import DataError, did_you_mean
from brainreel.files import read_json
from brainreel.shapes import check_shape

Float = NDArray[np.floating]

TRUTH_FOLDER = Path("derivatives") / "truth"


def exact_ceiling(
    signal: Float,
    noise_std: Float,
    ar: float,
    *,
    clean: Callable[[Float], Float] = lambda values: values,
    nuisance: Float | None = None,
) -> NDArray[np.float64]:
    r"""Correlation of the perfect prediction, the noise-free signal, with what was measured.

    .. math:: r_{max} = \frac{\langle P s, P (s + d) \rangle}
              {|P s| \sqrt{|P (s + d)|^2 + \sigma^2 \, \mathrm{tr}(P \Sigma P')}}

    with s the noise-free signal, d the nuisance, sigma the noise's standard deviation, Sigma its
    AR(1) correlation ar^|i - j|, and P the cleaning followed by taking out the mean over time.
    Without nuisance this is sqrt(signal power / (signal power + noise power)), and no prediction
    from the stimulus does better in expectation. It is the correlation of expected moments; the
    mean of r over draws of the noise differs from it by the order of 1 / T.

    Parameters
    ----------
    signal
        (T, V) noise-free signal s.
    noise_std
        (V,) sigma, in the units of the signal.
    ar
        Autocorrelation of the noise at one TR, 0 for white noise.
    clean
        The same linear cleaning that the data got: (T, n) -> (T', n) for any n. It may drop
        volumes (score a part of a run), but must treat each column alone.
    nuisance
        (T, V) drifts and motion d, where the cleaning does not take all of them away.

    Returns
    -------
    (V,) ceiling in [0, 1]; 0 where there is no signal, or a nuisance turns it about.

    Raises
    ------
    ShapeError
        If the arrays do not fit together.

    Notes
    -----
    With C a root of Sigma, tr(P Sigma P') = |P C|^2, so P is only ever applied to columns.
    """
    return ceiling_sums(signal, noise_std, ar, clean=clean, nuisance=nuisance).ceiling()


@dataclass(frozen=True, eq=False)
class CeilingSums:
    """Sums over time behind an exact ceiling; those of several runs add up to one ceiling.

    Attributes
    ----------
    shared
        (V,) <P s, P (s + d)>.
    best
        (V,) |P s|^2.
    measured
        (V,) |P (s + d)|^2 + sigma^2 tr(P Sigma P').
    """

    shared: NDArray[np.float64]
    best: NDArray[np.float64]
    measured: NDArray[np.float64]

    def __add__(self, other: CeilingSums) -> CeilingSums:
        """Return the sums over both runs."""
        return CeilingSums(
            self.shared + other.shared, self.best + other.best, self.measured + other.measured
        )

    def ceiling(self) -> NDArray[np.float64]:
        """Return the (V,) ceiling in [0, 1]; 0 where there is no signal."""
        size = np.sqrt(self.best * self.measured)
        ceiling = np.divide(self.shared, size, out=np.zeros(len(size)), where=size > 0)
        return np.clip(ceiling, 0, 1)


def ceiling_sums(
    signal: Float,
    noise_std: Float,
    ar: float,
    *,
    clean: Callable[[Float], Float] = lambda values: values,
    nuisance: Float | None = None,
) -> CeilingSums:
    """Return the sums behind `exact_ceiling`, whose parameters these are, for one run."""
    sizes = check_shape(signal, "T V", name="signal")
    check_shape(noise_std, "V", name="noise_std", **{"V": sizes["V"]})
    if nuisance is not None:
        check_shape(nuisance, "T V", name="nuisance", **sizes)
    best = _centred(clean(np.asarray(signal, dtype=np.float64)))
    added = 0.0 if nuisance is None else _centred(clean(np.asarray(nuisance, dtype=np.float64)))
    expected = best + added
    noise = _centred(clean(_ar1_root(sizes["T"], ar)))
    noise_power = np.asarray(noise_std, dtype=np.float64) ** 2 * np.sum(noise**2)
    return CeilingSums(
        np.sum(best * expected, axis=0),
        np.sum(best**2, axis=0),
        np.sum(expected**2, axis=0) + noise_power,
    )


def _centred(values: Float) -> Float:
    centred: Float = values - values.mean(axis=0)
    return centred


def _ar1_root(n_trs: int, ar: float) -> Float:
    """Return C with C C' = Sigma: the noise is C times white noise."""
    lag = np.arange(n_trs)[:, None] - np.arange(n_trs)
    root = np.where(lag >= 0, float(ar) ** np.maximum(lag, 0), 0.0)
    root[:, 1:] *= np.sqrt(1 - ar**2)
    return root


@dataclass(frozen=True, eq=False)
class RunTruth:
    """What is known of one run.

    Attributes
    ----------
    label
        Such as "sub-01_task-film_run-1".
    signal
        (T, V) noise-free signal in scanner units, voxels in the order of the mask.
    nuisance
        (T, V) drifts and motion, in scanner units.
    noise_std
        (V,) standard deviation of the noise.
    ar
        Autocorrelation of the noise at one TR.
    regions
        (V,) what each voxel is tuned to; "none" for nothing.
    """

    label: str
    signal: Float
    nuisance: Float
    noise_std: Float
    ar: float
    regions: NDArray[np.str_]

    @property
    def tuned(self) -> NDArray[np.bool_]:
        """(V,) whether a voxel answers to anything."""
        return np.asarray(self.regions != "none")

    def ceiling(
        self, clean: Callable[[Float], Float] = lambda values: values
    ) -> NDArray[np.float64]:
        """Return the exact ceiling (V,) of this run under a cleaning; see `exact_ceiling`."""
        return self.ceiling_sums(clean).ceiling()

    def ceiling_sums(self, clean: Callable[[Float], Float] = lambda values: values) -> CeilingSums:
        """Return what this run adds to the exact ceiling over several; see `CeilingSums`."""
        return ceiling_sums(
            self.signal, self.noise_std, self.ar, clean=clean, nuisance=self.nuisance
        )


@dataclass(frozen=True)
class StudyTruth:
    """A simulated study on disk whose answers are known.

    Attributes
    ----------
    root
        The BIDS folder.
    labels
        Labels of its runs.
    """

    root: Path
    labels: tuple[str, ...]

    def run(self, label: str) -> RunTruth:
        """Return what is known of one run."""
        return read_truth(self.root, label)


def read_truth(study: Path, label: str) -> RunTruth:
    """Read what is known of one run of a simulated study.

    Parameters
    ----------
    study
        The BIDS folder that `simulate_study` made.
    label
        The run, such as "sub-01_task-film_run-1".

    Raises
    ------
    DataError
        If the folder is no simulated study, or has no such run.
    """
    folder = Path(study) / TRUTH_FOLDER
    if not (folder / "regions.json").is_file():
        raise DataError(f"{study}: no simulated study, {TRUTH_FOLDER}/regions.json is missing.")
    stem = folder / label.split("_", maxsplit=1)[0] / label
    if not stem.with_name(f"{label}_signal.npy").is_file():
        known = [path.name.removesuffix("_signal.npy") for path in folder.rglob("*_signal.npy")]
        raise DataError(f"{study}: no truth of a run '{label}'.{did_you_mean(label, known)}")
    regions = np.array(read_json(folder / "regions.json")["region"])
    signal = np.load(stem.with_name(f"{label}_signal.npy"), mmap_mode="r", allow_pickle=False)
    with np.load(stem.with_name(f"{label}_noise.npz"), allow_pickle=False) as noise:
        nuisance = noise["nuisance_design"] @ noise["nuisance_weights"]
        return RunTruth(label, signal, nuisance, noise["noise_std"], float(noise["ar"]), regions)
