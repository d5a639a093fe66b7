from __future__ import annotations

from brainreel.models.pixels import PixelsConfig
from brainreel.models.vit import ViTConfig

from .cases import picture_case

CASES = {
    "vit": picture_case(ViTConfig(width=8, depth=2, heads=2, patch=4), 8),
    "vit-class": picture_case(
        ViTConfig(
            width=8, heads=2, patch=4, pooling="class", positions="learned", norm="post",
            gelu="tanh", recompute=True,
        ),
        8,
    ),
    "vit-classes": picture_case(
        ViTConfig(width=8, depth=1, heads=2, patch=4), 5, {"verb": 2, "noun": 3}
    ),
    "vit-distilled": picture_case(
        ViTConfig(
            width=8, depth=1, heads=2, patch=(4, 6), pooling="distilled", positions="learned",
            qkv_bias=False, pre_logits=6,
        ),
        3, {"label": 3},
    ),
    "pixels": picture_case(PixelsConfig(cells=2), 24),
}  # fmt: skip
