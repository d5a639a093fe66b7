"""Pictures that a diffusion draws of any brain, one brain at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from brainreel.data.picture_rows import Pairs, PictureRows
from brainreel.errors import ConfigError
from brainreel.fmri.normalize import Moments
from brainreel.layers.voxel_patches import Padding
from brainreel.models.brain_diffusion import BrainDiffusion
from brainreel.models.picture_ridge import PictureRidge
from brainreel.models.sampling import ladder
from brainreel.train.drawing import DrawOptions, chosen, draw_pictures, seeds_of
from brainreel.train.picture_reconstruction import Brain, Reconstructor

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class DiffusionDraws:
    """A network that draws.

    Each brain is drawn by itself: among others sums would be rounded in another order, and a pixel
    in thousands would be another.

    Attributes
    ----------
    network
        With its weights.
    padding
        How vectors are padded.
    options, seed
        How pictures are drawn, and from what seed.
    device
        Where.
    guess
        Ridge of the person, of a network that takes a first guess.
    """

    network: BrainDiffusion
    padding: Padding
    options: DrawOptions
    seed: int
    device: torch.device
    guess: PictureRidge | None = None

    def __call__(self, brain: Brain) -> tuple[Float32, Float32]:
        """Return (S, C, H, W) samples, and the picture that stands for them."""
        guess = None if self.guess is None else self.guess.predict(brain.voxels[None])
        unseen = np.zeros((1, *self.network.first_stage.picture_shape), np.float32)
        encoder = self.network.encoder
        length = encoder.n_patches * encoder.patch
        rows = PictureRows(Pairs([brain.scored[None]], unseen, guess), None, length, self.padding)
        seeds = seeds_of(self.seed, [brain.number], self.options.samples)
        samples = draw_pictures(self.network, rows, seeds, self.options, self.device, 1)
        return samples[0], chosen(samples, self.options.rule)[0]


def diffusion_reconstructor(draws: DiffusionDraws, moments: Moments | None) -> Reconstructor:
    """Return a reconstructor, with the options of sampling checked.

    Raises
    ------
    ConfigError
        If there are more steps than noise levels, or guidance without what it needs.
    """
    network, options = draws.network, draws.options
    ladder(options.steps, network.noise.steps)
    if options.guidance != 1 and network.null_context is None:
        raise ConfigError(
            "sampling.guidance needs what the network draws without a brain, and this one was "
            "trained without model.null_context. Leave guidance at 1."
        )
    words = f"{options.samples} drawn of each by {options.sampler} in {options.steps} steps"
    if options.samples > 1:
        words += {
            "first": "; the first stands for all",
            "average": "; their average stands for all",
            "consensus": "; the one nearest to their average stands for all",
        }[options.rule]
    told = {"sampling": options.to_dict(), "seed": draws.seed}
    return Reconstructor(draws, options.samples, moments, told, words)
