"""EfficientNet-Lite0: a small ImageNet classifier, by which reconstructed pictures are scored."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

SIDE = 224
# Of bytes, as the weights were trained: (x - 127) / 128.
PIXEL_MEAN, PIXEL_STD = 127 / 255, 128 / 255
_EPSILON = 1e-3


class _Stage(NamedTuple):
    """Blocks of one width: how many, kernel, stride of the first, widening, channels out."""

    n_blocks: int
    kernel: int
    stride: int
    expand: int
    channels: int


# EfficientNet-B0's table; "lite" leaves out squeeze-and-excitation and uses ReLU6.
_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
_STEM, _HEAD, _CLASSES = 32, 1280, 1000


class EfficientNetLite0(nn.Module):
    """Pictures to the logits of ImageNet's 1000 classes; 4.65 million weights.

    Its layers by name, for features: `blocks.0` to `blocks.15` (maps), `pooled` (1280 numbers).

    Notes
    -----
    Tan and Le (2019), in the "lite" form of the TensorFlow TPU models (2020).
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = _SameConv(3, _STEM, 3, stride=2, bias=False)
        self.bn0 = nn.BatchNorm2d(_STEM, _EPSILON)
        blocks, width = [], _STEM
        for stage in _STAGES:
            for i in range(stage.n_blocks):
                stride = stage.stride if i == 0 else 1
                blocks.append(_Block(width, stage.channels, stage.kernel, stride, stage.expand))
                width = stage.channels
        self.blocks = nn.ModuleList(blocks)
        self.conv_head = nn.Conv2d(width, _HEAD, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(_HEAD, _EPSILON)
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(_HEAD, _CLASSES)

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) pictures on the network's scale to (B, 1000) logits."""
        x = functional.relu6(self.bn0(self.conv_stem(pictures)))
        for block in self.blocks:
            x = block(x)
        x = functional.relu6(self.bn1(self.conv_head(x)))
        logits: Tensor = self.fc(self.pooled(x))
        return logits


class _Block(nn.Module):
    """Widen, look around in each channel, narrow; added to its input where the shape is kept."""

    def __init__(self, inside: int, out: int, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        wide = inside * expand
        self.expand_conv: nn.Module | None = None
        if expand > 1:
            self.expand_conv = nn.Conv2d(inside, wide, 1, bias=False)
            self.bn0 = nn.BatchNorm2d(wide, _EPSILON)
        self.depthwise_conv = _SameConv(wide, wide, kernel, stride=stride, groups=wide, bias=False)
        self.bn1 = nn.BatchNorm2d(wide, _EPSILON)
        self.project_conv = nn.Conv2d(wide, out, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out, _EPSILON)
        self.adds = stride == 1 and inside == out

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        wide = x if self.expand_conv is None else functional.relu6(self.bn0(self.expand_conv(x)))
        seen = functional.relu6(self.bn1(self.depthwise_conv(wide)))
        y: Tensor = self.bn2(self.project_conv(seen))
        return y + x if self.adds else y


class _SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's "same": ceil(H / stride) rows, the odd one below."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        sides = []
        for size, kernel, stride in zip(
            reversed(x.shape[-2:]), reversed(self.kernel_size), reversed(self.stride), strict=True
        ):
            missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            sides += [missing // 2, missing - missing // 2]
        y: Tensor = super().forward(functional.pad(x, sides))
        return y


def on_scale(pictures: Tensor) -> Tensor:
    """Bring (B, 3, 224, 224) pictures in [0, 1] to the network's scale."""
    return (pictures - PIXEL_MEAN) / PIXEL_STD
