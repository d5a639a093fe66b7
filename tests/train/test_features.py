"""Delayed features: against a slow loop over TRs, and who shares what with whom."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from brainreel.data.samples import Recording
from brainreel.errors import DataError, ShapeError
from brainreel.fmri.bold import Bold
from brainreel.timebase import TrGrid
from brainreel.train import features as module
from brainreel.train.features import delayed_features

TR_S = Fraction(3, 2)
WINDOW = {"first_delay_s": 1.5, "last_delay_s": 6.0}


@pytest.fixture(autouse=True)
def _forget():
    module._remembered.cache_clear()


@pytest.fixture
def film_calls(monkeypatch):
    """Replace the film by a formula of film time, and list the calls."""
    calls = []

    def fake(film, grid, names=None, *, cache=None):
        calls.append((film, grid))
        salt = hashlib.sha256(str(film).encode()).digest()[0]
        times = np.array([float(grid.onset_s(tr)) for tr in range(grid.n_trs)])
        every = {"luminance": 2, "loudness": 1}
        return {
            name: np.stack([np.sin(times * (k + 1) + salt) for k in range(every[name])], 1).astype(
                np.float32
            )
            for name in names or every
        }

    monkeypatch.setattr(module, "film_features", fake)
    return calls


def record(subject, run="one", n_trs=20, film=None, features=None, first_s=-3, n_voxels=2):
    grid = TrGrid(TR_S, n_trs, Fraction(first_s))
    bold = Bold(np.zeros((n_trs, n_voxels), np.float32), grid)
    return Recording(subject, run, run, bold, film, features or {})


def slow(values, delays):
    """Row t holds values[t - d] for each d, 0 before the run."""
    T, D = values.shape
    rows = np.zeros((T, D * len(delays)), np.float32)
    for t in range(T):
        for k, delay in enumerate(delays):
            if t - delay >= 0:
                rows[t, k * D : (k + 1) * D] = values[t - delay]
    return rows


def test_carried_features_are_delayed_within_their_run_and_in_the_order_asked():
    rng = np.random.default_rng(0)
    carried = [
        {"a": rng.standard_normal((20, 3)), "b": rng.standard_normal((20, 2))} for _ in range(2)
    ]
    recordings = [record("sub-01", f"run-{i}", features=carried[i]) for i in range(2)]
    found = delayed_features(recordings, ("b", "a"), **WINDOW)
    assert dict(found.sizes) == {"b": 8, "a": 12}
    for own, matrix in zip(carried, found.matrices, strict=True):
        expected = np.hstack([slow(own["b"], (1, 2, 3, 4)), slow(own["a"], (1, 2, 3, 4))])
        np.testing.assert_array_equal(matrix, expected.astype(np.float32))


def test_film_is_looked_at_before_the_first_volume(film_calls, tmp_path):
    found = delayed_features([record("sub-01", film=tmp_path / "f")], ("luminance",), **WINDOW)
    salt = hashlib.sha256(str(tmp_path / "f").encode()).digest()[0]
    for t in range(20):
        for k, delay in enumerate((1, 2, 3, 4)):
            time = -3 + 1.5 * (t - delay)
            expected = [np.sin(time + salt), np.sin(2 * time + salt)]
            np.testing.assert_allclose(
                found.matrices[0][t, 2 * k : 2 * k + 2], expected, rtol=1e-4, atol=1e-5
            )


def test_a_stimulus_is_computed_once_and_shared_by_people(film_calls, tmp_path):
    recordings = [
        record(who, film, film=tmp_path / film) for who in ("sub-01", "sub-02") for film in "xy"
    ]
    found = delayed_features(recordings, **WINDOW)
    assert len(film_calls) == 2
    assert found.matrices[0] is found.matrices[2]
    assert found.matrices[1] is found.matrices[3]
    assert not np.array_equal(found.matrices[0], found.matrices[1])
    delayed_features(recordings, **WINDOW)
    assert len(film_calls) == 2, "a second fold decodes nothing again"
    later = record("sub-03", "x", film=tmp_path / "x", first_s=-6)
    delayed_features([*recordings, later], **WINDOW)
    assert len(film_calls) == 3, "another clock is another matrix"


def test_carried_and_film_features_stand_side_by_side(film_calls, tmp_path):
    words = {"words": np.ones((20, 1), np.float32)}
    recording = record("sub-01", film=tmp_path / "f", features=words)
    both = delayed_features([recording], ("loudness", "words"), **WINDOW)
    assert dict(both.sizes) == {"loudness": 4, "words": 4}
    np.testing.assert_array_equal(both.matrices[0][:, 4:], slow(words["words"], (1, 2, 3, 4)))
    alone = delayed_features([recording], **WINDOW)
    assert dict(alone.sizes) == {"words": 4}, "what the data carries comes first"


def test_slow_changes_are_taken_out_of_each_run_as_they_are_of_bold():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((80, 2)) + np.linspace(0, 9, 80)[:, None]
    recording = record("sub-01", n_trs=80, features={"a": values.astype(np.float32)})
    raw = delayed_features([recording], **WINDOW).matrices[0]
    filtered = delayed_features([recording], **WINDOW, high_pass_hz=1 / 60).matrices[0]
    t = np.arange(80)
    slow_waves = [np.cos(np.pi * k * (t + 0.5) / 80) for k in range(5)]
    basis = np.stack([*slow_waves, t], axis=1)
    expected = raw - basis @ np.linalg.lstsq(basis, raw, rcond=None)[0]
    np.testing.assert_allclose(filtered, expected, atol=1e-4)


def test_errors_say_what_and_where(film_calls, tmp_path):
    bare = record("sub-01")
    with pytest.raises(DataError, match="sub-01 one: it has neither features nor a film"):
        delayed_features([bare], **WINDOW)
    with pytest.raises(DataError, match="no feature space 'luminence'. Did you mean 'luminance'"):
        delayed_features([record("sub-01", film=tmp_path / "f")], ("luminence",), **WINDOW)
    with pytest.raises(DataError, match="no feature space 'luminance'"):
        delayed_features([bare], ("luminance",), **WINDOW)
    with pytest.raises(DataError, match=r"No whole TR of 1.5 s lies between delays of 2 and 2.5 s"):
        delayed_features([bare], first_delay_s=2, last_delay_s=2.5)
    with pytest.raises(DataError, match="There are no recordings"):
        delayed_features([], **WINDOW)
    fast = replace(bare, bold=Bold(bare.bold.data, TrGrid(Fraction(1), 20)))
    with pytest.raises(DataError, match="sub-01 one has a TR of 1 s, sub-01 one of 1.5 s"):
        delayed_features([bare, fast], **WINDOW)
    one, two = np.ones((20, 1), np.float32), np.ones((20, 2), np.float32)
    narrow, wide = record("sub-01", features={"w": one}), record("sub-02", features={"w": two})
    with pytest.raises(ShapeError, match="sub-02 one delayed 'w' has 8 along axis D"):
        delayed_features([narrow, wide], **WINDOW)
    other = record("sub-02", features={"v": one})
    with pytest.raises(DataError, match="sub-02 one has the feature spaces v; sub-01 one has w"):
        delayed_features([narrow, other], **WINDOW)
