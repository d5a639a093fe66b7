"""Two processes, half the precision and joined batches: the same diffusion."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from . import denoise_run
from .breaking import power_cut


def test_two_processes_end_with_the_average_of_one(tmp_path: Path) -> None:
    asked = {"task": {"batch": 3}, "trainer": {"devices": 2, "strategy": "ddp"}}
    command = [sys.executable, denoise_run.__file__, str(tmp_path), json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    one = denoise_run.fit(tmp_path / "one", {"task": {"batch": 6}})
    with np.load(tmp_path / "state.npz") as pair:
        assert set(pair.files) == one.keys()
        for key, value in one.items():
            np.testing.assert_allclose(pair[key], value, rtol=1e-4, atol=1e-6, err_msg=key)
    plain = denoise_run.fit(tmp_path / "plain", {"task": {"batch": 6, "average": None}})
    key = "network/unet.network.conv_out.weight"
    assert np.abs(one[key] - plain[key]).max() > 1e-3  # the average is another thing


def test_joined_batches_are_one_large_batch(tmp_path: Path) -> None:
    one = denoise_run.fit(tmp_path / "one", {"task": {"batch": 11}})
    many = denoise_run.fit(tmp_path / "many", {"task": {"batch": 1}, "trainer": {"accumulate": 11}})
    assert one.keys() == many.keys()
    for key, value in one.items():
        np.testing.assert_allclose(many[key], value, rtol=1e-4, atol=1e-6, err_msg=key)


def test_half_the_precision_trains_alike(tmp_path: Path) -> None:
    one = denoise_run.fit(tmp_path / "one", {"task": {"batch": 6}})
    half = denoise_run.fit(
        tmp_path / "half", {"task": {"batch": 6}, "trainer": {"precision": "bf16"}}
    )
    for key, value in one.items():
        assert half[key].dtype == np.float32
        np.testing.assert_allclose(half[key], value, rtol=0.05, atol=0.02, err_msg=key)
    key = "network/unet.network.conv_out.weight"
    assert np.abs(half[key] - one[key]).max() > 0


def test_steps_of_joined_batches_go_on_after_a_break(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 4 batches of 11 pictures: the checkpoint of step 2 lies at the end of an epoch.
    steps = {"accumulate": 2, "max_epochs": None, "max_steps": 5, "checkpoint_every_steps": 2}
    asked = {"task": {"batch": 3, "changes": {"crop_rate": 0.5}}, "trainer": steps}
    whole = denoise_run.fit(tmp_path / "whole", asked)
    with power_cut(monkeypatch, step=3):
        denoise_run.fit(tmp_path / "broken", asked)
    again = denoise_run.fit(tmp_path / "broken", asked)
    assert again.keys() == whole.keys()
    for key, value in whole.items():
        np.testing.assert_array_equal(again[key], value, err_msg=key)
