"""Film to brain volumes: TFF as a conditional VAE whose prior comes from a film."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from brainreel.errors import DataError
from brainreel.layers.film_windows import FilmWindows
from brainreel.layers.gaussian import Gaussian
from brainreel.models.backbones import Backbone
from brainreel.models.film_reader import FilmReader, FilmReaderOptions
from brainreel.models.tff import N_VIEWS, TFFOptions, VolumeCoder, VolumeTransformer
from brainreel.models.vtn import VTNConfig
from brainreel.shapes import DataSpec, check_shape

Imagine = Literal["nothing", "mean", "draw"]


class FilmVAEConfig(TFFOptions, FilmReaderOptions):
    """A film and one volume of a person -> that person's volumes, with their uncertainty."""

    name: Literal["film_vae"] = "film_vae"
    backbone: Backbone = VTNConfig()
    """What turns film into vectors: VTN (published), or any other network on film or sound."""
    hrf_delay_s: float = Field(3.0, ge=0)
    """Seconds by which the film is shifted: a volume sees the film that ended so long ago and
    hrf_window_s before that. BOLD begins to answer after 2 and answers most after 5; 0, with
    hrf_window_s=0, is the alignment of the original, each volume with the film of its own time."""
    answers: Literal["common", "own"] = "common"
    """What film does to a person's volumes: the same for everybody, whom the reference volume
    alone tells apart (published); or, beside what is common, something of their own for each
    person of the data, which is 0 for those who are not in training."""
    start_std: float = Field(0.1, gt=0)
    """Deviation of the posterior at the start: small beside the vectors, whose entries are of
    size 1, so that a decoder handed on still knows them."""

    def lag_trs(self, tr_s: float) -> int:
        """TRs by which the film is shifted: the nearest whole number."""
        return math.floor(self.hrf_delay_s / tr_s + 0.5)

    def context_trs(self, tr_s: float) -> int:
        """TRs of film before a volume's own that it depends on."""
        return super().context_trs(tr_s) + self.lag_trs(tr_s)

    def build(self, spec: DataSpec) -> FilmVAE:
        """Return the network for volumes of `spec.grid` and the film of the data."""
        if spec.tr_s <= 0:
            raise DataError("the data has no TR. A 'film_vae' needs volumes in time.")
        return FilmVAE(self, spec)


@dataclass
class FilmVAEOutput:
    """What training is made of.

    Attributes
    ----------
    posterior, prior
        (B, T, E) Gaussians of each volume's vector.
    reconstructed
        (B, T, X, Y, Z) decoded from the posterior.
    imagined
        (B, T, X, Y, Z) decoded from the prior, or None.
    """

    posterior: Gaussian
    prior: Gaussian
    reconstructed: Tensor
    imagined: Tensor | None


class FilmVAE(VolumeCoder):
    """q(z | volumes), p(z | film, reference), and volumes from z.

    q(z_t) = N(W [v_1 .. v_T]_t), v the volumes' vectors through TFF's encoder and transformer
    p(z_t) = N(m_0 + m_film(t), s_0 + s_film(t)), (m_0, s_0) of q on the reference volume alone
    (m_film, log s_film)(t) = V x(t) + b;  with answers of their own, V x(t) + b + V_p x(t) + b_p
    x_t = decoder(z_t)

    The deviations add up as log s = logaddexp(log s_0, log s_film). x(t) is what a `FilmReader`
    makes of the film of the delays before each volume. TFF's weights have TFF's names; the means
    of q begin as its vectors.

    A conditional variational autoencoder (Sohn, Lee & Yan 2015) with a learned prior.

    Attributes
    ----------
    context_trs
        TRs of film at the head of a window that come before its first volume.
    """

    def __init__(self, config: FilmVAEConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        width = config.embedding
        self.context_trs = config.context_trs(spec.tr_s)
        self.lag_trs = config.lag_trs(spec.tr_s)
        self.transformer = VolumeTransformer(config)
        self.posterior_head = nn.Linear(width, 2 * width)
        with torch.no_grad():
            nn.init.eye_(self.posterior_head.weight)
            self.posterior_head.bias[:width] = 0
            self.posterior_head.bias[width:] = math.log(config.start_std)
        self.film = FilmReader(config, spec)
        n_film = self.film.width * (self.film.delay_trs + 1)
        self.prior_head = nn.Linear(n_film, 2 * width)
        self.own_answers: nn.Parameter | None = None
        self.own_level: nn.Parameter | None = None
        if config.answers == "own":
            self.own_answers = nn.Parameter(torch.zeros(len(spec.subjects), width, n_film))
            self.own_level = nn.Parameter(torch.zeros(len(spec.subjects), width))

    def forward(
        self,
        volumes: Tensor,
        reference: Tensor,
        film: FilmWindows,
        row: Tensor,
        imagine: Imagine = "nothing",
        subject: Tensor | None = None,
    ) -> FilmVAEOutput:
        """Reconstruct volumes from both sides; draws in training, means in evaluation.

        Parameters
        ----------
        volumes
            (B, T, 2, X, Y, Z): each volume normalised over everything, and voxel by voxel.
        reference
            (B, 2, X, Y, Z) one volume of each row's person.
        film
            U windows of context_trs + T TRs.
        row
            (B,) film window of each row.
        imagine
            What of the prior is decoded too.
        subject
            (B,) the person of each row, as a position in the spec's subjects; -1, or None, for
            people of whose own answers nothing is known.
        """
        posterior, prior = self.posterior(volumes), self.prior(film, reference, row, subject)
        if posterior.mean.shape != prior.mean.shape:
            raise DataError(
                f"{volumes.shape[1]} volumes meet film of {prior.mean.shape[1]} TRs after its "
                f"context. Give {self.context_trs} TRs of film before the first volume."
            )
        imagined = None
        if imagine != "nothing":
            imagined = self.decode(prior.draw() if imagine == "draw" else prior.mean)
        drawn = posterior.draw() if self.training else posterior.mean
        return FilmVAEOutput(posterior, prior, self.decode(drawn), imagined)

    def posterior(self, volumes: Tensor) -> Gaussian:
        """(B, T, 2, X, Y, Z) to the Gaussian of the (B, T, E) vectors, knowing the volumes."""
        _, vectors = self.transformer(self.encode(volumes))
        return Gaussian.split(self.posterior_head(vectors))

    def prior(
        self, film: FilmWindows, reference: Tensor, row: Tensor, subject: Tensor | None = None
    ) -> Gaussian:
        """Return the Gaussian of the (B, T, E) vectors, knowing film and person alone.

        What a volume gets depends on its own film and nothing else, so that it does not matter
        where windows are cut.
        """
        vectors = self.film.dropout(self.film_vectors(film))
        return self.prior_of(vectors[row], reference, subject)

    def prior_of(
        self, vectors: Tensor, reference: Tensor, subject: Tensor | None = None
    ) -> Gaussian:
        """Return the prior, from the (B, T, D) vectors that `film_vectors` gives of the film."""
        x, y, z = self.grid
        sizes = check_shape(reference, f"B {N_VIEWS} X Y Z", name="reference", X=x, Y=y, Z=z)
        check_shape(vectors, "B T D", name="the film of each row", B=sizes["B"])
        person, shown = self.person(reference), Gaussian.split(self.prior_head(vectors))
        mean = person.mean + shown.mean
        if subject is not None and self.own_answers is not None and self.own_level is not None:
            check_shape(subject, "B", name="subject", B=sizes["B"])
            own, known = subject.clamp_min(0), (subject >= 0)[:, None, None]
            answers = vectors @ self.own_answers[own].transpose(1, 2) + self.own_level[own, None]
            mean = mean + answers * known
        return Gaussian(mean, torch.logaddexp(person.log_std, shown.log_std))

    def person(self, reference: Tensor) -> Gaussian:
        """(B, 2, X, Y, Z) to the Gaussian of the (B, 1, E) vectors: who is watching."""
        return self.posterior(reference.unsqueeze(1))

    def film_vectors(self, film: FilmWindows) -> Tensor:
        """Return the (U, T, D) features of the film that each volume answers to, delayed."""
        delayed = self.film.delay(self.film.tr_features(film))
        return delayed[:, : delayed.shape[1] - self.lag_trs]
