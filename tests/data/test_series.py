from __future__ import annotations

import numpy as np
import pytest

from brainreel.data.samples import Segment
from brainreel.data.series import SeriesData, shifted_in_trs
from brainreel.errors import AlignmentError, ConfigError, DataError, LeakError
from brainreel.timebase import TrGrid

N_PEOPLE, N_TRS, N_VOXELS = 4, 60, 5
SPLIT = {"name": "time", "train": 30, "test": 20, "gap_s": 10}


@pytest.fixture
def arrays():
    rng = np.random.default_rng(11)
    onset = np.sort(rng.uniform(10, 120, 200)).astype(np.float32)
    return {
        "bold": rng.standard_normal((N_PEOPLE, N_TRS, N_VOXELS)).astype(np.float16),
        "tr_s": np.float32(2.0),
        "subject": np.array(["s1", "s2", "s3", "s4"]),
        "roi": np.array(list("ABCDE")),
        "word": np.array(["w" * (1 + i % 7) for i in range(200)]),
        "word_onset_s": onset,
        "word_offset_s": onset + 0.3,
        "own": rng.standard_normal((N_PEOPLE, N_TRS)),
        "common": rng.standard_normal((N_TRS, 3)),
        "sound": rng.standard_normal(N_TRS),
    }


@pytest.fixture
def saved(tmp_path, arrays):
    def save(**changed):
        np.savez(tmp_path / "story.npz", **{**arrays, **changed})
        return tmp_path / "story.npz"

    return save


def data(path, **options):
    return SeriesData.parse({"path": path, "splits": [SPLIT], **options})


def test_everybody_is_a_recording_on_the_clock(saved, arrays):
    names = {"subjects_key": "subject", "voxel_names_key": "roi"}
    series = data(saved(), n_dummy=5, film_start_s=4, **names).open()
    assert series.subjects == ("s1", "s2", "s3", "s4")
    for i, recording in enumerate(series.recordings):
        np.testing.assert_array_equal(recording.bold.data, arrays["bold"][i].astype(np.float32))
        assert recording.bold.data.dtype == np.float32
        assert recording.bold.names == tuple("ABCDE")
        # Five volumes of 2 s were discarded, and the story began 4 s after the first of them.
        assert recording.bold.grid == TrGrid.of_scan(2, N_TRS, n_dummy=5, film_start_s=4)
        assert recording.bold.grid.first_s == 6
        assert recording.run == recording.stimulus == "story"
    assert series.folds[0].train == tuple(Segment(i, 0, 30) for i in range(4))
    assert series.folds[0].test == tuple(Segment(i, 40, 60) for i in range(4))
    assert list(series.sources) == ["story.npz"]


@pytest.mark.parametrize("axes", ["time voxels people", "voxels people time"])
def test_axes_may_stand_in_any_order(saved, arrays, axes):
    order = [("people", "time", "voxels").index(axis) for axis in axes.split()]
    series = data(saved(bold=arrays["bold"].transpose(order)), axes=axes).open()
    assert series.subjects == ("sub-01", "sub-02", "sub-03", "sub-04")
    np.testing.assert_array_equal(series.recordings[2].bold.data, arrays["bold"][2])


def test_columns_without_names_may_be_numbered(saved):
    regions = data(saved(), number_columns_as="region").open().recordings[0].bold.names
    assert regions == ("region-1", "region-2", "region-3", "region-4", "region-5")
    named = data(saved(), number_columns_as="region", voxel_names_key="roi").open()
    assert named.recordings[0].bold.names == tuple("ABCDE")
    assert data(saved()).open().recordings[0].bold.names == ()


def test_one_person_without_an_axis_and_a_tr_by_number(saved, arrays):
    series = data(saved(bold=arrays["bold"][0]), axes="time voxels", tr_s=1.5).open()
    assert series.subjects == ("sub-01",)
    assert float(series.recordings[0].bold.tr_s) == 1.5


def test_words_are_counted_on_the_clock(saved, arrays):
    series = data(saved(), n_dummy=5, words={}).open()
    rate = series.recordings[1].features["words"][:, 0] * 2
    onsets = arrays["word_onset_s"].astype(float)
    counted = [np.sum((onsets >= 10 + 2 * t) & (onsets < 12 + 2 * t)) for t in range(N_TRS)]
    np.testing.assert_allclose(rate, counted)


def test_events_are_found_beside_the_file(saved, tmp_path):
    path = saved()
    (tmp_path / "events.tsv").write_text(
        "onset\tduration\ttrial_type\n4\t6\tpain\n20\t4\tsocial\n40\t1\tpain\n"
    )
    series = data(path, events="events.tsv").open()
    features = series.recordings[0].features["events"]
    expected = np.zeros((N_TRS, 2))
    expected[2:5, 0] = expected[10:12, 1] = 1
    expected[20, 0] = 0.5
    np.testing.assert_allclose(features, expected)
    assert set(series.sources) == {"story.npz", "events.tsv"}


def test_regressors_of_all_shapes(saved, arrays):
    keys = {"own": "own", "three": "common", "sound": "sound"}
    series = data(saved(), regressors=keys, group_mean=True).open()
    features = [recording.features for recording in series.recordings]
    np.testing.assert_allclose(features[2]["own"][:, 0], arrays["own"][2], rtol=1e-6)
    np.testing.assert_allclose(features[2]["three"], arrays["common"], rtol=1e-6)
    np.testing.assert_allclose(features[2]["sound"][:, 0], arrays["sound"], rtol=1e-6)
    np.testing.assert_allclose(features[4]["own"][:, 0], arrays["own"].mean(0), atol=1e-6)


def test_the_group_is_the_mean_of_those_whose_signal_changes(saved, arrays):
    bold = arrays["bold"].astype(np.float32)
    bold[2] = 7
    series = data(saved(bold=bold), subjects_key="subject", group_mean=True).open()
    assert series.subjects == ("s1", "s2", "s4", "group")
    assert series.notes == ("s3 was left out: its signal never changes.",)
    group = series.recordings[3]
    np.testing.assert_allclose(group.bold.data, bold[[0, 1, 3]].mean(axis=0), atol=1e-6)
    assert group.members == ("s1", "s2", "s4")
    with pytest.raises(DataError, match="nobody's signal ever changes"):
        data(saved(bold=np.ones_like(bold))).open()


def test_a_shift_moves_the_stimulus_and_is_noted(saved, tmp_path):
    path = saved()
    (tmp_path / "events.tsv").write_text("onset\tduration\ttrial_type\n4\t6\tpain\n")
    options = {"events": "events.tsv", "words": {}, "regressors": {"own": "own"}}
    plain = data(path, **options).open().recordings[0].features
    series = data(path, shift_s=10, **options).open()
    shifted = series.recordings[0].features
    for name in plain:
        np.testing.assert_array_equal(shifted[name][5:], plain[name][:-5])
    assert np.flatnonzero(shifted["events"]).tolist() == [7, 8, 9]
    assert series.notes == ("Negative control: the stimulus was shifted by 10 s.",)


@pytest.mark.parametrize("shift", [3, -4, 0, 20, -20])
def test_shifting_by_trs_against_a_loop(shift):
    values = np.random.default_rng(0).random((2, 10, 3), dtype=np.float32)
    moved = shifted_in_trs(values, shift * 0.8, TrGrid.of_scan(0.8, 10))
    for i in range(10):
        source = i - shift
        expected = values[:, source] if 0 <= source < 10 else np.zeros((2, 3))
        np.testing.assert_array_equal(moved[:, i], expected)


def test_regressors_cannot_be_shifted_by_a_part_of_a_tr(saved):
    with pytest.raises(AlignmentError, match=r"shift_s of 3 s is no whole number of TRs of 2 s"):
        data(saved(), regressors={"own": "own"}, shift_s=3).open()


@pytest.mark.parametrize(("changed", "options", "told"), [
    ({"sound": np.zeros(61)}, {"regressors": {"s": "sound"}}, "'bold' has 60, 'sound' has 61 TRs"),
    ({"own": np.zeros((3, 60))}, {"regressors": {"o": "own"}}, "'bold' has 4, 'own' has 3 people"),
    ({"own": np.zeros((2, 2, 2, 2))}, {"regressors": {"o": "own"}}, "its 4 axes are not"),
    ({"word": np.array(["a"])}, {"words": {}}, "'word' has 1, 'word_onset_s' has 200"),
    ({"subject": np.array(["a"])}, {"subjects_key": "subject"}, "'bold' has 4, 'subject' has 1"),
    ({"subject": np.array(list("aabc"))}, {"subjects_key": "subject"}, "a name stands twice"),
    ({"subject": np.array(["a", "b", "c", "group"])},
     {"subjects_key": "subject", "group_mean": True}, "a person is called 'group'"),
    ({"roi": np.array(["A"])}, {"voxel_names_key": "roi"}, "'bold' has 5, 'roi' has 1 voxels"),
    ({"bold": np.zeros((4, 60))}, {}, r"'bold' has 2 axes \(4, 60\); it should have 3"),
    ({"bold": np.full((4, 60, 5), np.nan)}, {}, "1200 of 1200 values are NaN"),
    ({"tr_s": np.zeros(2)}, {}, "'tr_s' should be one number"),
    ({"tr_s": np.float32(0)}, {}, "A TR of 0 s cannot be used"),
    ({}, {"bold_key": "fmri"}, "no key 'fmri'. It holds: bold, tr_s"),
    ({}, {"splits": [{"name": "time", "train": 250, "test": 104}]}, "has 60 TRs of 2 s; 250 TRs"),
    ({"bold": np.arange(8.0).reshape(4, 2, 1)}, {"splits": [{"name": "time"}]}, "has 2 TRs of 2 s"),
    ({"bold": np.arange(8.0).reshape(4, 2, 1)}, {"splits": [{"name": "blocks"}]}, "has 2 TRs, few"),
    ({}, {"events": "none.tsv"}, "none.tsv: no such table"),
])  # fmt: skip
def test_bad_arrays_are_named(saved, changed, options, told):
    with pytest.raises(DataError, match=told):
        data(saved(**changed), **options).open()


def test_a_stimulus_outside_the_scan_is_named(saved):
    with pytest.raises(AlignmentError, match="no word .* lies within the run"):
        data(saved(), words={}, n_dummy=500).open()


def test_a_leak_is_refused(saved):
    with pytest.raises(LeakError, match="sub-01 story at 0.0 to 80.0 s"):
        data(saved(), splits=[{"name": "time", "train": 40, "test": 20, "gap_s": 2}]).open()


@pytest.mark.parametrize("axes", ["time", "people people voxels", "person time voxels"])
def test_unknown_axes_are_refused(axes):
    with pytest.raises(ConfigError, match=rf"an order of .* count as voxels \(given: '{axes}'"):
        data("x.npz", axes=axes)


def test_alice(real_data):
    series = data(
        real_data / "alice" / "alice.npz", bold_key="bold_6mm", n_dummy=10, words={},
        subjects_key="subject", voxel_names_key="roi", group_mean=True,
        regressors={"sound_power": "sound_power"},
        splits=[{"name": "time", "train": 250, "test": 104}],
    ).open()  # fmt: skip
    assert len(series.subjects) == 28
    assert series.notes == ("s33 was left out: its signal never changes.",)
    group = series.recordings[-1]
    assert group.bold.grid.first_s == 20
    assert group.bold.names[0] == "LATL"
    # All words but the few after the last volume are counted.
    with np.load(real_data / "alice" / "alice.npz") as file:
        heard = file["word_onset_s"] < 20 + 2 * 362
    assert group.features["words"][:, 0].sum() * 2 == pytest.approx(heard.sum())
    assert group.features["sound_power"].shape == (362, 1)
    assert series.folds[0].test[0] == Segment(0, 258, 362)


def test_partlycloudy(real_data):
    series = data(
        real_data / "partlycloudy" / "partlycloudy_40.npz", events="events.tsv",
        splits=[{"name": "blocks"}],
    ).open()  # fmt: skip
    assert len(series.subjects) == 40
    assert series.recordings[0].bold.data.shape == (380, 293)
    assert series.recordings[0].bold.grid.tr_s * 5 == 4
    features = series.recordings[0].features["events"]
    # control, mental, pain, social: the seconds of each, by hand from the table.
    np.testing.assert_allclose(features.sum(axis=0) * 0.8, [24, 43, 26, 28], rtol=1e-5)
    assert len(series.folds) == 5
