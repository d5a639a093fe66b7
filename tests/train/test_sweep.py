"""Sweeps as runs: what each variant is, and sweeps that cannot be."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from brainreel.config import read_yaml
from brainreel.errors import ConfigError
from brainreel.train.recipe import read_recipe, read_sweep_file, recipe_names, resolve, sweep_names
from brainreel.train.sweep import SweepConfig, chosen_runs, resolve_sweep, runs_of

ONE = {"title": "One component", "overrides": ["model.n_components=[1]"]}
SWEEP: dict[str, Any] = {
    "base": "pictures_ridge",
    "overrides": ["data.path=here.npz"],
    "seeds": [0, 3],
    "variants": {"one": ONE, "two": {"overrides": ["model.n_components=[2]"]}},
}


def sweep(**changes: Any) -> SweepConfig:
    return SweepConfig.parse({**SWEEP, **changes}, where="s.yaml")


def test_every_variant_with_the_first_seed_comes_before_the_next_seed() -> None:
    runs = runs_of(sweep(), "s.yaml")
    assert [str(run.place) for run in runs] == [
        "base/seed-0", "one/seed-0", "two/seed-0", "base/seed-3", "one/seed-3", "two/seed-3",
    ]  # fmt: skip
    assert runs[3].config == resolve("pictures_ridge", ["data.path=here.npz", "seed=3"])
    title = "Pictures from voxels by ridge: One component"
    asked = ["data.path=here.npz", "seed=0", "model.n_components=[1]", f"title='{title}'"]
    assert runs[1].config == resolve("pictures_ridge", asked)
    assert runs[2].config.title.endswith(": two")


def test_a_variant_has_the_last_word_over_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(SWEEP))
    found = resolve_sweep(str(path), ["seeds=[7]", "model.n_components=[9]", "model.n_folds=4"])
    runs = runs_of(found, "s.yaml")
    assert [run.config.model.to_dict()["n_components"] for run in runs] == [[9], [1], [2]]
    assert {(run.seed, run.config.model.to_dict()["n_folds"]) for run in runs} == {(7, 4)}
    assert SweepConfig.parse(found.to_dict()) == found


def test_a_base_may_be_a_file_or_a_whole_recipe_and_seeds_its_own(tmp_path: Path) -> None:
    recipe = {**read_recipe("pictures_ridge"), "seed": 5}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    inline = runs_of(sweep(base=recipe, seeds=[]), "s.yaml")
    assert [run.seed for run in inline] == [5, 5, 5]
    assert runs_of(sweep(base=str(tmp_path / "r.yaml"), seeds=[]), "s.yaml") == inline


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"base": "pictures_rigde"}, "'pictures_rigde' is no shipped recipe. Did you mean"),
        ({"base": "digits69_ldm_ablations"}, "is a sweep. Run it by: brainreel sweep digits69_ldm"),
        ({"seeds": [1, 1]}, "s.yaml: 'seeds': every seed should stand there once"),
        ({"seeds": [-1]}, "'seeds.0' should be greater than or equal to 0"),
        ({"sedes": [1]}, "unknown key 'sedes'. Did you mean 'seeds'?"),
        ({"variants": {"base": ONE}}, '"base" is the recipe as it is; call this variant something'),
        ({"variants": {"../up": ONE}}, "'../up' cannot be a folder; use letters, digits"),
        ({"variants": {"one": {"title": "x"}}}, "'variants.one.overrides' is missing. Give it as"),
        ({"variants": {"one": {"overrides": []}}}, "variant 'one' is the same run as 'base'"),
        (
            {"variants": {"one": {"overrides": ["model.n_component=[1]"]}}},
            "s.yaml, variant 'one': unknown key 'model.n_component'. Did you mean",
        ),
        (
            {"variants": {"one": {"overrides": ["model.n_components"]}}},
            "s.yaml, variant 'one': 'model.n_components' is no override. Write key.sub=value.",
        ),
        (
            {"variants": {"a": ONE, "b": {"overrides": ["model.n_components=[1]", "seed=4"]}}},
            "s.yaml: variant 'b' is the same run as 'a'. Change what it overrides, or leave it",
        ),
        (
            {"variants": {"none": {"overrides": ["seed=9"]}}},
            "s.yaml: variant 'none' is the same run as 'base'.",
        ),
    ],
)
def test_a_sweep_that_cannot_be(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        runs_of(sweep(**changes), "s.yaml")


def test_two_variants_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("base: a\nvariants:\n  x: {overrides: [b=1]}\n  x: {overrides: [b=2]}\n")
    with pytest.raises(ConfigError, match=r"line 4: 'x' stands there twice\)"):
        resolve_sweep(str(path))


def test_a_key_that_is_taken_over_may_be_given_anew(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("one: &one {a: 1, b: 2}\ntwo: &two {<<: *one, b: 3}\nthree: {<<: *two, b: 4}\n")
    found = read_yaml(path)
    assert found["two"] == {"a": 1, "b": 3}
    assert found["three"] == {"a": 1, "b": 4}


def test_only_some_variants() -> None:
    runs = runs_of(sweep(), "s.yaml")
    assert [run.seed for run in chosen_runs(runs, ["two"])] == [0, 3]
    with pytest.raises(ConfigError, match="--only tow: no such variant. Did you mean 'two'"):
        chosen_runs(runs, ["two", "tow"])


def test_recipes_and_sweeps_are_told_apart() -> None:
    assert not set(recipe_names()) & set(sweep_names())
    with pytest.raises(ConfigError, match="is a recipe. A sweep is a YAML file with base: alice"):
        read_sweep_file("alice")
    with pytest.raises(ConfigError, match="no shipped sweep. Did you mean 'digits69_ldm_ablations"):
        read_sweep_file("digits69_ablations")


def test_the_ablations_of_both_recipes_are_the_same() -> None:
    one, two = (read_sweep_file(f"{name}_ldm_ablations") for name in ("digits69", "pictures"))
    assert one["variants"] == two["variants"]


@pytest.mark.parametrize("name", sweep_names())
def test_every_shipped_sweep_resolves(name: str) -> None:
    found = resolve_sweep(name, ["data.path=here"])
    runs = runs_of(found, name)
    assert len(runs) == (1 + len(found.variants)) * max(1, len(found.seeds))
    assert all(found.title_of(variant) != variant for variant in found.variants)


def test_a_stage_may_change_options_of_the_run() -> None:
    asked = ["data.path=x", "stages.2.overrides=[task.withheld=0.5, model.null_context=true]"]
    first, second, third = resolve("digits69_ldm", asked).resolved_stages()
    assert (first.task.name, second.task.name) == ("mask", "denoise")
    assert third.task == second.task.model_copy(update={"withheld": 0.5})
    assert third.model == second.model.model_copy(update={"null_context": True})
    for text, told in (
        ("scoring.level=0.9", "'scoring.level=0.9' is not of a stage. It can have title, data"),
        ("task.withhold=1", "stage 'Pictures from brains': unknown key 'task.withhold'. Did you"),
    ):
        with pytest.raises(ConfigError, match=told):
            resolve("digits69_ldm", ["data.path=x", f"stages.1.overrides=[{text}]"])
