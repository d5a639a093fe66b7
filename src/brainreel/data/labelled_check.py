"""Opening all files of a data set beforehand, to find those that cannot be read."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from joblib import Parallel, delayed

from brainreel.data.labelled_samples import Item
from brainreel.errors import BrainreelError
from brainreel.stimulus.film import probe_film
from brainreel.stimulus.frames import iter_frames
from brainreel.stimulus.pictures import read_picture


def why_unreadable(items: Mapping[int, Item]) -> dict[int, str]:
    """Open every file and return why some cannot be read, by the item's number.

    Pictures are decoded; films are read to their last packet and their first frame is decoded;
    sounds are read to their last packet. Each file is opened once, by several threads.
    """
    files = {item.path: item for item in items.values()}
    told = Parallel(n_jobs=-1, prefer="threads")(delayed(_look)(item) for item in files.values())
    looked = dict(zip(files, told, strict=True))
    faults: dict[int, str] = {}
    for i, item in items.items():
        fault, duration = looked[item.path]
        if not fault and duration is not None and (item.start_s or 0) >= duration:
            fault = begins_after_end(item, duration)
        if fault:
            faults[i] = fault
    return faults


def begins_after_end(item: Item, duration: Fraction) -> str:
    """Say that a span lies behind its film's end."""
    start = float(item.start_s or 0)
    return f"its span starts at {start:g} s, the file lasts {float(duration):g} s"


def _look(item: Item) -> tuple[str, Fraction | None]:
    """Return what is wrong with a file, or nothing, and how long it lasts."""
    try:
        if item.kind == "picture":
            read_picture(item.path)
            return "", None
        info = probe_film(item.path)
        if info.has_pictures:
            next(iter_frames(item.path, [0]))
    except BrainreelError as problem:
        return reason(problem, item), None
    return "", info.duration_s


def reason(problem: BrainreelError, item: Item) -> str:
    """Return the first sentence of an error without the file's path, for a list of many."""
    text = str(problem).removeprefix(f"{item.path}: ")
    return text.split(". ")[0].rstrip(".")
