"""Signature and help of the command `reconstruct`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from brainreel.cli.arguments import Out, RunFolder, load


def reconstruct(
    folder: RunFolder,
    fmri: Annotated[
        Path,
        typer.Option("--fmri", help="Voxel vectors: .npz, .npy, .mat, .h5, or an image (NIfTI)."),
    ],
    changes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="sampling.KEY=VALUE",
            help="How to draw, such as sampling.steps=10 (brainreel describe reconstruct).",
        ),
    ] = None,
    *,
    out: Out,
    key: Annotated[
        str, typer.Option(help="Array of the vectors, if not that which the fit took.")
    ] = "",
    mask: Annotated[
        Path | None,
        typer.Option(metavar="IMAGE", help="Of an image: the voxels that are columns of the fit."),
    ] = None,
    rows: Annotated[
        str, typer.Option(help="Some vectors: 0:10, or 3, or 0,3,7; the first is 0 (all).")
    ] = "",
    pictures: Annotated[
        str,
        typer.Option(
            metavar="KEY|FOLDER|none",
            help="What was really seen (the array that the fit would take, if it is there).",
        ),
    ] = "",
    subject: Annotated[
        str | None, typer.Option(help="Whose brain it is, if the fit knows several.")
    ] = None,
    fold: Annotated[str | None, typer.Option(help="Which fit of a run with several folds.")] = None,
    samples: Annotated[
        int | None, typer.Option(help="Pictures drawn of each brain (as the run says).")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all draws (the run's).")] = None,
    zscore: Annotated[
        str | None,
        typer.Option(
            help="training: by the fit's training trials (usual); own: by these vectors' own "
            "mean and deviation; none: they are z-scored already."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check all, and say what would be written.")
    ] = False,
) -> None:
    """Reconstruct pictures from voxel vectors, beside those that were seen if they are known."""
    load("reconstructing").reconstruct(
        folder,
        out,
        {"path": fmri, "key": key, "mask": mask, "rows": rows},
        {
            "pictures": pictures,
            "subject": subject,
            "fold": fold,
            "changes": changes or [],
            "seed": seed,
            "zscore": zscore,
        },
        samples,
        dry_run,
    )
