from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load_runner() -> ModuleType:
    """The script that `make docs` runs; docs/ is no package."""
    if "run_docs" not in sys.modules:
        spec = importlib.util.spec_from_file_location("run_docs", ROOT / "docs" / "run_docs.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["run_docs"] = module
        spec.loader.exec_module(module)
    return sys.modules["run_docs"]


@pytest.fixture
def runner() -> ModuleType:
    return load_runner()
