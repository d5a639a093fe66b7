"""What every neural model must keep, whatever it computes; see `cases` for how one joins."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import nn

from brainreel.checkpoints.store import load_state, load_weights, save_weights
from brainreel.config import read_yaml, to_yaml
from brainreel.errors import ConfigError, ShapeError
from brainreel.models.backbones import Backbone
from brainreel.models.catalog import AnyModel
from brainreel.shapes import DataSpec

from .cases import Case, noise

CASES: dict[str, Case] = {}
for file in sorted(Path(__file__).parent.glob("cases_*.py")):
    CASES |= import_module(f"{__package__}.{file.stem}").CASES


def neural_names(union: Any) -> set[str]:
    """Names of the configs in a union that build a network."""
    configs = get_args(get_args(union)[0])
    ridges = {"ridge", "banded_ridge", "picture_ridge"}
    # `hf` needs an optional package; tests/models/test_hf.py holds it to the same.
    return {config.model_fields["name"].default for config in configs} - ridges - {"hf"}


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
    assert case.joined(model(**case.inputs())).shape == case.out


def test_gradient_reaches_every_parameter(case: Case) -> None:
    model = build(case).train()
    torch.manual_seed(1)
    # A weighted sum: a plain one is blind to what LayerNorm takes out.
    out = case.joined(model(**case.inputs()))
    if not list(model.parameters()):
        return
    (out * noise(*out.shape)).sum().backward()
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue  # frozen: what comes before it must still be reached through it
        assert parameter.grad is not None, f"{name} has no gradient"
        assert parameter.grad.abs().max() > 0, f"the gradient of {name} is zero"


@torch.no_grad()
def test_a_row_of_a_batch_equals_that_row_alone(case: Case) -> None:
    model, inputs = build(case).eval(), case.inputs()
    together = case.joined(model(**inputs))
    for i in range(len(together)):
        alone = case.joined(model(**case.row(inputs, i)))
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
    given, found = case.joined(model(**case.inputs())), case.joined(again(**case.inputs()))
    assert torch.equal(found, given)


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
