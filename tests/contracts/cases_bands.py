from __future__ import annotations

from brainreel.layers.clip import Clip
from brainreel.models.bands import BandsConfig
from brainreel.models.sights import SightsConfig
from brainreel.shapes import DataSpec

from .cases import Case, noise

CASES = {
    "bands": Case(
        config=BandsConfig(),
        spec=DataSpec(sound_shape=(2, 9, 4)),
        inputs=lambda: {"clip": Clip(sound=noise(3, 2, 9, 4))},
        row=lambda given, i: {"clip": given["clip"][i : i + 1]},
        out=(3, 24),
        wrong=lambda given: {"clip": Clip(sound=noise(3, 2, 9, 5))},
        axis="sound has 5 along axis M",
    ),
    "sights": Case(
        config=SightsConfig(),
        spec=DataSpec(frame_shape=(3, 8, 12)),
        inputs=lambda: {"clip": Clip(frames=noise(3, 2, 3, 8, 12))},
        row=lambda given, i: {"clip": given["clip"][i : i + 1]},
        out=(3, 30),
        wrong=lambda given: {"clip": Clip(frames=noise(3, 2, 3, 8, 13))},
        axis="frames has 13 along axis W",
    ),
}
