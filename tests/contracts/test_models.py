"""What every neural model must keep, whatever it computes.

A new model joins by a `Case`: a tiny config, a spec, inputs of two rows, the shape that comes out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from brainreel.checkpoints.store import load_state, load_weights, save_weights
from brainreel.config import read_yaml, to_yaml
from brainreel.errors import ConfigError, ShapeError
from brainreel.layers.clip import Clip
from brainreel.models.backbones import Backbone
from brainreel.models.base import ModelConfig
from brainreel.models.catalog import AnyModel
from brainreel.models.encoding import EncodingConfig
from brainreel.models.pixels import PixelsConfig
from brainreel.models.vit import ViTConfig
from brainreel.shapes import DataSpec

Inputs = dict[str, Any]


@dataclass(frozen=True)
class Case:
    config: ModelConfig
    spec: DataSpec
    inputs: Callable[[], Inputs]
    """Keyword arguments of forward, for a batch of three rows."""
    row: Callable[[Inputs, int], Inputs]
    """The same for row i alone."""
    out: tuple[int, ...]
    """The documented shape of what comes out."""
    wrong: Callable[[Inputs], Inputs]
    """Inputs with one axis too long."""
    axis: str
    """How the error names that axis."""


def noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


PICTURES = DataSpec(frame_shape=(3, 8, 12))
FILMS = DataSpec(
    subjects=("sub-01", "sub-02"),
    n_voxels=(5, 4),
    tr_s=2.0,
    frame_shape=(3, 8, 12),
    frames_per_tr=2,
)


def picture_case(config: ModelConfig, width: int, classes: dict[str, int] | None = None) -> Case:
    return Case(
        config=config,
        spec=replace(PICTURES, classes=classes or {}),
        inputs=lambda: {"clip": Clip(frames=noise(3, 2, 3, 8, 12))},
        row=lambda given, i: {"clip": given["clip"][i : i + 1]},
        out=(3, width),
        wrong=lambda given: {"clip": Clip(frames=torch.cat([given["clip"].frames] * 2, dim=4))},
        axis="frames has 24 along axis W",
    )


def film_row(given: Inputs, i: int) -> Inputs:
    film = int(given["film"][i])
    return {
        "frames": given["frames"][film : film + 1],
        "film": torch.tensor([0]),
        "subject": given["subject"][i : i + 1],
        "shown": given["shown"][film : film + 1],
    }


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
    "pixels": picture_case(PixelsConfig(cells=2), 24),
    "encoding": Case(
        config=EncodingConfig.parse(
            {
                "backbone": {"name": "vit", "width": 8, "depth": 1, "heads": 2, "patch": 4},
                "features": 4,
                "hrf_window_s": 4,
            }
        ),
        spec=FILMS,
        inputs=lambda: {
            "frames": noise(2, 6, 2, 3, 8, 12),
            "film": torch.tensor([0, 0, 1]),
            "subject": torch.tensor([1, 0, 1]),
            "shown": torch.tensor([[False] + [True] * 5, [True] * 6]),
        },
        row=film_row,
        out=(3, 4, 5),
        wrong=lambda given: {**given, "frames": torch.cat([given["frames"]] * 2, dim=5)},
        axis="frames has 24 along axis W",
    ),
}  # fmt: skip


def neural_names(union: Any) -> set[str]:
    """Names of the configs in a union that build a network."""
    configs = get_args(get_args(union)[0])
    ridges = {"ridge", "banded_ridge", "picture_ridge"}
    return {config.model_fields["name"].default for config in configs} - ridges


@pytest.fixture(params=sorted(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def build(case: Case) -> nn.Module:
    torch.manual_seed(0)
    built = case.config.build(case.spec)
    assert isinstance(built, nn.Module)
    return built


def test_every_registered_network_has_a_case() -> None:
    wanted = neural_names(AnyModel) | neural_names(Backbone)
    assert wanted == {case.config.name for case in CASES.values()}


@torch.no_grad()
def test_it_builds_tiny_and_gives_the_documented_shape(case: Case) -> None:
    model = build(case)
    assert sum(p.numel() for p in model.parameters()) < 20_000
    assert model(**case.inputs()).shape == case.out


def test_gradient_reaches_every_parameter(case: Case) -> None:
    model = build(case).train()
    torch.manual_seed(1)
    # A weighted sum: a plain one is blind to what LayerNorm takes out.
    out = model(**case.inputs())
    if not list(model.parameters()):
        return
    (out * noise(*out.shape)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{name} has no gradient"
        assert parameter.grad.abs().max() > 0, f"the gradient of {name} is zero"


@torch.no_grad()
def test_a_row_of_a_batch_equals_that_row_alone(case: Case) -> None:
    model, inputs = build(case).eval(), case.inputs()
    together = model(**inputs)
    for i in range(len(together)):
        alone = model(**case.row(inputs, i))
        torch.testing.assert_close(alone[0], together[i], rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_saved_and_loaded_it_is_the_same_bit_for_bit(case: Case, tmp_path: Path) -> None:
    model = build(case).eval()
    for parameter in model.parameters():
        parameter.add_(noise(*parameter.shape))
    path = save_weights(tmp_path / "weights.safetensors", model.state_dict())
    config = type(case.config).parse(case.config.to_dict())
    again = config.build(DataSpec.from_json(case.spec.to_json())).eval()
    load_state(again, load_weights(path), where=str(path))
    assert torch.equal(again(**case.inputs()), model(**case.inputs()))


def test_its_config_survives_yaml_and_refuses_unknown_keys(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(to_yaml(case.config.to_dict()))
    assert type(case.config).parse(read_yaml(path)) == case.config
    with pytest.raises(ConfigError, match="unknown key 'n_layerz'"):
        type(case.config).parse({**case.config.to_dict(), "n_layerz": 3})


def test_every_option_says_what_it_means(case: Case) -> None:
    for name, info in type(case.config).model_fields.items():
        assert info.description or name == "name", f"{name} has no meaning"


def test_a_wrong_shape_names_the_axis(case: Case) -> None:
    with pytest.raises(ShapeError, match=case.axis):
        build(case)(**case.wrong(case.inputs()))
