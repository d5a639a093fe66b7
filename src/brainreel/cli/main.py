"""The command line: signatures and help; the work is loaded when a command is called."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from brainreel import __version__
from brainreel.cli.arguments import Out, Overrides, RecipeName, RunFolder, load
from brainreel.cli.guard import guarded
from brainreel.cli.reconstruct_command import reconstruct
from brainreel.cli.sweep_command import sweep

app = typer.Typer(
    help="The two-way map between what people watch and hear and their fMRI.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def quickstart(
    out: Out = Path("quickstart"),
    seed: Annotated[int, typer.Option(help="Seed of the simulated study and of the fits.")] = 0,
) -> None:
    """Simulate a small study, fit both directions, score against the exact ceiling, make a page."""
    load("quickstart").quickstart(out, seed)


@app.command()
def simulate(
    out: Out,
    what: Annotated[
        str,
        typer.Option(
            help="study: people in a scanner; pairs: short films whose class needs picture and "
            "sound; motion: short films whose class is how they move."
        ),
    ] = "study",
    seed: Annotated[int, typer.Option(help="Seed of everything that is drawn.")] = 0,
    subjects: Annotated[int | None, typer.Option(help="Number of people of a study (3).")] = None,
    films: Annotated[int | None, typer.Option(help="Number of films of a study (3).")] = None,
    film_duration_s: Annotated[
        float | None,
        typer.Option(help="Length of a film in seconds (180 in a study, 1 in pairs, 2 in motion)."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="Sizes of a study that the options below may change. small; full: volumes of "
            "40 x 64 x 64 at a TR of 0.608 s and one film of 389.728 s at 25 Hz, no pictures."
        ),
    ] = None,
    voxel_size_mm: Annotated[
        int | None, typer.Option(help="Edge of a voxel in a study (10 mm).")
    ] = None,
    grid: Annotated[
        str | None,
        typer.Option(help="Voxels of a volume in a study, such as 40x64x64; just around the brain"),
    ] = None,
    tr_s: Annotated[float | None, typer.Option(help="TR of a study in seconds (1.5).")] = None,
    frame_rate_hz: Annotated[
        float | None, typer.Option(help="Film frames per second in a study (12.5).")
    ] = None,
    more_pictures: Annotated[
        int | None, typer.Option(help="Pictures of a study that nobody sees (0).")
    ] = None,
    train: Annotated[int | None, typer.Option(help="Short films to learn from.")] = None,
    validation: Annotated[int | None, typer.Option(help="Short films to validate.")] = None,
    test: Annotated[int | None, typer.Option(help="Short films to score.")] = None,
) -> None:
    """Write simulated data and the known truth: a BIDS study, or a set of short labelled films."""
    load("simulate").simulate(
        out,
        what,
        seed,
        {
            "subjects": subjects,
            "films": films,
            "size": size,
            "voxel_size_mm": voxel_size_mm,
            "grid": grid,
            "tr_s": tr_s,
            "frame_rate_hz": frame_rate_hz,
            "more_pictures": more_pictures,
        },
        {"train": train, "validation": validation, "test": test},
        film_duration_s,
    )


@app.command()
def prepare(
    bids: Annotated[
        Path, typer.Argument(metavar="BIDS", help="BIDS or fMRIPrep folder, or one NIfTI file.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The store; it may hold earlier runs.")],
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Options of the cleaning."),
    ] = None,
    derivatives: Annotated[
        Path | None, typer.Option(help="fMRIPrep folder, if it is not inside BIDS.")
    ] = None,
    subject: Annotated[
        list[str] | None,
        typer.Option(help="Only these people; of a single file, whose it is (sub-01)."),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(help="Only these tasks; of a single file, its task (film)."),
    ] = None,
    space: Annotated[str | None, typer.Option(help="Only this space.")] = None,
    film: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[TASK=]PATH",
            help="Film of a single file, or of a task where events and stimuli do not tell.",
        ),
    ] = None,
    film_start_s: Annotated[
        float | None,
        typer.Option(
            help="Scan time at which the film of a single file began, in seconds (0); in BIDS "
            "it is the onset of the film's event."
        ),
    ] = None,
    rois: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]IMAGE",
            help="Keep the voxels of regions alone: an atlas of labels, or masks by name.",
        ),
    ] = None,
    roi_names: Annotated[
        Path | None,
        typer.Option(metavar="TABLE", help="Names of the atlas's labels (beside the atlas)."),
    ] = None,
    trials: Annotated[
        str | None,
        typer.Option(
            metavar="events|betas",
            help="Write one voxel vector a trial too: from runs with events, or from betas.",
        ),
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder of the trials' pictures (stimuli of the study).")
    ] = None,
    events: Annotated[
        Path | None, typer.Option(metavar="TABLE", help="Trials of a single file.")
    ] = None,
    n_jobs: Annotated[int, typer.Option(help="Runs prepared at once; -1 for all cores.")] = 1,
    backend: Annotated[
        str | None, typer.Option(help="A joblib backend: loky, threading, dask, ...")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be done.")] = False,
) -> None:
    """Mask, clean and store every run, time first; what is already there is left alone."""
    load("preparing").prepare(
        bids,
        out,
        options or [],
        {
            "derivatives": derivatives,
            "subject": subject,
            "task": task,
            "space": space,
            "film": film,
            "film_start_s": film_start_s,
            "events": events,
        },
        {"rois": rois, "roi_names": roi_names, "trials": trials, "pictures": pictures},
        {"n_jobs": n_jobs, "backend": backend},
        dry_run,
    )


@app.command()
def run(
    recipe: RecipeName,
    overrides: Overrides = None,
    *,
    out: Out,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved recipe; fit nothing.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a broken run.")] = False,
) -> None:
    """Fit, evaluate and report in one go."""
    load("runs").run(recipe, overrides or [], out, dry_run, resume)


@app.command()
def fit(
    recipe: RecipeName,
    overrides: Overrides = None,
    *,
    out: Out,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a broken fit.")] = False,
) -> None:
    """Fit alone: weights, configuration and facts of the data into a run folder."""
    load("runs").fit(recipe, overrides or [], out, resume)


@app.command()
def evaluate(folder: RunFolder) -> None:
    """Predict the test data of a fitted run and write its scorecard."""
    load("runs").evaluate(folder)


@app.command()
def report(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run folders.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The page; by default RUN/report.html of the first run."),
    ] = None,
) -> None:
    """Write one self-contained page about one or several evaluated runs."""
    load("runs").report(folders, out)


@app.command()
def predict(
    folder: RunFolder,
    film: Annotated[Path, typer.Option("--film", help="The film; nobody need have seen it.")],
    *,
    out: Out,
    reference: Annotated[
        Path | None,
        typer.Option(
            metavar="IMAGE",
            help="Image of the person, 3-D or 4-D, or a prepared run's folder; for a film VAE.",
        ),
    ] = None,
    reference_volume: Annotated[
        int | None, typer.Option(help="Which volume of it, from 0 (the one in the middle).")
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(help="Mask of a person that the fit does not know.")
    ] = None,
    tr_s: Annotated[
        float | None, typer.Option(help="TR of the reference in seconds, if its header is wrong.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="The person (sub-30), if the reference does not tell.")
    ] = None,
    fold: Annotated[str | None, typer.Option(help="Which fit of a run with several folds.")] = None,
    volumes: Annotated[
        int | None, typer.Option(help="Volumes to predict; by default all of the film.")
    ] = None,
    film_start_s: Annotated[
        float, typer.Option(help="Time of the film's first frame after the first volume's onset.")
    ] = 0.0,
    samples: Annotated[
        int, typer.Option(help="Draws to write beside the mean, one file each.")
    ] = 0,
    spread: Annotated[
        bool, typer.Option("--spread", help="Write the standard deviation of each voxel too.")
    ] = False,
    units: Annotated[
        str, typer.Option(help="scanner: as the person's images; z: deviations of each voxel.")
    ] = "scanner",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check all, and list what would be written.")
    ] = False,
) -> None:
    """Predict a person's BOLD of a new film, as NIfTI images in BIDS-derivative names."""
    load("predicting").predict(
        folder,
        out,
        {
            "film": film,
            "subject": subject,
            "fold": fold,
            "n_volumes": volumes,
            "film_start_s": film_start_s,
            "samples": samples,
            "spread": spread,
            "units": units,
        },
        {"image": reference, "number": reference_volume, "mask": mask, "tr_s": tr_s},
        dry_run,
    )


app.command()(sweep)
app.command()(reconstruct)


@app.command("import")
def import_weights(
    origin: Annotated[str, typer.Argument(metavar="ORIGIN", help="Whose weights: vit, vtn, ...")],
    checkpoint: Annotated[
        Path,
        typer.Argument(metavar="CHECKPOINT", help="A file of weights, or a Hugging Face folder."),
    ],
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="What the file does not tell, such as heads=12."),
    ] = None,
    *,
    out: Out,
) -> None:
    """Bring published weights into a folder that recipes can start from."""
    load("importing").import_weights(origin, checkpoint, options or [], out)


@app.command()
def describe(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A model, task, data kind or recipe.")
    ] = None,
) -> None:
    """List models, tasks, data kinds and recipes, or every option of one with its meaning."""
    load("describe").describe(name)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"brainreel {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The two-way map between what people watch and hear and their fMRI."""


def main() -> None:
    """Run the command line: a user's error is one sentence on stderr and exit status 2."""
    sys.exit(guarded(lambda: _called(sys.argv[1:])))


def _called(args: list[str]) -> Any:
    return app(args or ["--help"], prog_name="brainreel", standalone_mode=False)
