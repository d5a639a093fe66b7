"""The command that simulates data whose answers are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from brainreel.cli.console import console, say
from brainreel.cli.study import check_unused
from brainreel.errors import ConfigError, did_you_mean
from brainreel.simulate.film_set import FilmSetConfig
from brainreel.simulate.motions import MotionConfig, simulate_motion
from brainreel.simulate.pairs import PairsConfig, simulate_pairs
from brainreel.simulate.study import StudyConfig, simulate_study
from brainreel.simulate.truth import StudyTruth

KINDS = ("study", "pairs", "motion")
# What `--size` stands for; every option beside it has the last word.
_SIZES: Mapping[str, Mapping[str, Any]] = {
    "small": {"film_duration_s": 180.0},
    "full": {
        "n_films": 1,
        "film_duration_s": 389.728,
        "film_start_s": 0.0,
        "frame_rate_hz": 25.0,
        "tr_s": 0.608,
        "voxel_size_mm": 4,
        "grid": (40, 64, 64),
        "n_train_pictures": 0,
        "n_test_pictures": 0,
    },
}
_COUNTS = {
    "subjects": "n_subjects",
    "films": "n_films",
    "more_pictures": "n_more_pictures",
}


def simulate(
    out: Path,
    what: str,
    seed: int,
    study: Mapping[str, int | float | str | None],
    parts: Mapping[str, int | None],
    film_duration_s: float | None,
) -> None:
    """Simulate a study or a set of films and say where it lies."""
    if what not in KINDS:
        raise ConfigError(
            f"--what {what}: should be {', '.join(KINDS[:-1])} or {KINDS[-1]}."
            f"{did_you_mean(what, KINDS)}"
        )
    if what == "study":
        check_unused("a study", **parts)
        _simulate_study(out, seed, study, film_duration_s)
        return
    check_unused(f"a set of {what}", **study)
    _simulate_set(out, what, seed, parts, film_duration_s)


def _simulate_study(
    out: Path,
    seed: int,
    options: Mapping[str, int | float | str | None],
    film_duration_s: float | None,
) -> None:
    given: dict[str, Any] = {**options, "film_duration_s": film_duration_s}
    size = given.pop("size") or "small"
    if size not in _SIZES:
        raise ConfigError(
            f"--size {size}: should be {' or '.join(_SIZES)}.{did_you_mean(size, _SIZES)}"
        )
    if given["grid"] is not None:
        given["grid"] = _sides(given["grid"])
    chosen = {_COUNTS.get(k, k): value for k, value in given.items() if value is not None}
    config = StudyConfig.parse({**_SIZES[size], **chosen, "seed": seed}, where="simulate")
    truth = simulate_with_bar(out, config)
    say(f"{len(truth.labels)} runs of {config.n_subjects} people in {out}")
    hint = f"Next: brainreel prepare {out} --out STORE clean.confounds=[motion:basic]"
    say(hint)


def _sides(grid: str) -> tuple[int, ...]:
    """Read 40x64x64."""
    sides = grid.replace(" ", "").split("x")
    if len(sides) != 3 or not all(side.isascii() and side.isdigit() for side in sides):
        raise ConfigError(f"--grid {grid}: should be three numbers of voxels, such as 40x64x64.")
    return tuple(int(side) for side in sides)


def _simulate_set(
    out: Path,
    what: str,
    seed: int,
    parts: Mapping[str, int | None],
    film_duration_s: float | None,
) -> None:
    sizes = {f"n_{part}": count for part, count in parts.items()}
    given = {"duration_s": film_duration_s, **sizes}
    chosen = {key: value for key, value in given.items() if value is not None}
    content: dict[str, Any] = {"seed": seed, **chosen}
    config: FilmSetConfig
    with _bar() as progress:
        if what == "pairs":
            config = PairsConfig.parse(content, where="simulate")
            ceilings = simulate_pairs(out, config, progress=progress)
            recipe = "mbt_pairs"
        else:
            config = MotionConfig.parse(content, where="simulate")
            ceilings = simulate_motion(out, config, progress=progress)
            recipe = "tubevit_motion"
    say(f"{sum(config.parts.values())} films in {out}; no classifier is right more often than:")
    for name, ceiling in ceilings.items():
        say(f"  {name.replace('_', ' ')}: {ceiling:.1%}")
    say(f"Next: brainreel run {recipe} data.path={out} scoring.truth={out} --out RUN")


def simulate_with_bar(out: Path, config: StudyConfig) -> StudyTruth:
    """Simulate a study under a progress bar."""
    with _bar() as progress:
        return simulate_study(out, config, progress=progress)


@contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show a progress bar; yield what moves it: (what is being made, steps done, in all)."""
    bar = Progress(
        TextColumn("simulate {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(
            task, description=what, completed=done, total=total
        )
