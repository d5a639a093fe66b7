"""What a film VAE is told of whole runs of film, with slow changes taken out as out of BOLD."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainreel.data.samples import Segment
from brainreel.data.volume_module import VolumeModule
from brainreel.data.volume_windows import VolumeBatch
from brainreel.fmri.normalize import CleanConfig, clean
from brainreel.models.film_vae import FilmVAE

Float32 = NDArray[np.float32]


class FilmCourses:
    """x(t) of every run of film: the delayed vectors that a film VAE's prior stands on.

    x(t) -> (x - its trends and slow changes over the run)(t) + mean of x over the training TRs

    BOLD was high-passed run by run, so film is too, over the same runs (Dupre la Tour et al. 2022
    do so for ridge). The network maps x to its prior linearly, so this is a high-pass of what the
    film adds to the latent vectors. People who saw a film on one clock share a course.

    Parameters
    ----------
    network
        On its device, in evaluation.
    data
        The volumes of a fold, with film, set up. What it shows is looked at on the first use.
    high_pass_hz
        None leaves x as it is.
    """

    def __init__(self, network: FilmVAE, data: VolumeModule, high_pass_hz: float | None) -> None:
        self.network, self.data, self.high_pass_hz = network, data, high_pass_hz
        self._seen: dict[int, Float32] = {}
        self._courses: dict[int, Float32] = {}

    @cached_property
    def level(self) -> Float32:
        """(D,) mean of x over the TRs of the training segments, each film counted once."""
        places = {self._place(segment) for segment in self.data.fold.train}
        rows = [self._raw(strip)[start:stop] for strip, start, stop in sorted(places)]
        mean: Float32 = np.concatenate(rows).mean(axis=0)
        return mean

    def of_segment(self, segment: Segment) -> Float32:
        """Return the (T, D) vectors of a segment."""
        strip, start, stop = self._place(segment)
        return self._course(strip)[start:stop]

    def of_batch(self, batch: VolumeBatch) -> Tensor:
        """Return the (B, T, D) vectors of a batch; 0 at TRs past the end of a run."""
        n_trs = batch.views.shape[1]
        found = []
        for recording, start in zip(batch.recording.tolist(), batch.start_tr.tolist(), strict=True):
            rows = self._course(self.data.strip_of[recording])[start : start + n_trs]
            found.append(np.pad(rows, ((0, n_trs - len(rows)), (0, 0))))
        return torch.from_numpy(np.stack(found))

    def _place(self, segment: Segment) -> tuple[int, int, int]:
        return self.data.strip_of[segment.recording], segment.start_tr, segment.stop_tr

    def _course(self, strip: int) -> Float32:
        if strip not in self._courses:
            values = self._raw(strip)
            if self.high_pass_hz is not None:
                told = CleanConfig(high_pass_hz=self.high_pass_hz)
                values = clean(values, self.data.spec.tr_s, told) + self.level
            self._courses[strip] = values.astype(np.float32)
        return self._courses[strip]

    def _raw(self, strip: int) -> Float32:
        if strip not in self._seen:
            self._seen[strip] = self._looked_at(strip)
        return self._seen[strip]

    @torch.no_grad()
    def _looked_at(self, strip: int) -> Float32:
        """Look at one run of film from its start to its end."""
        recording = self.data.strip_of.index(strip)
        whole = Segment(recording, 0, self.data.series.recordings[recording].bold.n_trs)
        device = next(self.network.parameters()).device
        rows = []
        for batch in self.data.loader([whole], training=False):
            assert batch.film is not None
            vectors = self.network.film_vectors(batch.film.to(device))[batch.row.to(device)]
            rows.append(vectors[batch.counted.to(device)].float().cpu().numpy())
        return np.concatenate(rows)
