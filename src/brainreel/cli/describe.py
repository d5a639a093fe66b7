"""The command `describe`: what there is, and every option with its meaning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from rich.table import Table

from brainreel.cli.console import console
from brainreel.config import options, to_yaml
from brainreel.data.catalog import DataConfig
from brainreel.data.splits import SeriesSplitConfig
from brainreel.data.trial_splits import TrialSplitConfig
from brainreel.errors import ConfigError, did_you_mean
from brainreel.fmri.prepare import PrepareConfig
from brainreel.models.backbones import Backbone
from brainreel.models.catalog import AnyModel
from brainreel.train.catalog import AnyTask
from brainreel.train.optim import OptimConfig
from brainreel.train.recipe import RunConfig, ScoringConfig, read_recipe, recipe_names
from brainreel.train.trainer import TrainerConfig

_FAMILIES: dict[str, Any] = {
    "models": AnyModel,
    "backbones": Backbone,
    "tasks": AnyTask,
    "data": DataConfig,
    "splits of recordings": SeriesSplitConfig,
    "splits of trials": TrialSplitConfig,
}
_PARTS: dict[str, type[BaseModel]] = {
    "run": RunConfig,
    "optim": OptimConfig,
    "trainer": TrainerConfig,
    "scoring": ScoringConfig,
    "prepare": PrepareConfig,
}


def describe(name: str | None) -> None:
    """List everything, or print every option of one thing."""
    if name is None:
        _print_everything()
        return
    things = dict(_things()) | _PARTS
    if name in things:
        print_options(name, things[name])
    elif name in recipe_names():
        console.print(to_yaml(read_recipe(name)), end="", markup=False)
    else:
        known = [*things, *recipe_names()]
        raise ConfigError(f"nothing is called '{name}'.{did_you_mean(name, known)}")


def members(family: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield (name, config) of every member of a discriminated union."""
    for item in get_args(family):
        if isinstance(item, type) and issubclass(item, BaseModel):
            yield str(item.model_fields["name"].default), item
        else:
            yield from members(item)


def print_options(name: str, config: type[BaseModel]) -> None:
    """Print one row for each option: key, type, default, meaning."""
    console.print(f"[bold]{name}[/]: {_first_line(config)}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("option", "type", "default", "meaning"):
        table.add_column(column, overflow="fold", ratio=3 if column == "meaning" else 1)
    for key, kind, default, meaning in options(config):
        table.add_row(key, kind, _shown(default), meaning)
    console.print(table)


def _things() -> Iterator[tuple[str, type[BaseModel]]]:
    for family in _FAMILIES.values():
        yield from members(family)


def _print_everything() -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for family, union in _FAMILIES.items():
        table.add_row(family, "")
        for name, config in members(union):
            table.add_row(f"  {name}", _first_line(config))
    table.add_row("parts of a run", "")
    for name, config in _PARTS.items():
        table.add_row(f"  {name}", _first_line(config))
    table.add_row("recipes", "")
    for name in recipe_names():
        table.add_row(f"  {name}", str(read_recipe(name).get("title", "")))
    console.print(table)
    console.print("Every option of one: brainreel describe NAME")


def _first_line(config: type[BaseModel]) -> str:
    return (config.__doc__ or "").strip().splitlines()[0]


def _shown(default: Any) -> str:
    if isinstance(default, BaseModel):
        name = getattr(default, "name", "")
        return f"name={name}" if name else "see its own"
    return "–" if default in ((), {}, None, "") else str(default)
