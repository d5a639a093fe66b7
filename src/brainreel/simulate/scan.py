"""One run in the scanner: drift, motion and noise are added and all is written, in constant memory.

A signal is a function of the volumes wanted, so that a run of any size is made, written and
forgotten a few volumes at a time; the file of the truth grows beside the image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainreel.files import write_aside
from brainreel.fmri.columns import write_rows
from brainreel.simulate.bids_files import Task, run_images, write_run_tables
from brainreel.simulate.brain import Brain
from brainreel.simulate.nuisance import Nuisance, confounds_table, draw_nuisance
from brainreel.simulate.subject import Subject, ar1_blocks
from brainreel.simulate.truth import TRUTH_FOLDER

Float = NDArray[np.float64]
Rows = Callable[[slice], Float]

# Numbers that are made at once.
_BLOCK = 2**21
# Untuned voxels that stand for white matter: so many tell its components well enough.
_INNER = 4096


@dataclass(frozen=True, eq=False)
class Scanner:
    """What all runs of a study have in common.

    Attributes
    ----------
    root
        The BIDS folder.
    brain
        Where voxels lie.
    tr_s
        Repetition time in seconds.
    drift, motion
        Sizes of drift and motion in standard deviations of the noise.
    """

    root: Path
    brain: Brain
    tr_s: float
    drift: float
    motion: float


@dataclass(frozen=True, eq=False)
class Session:
    """One run of one person: what was shown, and what it evokes.

    Attributes
    ----------
    task, entities
        The task, and such as "task-film_run-1".
    n_trs
        Volumes T.
    signal
        Volumes [start, stop) to their (t, V) noise-free signal, in scanner units.
    events
        The table of events.
    """

    task: Task
    entities: str
    n_trs: int
    signal: Rows
    events: pd.DataFrame


def scan(scanner: Scanner, subject: Subject, session: Session, rng: np.random.Generator) -> str:
    """Write a run with its confounds and its truth; return its label.

    measured = baseline + signal + drift + motion + noise, rounded to whole scanner units.
    """
    n_trs, label = session.n_trs, f"{subject.name}_{session.entities}"
    nuisance = draw_nuisance(
        n_trs,
        scanner.tr_s,
        subject.noise_std,
        drift=scanner.drift,
        motion=scanner.motion,
        rng=rng,
    )
    folder = scanner.root / TRUTH_FOLDER / subject.name
    brain, given = scanner.brain, (scanner.root, subject.name, session.entities)
    inner = np.flatnonzero(brain.regions == "none")
    inner = inner[:: max(1, -(-len(inner) // _INNER))]
    mean, inside = np.empty(n_trs), np.empty((n_trs, len(inner)))
    with (
        run_images(*given, brain.mask, n_trs, scanner.tr_s) as image,
        write_aside(folder / f"{label}_signal.npy") as truth,
    ):

        def signals() -> Iterator[NDArray[np.float32]]:
            """Yield the truth block by block, each when its volumes have been written."""
            for trs, signal, bold in _measured(subject, session, nuisance, rng):
                mean[trs], inside[trs] = bold.mean(axis=1), bold[:, inner]
                image.write(np.rint(bold))
                yield signal.astype(np.float32)

        write_rows(truth, signals(), n_trs, brain.mask.n_voxels)
    tables = confounds_table(nuisance, mean, inside)
    write_run_tables(*given, session.task, brain.mask, scanner.tr_s, session.events, *tables)
    known: dict[str, NDArray[Any]] = {
        "noise_std": subject.noise_std,
        "ar": np.array(subject.ar),
        "nuisance_design": nuisance.design,
        "nuisance_weights": nuisance.weights,
        "hrf_peak_s": np.array(subject.hrf_peak_s),
        "hrf_width": np.array(subject.hrf_width),
    }
    write_arrays(folder / f"{label}_noise.npz", known)
    return label


def _measured(
    subject: Subject, session: Session, nuisance: Nuisance, rng: np.random.Generator
) -> Iterator[tuple[slice, Float, Float]]:
    """Yield volumes, and their (t, V) noise-free and measured signal."""
    step = max(1, _BLOCK // len(subject.baseline))
    blocks = [slice(at, min(at + step, session.n_trs)) for at in range(0, session.n_trs, step)]
    sizes = [trs.stop - trs.start for trs in blocks]
    noises = ar1_blocks(sizes, subject.noise_std, subject.ar, rng)
    for trs, noise in zip(blocks, noises, strict=True):
        signal = session.signal(trs)
        added = nuisance.design[trs] @ nuisance.weights
        yield trs, signal, subject.baseline + signal + added + noise


def write_arrays(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write arrays by name, compressed."""
    with write_aside(path) as aside, aside.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)
