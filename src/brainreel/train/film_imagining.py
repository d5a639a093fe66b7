"""A new film through a fitted film VAE: the mean, draws and spread of a person's volumes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainreel.data.known_people import KnownPeople
from brainreel.data.loading import mixed_seed
from brainreel.data.recorded_volumes import RecordedVolumes
from brainreel.data.reference_images import Reference, read_reference
from brainreel.data.volume_module import VolumeModule
from brainreel.errors import DataError
from brainreel.layers.film_windows import FilmWindows
from brainreel.layers.gaussian import Gaussian
from brainreel.models.film_vae import FilmVAE
from brainreel.train.film_prediction import Asked, PredictedTrs
from brainreel.train.volume_predictions import Target, voxel_deviations

Float32 = NDArray[np.float32]


@dataclass(eq=False)
class FilmImagination:
    """What the prior of a film VAE says of a person's volumes.

    mean = decoder(m_p), draws = decoder(m_p + s_p noise)
    spread^2 = variance of the draws (divisor n - 1) + residual

    The noise of a TR is drawn from a seed of its own, so that draws do not depend on where windows
    are cut.

    Attributes
    ----------
    network
        On its device, in evaluation.
    reference
        The person.
    subject
        Their position among the people of the fit; -1 if they are not.
    target
        Which of the two views the network decodes.
    samples
        Draws that are returned.
    draws
        Draws behind the spread, those included; 0 for no spread.
    residual
        (V,) variance that is added, in deviations of each voxel, or None.
    seed
        Of the draws.
    """

    network: FilmVAE
    reference: Reference
    subject: int
    target: Target
    samples: int
    draws: int
    residual: Float32 | None
    seed: int

    def __call__(self, film: FilmWindows, start_tr: int) -> PredictedTrs:
        """Predict the TRs after the context of one window."""
        device = next(self.network.parameters()).device
        reference = torch.from_numpy(self.reference.volume)[None].to(device)
        row = torch.zeros(1, dtype=torch.long, device=device)
        subject = torch.full((1,), self.subject, device=device)
        prior = self.network.prior(film.to(device), reference, row, subject)
        mean = self._columns(self.network.decode(prior.mean))
        samples: list[Float32] = []
        middle, squares = np.zeros_like(mean), np.zeros_like(mean)
        # In one pass (Welford 1962): a draw is as large as the window.
        for n in range(1, max(self.draws, self.samples) + 1):
            drawn = self._columns(self.network.decode(self._drawn(prior, n, start_tr)))
            apart = drawn - middle
            middle += apart / n
            squares += apart * (drawn - middle)
            if n <= self.samples:
                samples.append(drawn)
        return PredictedTrs(mean, self._spread(squares), tuple(samples))

    def told(self) -> str:
        """Return what the spread is made of."""
        told = f"standard deviation over {max(self.draws, self.samples)} draws from the prior"
        if self.residual is None:
            return f"{told}; what measured volumes differ by beside is not in it"
        return f"{told}, and what volumes of the fit still differed by"

    def _drawn(self, prior: Gaussian, number: int, start_tr: int) -> Tensor:
        """Return (1, T, E) of draw `number`."""
        noise = torch.empty(prior.mean.shape)
        for row, target in enumerate(noise[0]):
            generator = torch.Generator().manual_seed(mixed_seed(self.seed, number, start_tr + row))
            target.normal_(generator=generator)
        return prior.mean + prior.log_std.exp() * noise.to(prior.mean)

    def _columns(self, volumes: Tensor) -> Float32:
        return voxel_deviations(self.reference.views, volumes[0], self.target)

    def _spread(self, squares: Float32) -> Float32 | None:
        if not self.draws:
            return None
        variance = squares / (max(self.draws, self.samples) - 1)
        if self.residual is not None:
            variance = variance + self.residual
        return np.asarray(np.sqrt(variance.clip(min=0)), np.float32)


def film_reference(data: VolumeModule, asked: Asked) -> tuple[Reference, dict[str, Any]]:
    """Return the reference that a user gives, and what a reader must know of it.

    Parameters
    ----------
    data
        The volumes of the fold, with the moments of the fit.
    asked
        What is asked for.

    Raises
    ------
    DataError
        If no reference is given, or it cannot be used; see `read_reference`.
    """
    if asked.reference is None:
        raise DataError(
            "a film VAE predicts the volumes of a person whom one volume shows. Give it: "
            "--reference sub-30_bold.nii.gz."
        )
    moments = {who: found.voxelwise for who, found in data.moments.items()}
    people = KnownPeople(data.series, data.fold.train, moments)
    volumes = RecordedVolumes(data.series, data.box, data.moments)
    found = read_reference(asked.reference, people, volumes, data.spec.tr_s, asked.scratch)
    told = {
        "ReferenceVolume": found.number,
        "ScaleDescription": f"{found.person.known_by}.",
        "KnownToFit": found.person.subject in data.moments,
    }
    return found, told
