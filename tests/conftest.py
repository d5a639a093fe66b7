from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings; tests that ask for it are skipped where it is absent."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("BRAINREEL_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"real recordings are not at {folder}; set BRAINREEL_DATA to their folder")
    return folder
