from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, field_validator

from brainreel.config import Config, options, override, read_yaml, to_yaml
from brainreel.errors import ConfigError


class Ridge(Config):
    name: Literal["ridge"] = "ridge"
    alphas: tuple[float, ...] = (1.0, 10.0)
    """Strengths of the penalty to choose from."""


class Deep(Config):
    name: Literal["deep"] = "deep"
    width: int = Field(64, gt=0)
    """Width of the tokens."""
    sizes: tuple[int, ...] | int = 3
    """A list or a number."""
    odd: int = 1
    label: str = "wide"
    precision: Literal["32", "bf16"] = "32"

    @field_validator("odd")
    @classmethod
    def _is_odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("no even number")
        return value


class Recipe(Config):
    seed: int = 0
    model: Annotated[Ridge | Deep, Field(discriminator="name")] = Ridge()
    stages: tuple[Annotated[Ridge | Deep, Field(discriminator="name")], ...] = ()
    path: Path


def test_yaml_round_trip_keeps_every_value() -> None:
    recipe = Recipe.parse({"path": "x", "model": {"name": "deep", "width": 8}})
    again = Recipe.parse(recipe.to_dict())
    assert again == recipe
    assert again.digest() == recipe.digest()
    assert "width: 8" in to_yaml(recipe.to_dict())


def test_overrides_reach_into_maps_and_lists() -> None:
    content = {"model": {"name": "deep", "width": 8}, "stages": [{"name": "deep"}], "path": "x"}
    changed = override(content, ["model.width=16", "stages.0.width=1e1", "seed=3"])
    assert changed["model"]["width"] == 16
    assert changed["stages"][0]["width"] == 10.0
    assert changed["seed"] == 3
    assert content["model"]["width"] == 8


def test_none_is_nothing_and_nothing_is_empty_text() -> None:
    assert override({}, ["a=none", "b=null", "c=", "d='none'"]) == {
        "a": None,
        "b": None,
        "c": None,
        "d": "none",
    }
    assert Deep.parse({"name": "deep", "label": None}).label == ""


def test_a_number_is_text_where_text_is_wanted() -> None:
    given = override({"name": "deep"}, ["precision=32"])
    assert Deep.parse(given).precision == "32"
    assert override({}, ["a='1e-4'", "b=1e-4"]) == {"a": "1e-4", "b": 1e-4}
    with pytest.raises(ConfigError, match="'precision' should be '32' or 'bf16' .given: 16"):
        Deep.parse({"name": "deep", "precision": 16})


def test_another_member_of_the_family_drops_the_old_options() -> None:
    changed = override({"model": {"name": "deep", "width": 8}}, ["model.name=ridge"])
    assert changed["model"] == {"name": "ridge"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"path": "x", "sede": 1}, "unknown key 'sede'. Did you mean 'seed'?"),
        (
            {"path": "x", "model": {"name": "deep", "widht": 3}},
            "unknown key 'model.widht'. Did you mean 'width'?",
        ),
        (
            {"path": "x", "stages": [{"name": "ridge", "alpha": 3}]},
            "unknown key 'stages.0.alpha'. Did you mean 'alphas'?",
        ),
        (
            {"path": "x", "model": {"name": "deeep"}},
            "'model.name' is 'deeep', which is not known. Did you mean 'deep'?",
        ),
        ({"path": "x", "model": {"width": 3}}, "'model' needs a name"),
        ({}, "'path' is missing. Give it as path=VALUE."),
        (
            {"path": "x", "model": {"name": "deep", "width": -1}},
            r"'model.width' should be greater than 0",
        ),
        ({"path": "x", "seed": "one"}, r"'seed' should be a whole number \(given: 'one'\)"),
        ({"path": "x", "model": 3}, r"'model' is a group of options; give one as model.KEY=VALUE"),
        ({"path": "x", "stages": "ridge"}, r"'stages' should be a list.*given: 'ridge'"),
        ({"path": "x", "model": {"name": "deep", "sizes": ["a"]}}, "'model.sizes.0' should be"),
        (
            {"path": "x", "model": {"name": "deep", "odd": 2}},
            r"'model.odd': no even number \(given",
        ),
    ],
)
def test_faults_name_the_key_and_the_near_one(content: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told.replace("?", r"\?")):
        Recipe.parse(content, where="recipe")


def test_frozen() -> None:
    recipe = Recipe.parse({"path": "x"})
    with pytest.raises(ValueError, match="frozen"):
        recipe.seed = 2  # type: ignore[misc]


def test_bad_override_and_bad_yaml_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'seed' is no override. Write key.sub=value"):
        override({}, ["seed"])
    with pytest.raises(ConfigError, match="should be a number from 0 to 1"):
        override({"stages": [1]}, ["stages.5=2"])
    (tmp_path / "bad.yaml").write_text("a: [1")
    with pytest.raises(ConfigError, match=r"bad\.yaml: not valid YAML \(line 1: expected"):
        read_yaml(tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(ConfigError, match="a recipe is a mapping"):
        read_yaml(tmp_path / "list.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(tmp_path / "none.yaml")


def test_options_carry_their_meaning() -> None:
    rows = {key: (kind, default, meaning) for key, kind, default, meaning in options(Deep)}
    assert rows["width"] == ("int", 64, "Width of the tokens.")
    assert {key: default for key, _, default, _ in options(Recipe)}["path"] == "required"
