"""Pictures of given voxel vectors as files, with a contact sheet: whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainreel import __version__
from brainreel.checkpoints.store import VERSIONS
from brainreel.data.given_pictures import SeenPictures, seen_pictures
from brainreel.data.given_vectors import GivenVectors, VectorChoice, read_given
from brainreel.errors import DataError
from brainreel.files import read_json, require_file, require_free, write_aside, write_json
from brainreel.metrics.images import SSIM_WINDOW, pixel_correlation, ssim
from brainreel.stimulus.picture_files import (
    SheetRow,
    check_writable,
    rows_on_sheet,
    save_picture,
    save_sheet,
    shown,
)
from brainreel.train.lineage import digest_vector
from brainreel.train.picture_reconstruction import Brain, Standardised, ZScore, standardised
from brainreel.train.picture_runs import PictureRun, open_picture_run

Float32 = NDArray[np.float32]
UInt8 = NDArray[np.uint8]
Progress = Callable[[int, int], None]

SHEET, STORY, SAMPLES = "contact_sheet.png", "reconstructions.json", "samples"
_FAR_OFF = 4.0  # standard normal numbers have a median size of 0.67


@dataclass(frozen=True)
class ReconstructOptions:
    """What to reconstruct.

    Attributes
    ----------
    vectors
        Which voxel vectors.
    pictures
        Where the true pictures are; see `seen_pictures`.
    subject
        Whose brain it is, in a fit of several people.
    fold
        Which fit of a run with several.
    changes
        Changes of how pictures are drawn, `sampling.KEY=VALUE`.
    seed
        Of the draws; None for the run's.
    zscore
        How vectors come to the scale of the fit; see `standardised`.
    """

    vectors: VectorChoice
    pictures: str = ""
    subject: str | None = None
    fold: str | None = None
    changes: tuple[str, ...] = ()
    seed: int | None = None
    zscore: ZScore | None = None


@dataclass(frozen=True)
class ReconstructedPictures:
    """What was written, or would be.

    Attributes
    ----------
    n_pictures
        Brains.
    files
        What stands in the folder, folders by their name.
    lines
        What a user should know, in sentences.
    notes
        What a user must be warned of.
    scores
        Mean of each score over pictures; empty where the truth is not known.
    """

    n_pictures: int
    files: tuple[str, ...]
    lines: tuple[str, ...]
    notes: tuple[str, ...]
    scores: dict[str, float]


def reconstruct_pictures(
    folder: Path,
    out: Path,
    options: ReconstructOptions,
    *,
    progress: Progress | None = None,
    dry_run: bool = False,
) -> ReconstructedPictures:
    """Reconstruct the pictures of voxel vectors and write them beside the truth.

    Writes `0001.png` ..., the picture that stands for each brain; `samples/0001_01.png` ..., if
    several are drawn; `contact_sheet.png`; `reconstructions.json`. A picture is decided by the
    vector, the run and the options: not by the row it stands in, nor by those beside it.

    Parameters
    ----------
    folder
        Run folder of a fit, whose data must be there, or of an import.
    out
        Folder to make; it appears when all is written.
    options
        What to reconstruct.
    progress
        Called with (brains done, brains in all).
    dry_run
        Check everything and write nothing.

    Raises
    ------
    BrainreelError
        In one sentence: what is wrong with run, vectors, pictures or folder.
    """
    require_free(out)
    require_file(options.vectors.path, "file of voxel vectors")
    run = open_picture_run(folder, options.subject, options.fold, options.changes, options.seed)
    check_writable(run.layout.shape)
    given = read_given(options.vectors, run.vector_keys, run.mask)
    _check_voxels(given, run)
    brains = standardised(given.voxels, run.reconstructor.moments, options.zscore)
    seen = seen_pictures(given, options.pictures, run.layout)
    work = _Work(run, given, brains, seen)
    scores: dict[str, float] = {}
    if not dry_run:
        with write_aside(out) as aside:
            scores = work.write(aside, progress)
    return work.summary(scores)


def _check_voxels(given: GivenVectors, run: PictureRun) -> None:
    n_voxels = given.voxels.shape[1]
    if not run.least <= n_voxels <= run.most:
        wanted = str(run.most) if run.least == run.most else f"{run.least} to {run.most}"
        raise DataError(
            f"{given.where}: vectors of {n_voxels} voxels, and the network takes {wanted} of "
            f"{run.subject}. Give the voxels of the fit, in their order."
        )


@dataclass(frozen=True, eq=False)
class _Work:
    """Vectors, what draws, and the truth."""

    run: PictureRun
    given: GivenVectors
    brains: Standardised
    seen: SeenPictures | None

    @property
    def several(self) -> bool:
        """Whether samples are kept beside the picture that stands for them."""
        return self.run.reconstructor.n_samples > 1

    def write(self, root: Path, progress: Progress | None) -> dict[str, float]:
        """Draw and write everything; return the mean scores."""
        root.mkdir()
        if self.several:
            (root / SAMPLES).mkdir()
        heads = self._heads()
        most = rows_on_sheet(self.run.layout.shape, len(heads))
        sheet: list[SheetRow] = []
        entries: list[dict[str, Any]] = []
        n = len(self.given.rows)
        for place in range(n):
            entry, pictures = self._one(root, place)
            entries.append(entry)
            if place < most:
                sheet.append(SheetRow(Path(entry["picture"]).stem, [*map(shown, pictures)]))
            if progress is not None:
                progress(place + 1, n)
        save_sheet(root / SHEET, self._title(len(sheet)), heads, sheet)
        scores = _means(entries)
        write_json(root / STORY, {**self._story(), "scores": scores, "reconstructions": entries})
        return scores

    def _one(self, root: Path, place: int) -> tuple[dict[str, Any], list[UInt8]]:
        """Draw and write one brain's pictures; return what is told of them, and the sheet's row."""
        row = self.given.rows[place]
        digest = digest_vector(self.given.voxels[row])
        trial = self.run.trial_of.get(digest)
        # A trial of the fit's own data is drawn from the noise that its evaluation used.
        number = int(digest, 16) if trial is None else trial
        brain = Brain(self.brains.voxels[row], self.brains.scored[row], number)
        samples, chosen = (_in_bytes(found) for found in self.run.reconstructor.draw(brain))
        name = f"{place + 1:04}"
        save_picture(root / f"{name}.png", chosen)
        entry: dict[str, Any] = {"picture": f"{name}.png", "row": row, "vector": digest}
        if trial is not None:
            entry |= {"trial_of_fit": trial, "part_of_fit": self.run.part_of.get(trial, "none")}
        pictures = [chosen]
        if self.several:
            entry["samples"] = [f"{SAMPLES}/{name}_{s + 1:02}.png" for s in range(len(samples))]
            for path, sample in zip(entry["samples"], samples, strict=True):
                save_picture(root / path, sample)
            pictures.extend(samples)
        if self.seen is not None:
            true = self.seen.pictures[place]
            entry |= _scores(chosen, true)
            pictures.insert(0, true)
        return entry, pictures

    def summary(self, scores: dict[str, float]) -> ReconstructedPictures:
        """Return what a user is told."""
        n = len(self.given.rows)
        files = ["0001.png" if n == 1 else f"0001.png to {n:04}.png"]
        files += [SAMPLES] if self.several else []
        taken = f"{n} of {len(self.given.voxels)} vectors"
        lines = [
            f"{n} {'picture' if n == 1 else 'pictures'} of {self.run.subject}, "
            f"{taken} of {self.given.where}, {self.brains.told}",
            f"{self.run.reconstructor.in_words}",
            f"true pictures: {self.seen.told}" if self.seen else "true pictures: none are known",
        ]
        return ReconstructedPictures(
            n, (*files, SHEET, STORY), tuple(lines), tuple(self._notes()), scores
        )

    def _notes(self) -> list[str]:
        notes = []
        trials = [self.run.trial_of.get(digest_vector(self.given.voxels[r])) for r in self._rows]
        parts = [self.run.part_of.get(trial) for trial in trials if trial is not None]
        for part in ("training", "validation"):
            if part in parts:
                notes.append(
                    f"{parts.count(part)} of {len(trials)} vectors are {part} trials of this fit, "
                    "so their pictures say little of new brains."
                )
        if self.run.told["transductive"]:
            notes.append(
                "transductive: the fit learned from brains of its test part "
                f"({', '.join(self.run.told['transductive'])})."
            )
        if self.brains.far_off > _FAR_OFF:
            notes.append(
                f"these vectors lie {self.brains.far_off:.1f} deviations from the training trials' "
                "mean (median over voxels). If they are in other units, give --zscore own."
            )
        return notes

    @property
    def _rows(self) -> Sequence[int]:
        return self.given.rows

    def _heads(self) -> list[str]:
        n = self.run.reconstructor.n_samples
        rule = self.run.reconstructor.told.get("sampling", {}).get("rule", "")
        told = rule if self.several else "reconstructed"
        samples = [str(s + 1) for s in range(n)] if self.several else []
        return [*(["seen"] if self.seen else []), told, *samples]

    def _title(self, n_shown: int) -> str:
        n = len(self.given.rows)
        more = "" if n_shown == n else f"; the first {n_shown} of {n}"
        stamp = "; transductive" if self.run.told["transductive"] else ""
        words = self.run.reconstructor.in_words
        return f"{self.run.told['model']}, {self.run.subject}: {words}{stamp}{more}"

    def _story(self) -> dict[str, Any]:
        """Return what reconstructions.json tells of all pictures."""
        folder = Path(self.run.told["run"])
        return {
            **self.run.told,
            "subject": self.run.subject,
            "vectors": {
                "file": str(self.given.path.resolve()),
                "key": self.given.key,
                "n_voxels": self.given.voxels.shape[1],
                "scale": self.brains.told,
            },
            "true_pictures": None if self.seen is None else self.seen.told,
            "samples": self.run.reconstructor.n_samples,
            **self.run.reconstructor.told,
            "digests": {
                "weights": read_json(folder / VERSIONS)["digests"]["weights"],
                **self.given.digests,
            },
            "versions": {"brainreel": __version__},
            "notes": self._notes(),
        }


def _in_bytes(pictures: Float32) -> UInt8:
    if not np.isfinite(pictures).all():
        raise DataError(
            "the pictures hold NaN or infinite values, so the fit has gone astray. Fit again with "
            "a smaller optim.lr."
        )
    return np.rint(pictures * 255).astype(np.uint8)


def _scores(picture: UInt8, true: UInt8) -> dict[str, float]:
    """Return pixel correlation and SSIM; NaN where a picture is plain, or too small for SSIM."""
    one, other = (values[None].astype(np.float64) / 255 for values in (picture, true))
    small = min(picture.shape[1:]) < SSIM_WINDOW
    return {
        "pixel_correlation": float(pixel_correlation(one, other)[0]),
        "ssim": float("nan") if small else float(ssim(one, other)[0]),
    }


def _means(entries: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the mean of each score over the pictures that have it."""
    found = {}
    for name in ("pixel_correlation", "ssim"):
        values = [e[name] for e in entries if not np.isnan(e.get(name, np.nan))]
        if values:
            found[name] = float(np.mean(values))
    return found
