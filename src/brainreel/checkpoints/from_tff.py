"""Origin `tff`: checkpoints of the three phases of TFF."""

from __future__ import annotations

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
from brainreel.models.tff import TFFAutoencoderConfig, TFFConfig, TFFLabelConfig
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
        If a tensor is not known, is missing, or has another shape.
    """
    path = Path(path)
    told = TFFImport.parse(options or {}, where="tff")
    state = without_prefix(read_tensors(path), "module.")
    has_head = any(name.startswith("regression_head.") for name in state)
    found = remap(state, [*RULES, *((_POOL, _HEAD) if has_head else (_NO_POOL,))], where=str(path))
    config = _config(found.state, told, has_head, str(path))
    return Imported(config, DataSpec(grid=told.grid), found.state, found.dropped)


def _config(
    state: Mapping[str, Tensor], told: TFFImport, has_head: bool, where: str
) -> TFFAutoencoderConfig | TFFConfig | TFFLabelConfig:
    levels = _count(state, "encoder.levels.")
    if "encoder.enter.weight" not in state or not levels:
        raise CheckpointError(f"{where}: has no encoder of volumes, so it is no TFF checkpoint.")
    sizes: dict[str, Any] = {
        "widths": [len(state[f"encoder.levels.{i}.0.first.norm.weight"]) for i in range(levels)],
        "blocks": [_count(state, f"encoder.levels.{i}.") for i in range(levels)],
        "squeeze": len(state["encoder.squeeze.conv.bias"]),
    }
    if "transformer.positions" not in state:
        sizes["embedding"] = len(state["encoder.project.bias"])
        return TFFAutoencoderConfig.parse(sizes, where=where)
    sizes |= {
        "embedding": state["transformer.positions"].shape[1],
        "max_trs": len(state["transformer.positions"]),
        "layers": _count(state, "transformer.transformer.blocks."),
        "hidden": len(state["transformer.transformer.blocks.0.feedforward.expand.bias"]),
        "heads": told.heads,
    }
    kind = TFFLabelConfig if has_head else TFFConfig
    return kind.parse(sizes, where=where)


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """Return how many numbered parts follow a prefix."""
    rest = (name.removeprefix(prefix) for name in state if name.startswith(prefix))
    return len({name.split(".", 1)[0] for name in rest})
