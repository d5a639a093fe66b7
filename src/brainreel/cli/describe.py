"""The command `describe`: what there is, and every option with its meaning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from brainreel.checkpoints.catalog import ORIGINS
from brainreel.cli.console import console
from brainreel.config import models_in, options, to_flow, to_yaml
from brainreel.data.catalog import DataConfig
from brainreel.data.labelled_splits import LabelledSplitConfig
from brainreel.data.people_splits import PeopleSplitConfig
from brainreel.data.splits import SeriesSplitConfig
from brainreel.data.trial_splits import TrialSplitConfig
from brainreel.errors import ConfigError, did_you_mean
from brainreel.fmri.prepare import PrepareConfig
from brainreel.models.backbones import Backbone
from brainreel.models.base import ModelConfig
from brainreel.models.catalog import AnyModel
from brainreel.train.catalog import AnyTask
from brainreel.train.optim import OptimConfig
from brainreel.train.picture_reconstruction import ReconstructConfig
from brainreel.train.picture_scoring import NetworkLayers
from brainreel.train.recipe import (
    RunConfig,
    ScoringConfig,
    StageConfig,
    read_recipe,
    read_sweep_file,
    recipe_names,
    sweep_names,
)
from brainreel.train.sweep import SweepConfig, VariantConfig
from brainreel.train.trainer import TrainerConfig


class Family(NamedTuple):
    """A family of configs: their union, where their options stand, what `describe` puts before."""

    union: Any
    prefix: str
    lead: str = ""


_TASKS = Family(AnyTask, "task.")
_FAMILIES: dict[str, Family] = {
    "models": Family(AnyModel, "model."),
    "backbones": Family(Backbone, "model.backbone."),
    "tasks": _TASKS,
    "data": Family(DataConfig, "data."),
    "splits of recordings": Family(SeriesSplitConfig, "data.splits.0."),
    "splits of trials": Family(TrialSplitConfig, "data.splits.0."),
    # Some are called as splits of trials are.
    "splits of labelled items": Family(LabelledSplitConfig, "data.splits.0.", "labelled-"),
    "splits of people": Family(PeopleSplitConfig, "data.splits.0.", "people-"),
}
_PARTS: dict[str, tuple[type[BaseModel], str]] = {
    "run": (RunConfig, ""),
    "optim": (OptimConfig, "optim."),
    "trainer": (TrainerConfig, "trainer."),
    "scoring": (ScoringConfig, "scoring."),
    "stage": (StageConfig, "stages.0."),
    "sweep": (SweepConfig, ""),
    "variant": (VariantConfig, "variants.NAME."),
    "network-layers": (NetworkLayers, "scoring.pictures.features.0."),
    "prepare": (PrepareConfig, ""),
    "reconstruct": (ReconstructConfig, ""),
}
# What `brainreel import ORIGIN` takes after the file.
_IMPORTS: dict[str, tuple[type[BaseModel], str]] = {
    f"import-{name}": (origin.options, "") for name, origin in ORIGINS.items()
}
# Put before a name that a model has already.
_TASK, _RECIPE = "task-", "recipe-"
_WIDEST = 100  # longer lines are hard to read


def describe(name: str | None) -> None:
    """List everything, or print every option of one thing, or a recipe or sweep."""
    known = things()
    if name is None:
        _print_everything()
    elif name in known:
        print_options(name, *known[name])
        others = [f"{kind}{name}" for kind in (_TASK, _RECIPE) if f"{kind}{name}" in _named(known)]
        if others:
            console.print(f"\nOf the same name: brainreel describe {' | '.join(others)}")
    elif name in sweep_names():
        console.print(to_yaml(read_sweep_file(name)), end="", markup=False, soft_wrap=True)
    elif name in _named(known):
        recipe = read_recipe(name.removeprefix(_RECIPE))
        console.print(to_yaml(recipe), end="", markup=False, soft_wrap=True)
    else:
        near = did_you_mean(name, [*_named(known), *sweep_names()])
        raise ConfigError(f"nothing is called '{name}'.{near}")


def _named(known: Mapping[str, Any]) -> list[str]:
    """Return all names there are; a recipe of a model's name has a longer one."""
    recipes = [f"{_RECIPE}{name}" if name in known else name for name in recipe_names()]
    return [*known, *recipes]


def things() -> Mapping[str, tuple[type[BaseModel], str]]:
    """Return all that has options: name -> (config, where its options stand in a recipe)."""
    found: dict[str, tuple[type[BaseModel], str]] = {}
    for family in _FAMILIES.values():
        for name, config in members(family):
            # A model that is a backbone too is a model.
            found.setdefault(name, (config, family.prefix))
    return found | _PARTS | _IMPORTS


def members(family: Family) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield (name, config) of every member; a task of a model's name has a longer one."""
    taken = {_own_name(config) for config in models_in(AnyModel)} if family is _TASKS else set()
    for config in models_in(family.union):
        name = _own_name(config)
        yield f"{_TASK if name in taken else family.lead}{name}", config


def _own_name(config: type[BaseModel]) -> str:
    return str(config.model_fields["name"].default)


def print_options(name: str, config: type[BaseModel], prefix: str) -> None:
    """Print every option as it is typed, with its default, its kind and its meaning."""
    width = min(console.width, _WIDEST)
    console.print(Text.assemble((name, "bold"), f": {_first_line(config)}"), width=width)
    if prefix and config.model_fields.get("name") and name not in _PARTS:
        own = config.model_fields["name"].default
        ways = [
            f"{family.prefix}name={own}"
            for family in _FAMILIES.values()
            if config in models_in(family.union)
        ]
        console.print(f"Chosen by {' or '.join(ways)}", style="dim")
    for fact in config.facts() if issubclass(config, ModelConfig) else ():
        console.print(Text(fact), width=width)
    for key, kind, default, meaning in option_rows(config, prefix):
        console.print(
            Text.assemble("\n", (key, "bold"), default, (f"   {kind}", "dim")), width=width
        )
        console.print(Padding(Text(meaning), (0, 0, 0, 4)), width=width)


def option_rows(config: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield (key, kind, default, meaning) of each option, those of groups within groups too."""
    for key, kind, default, meaning in options(config):
        inner = list(models_in(config.model_fields[key].annotation))
        if key == "name" and kind == default:
            continue  # the thing's own name
        if not inner:
            shown = "" if default == "required" else f"={to_flow(default)}"
            yield prefix + key, "required" * (not shown) or kind, shown, meaning
            continue
        yield prefix + key, *_of_group(inner, default), meaning
        if len(inner) == 1 and not _is_part(inner[0]):
            entry = ".0" * isinstance(default, tuple)
            yield from option_rows(inner[0], f"{prefix}{key}{entry}.")


def _of_group(inner: list[type[BaseModel]], default: Any) -> tuple[str, str]:
    """Return kind and default of an option that holds options."""
    for name, (part, _) in _PARTS.items():
        if inner == [part]:
            return f"options: brainreel describe {name}", ""
    if len(inner) == 1 and isinstance(default, tuple):
        each = [item.model_dump(mode="json", exclude_defaults=True) for item in default]
        return "list of groups of options, as follows", f"={to_flow(each)}"
    if len(inner) == 1:
        return "a group of options, as follows", "=none" * (default is None)
    names = " | ".join(str(config.model_fields["name"].default) for config in inner)
    if isinstance(default, tuple):
        chosen = ", ".join(str(getattr(item, "name", "")) for item in default)
        return f"list of {names}, each with its own options", f"=[{chosen}]" * bool(chosen)
    chosen = str(getattr(default, "name", ""))
    return f"{names}, each with its own options", f".name={chosen}" * bool(chosen)


def _is_part(config: type[BaseModel]) -> bool:
    return any(config is part for part, _ in _PARTS.values())


def _print_everything() -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for title, family in _FAMILIES.items():
        table.add_row(title, "")
        for name, config in members(family):
            table.add_row(f"  {name}", _first_line(config))
    table.add_row("parts of a run", "")
    for name, (config, _) in _PARTS.items():
        table.add_row(f"  {name}", _first_line(config))
    table.add_row("origins of weights", "")
    for name, origin in ORIGINS.items():
        table.add_row(f"  import-{name}", f"brainreel import {name}: {origin.title}")
    table.add_row("recipes", "")
    for name in recipe_names():
        table.add_row(f"  {name}", str(read_recipe(name).get("title", "")))
    table.add_row("sweeps", "")
    for name in sweep_names():
        table.add_row(f"  {name}", str(read_sweep_file(name).get("title", "")))
    console.print(table, width=min(console.width, _WIDEST))
    console.print("\nEvery option of one, or a whole recipe: brainreel describe NAME")


def _first_line(config: type[BaseModel]) -> str:
    return (config.__doc__ or "").strip().splitlines()[0]
