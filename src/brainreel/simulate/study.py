"""A small BIDS study on disk: films, pictures, people, and the truth beside them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from brainreel.config import Config
from brainreel.files import new_folder, write_aside, write_json
from brainreel.simulate.bids_files import (
    TASKS,
    write_image,
    write_study_files,
    write_table,
)
from brainreel.simulate.brain import REGION_NAMES, Brain, make_brain
from brainreel.simulate.film import FilmTracks, render_film
from brainreel.simulate.pictures import (
    PictureTrials,
    PictureTuning,
    answer_pictures,
    draw_channels,
    draw_pictures,
    draw_tuning,
    write_png,
)
from brainreel.simulate.scan import Scanner, Session, scan, write_arrays
from brainreel.simulate.subject import (
    STEP_S,
    Subject,
    blood_response,
    draw_subject,
    film_signals,
    neural_tracks,
    scaled,
)
from brainreel.simulate.truth import TRUTH_FOLDER, StudyTruth
from brainreel.simulate.views import KINDS
from brainreel.timebase import exact

Float = NDArray[np.float64]
Progress = Callable[[str, int, int], None]
Side = Annotated[int, Field(le=512)]

_PICTURE_SHOWN_S = 1.0
# After the last picture, for the blood to come back.
_TAIL_S = 9.0


class StudyConfig(Config):
    """A simulated study; the defaults make it in half a minute, and a ridge can explain it."""

    n_subjects: int = Field(3, ge=1, le=99)
    """People."""
    n_films: int = Field(3, ge=1, le=99)
    """Films, one run each."""
    film_duration_s: float = Field(240.0, gt=0)
    """Length of each film in seconds: two such films teach a ridge nine tenths of the third."""
    film_start_s: float = Field(1.0, ge=0)
    """Scan time at which the film begins: real runs seldom start on the film's first frame."""
    tr_s: float = Field(1.5, gt=0)
    """Repetition time in seconds."""
    voxel_size_mm: int = Field(10, ge=4, le=30)
    """Edge of a voxel in millimetres: 10 mm leave about 1900 in the brain."""
    grid: tuple[Side, Side, Side] | None = None
    """Voxels of a volume along each side, 512 at most, the brain in the middle; none: just around
    the brain."""
    frame_size: tuple[int, int] = (96, 128)
    """Height and width of a film frame in pixels, both even."""
    frame_rate_hz: float = Field(12.5, gt=0)
    """Film frames per second."""
    sample_rate_hz: int = Field(16000, ge=8000)
    """Audio samples per second."""
    ceiling: tuple[float, float] = (0.7, 0.92)
    """Lowest and highest correlation of noise-free with measured film signal in tuned voxels."""
    ar: float = Field(0.35, ge=0, lt=0.9)
    """Mean autocorrelation of the noise at one TR."""
    drift: float = Field(1.0, ge=0)
    """Size of the drifts slower than 1/140 Hz, in standard deviations of the noise."""
    motion: float = Field(0.5, ge=0)
    """Size of what head motion adds, in standard deviations of the noise."""
    n_train_pictures: int = Field(240, ge=0)
    """Pictures to learn from."""
    n_test_pictures: int = Field(40, ge=0)
    """Pictures to reconstruct; with none of either the picture task is left out."""
    n_more_pictures: int = Field(0, ge=0)
    """Pictures of the same kinds that nobody sees, for models that learn to draw
    (derivatives/pictures/more.npz)."""
    picture_size: int = Field(32, ge=8)
    """Height and width of a picture in pixels; a multiple of 8 suits all networks."""
    picture_gap_s: float = Field(3.0, ge=1)
    """Time from picture to picture in seconds."""
    picture_ceiling: tuple[float, float] = (0.5, 0.8)
    """Lowest and highest correlation of noise-free with single-trial picture answers."""
    seed: int = 0
    """Draws everything."""


@dataclass(frozen=True, eq=False)
class _Person:
    """A person with the generator that draws their runs."""

    subject: Subject
    rng: np.random.Generator


def simulate_study(
    out: Path, config: StudyConfig | None = None, *, progress: Progress | None = None
) -> StudyTruth:
    """Simulate a study and write it as a BIDS folder.

    measured = baseline + signal + drift + motion + noise, rounded to whole scanner units.

    Parameters
    ----------
    out
        The folder to make; it must not hold anything. It appears when all is written.
    config
        Sizes and noise; the default study without.
    progress
        Called with (what is being made, steps done, steps in all).

    Raises
    ------
    OutputError
        If the folder is in use or cannot be written.
    """
    config = config or StudyConfig()
    new_folder(out).rmdir()
    report = progress or (lambda *_: None)
    n_pictures = config.n_train_pictures + config.n_test_pictures
    n_steps = config.n_films + config.n_subjects + 1
    with write_aside(Path(out)) as root:
        brain = make_brain(config.voxel_size_mm, config.grid)
        people = _draw_people(config, brain)
        write_study_files(root, [person.subject.name for person in people], config.tr_s)
        _write_regions(root, brain)
        tracks = []
        for film in range(config.n_films):
            report(f"film-{film + 1}", film, n_steps)
            tracks.append(_make_film(root, config, film))
        labels: list[str] = []
        neural = scaled([neural_tracks(track) for track in tracks])
        pictures = _make_pictures(root, config) if n_pictures else None
        for index, person in enumerate(people):
            report(person.subject.name, config.n_films + index, n_steps)
            labels += _scan_films(root, config, brain, person, neural)
            if pictures is not None:
                labels += _scan_pictures(root, config, brain, person, *pictures)
        report("done", n_steps, n_steps)
    return StudyTruth(Path(out), tuple(labels))


def _draw_people(config: StudyConfig, brain: Brain) -> list[_Person]:
    people = []
    for number in range(1, config.n_subjects + 1):
        rng = np.random.default_rng([config.seed, 1, number])
        name = f"sub-{number:02d}"
        subject = draw_subject(name, brain.regions, config.ceiling, config.ar, rng)
        people.append(_Person(subject, rng))
    return people


def _make_film(root: Path, config: StudyConfig, film: int) -> FilmTracks:
    name = f"film-{film + 1}"
    tracks = render_film(
        root / "stimuli" / f"{name}.mp4",
        config.film_duration_s,
        seed=int(np.random.default_rng([config.seed, 0, film]).integers(2**31)),
        frame_rate_hz=config.frame_rate_hz,
        size=config.frame_size,
        sample_rate_hz=config.sample_rate_hz,
    )
    kept = {key: value for key, value in vars(tracks).items() if isinstance(value, np.ndarray)}
    write_arrays(root / TRUTH_FOLDER / f"{name}_tracks.npz", kept)
    return tracks


def _make_pictures(root: Path, config: StudyConfig) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    rng = np.random.default_rng([config.seed, 2])
    pictures, labels = draw_pictures(
        config.n_train_pictures, config.n_test_pictures, config.picture_size, rng
    )
    for number, picture in enumerate(pictures, start=1):
        write_png(root / "stimuli" / "pictures" / f"picture-{number:03d}.png", picture)
    if config.n_more_pictures:
        own = np.random.default_rng([config.seed, 9])  # so that the others stay as they are
        more, _ = draw_pictures(config.n_more_pictures, 0, config.picture_size, own)
        write_arrays(root / "derivatives" / "pictures" / "more.npz", {"pictures": more})
    return pictures, labels


def _write_regions(root: Path, brain: Brain) -> None:
    """Write the region of every voxel, as a list for the truth and as an image to look at."""
    folder = root / TRUTH_FOLDER
    write_json(folder / "regions.json", {"region": brain.regions.tolist()})
    labels = brain.mask.unmask(brain.codes.astype(np.float64)).astype(np.int16)
    write_image(folder / f"space-{brain.mask.space}_dseg.nii.gz", labels, brain.mask)
    table = pd.DataFrame({"index": range(len(REGION_NAMES)), "name": REGION_NAMES})
    write_table(folder / f"space-{brain.mask.space}_dseg.tsv", table)


def _scanner(root: Path, config: StudyConfig, brain: Brain) -> Scanner:
    return Scanner(root, brain, config.tr_s, config.drift, config.motion)


def _n_trs(stop_s: Fraction, config: StudyConfig) -> int:
    """Volumes until a scan time, by exact fractions: 389.728 s are 641 of 0.608 s."""
    return math.ceil(stop_s / exact(config.tr_s))


def _scan_films(
    root: Path, config: StudyConfig, brain: Brain, person: _Person, neural: list[Float]
) -> list[str]:
    """Scan a person in every film; return the labels of the runs."""
    n_trs = _n_trs(exact(config.film_start_s) + exact(config.film_duration_s), config)
    responses = [
        blood_response(track, config.film_start_s, config.tr_s, n_trs, person.subject)
        for track in neural
    ]
    labels = []
    for number, signal in enumerate(film_signals(person.subject, responses), start=1):
        events = pd.DataFrame(
            {
                "onset": [config.film_start_s],
                "duration": [config.film_duration_s],
                "trial_type": ["film"],
                "stim_file": [f"film-{number}.mp4"],
            }
        )
        entities = f"task-film_run-{number}"
        session = Session(TASKS[0], entities, n_trs, signal, events)
        labels.append(scan(_scanner(root, config, brain), person.subject, session, person.rng))
    return labels


def _scan_pictures(
    root: Path,
    config: StudyConfig,
    brain: Brain,
    person: _Person,
    pictures: NDArray[np.uint8],
    kinds: NDArray[np.int64],
) -> list[str]:
    """Scan a person who sees the pictures, and write their single-trial answers."""
    subject, n_pictures = person.subject, len(pictures)
    seeing = np.flatnonzero(brain.visual)
    channels = draw_channels(brain.regions[seeing], person.rng)
    tuning = draw_tuning(len(seeing), config.picture_size, person.rng, channels)
    trials = answer_pictures(pictures, kinds, tuning, config.picture_ceiling, person.rng)
    _write_trials(root, config, subject.name, trials, tuning, pictures, kinds, seeing)
    last_s = config.film_start_s + n_pictures * config.picture_gap_s
    n_trs = _n_trs(exact(last_s + _TAIL_S), config)
    neural = np.zeros((round(n_pictures * config.picture_gap_s / STEP_S), len(seeing)))
    onsets_s = np.arange(n_pictures) * config.picture_gap_s
    for onset, answer in zip(np.rint(onsets_s / STEP_S).astype(int), trials.signal, strict=True):
        neural[onset : onset + round(_PICTURE_SHOWN_S / STEP_S)] = answer
    seen = blood_response(neural, config.film_start_s, config.tr_s, n_trs, subject)
    seen *= subject.amplitude[seeing] / np.maximum(seen.std(axis=0), 1e-12)

    def signal(trs: slice) -> Float:
        rows = np.zeros((trs.stop - trs.start, brain.mask.n_voxels))
        rows[:, seeing] = seen[trs]
        return rows

    events = pd.DataFrame(
        {
            "onset": config.film_start_s + onsets_s,
            "duration": _PICTURE_SHOWN_S,
            "trial_type": "picture",
            "stim_file": [f"pictures/picture-{n:03d}.png" for n in range(1, n_pictures + 1)],
            "category": [KINDS[kind] for kind in kinds],
        }
    )
    session = Session(TASKS[1], "task-pictures", n_trs, signal, events)
    return [scan(_scanner(root, config, brain), subject, session, person.rng)]


def _write_trials(
    root: Path,
    config: StudyConfig,
    name: str,
    trials: PictureTrials,
    tuning: PictureTuning,
    pictures: NDArray[np.uint8],
    kinds: NDArray[np.int64],
    seeing: NDArray[np.intp],
) -> None:
    given: dict[str, NDArray[Any]] = {
        "voxels": trials.voxels.astype(np.float32),
        "pictures": pictures,
        "labels": kinds,
        "label_names": np.array(KINDS),
        "n_train": np.array(config.n_train_pictures),
        "voxel_indices": seeing,
    }
    write_arrays(root / "derivatives" / "trials" / f"{name}_pictures.npz", given)
    known: dict[str, NDArray[Any]] = {
        "signal": trials.signal.astype(np.float32),
        "noise_std": trials.noise_std,
        "channels": tuning.channels,
    }
    write_arrays(root / TRUTH_FOLDER / name / f"{name}_task-pictures_trials.npz", known)
