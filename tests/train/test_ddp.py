"""Two processes on gloo take the step that one process takes."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import torch


def test_two_processes_give_the_gradients_of_one(
    tiny: ModuleType, films: Path, start_tiny: Any, tmp_path: Path
) -> None:
    # Dropout draws differ between ranks by design, so it is off; people and voxels per rank are
    # uneven (the last batch is one window and its uncounted copy), which the loss must level out.
    common = {"max_steps": 4, "clip_norm": None, "keep": "last"}
    two = {**common, "devices": 2, "strategy": "ddp"}
    asked = json.dumps({"gradients": True, "still": True, "batch_windows": 1, "trainer": two})
    done = start_tiny(tmp_path / "two", films, asked)
    assert done.returncode == 0, done.stderr
    (tmp_path / "one").mkdir()
    tiny.fit_with(
        tiny.SaveGradients(tmp_path / "one" / "gradients.pt"),
        tmp_path / "one",
        films,
        model=tiny.STILL,
        optim=tiny.SLOW,
        windows={"batch_windows": 2},
        **common,
    )
    one, pair = (torch.load(tmp_path / run / "gradients.pt") for run in ("one", "two"))
    assert one.keys() == pair.keys()
    assert {name.split(".")[0] for name in one} == {"0", "1", "2", "3"}
    for name in one:
        torch.testing.assert_close(pair[name], one[name], rtol=1e-4, atol=1e-6)
    assert max(float(value.abs().max()) for value in one.values()) > 1e-3
