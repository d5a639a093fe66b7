"""Films, pictures and sounds with class labels, and the folds that part them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

from brainreel.data.samples import Fold
from brainreel.errors import DataError
from brainreel.shapes import DataSpec

Kind = Literal["film", "picture", "sound"]

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm"})
SOUND_SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac"})
FILM_SUFFIXES = frozenset({".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg"})


@dataclass(frozen=True, slots=True)
class Item:
    """One row of a list: a file, or a span of it, with its classes.

    Attributes
    ----------
    path
        The media file.
    labels
        Label to the numbers of its classes (`{"verb": (3,), "noun": (17,)}`), in rising order;
        a label that is not there is not known of this item.
    start_s, stop_s
        Span [start, stop) of film time in seconds; None for the file's own start or end.
    name
        How lists and errors call it.
    source
        Which source of the data it comes from: 0, or the number of a further one.
    """

    path: Path
    labels: Mapping[str, tuple[int, ...]]
    start_s: Fraction | None = None
    stop_s: Fraction | None = None
    name: str = ""
    source: int = 0

    @property
    def kind(self) -> Kind:
        """A film, a picture or a sound, by the file's suffix."""
        return kind_of(self.path)


def kind_of(path: Path) -> Kind:
    """Return what a media file holds by its suffix; an unknown one counts as a film."""
    suffix = path.suffix.lower()
    if suffix in PICTURE_SUFFIXES:
        return "picture"
    return "sound" if suffix in SOUND_SUFFIXES else "film"


@dataclass(frozen=True, eq=False)
class Labelled:
    """Items with class labels: what classifiers learn from.

    Attributes
    ----------
    items
        All items of all sources.
    classes
        Label to the names of its classes, in the order of their numbers.
    folds
        The fits to make (`train_trials`, `validation_trials`, `test_trials` index `items`),
        already checked for leaks.
    several
        Labels of which an item may have more than one class, or none.
    shares
        Items of each source in a training batch, for each item of the first.
    sources
        Digests of the lists, and of what is known of the media files.
    notes
        What a reader of the scores must know (files that are missing), in sentences.
    max_unreadable
        Largest share of items that may be missing or unreadable.
    """

    items: tuple[Item, ...]
    classes: Mapping[str, tuple[str, ...]]
    folds: tuple[Fold, ...]
    several: frozenset[str] = frozenset()
    shares: tuple[float, ...] = (1.0,)
    sources: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    max_unreadable: float = 0.01

    def __post_init__(self) -> None:
        for item in self.items:
            for label, numbers in item.labels.items():
                n = len(self.classes.get(label, ()))
                if any(not 0 <= number < n for number in numbers):
                    raise DataError(
                        f"{item.name}: class {numbers} of '{label}', which has {n} classes. "
                        "Mend the list or the names of the classes."
                    )
                if len(numbers) != 1 and label not in self.several:
                    raise DataError(
                        f"{item.name}: has {len(numbers)} classes of '{label}', of which an item "
                        "has one. Mend the list."
                    )

    def spec(
        self,
        frame_shape: tuple[int, ...] = (),
        clip_frames: int = 0,
        sound_shape: tuple[int, ...] = (),
    ) -> DataSpec:
        """Return the facts that size a model, for clips of the given shapes."""
        return DataSpec(
            frame_shape=frame_shape,
            clip_frames=clip_frames,
            sound_shape=sound_shape,
            classes={label: len(names) for label, names in self.classes.items()},
        )
