"""What ViT, DeiT and AST call their tensors in timm, in Hugging Face, and in the first AST."""

from __future__ import annotations

from brainreel.checkpoints.remap import Drop, Rename, joined

_ENDS = r"(weight|bias)"


def _of_block(source: str, parts: dict[str, str]) -> tuple[Rename, ...]:
    return tuple(
        Rename(rf"{source}\.(\d+)\.{theirs}\.{_ENDS}", rf"transformer.blocks.\1.{ours}.\2")
        for theirs, ours in parts.items()
    )


TIMM: tuple[Rename | Drop, ...] = (
    Rename("cls_token", "class_token"),
    Rename("dist_token", "distillation_token"),
    Rename("pos_embed", "positions.table"),
    Rename(rf"patch_embed\.proj\.{_ENDS}", r"patches.project.\1"),
    *_of_block(
        "blocks",
        {
            "norm1": "attention_norm",
            r"attn\.qkv": "attention.qkv",
            r"attn\.proj": "attention.out",
            "norm2": "feedforward_norm",
            r"mlp\.fc1": "feedforward.expand",
            r"mlp\.fc2": "feedforward.contract",
        },
    ),
    Rename(rf"norm\.{_ENDS}", r"norm.\1"),
)

TIMM_HEADS: tuple[Rename | Drop, ...] = (
    Rename(rf"pre_logits\.fc\.{_ENDS}", r"pre_logits.0.\1"),
    Rename(rf"head\.{_ENDS}", r"head.\1"),
    Rename(rf"head_dist\.{_ENDS}", r"distillation_head.\1"),
)

AST_HEADS: tuple[Rename | Drop, ...] = (
    Drop(r"head(_dist)?\..*", "classes of pictures, from which the training on sound began"),
    Rename(rf"mlp_head\.(0|1)\.{_ENDS}", r"head.\1.\2"),
)

HUGGING_FACE: tuple[Rename | Drop, ...] = (
    Rename(r"embeddings\.cls_token", "class_token"),
    Rename(r"embeddings\.distillation_token", "distillation_token"),
    Rename(r"embeddings\.position_embeddings", "positions.table"),
    Rename(rf"embeddings\.patch_embeddings\.projection\.{_ENDS}", r"patches.project.\1"),
    Drop(r"embeddings\.mask_token", "stands for hidden patches in pre-training only"),
    Rename(
        tuple(
            rf"encoder\.layer\.(\d+)\.attention\.attention\.{part}\.{_ENDS}"
            for part in ("query", "key", "value")
        ),
        r"transformer.blocks.\1.attention.qkv.\2",
        joined,
    ),
    *_of_block(
        r"encoder\.layer",
        {
            "layernorm_before": "attention_norm",
            r"attention\.output\.dense": "attention.out",
            "layernorm_after": "feedforward_norm",
            r"intermediate\.dense": "feedforward.expand",
            r"output\.dense": "feedforward.contract",
        },
    ),
    Rename(rf"layernorm\.{_ENDS}", r"norm.\1"),
    Rename(rf"classifier\.layernorm\.{_ENDS}", r"head.0.\1"),
    Rename(rf"classifier\.dense\.{_ENDS}", r"head.1.\1"),
    Rename(rf"cls_classifier\.{_ENDS}", r"head.\1"),
    Rename(rf"distillation_classifier\.{_ENDS}", r"distillation_head.\1"),
)

CLASSIFIER = Rename(rf"classifier\.{_ENDS}", r"head.\1")
CLASS_TOKEN_ALONE = Drop(
    r"classifier\..*", "reads the class token alone, where this model reads both tokens"
)
POOLER = Rename(rf"pooler\.dense\.{_ENDS}", r"pre_logits.0.\1")
NO_POOLER = Drop(r"pooler\..*", "a layer for pre-training; pooler=true puts it after the token")
