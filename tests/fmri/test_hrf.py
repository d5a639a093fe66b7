import numpy as np
import pytest
from nilearn.glm.first_level import spm_hrf

from brainreel.errors import DataError
from brainreel.fmri.hrf import (
    canonical_hrf,
    convolve_hrf,
    delays_covering,
    delays_in_trs,
    fir_delays,
)


@pytest.mark.parametrize(
    ("tr_s", "oversampling", "onset_s"), [(2, 1, 0), (1.5, 16, 0), (0.608, 5, 2)]
)
def test_canonical_hrf_is_spm(tr_s, oversampling, onset_s):
    expected = spm_hrf(tr_s, oversampling, 32.0, onset_s)
    ours = canonical_hrf(tr_s, oversampling=oversampling, onset_s=onset_s)
    np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_hrf_parameters_move_the_peak():
    times = np.linspace(0, 32, 3200)
    late = canonical_hrf(1, oversampling=100, peak_s=8.0)
    usual = canonical_hrf(1, oversampling=100)
    assert times[usual.argmax()] == pytest.approx(5, abs=0.1)
    assert times[late.argmax()] == pytest.approx(7, abs=0.1)
    with pytest.raises(DataError, match="TR of 0 s"):
        canonical_hrf(0)


def test_convolution_equals_numpy_and_looks_only_back():
    rng = np.random.default_rng(0)
    features, hrf = rng.normal(size=(40, 3)), canonical_hrf(2)
    expected = np.stack([np.convolve(column, hrf)[:40] for column in features.T], axis=1)
    np.testing.assert_allclose(convolve_hrf(features, hrf), expected, atol=1e-6)
    assert convolve_hrf(features[:5], hrf).shape == (5, 3)


def test_fir_delays_equal_a_loop():
    features = np.random.default_rng(1).normal(size=(12, 2)).astype(np.float32)
    delays = (0, 1, 3, -2, 20)
    expected = np.zeros((12, 10), np.float32)
    for number, delay in enumerate(delays):
        for t in range(12):
            if 0 <= t - delay < 12:
                expected[t, 2 * number : 2 * number + 2] = features[t - delay]
    delayed = fir_delays(features, delays)
    assert delayed.dtype == np.float32
    np.testing.assert_array_equal(delayed, expected)


def test_delays_are_whole_trs():
    assert delays_in_trs((0, 3, "4.5", 6.0), 1.5) == (0, 2, 3, 4)
    assert delays_in_trs((3.04,), 0.608) == (5,)
    with pytest.raises(
        DataError, match="delay of 4 s is no whole number of TRs of 1.5 s. The near"
    ):
        delays_in_trs((3, 4), 1.5)


def test_delays_covering_a_span():
    assert delays_covering(2, 8, 1.5) == (2, 3, 4, 5)
    assert delays_covering(0, 3, "1.5") == (0, 1, 2)
