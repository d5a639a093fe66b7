"""Two processes, half the precision and less memory: the same training."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from . import mask_run


def test_two_processes_give_the_gradients_of_one(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    model = {"factors": 2}
    asked = {"task": {"batch": 4}, "trainer": {"devices": 2, "strategy": "ddp"}, "model": model}
    command = [sys.executable, mask_run.__file__, str(tmp_path / "two"), json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    mask_run.fit(tmp_path / "one", {"task": {"batch": 8}, "model": model})
    one, pair = (torch.load(tmp_path / run / "gradients.pt") for run in ("one", "two"))
    assert one.keys() == pair.keys()
    assert {name.split(".")[0] for name in one} == {"0", "1"}
    for name in one:
        torch.testing.assert_close(pair[name], one[name], rtol=1e-4, atol=1e-6)
    assert max(float(value.abs().max()) for value in one.values()) > 1e-3


def test_recomputed_activations_and_bfloat16_train_alike(tmp_path: Path) -> None:
    asked = {
        "plain": {},
        "recomputed": {"model": {"recompute": True}},
        "bf16": {"trainer": {"precision": "bf16"}, "model": {"factors": 2}},
    }
    found = {}
    for name, options in asked.items():
        (tmp_path / name).mkdir()
        found[name] = mask_run.fit(tmp_path / name, {"task": {"batch": 8}, **options})
    for name, value in found["plain"].items():
        np.testing.assert_allclose(found["recomputed"][name], value, rtol=1e-5, atol=1e-7)
        assert found["bf16"][name].dtype == np.float32
        assert np.isfinite(found["bf16"][name]).all()
    grads = torch.load(tmp_path / "bf16" / "gradients.pt")
    assert all(torch.isfinite(value).all() for value in grads.values())
