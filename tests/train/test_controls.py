"""What controls withhold, and what they leave as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from brainreel.data.strips import FilmStrip
from brainreel.data.volume_module import VolumeModule
from brainreel.data.volume_windows import VolumeBatch, VolumeWindowsConfig
from brainreel.errors import DataError
from brainreel.train.controls import replaced_by_noise, shuffled, withhold
from tests.data.volume_data import in_time, people, write_film

T, F, S = 40, 2, 3
CONFIG = VolumeWindowsConfig(
    window_trs=4, batch_windows=2, frames_per_tr=2, height=8, width=8, mel_bands=4
)


def strip() -> FilmStrip:
    """Frame n has the value n, step n of the sound 2 n; the film ends before the run."""
    frames = np.tile(np.arange(70, dtype=np.uint8)[:, None, None, None], (1, 3, 4, 4))
    sound = np.tile(2 * np.arange(110, dtype=np.float32)[:, None], (1, 5))
    return FilmStrip(frames, np.arange(T * F).reshape(T, F), sound, np.arange(T * S).reshape(T, S))


def test_shuffled_trs_keep_their_inside_and_their_numbers() -> None:
    plain = strip().part(slice(0, T))
    found = shuffled(strip(), np.random.default_rng(0)).part(slice(0, T))
    firsts = found["frames"][:, 0, 0, 0, 0].astype(int)
    assert sorted(firsts) == sorted(plain["frames"][:, 0, 0, 0, 0].astype(int))
    assert list(firsts) != sorted(firsts)
    for t in range(T):
        if found["frames"][t].any():
            assert found["frames"][t, 1, 0, 0, 0] in (firsts[t] + 1, 0)
            # Pictures and sound of a TR stay together.
            number = firsts[t] // F
            np.testing.assert_array_equal(found["sound"][t], plain["sound"][number])
    np.testing.assert_array_equal(found["frame_numbers"], plain["frame_numbers"])


def test_noise_has_the_level_of_the_film_and_nothing_else() -> None:
    rng = np.random.default_rng(1)
    film = strip()
    found = replaced_by_noise(film, rng).part(slice(0, T))
    plain = film.part(slice(0, T))
    assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in plain.items()}
    assert {k: v.dtype for k, v in found.items()} == {k: v.dtype for k, v in plain.items()}
    np.testing.assert_array_equal(found["frame_numbers"], plain["frame_numbers"])
    assert film.frames is not None
    assert film.sound is not None
    for name, stored in (("frames", film.frames), ("sound", film.sound)):
        values = found[name].astype(float)
        assert values.mean() == pytest.approx(stored.mean(), rel=0.1)
        assert values.std() == pytest.approx(stored.std(), rel=0.15)
        flat = values.reshape(T, -1)
        r = np.corrcoef(flat[:, :20].mean(axis=1), np.arange(T))[0, 1]
        assert abs(r) < 0.4


@pytest.mark.parametrize("sense", ["pictures", "sound"])
def test_one_sense_alone(sense: str) -> None:
    whole = strip()
    alone = (
        FilmStrip(whole.frames, whole.index)
        if sense == "pictures"
        else FilmStrip(None, None, whole.sound, whole.steps)
    )
    for change in (shuffled, replaced_by_noise):
        part = change(alone, np.random.default_rng(2)).part(slice(3, 9))
        assert set(part) == set(alone.part(slice(3, 9)))


def batches(data: VolumeModule) -> list[VolumeBatch]:
    return list(data.loader(data.fold.test, training=False))


def made(film: Path, cache: Path, n: int = 3) -> VolumeModule:
    series = in_time(people(n, film=film), unseen=1)
    return VolumeModule(
        series, series.folds[0], CONFIG, cache=cache, seed=5, context_trs=2, with_film=True,
        with_reference=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("controls") / "film.mp4")


@pytest.mark.parametrize("control", ["film_shuffled", "film_noise", "reference_other"])
def test_a_module_withholds_one_thing_alone(film: Path, tmp_path: Path, control: str) -> None:
    plain, other = made(film, tmp_path), made(film, tmp_path)
    plain.setup()
    withhold(other, control, seed=0)  # type: ignore[arg-type]
    again = made(film, tmp_path)
    withhold(again, control, seed=0)  # type: ignore[arg-type]
    for one, two, three in zip(*map(batches, (plain, other, again)), strict=True):
        assert torch.equal(one.views, two.views)
        assert one.film is not None
        assert two.film is not None
        assert three.film is not None
        assert one.reference is not None
        assert two.reference is not None
        same = torch.equal(one.reference, two.reference)
        assert same == (control != "reference_other")
        same = torch.equal(one.film.frames, two.film.frames)
        assert same == (control == "reference_other")
        assert torch.equal(one.film.frame_numbers, two.film.frame_numbers)
        assert torch.equal(two.film.frames, three.film.frames)


def test_the_other_reference_is_the_next_persons(film: Path, tmp_path: Path) -> None:
    data = made(film, tmp_path)
    withhold(data, "reference_other", seed=0)
    assert data.whose == {"sub-01": "sub-02", "sub-02": "sub-03", "sub-03": "sub-01"}
    alone = in_time(people(1, film=film))
    options = {"cache": tmp_path, "seed": 5, "with_film": True, "with_reference": True}
    one = VolumeModule(alone, alone.folds[0], CONFIG, **options)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="needs two people"):
        withhold(one, "reference_other", 0)
