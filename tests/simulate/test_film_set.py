"""Sets of short labelled films on disk, and what a plain rule makes of the decoded files."""

import csv
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest

from brainreel.errors import ConfigError, DataError, OutputError
from brainreel.files import digest_file, read_json, write_json
from brainreel.simulate.film_set import read_set_truth
from brainreel.simulate.motions import MotionConfig, motion_ceilings, simulate_motion
from brainreel.simulate.pairs import PairsConfig, simulate_pairs

SMALL = {"n_train": 4, "n_validation": 2, "n_test": 64}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets") / "pairs"
    simulate_pairs(root, PairsConfig(**SMALL, label_noise=0))
    return root


@pytest.fixture(scope="module")
def motion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets") / "motion"
    simulate_motion(root, MotionConfig(**SMALL))
    return root


def rows(root: Path, part: str) -> list[dict[str, str]]:
    with (root / f"{part}.csv").open() as stream:
        return list(csv.DictReader(stream))


def pictures(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="gray") for f in container.decode(video=0)])


def heard(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([f.to_ndarray() for f in container.decode(audio=0)], axis=1)[0]


def hertz_seen(path: Path) -> int:
    """The temporal frequency at which the strongest wave of the film turns, of 1, 3, -1, -3."""
    spectrum = np.fft.fft2(pictures(path).astype(float))
    spectrum[:, 0, 0] = 0
    strong = np.abs(spectrum).mean(axis=0)
    strong[:, :2] = strong[:, 16:] = 0  # to the right alone, and no wave longer than the frame
    wave = spectrum[(slice(None), *np.unravel_index(strong.argmax(), strong.shape))]
    turned = (wave[:-1] * wave[1:].conj()).sum()
    return min((1, 3, -1, -3), key=lambda f: abs(turned / abs(turned) - np.exp(2j * np.pi * f / 8)))


def glides_heard(path: Path) -> int:
    """Glides per second of the loudest pitch: the sign of its steps, and how long they are."""
    sound = heard(path)[:16000]
    windows = np.lib.stride_tricks.sliding_window_view(sound, 512)[::160] * np.hanning(512)
    power = np.abs(np.fft.rfft(windows, 4096)) ** 2
    octave = np.log2(np.maximum(power[:, :420].argmax(axis=1), 1))
    steps = np.diff(octave)
    glide = np.median(steps[np.abs(steps) < 0.4]) / 0.010
    return int(np.sign(glide) * (2 if abs(glide) < 3.7 else 4))


def test_lists_films_and_truth_agree(pairs: Path) -> None:
    truth = read_set_truth(pairs)
    for part, count in (("train", 4), ("validation", 2), ("test", 64)):
        listed = rows(pairs, part)
        assert len(listed) == count
        for row in listed:
            assert (row["start"], row["end"]) == ("0", "1")
            assert truth["films"][row["path"]]["label"] == row["label"]
    assert len(list((pairs / "films").iterdir())) == 70
    assert truth["ceilings"] == {
        "chance": 0.125, "picture": 0.25, "sound": 0.25, "late": 0.5, "both": 1.0,
    }  # fmt: skip
    with av.open(str(pairs / rows(pairs, "test")[0]["path"])) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.frames, video.height, video.width) == (8, 32, 32)
        assert video.average_rate == 8
        assert audio.rate == 16000


def test_all_pairs_are_equally_frequent(pairs: Path) -> None:
    films = read_set_truth(pairs)["films"]
    tested = [known for path, known in films.items() if "test" in path]
    assert set(Counter((f["motion"], f["sound"]) for f in tested).values()) == {4}
    assert set(Counter(f["label"] for f in tested).values()) == {8}


def test_a_plain_rule_on_the_decoded_films_reaches_the_ceilings(pairs: Path) -> None:
    """Motion by the phase of a wave, sound by the slope of the pitch, class by the table."""
    truth = read_set_truth(pairs)
    drifts, glides = [1, 3, -1, -3], [2, 4, -2, -4]
    seen = [drifts.index(hertz_seen(pairs / row["path"])) for row in rows(pairs, "test")]
    told = [glides.index(glides_heard(pairs / row["path"])) for row in rows(pairs, "test")]
    labels = np.array([row["label"] for row in rows(pairs, "test")])
    table = np.array(truth["class_of_motion_and_sound"])
    assert np.mean(table[seen, told] == labels) >= 0.95
    # The best guess from one sense: any class of the row, of the column.
    assert np.mean(table[seen, 0] == labels) == pytest.approx(0.25, abs=0.04)
    assert np.mean(table[0, told] == labels) == pytest.approx(0.25, abs=0.04)


def test_motion_is_told_by_neighbouring_frames(motion: Path) -> None:
    names = {1: "right-slowly", 3: "right-quickly", -1: "left-slowly", -3: "left-quickly"}
    right = [names[hertz_seen(motion / r["path"])] == r["label"] for r in rows(motion, "test")]
    assert np.mean(right) >= 0.95
    film = pictures(motion / rows(motion, "test")[0]["path"]).astype(float)
    assert len(film) == 16
    # A second apart, all that differs is noise of pixels and of the encoder.
    assert abs(film[8:] - film[:8]).mean() < 0.3 * abs(film[4:12] - film[:8]).mean()
    assert not heard_streams(motion / rows(motion, "test")[0]["path"])


def heard_streams(path: Path) -> int:
    with av.open(str(path)) as container:
        return len(container.streams.audio)


def test_ceilings_of_motion_follow_from_the_rate() -> None:
    assert motion_ceilings(MotionConfig()) == {
        "chance": 0.25, "whole": 1.0, "frames_1_apart": 1.0, "frames_2_apart": 0.5,
        "frames_4_apart": 0.25, "frames_8_apart": 0.25,
    }  # fmt: skip
    fast = motion_ceilings(MotionConfig(frame_rate_hz=16))
    assert fast["frames_2_apart"] == 1
    assert fast["frames_4_apart"] == 0.5


def test_same_seed_same_films_other_seed_others(tmp_path: Path) -> None:
    few = {"n_train": 2, "n_validation": 1, "n_test": 1}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate_pairs(tmp_path / name, PairsConfig(**few, seed=seed))
    digests = [
        [digest_file(path) for path in sorted((tmp_path / name / "films").iterdir())]
        for name in "abc"
    ]
    assert digests[0] == digests[1]
    assert not set(digests[0]) & set(digests[2])
    assert len(set(digests[0])) == 4


def test_label_noise_mislabels_its_share(tmp_path: Path) -> None:
    config = PairsConfig(
        n_train=160, n_validation=1, n_test=1, label_noise=0.5, duration_s=0.25, frame_size=(16, 16)
    )
    ceilings = simulate_pairs(tmp_path / "noisy", config)
    truth = read_json(tmp_path / "noisy" / "truth.json")
    table = truth["class_of_motion_and_sound"]
    right = [
        table[truth["motions"].index(f["motion"])][truth["sounds"].index(f["sound"])] == f["label"]
        for f in truth["films"].values()
    ]
    assert ceilings["both"] == truth["ceilings"]["both"] == 0.5625
    assert np.mean(right) == pytest.approx(0.5625, abs=0.12)


def test_what_cannot_be_made_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").touch()
    with pytest.raises(OutputError, match="already in use"):
        simulate_pairs(tmp_path / "used", PairsConfig(**SMALL))
    with pytest.raises(DataError, match="even sizes from 16 up"):
        simulate_motion(tmp_path / "odd", MotionConfig(**SMALL, frame_size=(31, 32)))
    with pytest.raises(DataError, match="shows no motion"):
        simulate_motion(tmp_path / "short", MotionConfig(**SMALL, duration_s=0.1))
    with pytest.raises(ConfigError, match="'n_test' should be greater than or equal to 1"):
        PairsConfig.parse({"n_test": 0})
    assert [path.name for path in tmp_path.iterdir()] == ["used"]


def test_the_truth_of_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_set_truth(tmp_path)
    write_json(tmp_path / "truth.json", {"ceilings": {}, "films": {}})
    with pytest.raises(DataError, match="has no ceiling_of_senses"):
        read_set_truth(tmp_path)
    write_json(tmp_path / "truth.json", [1])
    with pytest.raises(DataError, match="has no ceilings. Make it again"):
        read_set_truth(tmp_path)
