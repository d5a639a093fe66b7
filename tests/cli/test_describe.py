"""`describe`: everything there is, every option with its meaning, and recipes as they stand."""

from __future__ import annotations

import pytest
import yaml

from brainreel.cli.describe import option_rows, things
from brainreel.config import override
from brainreel.fmri.prepare import PrepareConfig
from brainreel.train.recipe import RunConfig, read_recipe, recipe_names


def test_everything_is_listed_with_a_line(brainreel):
    told = brainreel("describe").output
    for name in [*things(), *recipe_names()]:
        # A network is listed as a model and as a backbone.
        lines = [line for line in told.splitlines() if line.startswith(f"  {name} ")]
        assert lines, name
        assert all(len(line.split()) > 3 for line in lines), name


@pytest.mark.parametrize("name", sorted(things()))
def test_every_option_of_everything_has_a_meaning(brainreel, name):
    config, prefix = things()[name]
    told = brainreel("describe", name).output
    assert told.startswith(f"{name}: ")
    rows = list(option_rows(config, prefix))
    bare = {"name"} if config.model_fields.get("name") else set()
    assert {key.removeprefix(prefix).split(".")[0] for key, *_ in rows} >= (
        set(config.model_fields) - bare
    )
    flat = " ".join(told.split())
    for key, kind, default, meaning in rows:
        assert kind
        assert len(meaning) > 8, key
        assert " ".join(f"{key}{default} {kind} {meaning}".split()) in flat


def test_tubevit_tells_the_tokens_of_each_tube(brainreel):
    told = brainreel("describe", "tubevit").output
    assert "Chosen by model.name=tubevit or model.backbone.name=tubevit" in told
    published, own = told.split("through the default tubes")
    assert "32 x 224 x 224 pixels through the published tubes" in published
    counts = [line.split(" = ")[1] for line in published.splitlines() if " = " in line]
    assert counts == ["98 tokens", "147 tokens", "98 tokens", "196 tokens"]
    assert "114 tokens and the class token" in own
    assert "model.tubes.0.kernel" in own


def test_a_terminal_of_80_columns_is_enough(brainreel, monkeypatch):
    for name in (None, *things()):
        told = brainreel("describe", *([name] if name else [])).output
        assert max(map(len, told.splitlines())) <= 80, name


def test_what_is_printed_can_be_typed(brainreel):
    """Every default, given as it is printed, is the default."""
    ridge = {"data": {"name": "films", "path": "x"}, "model": {"name": "ridge"}}
    recipe = RunConfig.parse({**ridge, "task": {"name": "feature_ridge"}})
    for name in ("ridge", "feature_ridge", "trainer", "optim", "scoring", "run"):
        rows = option_rows(*things()[name])
        given = [key + default for key, _, default, _ in rows if default]
        assert given
        assert RunConfig.parse(override(recipe.to_dict(), given)) == recipe
    rows = option_rows(*things()["prepare"])
    given = [key + default for key, _, default, _ in rows if default]
    assert PrepareConfig.parse(override({}, given)) == PrepareConfig()


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_is_printed_as_it_stands(brainreel, name):
    called = f"recipe-{name}" if name in things() else name
    assert yaml.safe_load(brainreel("describe", called).output) == read_recipe(name)


def test_what_has_the_name_of_a_model_is_found_too(brainreel):
    told = brainreel("describe", "film_vae").output
    assert "model.hrf_delay_s=3.0" in told
    assert "brainreel describe task-film_vae | recipe-film_vae" in told
    assert "task.prior_weight=0.0" in brainreel("describe", "task-film_vae").output
