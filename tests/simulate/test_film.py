import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from brainreel.errors import DataError
from brainreel.simulate.film import FilmTracks, render_film

SIZE = (32, 48)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FilmTracks]:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return path, render_film(path, 16, 5, size=SIZE)


def decoded(path: Path) -> tuple[np.ndarray, list[Fraction]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    pictures = np.stack([frame.to_ndarray(format="rgb24") for frame in frames])
    return pictures, [frame.pts * frame.time_base for frame in frames]


def test_frames_stand_where_the_rate_says(film: tuple[Path, FilmTracks]) -> None:
    pictures, times = decoded(film[0])
    assert pictures.shape == (200, *SIZE, 3)
    assert times == [Fraction(2 * i, 25) for i in range(200)]


def test_tracks_are_what_the_decoded_film_shows(film: tuple[Path, FilmTracks]) -> None:
    path, tracks = film
    luma = decoded(path)[0] @ np.array([0.299, 0.587, 0.114]) / 255
    change = np.abs(np.diff(luma, axis=0)).mean(axis=(1, 2)) * 12.5
    assert np.corrcoef(luma.mean(axis=(1, 2)), tracks.luminance)[0, 1] > 0.999
    assert np.corrcoef(luma.std(axis=(1, 2)), tracks.contrast)[0, 1] > 0.99
    assert np.corrcoef(change, tracks.motion[1:])[0, 1] > 0.99
    np.testing.assert_allclose(luma.mean(axis=(1, 2)), tracks.luminance, atol=0.03)
    assert tracks.motion[0] == 0


def test_sound_is_the_loudness_track(film: tuple[Path, FilmTracks]) -> None:
    path, tracks = film
    with av.open(str(path)) as container:
        blocks = [frame.to_ndarray() for frame in container.decode(audio=0)]
        assert container.streams.audio[0].rate == 16000
    samples = np.concatenate(blocks, axis=1)[0][: 16 * 16000]
    level = 10 * np.log10((samples.reshape(-1, 1600) ** 2).mean(axis=1) + 1e-6)
    known = tracks.loudness_db.reshape(-1, 10).mean(axis=1)
    assert np.corrcoef(level, known)[0, 1] > 0.9
    assert abs(np.median(level - known)) < 2


def test_scenes_are_cut(film: tuple[Path, FilmTracks]) -> None:
    _, tracks = film
    assert len(tracks.cuts_s) >= 2
    for cut_s in tracks.cuts_s[1:]:
        first = int(np.ceil(cut_s * 12.5))
        assert tracks.motion[first] > 3 * np.median(tracks.motion)


def test_same_seed_same_film_other_seed_another(tmp_path: Path) -> None:
    names = ("a.mp4", "b.mp4", "c.mp4")
    for name, seed in zip(names, (1, 1, 2), strict=True):
        render_film(tmp_path / name, 2, seed, size=(16, 16), sample_rate_hz=8000)
    a, b, c = ((tmp_path / name).read_bytes() for name in names)
    assert a == b
    assert a != c


def test_a_rate_that_is_no_decimal_stays_exact(tmp_path: Path) -> None:
    tracks = render_film(tmp_path / "ntsc.mp4", 1, 0, frame_rate_hz="30000/1001", size=(16, 16))
    times = decoded(tmp_path / "ntsc.mp4")[1]
    assert tracks.frame_rate_hz == Fraction(30000, 1001)
    assert len(times) == tracks.n_frames == 30
    assert times[29] == Fraction(29 * 1001, 30000)


def test_a_film_that_cannot_be_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="even sizes from 16 up"):
        render_film(tmp_path / "odd.mp4", 1, 0, size=(17, 16))
    with pytest.raises(DataError, match="has no frame"):
        render_film(tmp_path / "empty.mp4", 0, 0)
    assert list(tmp_path.iterdir()) == []


DRIFTING = """
import hashlib, sys
from pathlib import Path
import numpy as np
from brainreel.simulate.drift import draw_drift
from brainreel.simulate.film import write_film
path, size = Path(sys.argv[1]), (int(sys.argv[2]), int(sys.argv[3]))
for seed in range(4):
    frames = draw_drift(1, 8, size, np.random.default_rng([0, 2, seed]), noise=0.03)
    write_film(path, frames, None, frame_rate_hz=8, size=size)
    print(hashlib.sha256(path.read_bytes()).hexdigest())
"""


@pytest.mark.parametrize("size", [(32, 32), (96, 96), (96, 128)])
def test_the_bytes_do_not_depend_on_what_memory_held(size: tuple[int, int], tmp_path: Path) -> None:
    digests = set()
    for filling in ("0", "85", "200"):
        # glibc fills new memory with this byte; other systems pay it no heed.
        environment = {**os.environ, "MALLOC_PERTURB_": filling}
        args = [str(tmp_path / f"{filling}.mp4"), *map(str, size)]
        command = [sys.executable, "-c", DRIFTING, *args]
        done = subprocess.run(command, env=environment, capture_output=True, check=True)
        digests.add(done.stdout)
    assert len(digests) == 1
