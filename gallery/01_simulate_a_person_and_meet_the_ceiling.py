"""Simulate a person and meet the ceiling
======================================

No model predicts a voxel with a correlation of 1, because a part of what the scanner measures is
noise. How high can it come? For a simulated person the answer is exact. This script makes such a
person, looks at the answer from three sides, and holds a model against it:

1. the formula against brute force: the same film, scanned again and again;
2. what one would estimate without knowing the truth, from a few repeats;
3. what a banded ridge reaches on a film that it never saw.

Run it with ``python gallery/01_simulate_a_person_and_meet_the_ceiling.py``. It writes three figures
and takes about 20 seconds.
"""

# %%
# Where the figures go
# --------------------

import argparse
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np

from brainreel.data.films import FilmsData
from brainreel.fmri.bids import find_runs
from brainreel.fmri.normalize import clean, make_cleaner
from brainreel.fmri.prepare import PrepareConfig, prepare, read_store
from brainreel.metrics.ceiling import split_half_ceiling
from brainreel.metrics.correlation import pearson_r
from brainreel.models.ridge import BandedRidgeConfig
from brainreel.report.brainmap import draw_glass_brain
from brainreel.report.style import (
    CEILING,
    INK,
    MEASURED,
    MUTED,
    PAPER,
    PREDICTED,
    RULE,
    SECOND,
    canvas,
    drawing,
    note,
    place,
    ramp,
)
from brainreel.simulate.study import StudyConfig, simulate_study
from brainreel.simulate.subject import ar1_noise
from brainreel.stimulus.frames import read_frames
from brainreel.train.feature_ridge import (
    FeatureRidgeConfig,
    fit_feature_ridge,
    predict_feature_ridge,
)

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--out", type=Path, default=Path("gallery/out"), help="folder of the figures")
OUT = parser.parse_args().out
OUT.mkdir(parents=True, exist_ok=True)
NAME = "01_ceiling"

# %%
# A person, three films
# ---------------------
# The study is a BIDS folder like any other: films with sound, NIfTI runs, events, sidecars,
# confounds. Beside it, in ``derivatives/truth``, lies what a real study never has: the signal
# without noise. Nothing that fits a model reads that folder.

scratch = tempfile.TemporaryDirectory(prefix="brainreel-gallery-")
study = Path(scratch.name) / "study"
FILM_S = 180
truth = simulate_study(
    study,
    StudyConfig(
        n_subjects=1,
        n_films=3,
        film_duration_s=FILM_S,
        frame_size=(64, 96),
        voxel_size_mm=12,
        n_train_pictures=0,
        n_test_pictures=0,
        seed=4,
    ),
)

# %%
# Cleaning changes the ceiling
# ----------------------------
# ``prepare`` takes slow drifts and the traces of head motion out of every voxel. That takes a
# little of the signal along, so the ceiling belongs to the *cleaned* data. Cleaning is one linear
# map of time, P, and the same P is applied to the truth.

store = Path(scratch.name) / "store"
options = PrepareConfig.parse({"clean": {"confounds": ["motion:basic"]}}, where="gallery")
prepare(find_runs(study), store, options)
run = read_store(store)[-1]  # the third film, which will be the test
known = truth.run(run.label)
tr_s = run.grid.tr_s

cleaner = make_cleaner(run.grid.n_trs, tr_s, run.clean_config, run.confounds_used.to_numpy())
ceiling = known.ceiling(cleaner)
signal = cleaner(np.asarray(known.signal, dtype=np.float64))
measured = run.bold().data
tuned = known.tuned
print(f"{run.label}: {run.n_voxels} voxels, {tuned.sum()} of them tuned to something")
print(f"exact ceiling of the tuned voxels: median r = {np.median(ceiling[tuned]):.2f}")

# %%
# One voxel, seen closely
# -----------------------
# Below the film: what a voxel of the motion region would say without noise, and what the scanner
# wrote down. Their correlation is one draw; its expectation is the ceiling.

motion = np.flatnonzero(known.regions == "motion")
voxel = motion[np.argsort(ceiling[motion])[len(motion) // 2]]
minutes = np.array([float(run.grid.onset_s(tr)) for tr in range(run.grid.n_trs)]) / 60
r_here = pearson_r(signal[:, [voxel]], measured[:, [voxel]])[0]

WIDTH, LEFT = 940, 70
with drawing():
    figure = canvas(WIDTH, 300)
    inner = WIDTH - LEFT - 20
    note(figure, LEFT, 20, "One voxel that follows motion", INK, bold=True)
    note(figure, LEFT + 330, 20, "without noise", PREDICTED, bold=True)
    note(figure, LEFT + 440, 20, "measured", MEASURED, bold=True)
    told = f"r = {r_here:.2f}    ceiling {ceiling[voxel]:.2f}"
    note(figure, LEFT + inner - 155, 20, told, MUTED)
    n_frames = 13
    shown_at = [Fraction(FILM_S) * (2 * i + 1) / (2 * n_frames) for i in range(n_frames)]
    frames = read_frames(run.film, shown_at)
    strip = place(figure, LEFT, 38, inner, 45)
    strip.imshow(np.concatenate(list(frames.transpose(0, 2, 3, 1)), axis=1), aspect="auto")
    strip.axis("off")
    axes = place(figure, LEFT, 96, inner, 150)
    scale = measured[:, voxel].std()
    axes.axhline(0, color=RULE, linewidth=1)
    axes.plot(minutes, measured[:, voxel] / scale, color=MEASURED, linewidth=1.5)
    axes.plot(minutes, signal[:, voxel] / scale, color=PREDICTED, linewidth=2.4)
    axes.set_xlim(0, FILM_S / 60)
    axes.set_xlabel("film time (min)")
    axes.set_ylabel("BOLD (SD)")
    figure.savefig(OUT / f"{NAME}_voxel.png", dpi=144, facecolor=PAPER)

# %%
# The formula against brute force
# -------------------------------
# r_max = √(signal power / (signal power + noise power)), with both powers taken after cleaning.
# The other way to know it: scan the person 300 times. The average correlation is the ceiling; a
# single scan may lie above it by luck.

rng = np.random.default_rng(0)
clean_truth = known.signal[:, [voxel]]
scans = []
for _ in range(300):
    noise = ar1_noise(run.grid.n_trs, known.noise_std[[voxel]], known.ar, rng)
    scan = cleaner(clean_truth + known.nuisance[:, [voxel]] + noise)
    scans.append(pearson_r(signal[:, [voxel]], scan)[0])
print(f"formula {ceiling[voxel]:.3f}, mean over {len(scans)} scans {np.mean(scans):.3f}")

# %%
# Without the truth: repeats
# --------------------------
# Real people can be shown the film again. From four scans, ``split_half_ceiling`` estimates the
# same number: it correlates halves of the repeats and corrects for their length
# (Spearman-Brown). Where there is signal it is right on average, and uncertain for each voxel.
# Where there is none it comes out above 0, because negative estimates are cut off: a ceiling of
# 0.3 from four repeats says little.

repeats = np.stack(
    [
        clean(
            known.signal + ar1_noise(run.grid.n_trs, known.noise_std, known.ar, rng),
            tr_s,
            run.clean_config,
            run.confounds_used.to_numpy(),
        )
        for _ in range(4)
    ]
)
estimate = split_half_ceiling(repeats).r

# %%
# A model under the ceiling
# -------------------------
# Banded ridge on low-level features of picture and sound, delayed by 0 to 20 s so that it can find
# the person's own haemodynamic response. It learns from two films and is tested on the third.

series = FilmsData(path=store).open()
fold = series.folds[0]
task = FeatureRidgeConfig(
    features=("luminance", "contrast", "motion_energy", "spectrum", "loudness", "pitch"),
    high_pass_hz=1 / 128,
)
model = BandedRidgeConfig(n_candidates=20)
state = fit_feature_ridge(series, fold, model, task, seed=0)
prediction = predict_feature_ridge(series, fold, model, task, state)[0]
r = pearson_r(prediction.predicted, prediction.measured)
share = np.median(r[tuned] / ceiling[tuned])
print(f"banded ridge: median r {np.median(r[tuned]):.2f} of {np.median(ceiling[tuned]):.2f}")
print(f"median share of the ceiling: {share:.0%}")

# %%
# The three views side by side
# ----------------------------

REGIONS = {
    "sees": (("luminance", "contrast", "motion"), PREDICTED),
    "hears": (("pitch", "loudness"), CEILING),
    "both": (("both",), SECOND),
    "nothing": (("none",), MEASURED),
}


def square(figure, left, title):
    """Axes for a correlation against the exact ceiling."""
    note(figure, left, 20, title, INK, bold=True)
    axes = place(figure, left, 44, 250, 250)
    axes.axline((0, 0), slope=1, color=RULE, linewidth=1.2, zorder=0)
    axes.set(xlim=(-0.04, 1), ylim=(-0.3, 1), xlabel="exact ceiling (r)")
    return axes


with drawing():
    figure = canvas(WIDTH, 352)
    note(figure, 40, 20, "300 scans of one voxel", INK, bold=True)
    axes = place(figure, 40, 44, 230, 250)
    counts, _, _ = axes.hist(scans, bins=16, color=PREDICTED, alpha=0.5, rwidth=0.94)
    axes.set_ylim(0, counts.max() * 1.14)
    axes.axvline(ceiling[voxel], color=CEILING, linewidth=2.2)
    at = (ceiling[voxel], counts.max() * 1.13)
    axes.text(*at, "formula  ", color=CEILING, ha="right", va="top", fontweight="bold")
    axes.set(xlabel="r of signal with scan", yticks=[])
    axes.spines["left"].set_visible(False)

    for left, title, values, label in (
        (340, "Estimated from 4 repeats", estimate, "split-half ceiling (r)"),
        (660, "Banded ridge, film never seen", r, "r of prediction with scan"),
    ):
        axes = square(figure, left, title)
        for names, colour in reversed(REGIONS.values()):
            chosen = np.isin(known.regions, names)
            # Voxels tuned to nothing share one ceiling, 0; a little jitter sets them apart.
            across = ceiling[chosen] + rng.normal(0, 0.008, chosen.sum()) * (names == ("none",))
            axes.scatter(across, values[chosen], s=8, color=colour, alpha=0.5, linewidths=0)
        axes.set_ylabel(label, labelpad=2)
    for i, (name, (_, colour)) in enumerate(REGIONS.items()):
        note(figure, 840, 236 + 16 * i, name, colour, bold=True)
    figure.savefig(OUT / f"{NAME}_three_views.png", dpi=144, facecolor=PAPER)

# %%
# Where in the brain
# ------------------
# The same numbers as maps, on one scale. r alone would blame the model for the voxels that are
# hard to measure; the distance between the two maps is what the model really lacks.

with drawing():
    figure = canvas(WIDTH, 420)
    reached = np.where(tuned, r, 0.0)
    for top, title, values in (
        (16, "The exact ceiling", ceiling),
        (216, "What the ridge reaches", reached),
    ):
        note(figure, 40, top + 6, title, INK, bold=True)
        box = (0.04, 1 - (top + 192) / 420, 0.86, 176 / 420)
        draw_glass_brain(figure, box, values, run.mask, "lyrz", vmax=0.9)
    key = place(figure, WIDTH - 62, 150, 12, 140)
    key.imshow(np.linspace(1, 0, 256)[:, None], aspect="auto", cmap=ramp())
    key.axis("off")
    note(figure, WIDTH - 66, 138, "r = 0.9", MUTED)
    note(figure, WIDTH - 60, 304, "0", MUTED)
    figure.savefig(OUT / f"{NAME}_maps.png", dpi=144, facecolor=PAPER)

scratch.cleanup()
print(f"Figures: {OUT}/{NAME}_voxel.png, {NAME}_three_views.png, {NAME}_maps.png")
