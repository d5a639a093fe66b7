"""The command `quickstart`: a study whose answers are known, both directions, one page."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from brainreel.cli.console import console, print_scores, say
from brainreel.cli.runs import PAGE
from brainreel.cli.simulate import simulate_with_bar
from brainreel.evaluate.run import evaluate
from brainreel.evaluate.scorecard import Scorecard
from brainreel.files import new_folder
from brainreel.fmri.bids import find_runs
from brainreel.fmri.prepare import PrepareConfig, prepare
from brainreel.report.overview import figure_overview
from brainreel.report.page import write_report
from brainreel.simulate.study import StudyConfig
from brainreel.train.fit import fit
from brainreel.train.recipe import resolve

OVERVIEW = "overview.png"


def quickstart(out: Path, seed: int) -> None:
    """Simulate, prepare, fit, decode, score; write the page and print the table.

    Parameters
    ----------
    out
        Folder to make: `study/`, `store/`, a run folder for each recipe, `report.html` and
        `overview.png`.
    seed
        Of people, films and fits.
    """
    new_folder(out)
    study, store, frames = out / "study", out / "store", out / "frames"
    with _step("simulate three people, three films and pictures"):
        simulate_with_bar(study, StudyConfig(seed=seed))
    with _step("prepare: mask, confounds, high-pass"):
        config = PrepareConfig.parse(
            {"clean": {"confounds": ["motion:basic"]}, "mask_over": "all"}, where="quickstart"
        )
        prepare(find_runs(study, tasks=["film"]), store, config, n_jobs=2, progress=console)
    films = [f"data.path={store}", f"scoring.truth={study}", f"seed={seed}"]
    trials = study / "derivatives" / "trials" / "sub-01_pictures.npz"
    runs = {
        "film_ridge": [*films, f"task.cache={frames}"],
        "film_encoding": [*films, f"task.cache={frames}", "trainer.progress=false"],
        "pictures_ridge": [f"data.path={trials}", f"seed={seed}"],
    }
    cards = [(name, _run(name, overrides, out / name)) for name, overrides in runs.items()]
    with _step("write the page"):
        folders = [out / name for name in runs]
        write_report(folders, out / PAGE, title="brainreel quickstart")
        figure_overview(folders, out / OVERVIEW)
    console.print()
    print_scores(cards)
    say(f"\nThe page: {out / PAGE}")


def _run(name: str, overrides: list[str], folder: Path) -> Scorecard:
    config = resolve(name, overrides)
    with _step(f"{name}: {config.title[:1].lower()}{config.title[1:]}"):
        fit(config, folder)
        return evaluate(folder)


@contextmanager
def _step(title: str) -> Iterator[None]:
    """Say what is done, and how long it took."""
    started = time.monotonic()
    say(f"{title} ...")
    yield
    console.print(f"  {time.monotonic() - started:.0f} s", style="dim")
