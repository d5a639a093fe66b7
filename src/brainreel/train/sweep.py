"""Sweeps: one recipe and variants of it, each with several seeds, as runs of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from brainreel.config import Config, override
from brainreel.errors import ConfigError, did_you_mean
from brainreel.train.recipe import RunConfig, read_recipe, read_sweep_file

BASE = "base"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # it is a folder's name


class VariantConfig(Config):
    """One variant of a sweep: what differs from its base."""

    title: str = ""
    """The variant in some words, for the table; its name if empty."""
    overrides: tuple[str, ...]
    """key.sub=value, as on the command line, in this order."""

    @property
    def told(self) -> str:
        """The overrides in one line."""
        return ", ".join(self.overrides)


class SweepConfig(Config):
    """One recipe and variants of it, run one by one and put side by side."""

    title: str = ""
    """What is asked, in one line; the page opens with it."""
    about: str = ""
    """Some sentences for the page."""
    base: str | dict[str, Any]
    """The recipe as it is: a shipped one by name, a YAML file by path, or a whole recipe."""
    overrides: tuple[str, ...] = ()
    """key.sub=value of the recipe, in all its variants; before those of a variant."""
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Seeds that everything is run with; empty for the recipe's own."""
    scores: tuple[str, ...] = ()
    """Scores in the table, by their names on the card; empty for those that a page shows large."""
    variants: dict[str, VariantConfig] = Field(default_factory=dict)
    """Variants by name; "base", which is always there, is the recipe as it is."""

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("every seed should stand there once")
        return seeds

    @field_validator("variants")
    @classmethod
    def _names_are_folders(cls, variants: dict[str, VariantConfig]) -> dict[str, VariantConfig]:
        for name in variants:
            if name == BASE:
                raise ValueError('"base" is the recipe as it is; call this variant something else')
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"'{name}' cannot be a folder; use letters, digits, points, _ and -"
                )
        return variants

    def title_of(self, variant: str) -> str:
        """Return what a variant is called in tables."""
        if variant == BASE:
            return "Base"
        return self.variants[variant].title or variant


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep, and where in its folder it stands."""

    variant: str
    config: RunConfig

    @property
    def seed(self) -> int:
        """Its seed."""
        return self.config.seed

    @property
    def place(self) -> Path:
        """Its folder within the sweep's: `variant/seed-0`."""
        return Path(self.variant) / f"seed-{self.seed}"


def resolve_sweep(name: str, overrides: Sequence[str] = ()) -> SweepConfig:
    """Return a sweep with overrides: of its own keys, and all others of its recipe.

    `seeds=[0,1]` and `variants.NAME.overrides.0=...` are of the sweep; `data.path=...` is of the
    recipe, in every variant.
    """
    own = [text for text in overrides if _key(text) in SweepConfig.model_fields]
    rest = [text for text in overrides if _key(text) not in SweepConfig.model_fields]
    sweep = SweepConfig.parse(override(read_sweep_file(name), own), where=name)
    return sweep.model_copy(update={"overrides": (*sweep.overrides, *rest)})


def _key(assignment: str) -> str:
    return assignment.partition("=")[0].partition(".")[0]


def runs_of(sweep: SweepConfig, name: str) -> list[SweepRun]:
    """Return every run of a sweep: all variants with the first seed, then with the next.

    Parameters
    ----------
    sweep
        The resolved sweep.
    name
        What errors call it.

    Raises
    ------
    ConfigError
        If the base is no recipe, an override does not fit, or two variants are the same run.
    """
    recipe = read_recipe(sweep.base) if isinstance(sweep.base, str) else sweep.base
    common = _overridden(recipe, sweep.overrides, name)
    found = {BASE: RunConfig.parse(common, where=name)}
    for variant, options in sweep.variants.items():
        where = f"{name}, variant '{variant}'"
        content = _overridden(common, options.overrides, where)
        found[variant] = RunConfig.parse(content, where=where)
    _check_apart(found, name)
    titles = {
        variant: ": ".join(filter(None, (found[BASE].title, sweep.title_of(variant))))
        for variant in sweep.variants
    }
    seeds = sweep.seeds or (found[BASE].seed,)
    return [
        SweepRun(
            variant,
            config.model_copy(update={"seed": seed, "title": titles.get(variant, config.title)}),
        )
        for seed in seeds
        for variant, config in found.items()
    ]


def chosen_runs(runs: Sequence[SweepRun], only: Sequence[str]) -> list[SweepRun]:
    """Return the runs of some variants; of all where none is named.

    Raises
    ------
    ConfigError
        If a name is no variant; the near one is suggested.
    """
    known = dict.fromkeys(run.variant for run in runs)
    for name in only:
        if name not in known:
            raise ConfigError(f"--only {name}: no such variant.{did_you_mean(name, known)}")
    return [run for run in runs if not only or run.variant in only]


def _overridden(content: Mapping[str, Any], given: Sequence[str], where: str) -> dict[str, Any]:
    try:
        return override(content, given)
    except ConfigError as problem:
        raise ConfigError(f"{where}: {problem}") from problem


def _check_apart(found: Mapping[str, RunConfig], name: str) -> None:
    """Refuse a variant that changes nothing, or that is another one."""
    seen: dict[str, str] = {}
    for variant, config in found.items():
        same = config.model_copy(update={"seed": 0, "title": ""}).digest()
        if same in seen:
            raise ConfigError(
                f"{name}: variant '{variant}' is the same run as '{seen[same]}'. Change what it "
                "overrides, or leave it out."
            )
        seen[same] = variant
