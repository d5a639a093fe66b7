"""Figure blocks of a run's section: drawings with caption and alternative text, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from brainreel.report.classes import ClassFigures, make_class_figures
from brainreel.report.courses import (
    alike,
    choose_courses,
    courses_figure,
    first_ceiling,
    strip_frames,
)
from brainreel.report.figures import (
    MAX_BARS,
    ceiling_figure,
    histogram_figure,
    learning_figures,
    nan_mean,
    regions_figure,
)
from brainreel.report.gallery import Gallery, make_galleries
from brainreel.report.latents import latent_figures
from brainreel.report.mapviews import BrainView, make_brain_views
from brainreel.report.people import PeopleFigures, make_people_figures
from brainreel.report.runs import Maps, RunRecord
from brainreel.report.style import Drawing
from brainreel.report.viewer import Viewer, make_viewer
from brainreel.report.words import ceiling_words, number


@dataclass(frozen=True)
class Blocks:
    """All figures of a run; empty parts are left out of the page."""

    maps: tuple[BrainView, ...] = ()
    maps_caption: str = ""
    people_maps: tuple[BrainView, ...] = ()
    regions: Drawing | None = None
    regions_caption: str = ""
    ceiling: tuple[Drawing, ...] = ()
    ceiling_caption: str = ""
    courses: Drawing | None = None
    courses_caption: str = ""
    galleries: tuple[Gallery, ...] = ()
    classes: tuple[ClassFigures, ...] = ()
    learning: tuple[Drawing, ...] = field(default=())
    latents: tuple[Drawing, ...] = ()
    latents_caption: str = ""
    viewer: Viewer | None = None
    people: PeopleFigures | None = None


def make_blocks(run: RunRecord, prefix: str, r_max: float) -> Blocks:
    """Draw all figures of a run.

    Parameters
    ----------
    run
        What the folder holds.
    prefix
        Unique on the page; ids inside the drawings begin with it.
    r_max
        Value of r at the last colour of the maps, one for the whole page.
    """
    first = _first_split(run.maps)
    maps, maps_caption, people = make_brain_views(first, prefix, r_max)
    regions, regions_caption = _regions(first, prefix)
    panels, panels_caption = _ceiling_panels(first, prefix)
    courses, courses_caption = _courses(run, prefix)
    learning = [] if run.logs is None else learning_figures(run.logs)
    return Blocks(
        maps,
        maps_caption,
        people,
        regions,
        regions_caption,
        panels,
        panels_caption,
        courses,
        courses_caption,
        make_galleries(run),
        make_class_figures(run, prefix),
        tuple(
            Drawing.of(figure, alt=f"Learning curve of {name}", prefix=f"{prefix}l{i}")
            for i, (name, figure) in enumerate(learning)
        ),
        *latent_figures(run, prefix),
        make_viewer(run),
        make_people_figures(run, prefix),
    )


def common_r_max(runs: Sequence[RunRecord]) -> float:
    """Return the 99th percentile of r over all maps of the page, rounded up to a tenth."""
    found = [maps.r[np.isfinite(maps.r)] for run in runs for maps in run.maps]
    if not found or not np.concatenate(found).size:
        return 1.0
    return float(np.clip(np.ceil(np.percentile(np.concatenate(found), 99) * 10) / 10, 0.1, 1.0))


def _first_split(maps: Sequence[Maps]) -> tuple[Maps, ...]:
    return tuple(item for item in maps if item.split == maps[0].split)


def _regions(maps: Sequence[Maps], prefix: str) -> tuple[Drawing | None, str]:
    if not maps or not maps[0].regional:
        return None, ""
    same = alike(maps)
    ceiling = first_ceiling(same[0])
    name = None if ceiling is None else ceiling[0]
    mean = nan_mean(np.stack([item.r for item in same]))
    best = np.argsort(-mean)[: min(8, int(np.isfinite(mean).sum()))]
    listed = ", ".join(f"{same[0].names[i]} ({number(float(mean[i]))})" for i in best)
    people = "one person" if len(same) == 1 else f"{len(same)} people"
    told = f"Correlation of {len(mean)} regions, {people}. Best: {listed}."
    if name is not None:
        told += f" The ceiling is that of {ceiling_words(name)[0]}."
    narrowest = 520 if len(mean) <= MAX_BARS else 640
    figure = regions_figure(same, name)
    return Drawing.of(figure, alt=told, prefix=f"{prefix}g", min_px=narrowest), told


def _ceiling_panels(maps: Sequence[Maps], prefix: str) -> tuple[tuple[Drawing, ...], str]:
    """Pool people: every voxel of every person is one point."""
    if not maps:
        return (), ""
    maps = alike(maps)
    found = [first_ceiling(item) for item in maps]
    r = np.concatenate([item.r for item in maps])
    name = "" if found[0] is None else ceiling_words(found[0][0])[0]
    ceiling = np.concatenate([one[1] for one in found if one is not None]) if name else None
    used = np.isfinite(r) if ceiling is None else np.isfinite(r) & np.isfinite(ceiling)
    if not used.any():
        return (), ""
    kept = None if ceiling is None else ceiling[used]
    unit = "regions" if maps[0].regional else "voxels"
    people = "one person" if len(maps) == 1 else f"{len(maps)} people"
    told = f"{int(used.sum()):,} {unit} of {people}; median r {np.median(r[used]):.3f}"
    figures = [histogram_figure(r[used], kept, name, unit)]
    if kept is not None:
        told += f", median ceiling {np.median(kept):.3f}"
        figures.append(ceiling_figure(r[used], kept, name))
    caption = f"{told}. Broken line: median r."
    if not used.all():
        caption += f" {int((~used).sum()):,} without variance or ceiling are left out."
    drawings = tuple(
        Drawing.of(figure, alt=alt + told, prefix=f"{prefix}h{i}")
        for i, (figure, alt) in enumerate(
            zip(figures, ("Histogram of r. ", "r against the ceiling. "), strict=False)
        )
    )
    return drawings, caption


def _courses(run: RunRecord, prefix: str) -> tuple[Drawing | None, str]:
    chosen = choose_courses(run)
    if chosen is None:
        return None, ""
    strip = strip_frames(chosen)
    shown = "; ".join(
        f"{course.label.replace(chr(10), ', ')} r = {course.r:.2f}" for course in chosen.courses
    )
    told = (
        f"{chosen.subject}, the person with the middle score, in test data. Series are in units "
        "of the measured series' standard deviation; the prediction is centred, not rescaled."
    )
    if chosen.courses[0].spread is not None:
        told += " Shaded: where the prediction expects 90\u00a0% of the measurement."
    if strip.times_s:
        told += " The BOLD response follows the picture by about 5 s."
    elif chosen.film is not None:
        told += f" The film {chosen.film.name} is not at hand, so no frames are shown."
    alt = f"Predicted and measured time courses. {shown}"
    figure = courses_figure(chosen, strip)
    return Drawing.of(figure, alt=alt, prefix=f"{prefix}t", min_px=760), told
