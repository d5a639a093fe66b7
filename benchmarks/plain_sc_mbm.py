"""SC-MBM in PyTorch's own layers, one after the other, without any trick.

What `mind_vis.py` measures against on the same machine: written from the paper (Chen et al. 2023),
with attention as softmax(q k') v written out, as most masked autoencoders of its time have it. It
takes our weights over, and gives the same loss.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from brainreel.models.sc_mbm import SCMBM, SCMBMConfig

_PARTS = ("encoder", "decoder")
# What our weights are called -> what they are called here.
_NAMES = {
    "encoder.positions.table": "places",
    "decoder.positions.table": "decoder_places",
    "encoder.embed": "embed",
    "decoder.mask_token": "mask_token",
    "decoder.enter": "enter",
    "decoder.leave": "leave",
    "transformer.blocks.": "",
    "attention_norm": "first_norm",
    "feedforward_norm": "second_norm",
    "attention.": "",
    "feedforward.": "",
}


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x))."""

    def __init__(self, width: int, heads: int, hidden: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.first_norm = nn.LayerNorm(width, eps=eps)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.second_norm = nn.LayerNorm(width, eps=eps)
        self.expand, self.contract = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.act = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        b, n, d = x.shape
        qkv = self.qkv(self.first_norm(x)).reshape(b, n, 3, self.heads, d // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        shares = (q @ k.transpose(-2, -1) * (d // self.heads) ** -0.5).softmax(dim=-1)
        x = x + self.out((shares @ v).transpose(1, 2).reshape(b, n, d))
        return x + self.contract(self.act(self.expand(self.second_norm(x))))


class PlainSCMBM(nn.Module):
    """Patches, encoder of those that are seen, decoder of all; the class token takes part."""

    def __init__(self, config: SCMBMConfig, n_patches: int) -> None:
        super().__init__()
        self.patch, self.ratio, self.n_patches = config.patch, config.mask_ratio, n_patches
        width, narrow, eps = config.width, config.decoder_width, config.norm_eps
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.embed = nn.Linear(self.patch, width)
        self.register_buffer("places", torch.zeros(n_patches, width))
        self.encoder = _stack(width, config.heads, config.depth, config.mlp_ratio, eps)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, narrow))
        self.enter = nn.Linear(width, narrow)
        self.register_buffer("decoder_places", torch.zeros(n_patches, narrow))
        depth, heads = config.decoder_depth, config.decoder_heads
        self.decoder = _stack(narrow, heads, depth, config.mlp_ratio, eps)
        self.leave = nn.Linear(narrow, self.patch)

    def load(self, ours: SCMBM) -> None:
        """Take our weights."""
        own = self.state_dict()
        ends = {f"{part}.norm": f"{part}.{len(self.get_submodule(part)) - 1}" for part in _PARTS}
        named = {}
        for name, value in ours.state_dict().items():
            for theirs, here in (_NAMES | ends).items():
                name = name.replace(theirs, here)
            named[name] = value.reshape(own[name].shape)
        self.load_state_dict(named)

    def forward(self, voxels: Tensor, noise: Tensor) -> Tensor:
        """Return the mean squared error of the patches that were not seen."""
        patches = voxels.reshape(len(voxels), self.n_patches, self.patch)
        n_seen = int(self.n_patches * (1 - self.ratio))
        order = noise.argsort(dim=1)
        back = order.argsort(dim=1)
        x = self.embed(patches) + self.places
        x = torch.gather(x, 1, order[:, :n_seen, None].expand(-1, -1, x.shape[-1]))
        x = self.encoder(torch.cat([self.class_token.expand(len(x), -1, -1), x], dim=1))
        x = self.enter(x)
        hidden = self.mask_token.expand(len(x), self.n_patches - n_seen, -1)
        filled = torch.cat([x[:, 1:], hidden], dim=1)
        filled = torch.gather(filled, 1, back[..., None].expand(-1, -1, filled.shape[-1]))
        filled = torch.cat([x[:, :1], filled + self.decoder_places], dim=1)
        error = (self.leave(self.decoder(filled)[:, 1:]) - patches).square().mean(dim=-1)
        removed = (back >= n_seen).to(error)
        return (error * removed).sum() / removed.sum()


def _stack(width: int, heads: int, depth: int, mlp_ratio: float, eps: float) -> nn.Sequential:
    blocks = [Block(width, heads, round(mlp_ratio * width), eps) for _ in range(depth)]
    return nn.Sequential(*blocks, nn.LayerNorm(width, eps=eps))
