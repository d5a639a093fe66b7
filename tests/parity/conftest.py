"""The golden fixtures: inputs, weights and outputs of the published implementations."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import Tensor

BESIDE = Path(__file__).resolve().parents[3] / "shared" / "golden"


def close(ours: Tensor, theirs: Tensor, within: float = 1e-5) -> None:
    """The norm of the difference is at most `within` of the tensor's norm."""
    assert ours.shape == theirs.shape, (tuple(ours.shape), tuple(theirs.shape))
    ours, theirs = ours.detach().double(), theirs.detach().double()
    assert ours.isfinite().all()
    off = float((ours - theirs).norm() / theirs.norm().clamp_min(1e-12))
    assert off <= within, f"differs by {off:.1e} of its norm, more than {within:.0e}"


@pytest.fixture(scope="session")
def golden() -> Callable[[str], Path]:
    """golden(name) -> the folder of that model's fixtures; skips where they are absent."""
    root = Path(os.environ.get("BRAINREEL_GOLDEN", BESIDE))

    def folder(name: str) -> Path:
        if not (root / name).is_dir():
            pytest.skip(f"no fixtures at {root / name}; set BRAINREEL_GOLDEN to their folder")
        return root / name

    return folder
