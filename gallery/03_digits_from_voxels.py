"""Read digits from voxels
=======================

A person looked at handwritten sixes and nines while their visual cortex was scanned. How much of a
digit can be read back from the voxels alone? This script reconstructs pictures with ridge
regression, and then asks the two questions that a picture of pretty reconstructions does not
answer: better than what, and would the method have shown the same with nonsense?

The recording is public but not ours to ship. Give its path, or the folder that holds it::

    python gallery/03_digits_from_voxels.py --data digit69_28x28.mat
    BRAINREEL_DATA=/my/data python gallery/03_digits_from_voxels.py

Without it the script simulates a person who looks at pictures of eight kinds, and says so. Either
way it writes two figures and takes about 8 seconds.
"""

# %%
# Where the data is, and where the figures go
# -------------------------------------------

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np

from brainreel.evaluate.run import evaluate
from brainreel.metrics.correlation import correlation_similarity
from brainreel.metrics.ranking import n_way_identification
from brainreel.report.style import (
    CEILING,
    INK,
    MEASURED,
    MUTED,
    PAPER,
    PREDICTED,
    RULE,
    canvas,
    drawing,
    note,
    place,
    ramp,
)
from brainreel.simulate.pictures import answer_pictures, draw_pictures, draw_tuning
from brainreel.train.fit import fit
from brainreel.train.prediction_files import load_predictions
from brainreel.train.predictions import PicturePrediction
from brainreel.train.recipe import resolve

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--out", type=Path, default=Path("gallery/out"), help="folder of the figures")
parser.add_argument("--data", type=Path, help="digit69_28x28.mat")
arguments = parser.parse_args()
OUT = arguments.out
OUT.mkdir(parents=True, exist_ok=True)
NAME = "03_digits"

# %%
# Real digits, or simulated pictures
# ----------------------------------
# The recording: 100 digits, 3092 voxels of V1 to V3 (van Gerven et al. 2010). The stand-in: 120
# colour pictures of eight kinds seen by 400 voxels, each with its own noise: most have a Gaussian
# receptive field for light, colour or edges, some answer to what is shown.


def real_recording():
    """The .mat file if there is one, from --data or from the folder in BRAINREEL_DATA."""
    folder = Path(os.environ.get("BRAINREEL_DATA", ""))
    places = [folder / "digits69" / "digit69_28x28.mat", folder / "digit69_28x28.mat"]
    given = [arguments.data] if arguments.data else places if folder.name else []
    return next((path for path in given if path.is_file()), None)


def simulated_recording(path):
    """Draw pictures and a person who sees them; write voxels, pictures and labels by key."""
    rng = np.random.default_rng(3)
    pictures, labels = draw_pictures(100, 20, 24, rng)
    trials = answer_pictures(pictures, labels, draw_tuning(400, 24, rng), (0.5, 0.8), rng)
    np.savez(path, voxels=trials.voxels.astype(np.float32), pictures=pictures, labels=labels)


scratch = tempfile.TemporaryDirectory(prefix="brainreel-gallery-")
data = real_recording()
if arguments.data and data is None:
    parser.error(f"{arguments.data}: no such file")
if data is not None:
    WHAT, RECIPE = "handwritten digits, a real recording", "digits69"
    splits = ["data.splits=[{name: given, label: test}]"]
else:
    WHAT, RECIPE = "pictures, a simulated person", "pictures_ridge"
    splits = ["data.splits=[{name: given, label: test, n_train: 100}]"]
    data = Path(scratch.name) / "pictures.npz"
    simulated_recording(data)
print(f"Data: {WHAT}")

# %%
# Fit and score
# -------------
# A recipe says where voxels and pictures stand in the file, how they are split, and which model
# reads them. This is ``brainreel run digits69 data.path=...`` in four lines. The ridge goes from
# the voxels to the principal components of the training pictures; how many components and how
# strong a penalty, inner folds of the training trials decide.


def run(name, *overrides):
    """Fit a recipe, score it, and return its card and its reconstructions."""
    folder = Path(scratch.name) / name
    fit(resolve(RECIPE, [f"data.path={data}", *overrides]), folder)
    card = evaluate(folder)
    parts = [
        p for p in load_predictions(folder / "predictions") if isinstance(p, PicturePrediction)
    ]
    return card, parts


folds = ["data.splits=[{name: stratified, label: folds, n_folds: 5, seed: 0}]"]
published, (test,) = run("published", *splits)
card, parts = run("folds", *folds)
for name, value in published.scores.items():
    low, high = published.intervals.get(name, (np.nan, np.nan))
    print(f"{name:22s}{value:7.3f}   [{low:.3f}, {high:.3f}]")

# %%
# Two controls
# ------------
# *Better than what?* The mean of the training pictures knows nothing of the brain, yet it looks
# like a digit and correlates with every digit. *Would nonsense do as well?* With
# ``data.shuffle_pairs=true`` every brain is paired with someone else's picture before anything is
# fitted. Whatever score is left is owed to the pictures, not to the brain.

shuffled_card, shuffled = run("shuffled", *folds, "data.shuffle_pairs=true")
true = np.concatenate([part.true for part in parts])
read = np.concatenate([part.predicted for part in parts])
labels = np.concatenate([part.labels for part in parts])
mean = np.concatenate([np.repeat(part.baseline[None], len(part.true), axis=0) for part in parts])
print(
    f"pixel correlation: {card.scores['pixel_correlation']:.2f}, mean picture "
    f"{card.baselines['pixel_correlation']:.2f}, shuffled pairs "
    f"{shuffled_card.scores['pixel_correlation']:.2f}"
)

# %%
# What was seen, what was read
# ----------------------------
# All test pictures of the first split, none picked.

WIDTH = 940
n = len(test.true)
rows = {
    "seen": (test.true, INK),
    "read from the brain": (test.predicted, PREDICTED),
    "mean training picture": (np.repeat(test.baseline[None], n, axis=0), MEASURED),
}
LEFT, N_SHOWN = 180, 10
side = (WIDTH - LEFT - 30) / N_SHOWN
with drawing():
    figure = canvas(WIDTH, 60 + len(rows) * side)
    note(figure, 24, 24, "Seen, and read back", INK, bold=True)
    note(figure, LEFT, 24, WHAT, MUTED)
    for i, (label, (pictures, colour)) in enumerate(rows.items()):
        note(figure, 24, 46 + (i + 0.5) * side, label, colour, bold=True)
        for j in range(min(n, N_SHOWN)):
            axes = place(figure, LEFT + j * side, 46 + i * side, side - 5, side - 5)
            picture = np.moveaxis(pictures[j], 0, -1)  # one channel is shown as grey
            axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.axis("off")
    figure.savefig(OUT / f"{NAME}_pictures.png", dpi=144, facecolor=PAPER)

# %%
# Which picture was it?
# ---------------------
# Every trial was tested once in the folds. On the left, how alike each reconstruction (row) and
# each picture (column) are, sorted by class: blocks mean that the class is read, a bright diagonal
# that the very picture is. On the right, identification: the true picture against n - 1 others,
# for every n, exactly and not by drawing.

order = np.argsort(labels, kind="stable")
flat_read, flat_true = (x[order].reshape(len(order), -1) for x in (read, true))
alike = correlation_similarity(flat_read, flat_true)
scrambled = [np.concatenate([getattr(p, key) for p in shuffled]) for key in ("predicted", "true")]
unlike = correlation_similarity(*(x.reshape(len(x), -1) for x in scrambled))
ways = np.array([n for n in (2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100) if n <= len(alike)])
found = {
    "read from the brain": ([n_way_identification(alike, n).accuracy for n in ways], PREDICTED),
    "shuffled pairs": ([n_way_identification(unlike, n).accuracy for n in ways], MEASURED),
    "chance": (1 / ways, RULE),
}
same = labels[order][:, None] == labels[order][None]
own = np.eye(len(alike), dtype=bool)
print(
    f"r with the picture seen {alike[own].mean():.2f}, with others of its class "
    f"{alike[same & ~own].mean():.2f}, of another class {alike[~same].mean():.2f}"
)

with drawing():
    figure = canvas(WIDTH, 400)
    note(figure, 24, 24, "Every reconstruction with every picture", INK, bold=True)
    axes = place(figure, 60, 48, 290, 290)
    axes.imshow(np.clip(alike, 0, 1), cmap=ramp(), vmin=0, vmax=1, interpolation="nearest")
    edges = np.flatnonzero(np.diff(labels[order])) + 0.5
    for edge in edges:
        axes.axhline(edge, color=PAPER, linewidth=1.5)
        axes.axvline(edge, color=PAPER, linewidth=1.5)
    axes.set(xticks=[], yticks=[], xlabel="pictures, by class", ylabel="read from the brain")
    for spine in axes.spines.values():
        spine.set_visible(False)
    key = place(figure, 366, 48, 10, 120)
    key.imshow(np.linspace(1, 0, 256)[:, None], aspect="auto", cmap=ramp())
    key.axis("off")
    note(figure, 382, 54, "r = 1", MUTED)
    note(figure, 382, 164, "0", MUTED)

    note(figure, 480, 24, f"Identified among n of {len(alike)} pictures", INK, bold=True)
    axes = place(figure, 520, 48, 300, 290)
    for label, (accuracy, colour) in found.items():
        ink = CEILING if label == "chance" else colour
        style = (
            {"linestyle": (0, (4, 3)), "linewidth": 1.6} if label == "chance" else {"marker": "o"}
        )
        axes.plot(ways, accuracy, color=ink, markersize=4.5, **style)
    axes.set_xscale("log")
    ticks = [2, 5, 10, 20, 50, 100]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set(ylim=(0, 1.02), xlabel="n, candidates", ylabel="accuracy")
    for y, (label, (_, colour)) in zip((60, 78, 96), found.items(), strict=True):
        note(figure, 690, y, label, CEILING if label == "chance" else colour, bold=True)
    figure.savefig(OUT / f"{NAME}_identification.png", dpi=144, facecolor=PAPER)

scratch.cleanup()
print(f"Figures: {OUT}/{NAME}_pictures.png, {NAME}_identification.png")
