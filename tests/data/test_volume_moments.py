from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brainreel.data.films import FilmsData
from brainreel.data.samples import Recording
from brainreel.data.volume_moments import VolumeMoments
from brainreel.errors import CheckpointError
from brainreel.fmri.bids import Run
from brainreel.fmri.bold import Bold
from brainreel.fmri.prepare import prepare
from brainreel.fmri.store import MOMENTS
from brainreel.timebase import TrGrid


def recording(seed: int, n_trs: int, shift: float = 0.0) -> Recording:
    data = np.random.default_rng(seed).normal(shift, 2, (n_trs, 5)).astype(np.float32)
    return Recording("sub-01", f"run-{seed}", "rest", Bold(data, TrGrid(Fraction(2), n_trs)))


def test_moments_of_parts_are_those_of_all_their_trs() -> None:
    parts = [(recording(1, 40), 0, 40), (recording(2, 200, shift=3), 20, 190)]
    moments = VolumeMoments.of_segments(parts)
    joined = np.concatenate([r.bold.data[start:stop] for r, start, stop in parts])
    assert moments.n == 210
    np.testing.assert_allclose(moments.mean, joined.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(moments.std, joined.std(axis=0), rtol=1e-5)
    assert moments.whole_mean == pytest.approx(joined.mean(), rel=1e-5)
    assert moments.whole_std == pytest.approx(joined.std(), rel=1e-5)
    assert moments.least == joined.min()


def test_moments_are_kept_with_weights_bit_for_bit() -> None:
    moments = VolumeMoments.of_segments([(recording(1, 40), 0, 40)])
    state = moments.to_state()
    assert {values.dtype for values in state.values()} == {np.dtype(np.float32)}
    back = VolumeMoments.from_state(state, where="run")
    np.testing.assert_array_equal(back.mean, moments.mean)
    np.testing.assert_array_equal(back.std, moments.std)
    facts = [(m.n, m.whole_mean, m.whole_std, m.least) for m in (moments, back)]
    assert facts[0] == facts[1]
    with pytest.raises(CheckpointError, match="runs/a: has no moments of volumes"):
        VolumeMoments.from_state({"bold_mean": moments.mean}, where="runs/a")


@pytest.fixture
def prepared(tmp_path: Path) -> Recording:
    rng = np.random.default_rng(0)
    level = rng.uniform(500, 900, (4, 5, 3, 1))
    values = (level + rng.normal(0, 9, (4, 5, 3, 50))).astype(np.float32)
    image = nib.Nifti1Image(values, np.diag([3.0, 3, 3, 1]))
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = 2
    nib.save(image, tmp_path / "bold.nii.gz")
    everywhere = np.ones((4, 5, 3), np.uint8)
    nib.save(nib.Nifti1Image(everywhere, image.affine), tmp_path / "mask.nii.gz")
    run = Run.single(tmp_path / "bold.nii.gz", mask=tmp_path / "mask.nii.gz", task="rest")
    prepare([run], tmp_path / "store")
    data = {"path": tmp_path / "store", "tasks": ["rest"], "splits": [{"name": "time"}]}
    (found,) = FilmsData.parse(data).open().recordings
    return found


def test_a_prepared_run_keeps_its_level_and_its_moments(prepared: Recording) -> None:
    image = nib.load(prepared.prepared.manifest["sources"]["bold"]["path"])
    raw = image.get_fdata().reshape(-1, 50).T
    np.testing.assert_allclose(prepared.level, raw.mean(axis=0), rtol=1e-5)
    kept = VolumeMoments.of_segments([(prepared, 0, 50)])
    read = VolumeMoments.of(prepared.bold.data, prepared.level)
    for name in ("mean", "std", "whole_mean", "whole_std", "least"):
        np.testing.assert_allclose(
            getattr(kept, name), getattr(read, name), rtol=1e-4, atol=1e-4, err_msg=name
        )
    assert kept.least == pytest.approx((prepared.bold.data + prepared.level).min(), rel=1e-5)


def test_a_store_of_an_earlier_version_is_read_instead(prepared: Recording) -> None:
    kept = VolumeMoments.of_segments([(prepared, 0, 50)])
    path = prepared.prepared.folder / MOMENTS
    with np.load(path) as stored:
        np.savez(path, **{name: stored[name] for name in ("mean", "std", "raw_mean")})
    read = VolumeMoments.of_segments([(prepared, 0, 50)])
    assert read.least == pytest.approx(kept.least, rel=1e-5)
    assert read.whole_std == pytest.approx(kept.whole_std, rel=1e-5)
