"""Origin `tff`: checkpoints of the three phases of TFF."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field
from torch import Tensor

from brainreel.checkpoints.imported import Imported
from brainreel.checkpoints.readers import read_tensors, without_prefix
from brainreel.checkpoints.remap import Drop, Rename, joined, remap
from brainreel.config import Config
from brainreel.errors import CheckpointError
from brainreel.layers.conv import halved
from brainreel.models.tff import TFFAutoencoderConfig, TFFConfig, TFFLabelConfig, VolumeOptions
from brainreel.shapes import DataSpec

_BERT = r"transformer\.bert\.encoder\.layer\.(\d+)\."
_BLOCK = r"transformer.transformer.blocks.\1."
_PARTS = r"\.(weight|bias)"
_QKV = ("query", "key", "value")
# Their name of a part of a residual block -> ours.
_HALVES = {
    "group_norm0": "first.norm",
    "conv0": "first.conv",
    "group_norm1": "second.norm",
    "conv2": "second.conv",
}


class TFFImport(Config):
    """What a TFF checkpoint does not tell."""

    grid: tuple[int, int, int] = (75, 93, 81)
    """(X, Y, Z) of the volumes, cropped as they were in training (published: 75 x 93 x 81)."""
    heads: int = Field(16, ge=1)
    """Attention heads of the transformer."""


def _in_blocks() -> list[Rename | Drop]:
    """Return the rules of the residual blocks; on the way down they are numbered level, place."""
    rules: list[Rename | Drop] = []
    for theirs, ours in _HALVES.items():
        rules += [
            Rename(
                rf"encoder\.(?:down_block\d|final_block)\.green(\d)(\d)\.block\.{theirs}{_PARTS}",
                rf"encoder.levels.\1.\2.{ours}.\3",
            ),
            Rename(
                rf"encoder\.down_block1\.green0\.block\.{theirs}{_PARTS}",
                rf"encoder.levels.0.0.{ours}.\1",
            ),
            Rename(
                rf"decoder\.decode_block\.upgreen(\d)\.green\.block\.{theirs}{_PARTS}",
                rf"decoder.grow.\1.block.{ours}.\2",
            ),
        ]
    return rules


RULES: tuple[Rename | Drop, ...] = (
    *_in_blocks(),
    Rename(rf"encoder\.down_block1\.conv0{_PARTS}", r"encoder.enter.\1"),
    Rename(rf"encoder\.down_block\d\.downsize_(\d){_PARTS}", r"encoder.halve.\1.\2"),
    Rename(rf"into_bert\.reduce_dimension\.group_normR{_PARTS}", r"encoder.squeeze.norm.\1"),
    Rename(rf"into_bert\.reduce_dimension\.convR0{_PARTS}", r"encoder.squeeze.conv.\1"),
    Rename(rf"into_bert\.into_bert{_PARTS}", r"encoder.project.\1"),
    Rename(rf"from_bert\.out_of_bert{_PARTS}", r"decoder.project.\1"),
    Rename(rf"from_bert\.expand_dimension\.group_normR{_PARTS}", r"decoder.widen.norm.\1"),
    Rename(rf"from_bert\.expand_dimension\.convR0{_PARTS}", r"decoder.widen.conv.\1"),
    Rename(rf"decoder\.decode_block\.upgreen(\d)\.conv{_PARTS}", r"decoder.grow.\1.reduce.\2"),
    Rename(rf"decoder\.decode_block\.blue_block{_PARTS}", r"decoder.refine.\1"),
    Rename(rf"decoder\.decode_block\.output_block{_PARTS}", r"decoder.leave.\1"),
    Rename(rf"transformer\.cls_embedding\.0{_PARTS}", r"transformer.class_token.\1"),
    Rename(
        r"transformer\.bert\.embeddings\.position_embeddings\.weight", "transformer.positions"
    ),
    Rename(
        r"transformer\.bert\.embeddings\.token_type_embeddings\.weight",
        "transformer.token_type",
        lambda table: table[0].clone(),
    ),
    Rename(rf"transformer\.bert\.embeddings\.LayerNorm{_PARTS}", r"transformer.norm.\1"),
    *(
        Rename(
            tuple(_BERT + rf"attention\.self\.{part}\.({kind})" for part in _QKV),
            _BLOCK + r"attention.qkv.\2",
            joined,
        )
        for kind in ("weight", "bias")
    ),
    Rename(_BERT + rf"attention\.output\.dense{_PARTS}", _BLOCK + r"attention.out.\2"),
    Rename(_BERT + rf"attention\.output\.LayerNorm{_PARTS}", _BLOCK + r"attention_norm.\2"),
    Rename(_BERT + rf"intermediate\.dense{_PARTS}", _BLOCK + r"feedforward.expand.\2"),
    Rename(_BERT + rf"output\.dense{_PARTS}", _BLOCK + r"feedforward.contract.\2"),
    Rename(_BERT + rf"output\.LayerNorm{_PARTS}", _BLOCK + r"feedforward_norm.\2"),
    Drop(
        r"transformer\.bert\.embeddings\.word_embeddings\.weight",
        "a table of words, which vectors of volumes do not look up",
    ),
    Drop(r"transformer\.bert\.embeddings\.position_ids", "the numbers 0, 1, 2, ..."),
)  # fmt: skip
_POOL = Rename(rf"transformer\.bert\.pooler\.dense{_PARTS}", r"pool.\1")
_NO_POOL = Drop(r"transformer\.bert\.pooler\..*", "the pooled class token, used by the head alone")
_HEAD = Rename(rf"regression_head\.0{_PARTS}", r"head.\1")


def read_tff(path: Path, options: Mapping[str, Any] | None = None) -> Imported:
    """Read a checkpoint of any of the three phases.

    Sizes come from the shapes of the tensors; the grid and the heads are options, as no tensor
    tells them.

    Parameters
    ----------
    path
        A file that `read_tensors` can read.
    options
        Options of `TFFImport`.

    Raises
    ------
    CheckpointError
        If a tensor is not known, is missing, or has another shape; if the grid does not fit.
    """
    path = Path(path)
    told = TFFImport.parse(options or {}, where="import tff")
    state = without_prefix(read_tensors(path), "module.")
    has_head = any(name.startswith("regression_head.") for name in state)
    found = remap(state, [*RULES, *((_POOL, _HEAD) if has_head else (_NO_POOL,))], where=str(path))
    sizes = _Sizes(found.state, str(path))
    config = sizes.config(told, has_head)
    sizes.check_grid(config, told.grid)
    n_outputs = sizes.length("head.bias") if has_head else 0
    classes = {"label": n_outputs} if n_outputs > 1 else {}
    notes = (_ONE_NUMBER,) if n_outputs == 1 else ()
    spec = DataSpec(grid=told.grid, classes=classes)
    return Imported(config, spec, found.state, found.dropped, notes)


_ONE_NUMBER = (
    "Its head gives one number, and no file tells of what: the logit of the second of two classes, "
    "or, through LeakyReLU, a number."
)


class _Sizes:
    """Sizes of a network read off its tensors; a tensor that is not there is named."""

    def __init__(self, state: Mapping[str, Tensor], where: str) -> None:
        self.state, self.where = state, where

    def config(
        self, told: TFFImport, has_head: bool
    ) -> TFFAutoencoderConfig | TFFConfig | TFFLabelConfig:
        """Return the options of the phase that the tensors are of."""
        levels = self.count("encoder.levels.")
        if "encoder.enter.weight" not in self.state or not levels:
            raise CheckpointError(
                f"{self.where}: has no encoder of volumes, so it is no TFF checkpoint."
            )
        norms = [f"encoder.levels.{i}.0.first.norm.weight" for i in range(levels)]
        sizes: dict[str, Any] = {
            "widths": [self.length(name) for name in norms],
            "blocks": [self.count(f"encoder.levels.{i}.") for i in range(levels)],
            "squeeze": self.length("encoder.squeeze.conv.bias"),
        }
        if "transformer.positions" not in self.state:
            sizes["embedding"] = self.length("decoder.project.weight", 1)
            return TFFAutoencoderConfig.parse(sizes, where=self.where)
        sizes |= {
            "embedding": self.length("transformer.positions", 1),
            "max_trs": self.length("transformer.positions"),
            "layers": self.count("transformer.transformer.blocks."),
            "hidden": self.length("transformer.transformer.blocks.0.feedforward.expand.bias"),
            "heads": told.heads,
        }
        kind = TFFLabelConfig if has_head else TFFConfig
        return kind.parse(sizes, where=self.where)

    def check_grid(self, config: VolumeOptions, grid: tuple[int, ...]) -> None:
        """Refuse a grid whose volumes would not fit the vectors of this network."""
        for _ in config.widths[1:]:
            grid = halved(grid)
        n_squeezed = config.squeeze * math.prod(grid)
        wide = "encoder.project.weight"
        n_known = self.length(wide, 1) if wide in self.state else config.embedding
        if n_squeezed != n_known:
            raise CheckpointError(
                f"{self.where}: its volumes come to {n_known} numbers at the coarsest grid, those "
                f"of the grid that was told to {n_squeezed}. Give grid=[X,Y,Z], the size of the "
                "volumes that it was trained on."
            )

    def length(self, name: str, axis: int = 0) -> int:
        """Return the size of a tensor along an axis."""
        if name not in self.state or self.state[name].dim() <= axis:
            raise CheckpointError(
                f"{self.where}: no tensor of the right shape in it becomes {name}. The file is not "
                "whole."
            )
        return int(self.state[name].shape[axis])

    def count(self, prefix: str) -> int:
        """Return how many numbered parts follow a prefix."""
        rest = (name.removeprefix(prefix) for name in self.state if name.startswith(prefix))
        return len({name.split(".", 1)[0] for name in rest})
