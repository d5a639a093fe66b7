"""What tasks that learn pictures have in common: pairs of the fold, and pictures nobody saw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from brainreel.checkpoints.store import VERSIONS
from brainreel.data.more_pictures import read_more_pictures
from brainreel.data.picture_module import PictureModule
from brainreel.data.picture_rows import check_not_shown
from brainreel.data.samples import Trials
from brainreel.errors import DataError
from brainreel.shapes import DataSpec
from brainreel.train.task import Job, TaskConfig


class PictureTaskConfig(TaskConfig):
    """Base of tasks that train a network on the pictures of trials."""

    data_kinds: ClassVar[tuple[str, ...]] = ("trials", "god", "bold5000")

    more_pictures: Path | None = None
    """Folder of pictures, or a file of arrays, that nobody saw, to learn from too; one that was
    seen in a trial is refused. Task denoise learns them without a brain, which needs
    model.null_context; with model.first_guess, they are given what ridge would guess of them, as
    blurred and as wrong as its guesses of training pictures."""
    more_key: str = ""
    """Array of pictures in that file; empty where it holds one array."""
    more_batch: int = Field(25, ge=1)
    """Such pictures in a batch, beside those of the training part."""

    def starts(self) -> tuple[Path, ...]:
        """Return the run folders that the training starts from; published weights are none."""
        return tuple(path for path in super().starts() if (path / VERSIONS).is_file())

    @property
    def learns_pictures(self) -> bool:
        """Always."""
        return True

    def further_pictures(self, shape: Sequence[int]) -> NDArray[np.float32] | None:
        """Read `more_pictures`, if there are any."""
        if self.more_pictures is None:
            return None
        return read_more_pictures(self.more_pictures, self.more_key, shape)

    def spec(self, job: Job) -> DataSpec:
        """Return the facts of the data that size the model."""
        return self.trials(job).spec()

    def trials(self, job: Job) -> Trials:
        """Return the job's trials, which must have pictures."""
        if not isinstance(job.data, Trials):
            raise DataError(
                f"{self.name} needs single trials with pictures. Give data of kind trials."
            )
        if job.data.pictures is None:
            raise DataError(
                f"{self.name} needs the pictures that were seen. Give data.picture_keys."
            )
        return job.data

    def learned(self, job: Job, batch: int) -> PictureModule:
        """Return the pairs of the job's fold, and what is learned beside them."""
        trials = self.trials(job)
        more = self.further_pictures(trials.spec().picture_shape)
        if more is not None:
            check_not_shown(more, trials, str(self.more_pictures))
        sizes = {"batch": batch, "more_batch": self.more_batch}
        return PictureModule(trials, job.fold, seed=job.seed, more=more, **sizes)
