"""The network and losses of TFF in PyTorch's own layers, one after the other, without any trick.

What `volumes.py` measures against on the same machine: written from the paper (Malkiel et al.
2022) with the published sizes, volumes as (B, 2, X, Y, Z, T), time last. A step gives the same
loss as ours for the same weights; `load` takes ours over, so that it can be checked.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from brainreel.models.tff import TFFAutoencoder
from brainreel.train.volume_losses import VGGFront


class Green(nn.Module):
    """x + dropout(conv(act(norm(conv(act(norm(x)))))))."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [
                nn.GroupNorm(channels // 4, channels),
                nn.LeakyReLU(0.01),
                nn.Conv3d(channels, channels, 3, padding=1),
            ]
        self.layers = nn.Sequential(*layers, nn.Dropout3d(dropout))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class PlainTFF(nn.Module):
    """Encoder, transformer (phase 2 only) and decoder at the published widths."""

    def __init__(self, ours: TFFAutoencoder, grid: tuple[int, int, int], dropout: float) -> None:
        super().__init__()
        widths, blocks = (4, 8, 16, 32), (1, 2, 2, 4)
        down: list[nn.Module] = [nn.Conv3d(2, 4, 3, padding=1)]
        grids = [grid]
        for level, (width, n) in enumerate(zip(widths, blocks, strict=True)):
            if level:
                down.append(nn.Conv3d(widths[level - 1], width, 3, stride=2, padding=1))
                grids.append(tuple(-(-side // 2) for side in grids[-1]))
            down += [Green(width, dropout) for _ in range(n)]
        down += [nn.GroupNorm(8, 32), nn.LeakyReLU(0.01), nn.Conv3d(32, 2, 3, padding=1)]
        self.coarsest = (2, *grids[-1])
        size = 2 * grids[-1][0] * grids[-1][1] * grids[-1][2]
        self.down = nn.Sequential(*down, nn.Flatten(1))
        self.into = nn.Identity() if size == 2640 else nn.Linear(size, 2640)
        self.transformer = getattr(ours, "transformer", None)
        self.out = nn.Linear(2640, size)
        up: list[nn.Module] = [
            nn.GroupNorm(2, 2),
            nn.LeakyReLU(0.01),
            nn.Conv3d(2, 32, 3, padding=1),
        ]
        for level in (2, 1, 0):
            up += [
                nn.Conv3d(widths[level + 1], widths[level], 1),
                nn.Upsample(size=grids[level], mode="nearest"),
                Green(widths[level], dropout),
            ]
        self.up = nn.Sequential(*up, nn.Conv3d(4, 4, 3, padding=1), nn.Conv3d(4, 1, 1))
        self._take(ours)

    def forward(self, volumes: Tensor) -> Tensor:
        """(B, 2, X, Y, Z, T) to (B, 1, X, Y, Z, T)."""
        n, *_, n_trs = volumes.shape
        single = volumes.permute(0, 5, 1, 2, 3, 4).flatten(0, 1)
        vectors = self.into(self.down(single)).reshape(n, n_trs, -1)
        if self.transformer is not None:
            vectors = self.transformer(vectors)[1]
        grown = self.up(self.out(vectors.flatten(0, 1)).reshape(-1, *self.coarsest))
        return grown.reshape(n, n_trs, *grown.shape[1:]).permute(0, 2, 3, 4, 5, 1)

    def _take(self, ours: TFFAutoencoder) -> None:
        """Take over weights: both name their layers in the order in which they are passed."""
        pairs = (
            (self.down, [ours.encoder.enter, *_levels(ours), ours.encoder.squeeze]),
            (self.up, [ours.decoder.widen, *ours.decoder.grow, ours.decoder.refine]),
            (self.up[-1], [ours.decoder.leave]),
            (self.into, [ours.encoder.project]),
            (self.out, [ours.decoder.project]),
        )
        for plain, parts in pairs:
            theirs = [parameter for part in parts for parameter in part.parameters()]
            for mine, weight in zip(plain.parameters(), theirs, strict=plain is not self.up):
                assert mine.shape == weight.shape
                mine.data = weight.detach().clone()


def _levels(ours: TFFAutoencoder) -> list[nn.Module]:
    levels, halve = list(ours.encoder.levels), list(ours.encoder.halve)
    parts = [levels[0]]
    for number, level in enumerate(levels[1:]):
        parts += [halve[number], level]
    return parts


def plain_loss(
    predicted: Tensor,
    volumes: Tensor,
    *,
    intensity: bool,
    vgg: VGGFront | None,
    slices: Tensor,
) -> Tensor:
    """Return the three-part loss, as far as asked for.

    `slices` counts over volumes and axial slices.
    """
    measured = volumes[:, :1]
    loss = functional.l1_loss(predicted, measured)
    if intensity:
        mask = torch.stack([_intense(one) for one in volumes[:, 1].movedim(-1, 1).flatten(0, 1)])
        ours, theirs = (x[:, 0].movedim(-1, 1).flatten(0, 1) for x in (predicted, measured))
        loss = loss + functional.l1_loss(ours[mask], theirs[mask])
    if vgg is not None:
        seen = [
            _seen(x[:, 0].permute(0, 4, 3, 1, 2).flatten(0, 2)[slices], vgg)
            for x in (predicted, measured)
        ]
        for ours, theirs in zip(*seen, strict=True):
            loss = loss + functional.mse_loss(ours, theirs)
    return loss


def _intense(scores: Tensor) -> Tensor:
    """(X, Y, Z) to where |z| lies above the 0.9 quantile of the positive z."""
    height = torch.where(scores > 0, scores, 0.0)
    return height > torch.quantile(height[height > 0], 0.9)


def _seen(slices: Tensor, vgg: VGGFront) -> tuple[Tensor, Tensor]:
    """(n, X, Y) as three equal channels through VGG16 to relu1_2 and relu2_2."""
    x = slices.unsqueeze(1).repeat(1, 3, 1, 1)
    near = functional.relu(vgg.second(functional.relu(vgg.first(x))))
    far = functional.relu(vgg.third(functional.max_pool2d(near, 2)))
    return near, functional.relu(vgg.fourth(far))
