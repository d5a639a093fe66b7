from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

SCRIPT = Path(__file__).with_name("tiny_run.py")


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The tiny run, as a module."""
    spec = importlib.util.spec_from_file_location("brainreel_tiny_run", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def films(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its two films, written and decoded once."""
    folder = tmp_path_factory.mktemp("films")
    tiny.make_data(folder).setup()
    return folder


@pytest.fixture(scope="session")
def start_tiny():
    """Run the tiny run as a process of its own: start_tiny(run, films, asked) -> return code."""

    def start(run: Path, films: Path, asked: str) -> subprocess.CompletedProcess[str]:
        run.mkdir(exist_ok=True)
        command = [sys.executable, str(SCRIPT), str(run), str(films), asked]
        return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)

    return start


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors are faster on one thread; results must not depend on how many there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
