"""RunConfig: one YAML is one run, or a list of stages whose weights are handed on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from brainreel.config import Config, override, read_yaml
from brainreel.data.catalog import DataConfig
from brainreel.errors import ConfigError, did_you_mean
from brainreel.models.catalog import AnyModel
from brainreel.train.catalog import AnyTask
from brainreel.train.optim import OptimConfig
from brainreel.train.picture_scoring import PictureScoringConfig
from brainreel.train.trainer import TrainerConfig

# Where shipped files lie in the package.
_RECIPES, _SWEEPS = "recipes", "recipes/sweeps"
Beside = Literal["mean_volume", "other_people"]


class ScoringConfig(Config):
    """How the numbers are made; all of it is stamped on the scorecard."""

    n_permutations: int = Field(1000, ge=0)
    """Surrogates of the block permutation test; 1000 resolve p = 0.001."""
    n_bootstrap: int = Field(1000, ge=0)
    """Resamples of time blocks, or of pictures, behind each interval."""
    level: float = Field(0.95, gt=0, lt=1)
    """Level of the intervals."""
    block_s: float = Field(20.0, gt=0)
    """Length of a time block in seconds; longer than the haemodynamic response."""
    segment_s: float = Field(15.0, gt=0)
    """Length in seconds of the film segments told apart by identification."""
    n_way: tuple[Annotated[int, Field(ge=2)], ...] = (2, 10)
    """Numbers of candidates in identification, the right one counted in."""
    ceiling_floor: float = Field(0.1, gt=0, lt=1)
    """Voxels with a ceiling below it have no share of the ceiling; they are counted."""
    beside: tuple[Beside, ...] = ("mean_volume", "other_people")
    """What is scored beside predicted BOLD on the same test: mean_volume, which never changes, and
    other_people, the mean of what everybody else measured at the same moments of the film."""
    controls: bool = True
    """Score the negative controls of the task beside its predictions; each predicts once more."""
    coverage: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.5, 0.9)
    """Intervals whose coverage is counted, of predictions that give a deviation."""
    pictures: PictureScoringConfig = PictureScoringConfig()
    """Of reconstructed pictures alone: in what they are compared, by which networks."""
    spatial: bool = False
    """Add the correlation over voxels of each volume. It flatters: the mean volume comes close."""
    truth: Path | None = None
    """Simulated study, or set of labelled films, whose exact ceilings are known; read by the
    scoring alone."""


class StageConfig(Config):
    """One stage of a run: what differs from the run's own settings."""

    title: str = ""
    """What the stage is for, in one line."""
    data: DataConfig | None = None
    """Data of this stage."""
    model: AnyModel | None = None
    """Model of this stage."""
    task: AnyTask | None = None
    """Task of this stage."""
    optim: OptimConfig | None = None
    """Optimiser of this stage."""
    trainer: TrainerConfig | None = None
    """Trainer of this stage."""
    overrides: tuple[str, ...] = ()
    """key.sub=value of the run's own settings in this stage, such as task.withheld=0.9."""


# What a stage may have of its own.
_OF_STAGE = ("title", "data", "model", "task", "optim", "trainer")


class RunConfig(Config):
    """Everything that makes a run; saved beside its weights."""

    title: str = ""
    """What is asked, in one line; the page opens with it."""
    about: str = ""
    """Some sentences for the page: what the person saw, what is predicted from what."""
    seed: int = Field(0, ge=0)
    """Seed of every random draw."""
    data: DataConfig
    """What the person saw or heard, and what the scanner measured."""
    model: AnyModel
    """The model; its sizes come from the data."""
    task: AnyTask
    """What is learned from what, and how."""
    optim: OptimConfig = OptimConfig()
    """Optimiser and schedule of networks."""
    trainer: TrainerConfig = TrainerConfig()
    """Devices, precision, length and checkpoints of the training of networks."""
    scoring: ScoringConfig = ScoringConfig()
    """Protocol of the scores."""
    stages: tuple[StageConfig, ...] = ()
    """Stages run in order, each starting from the weights of those before, the latest of each name;
    empty for one."""

    @model_validator(mode="after")
    def _task_fits(self) -> RunConfig:
        for stage in self.resolved_stages():
            stage.task.check_fits(stage.data.name, stage.model.name)
        return self

    @model_validator(mode="after")
    def _truth_is_of_films(self) -> RunConfig:
        if self.scoring.truth is not None and self.data.name not in ("films", "labelled"):
            raise ValueError("scoring.truth is for simulated film studies; leave it out")
        return self

    def resolved_stages(self) -> tuple[RunConfig, ...]:
        """Return each stage as a run of its own, with the common settings filled in."""
        if not self.stages:
            return (self,)
        return tuple(self._of_stage(stage) for stage in self.stages)

    def _of_stage(self, stage: StageConfig) -> RunConfig:
        given = {key: getattr(stage, key) for key in _OF_STAGE if getattr(stage, key)}
        own = self.model_copy(update={"stages": ()} | given)
        for text in stage.overrides:
            if text.partition("=")[0].partition(".")[0] not in _OF_STAGE:
                raise ConfigError(
                    f"stages: '{text}' is not of a stage. It can have {', '.join(_OF_STAGE)}."
                )
        if not stage.overrides:
            return own
        where = f"stage '{stage.title}'" if stage.title else "a stage"
        return RunConfig.parse(override(own.to_dict(), stage.overrides), where=where)

    def settled(self) -> RunConfig:
        """Return the run with the model's options that weights on disk decide filled in."""
        if not self.stages:
            return self.model_copy(update={"model": self.task.settled(self.model)})
        stages = tuple(
            own.model_copy(update={"model": stage.task.settled(stage.model)})
            for own, stage in zip(self.stages, self.resolved_stages(), strict=True)
        )
        return self.model_copy(update={"stages": stages})


def recipe_names() -> list[str]:
    """Return the names of the shipped recipes."""
    return _shipped(_RECIPES)


def sweep_names() -> list[str]:
    """Return the names of the shipped sweeps."""
    return _shipped(_SWEEPS)


def _shipped(folder: str) -> list[str]:
    return sorted(
        item.name.removesuffix(".yaml")
        for item in files("brainreel").joinpath(folder).iterdir()
        if item.name.endswith(".yaml")
    )


def read_recipe(name: str) -> dict[str, Any]:
    """Read a shipped recipe by name, or a YAML file by path.

    Raises
    ------
    ConfigError
        If there is neither; the near name is suggested.
    """
    if name in sweep_names() and name not in recipe_names():
        raise ConfigError(f"'{name}' is a sweep. Run it by: brainreel sweep {name} --out DIR")
    return _read(name, _RECIPES, "recipe")


def read_sweep_file(name: str) -> dict[str, Any]:
    """Read a shipped sweep by name, or a YAML file by path; as `read_recipe`."""
    if name in recipe_names() and name not in sweep_names():
        raise ConfigError(
            f"'{name}' is a recipe. A sweep is a YAML file with base: {name} and variants or seeds."
        )
    return _read(name, _SWEEPS, "sweep")


def _read(name: str, folder: str, kind: str) -> dict[str, Any]:
    if name.endswith((".yaml", ".yml")):
        return read_yaml(Path(name))
    known = _shipped(folder)
    if name not in known:
        raise ConfigError(f"'{name}' is no shipped {kind}.{did_you_mean(name, known)}")
    return read_yaml(Path(str(files("brainreel").joinpath(folder, f"{name}.yaml"))))


def resolve(name: str, overrides: Sequence[str] = ()) -> RunConfig:
    """Return the frozen run of a recipe and its overrides."""
    content: Mapping[str, Any] = override(read_recipe(name), overrides)
    return RunConfig.parse(content, where=name)
