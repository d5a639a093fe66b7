"""The real command in this process, on a study small enough to be fitted in seconds."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from brainreel.cli.main import main
from brainreel.simulate.study import StudyConfig, simulate_study

STUDY = StudyConfig(
    n_subjects=2,
    n_films=2,
    film_duration_s=24,
    voxel_size_mm=24,
    frame_size=(32, 48),
    frame_rate_hz=5,
    n_train_pictures=24,
    n_test_pictures=4,
    picture_size=8,
)
FEW_DRAWS = ("scoring.n_permutations=20", "scoring.n_bootstrap=20")


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one sentence of a user's error: status 2, and nothing else on stderr."""
        assert self.code == 2, (self.code, self.out, self.err)
        assert "Traceback" not in self.err
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("brainreel: "), self.err
        return lines[0].removeprefix("brainreel: ")

    @property
    def output(self) -> str:
        """What a command that went well printed; it has nothing to say on stderr."""
        assert (self.code, self.err) == (0, ""), (self.code, self.out, self.err)
        return self.out


def call(*args: object) -> Ended:
    """Run `brainreel ARGS` through `main`, as the installed script does."""
    out, err = io.StringIO(), io.StringIO()
    before = sys.argv
    sys.argv = ["brainreel", *map(str, args)]
    try:
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main()
    finally:
        sys.argv = before
    return Ended(int(ended.value.code or 0), out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def brainreel() -> Callable[..., Ended]:
    """brainreel(*args) -> how the command ended."""
    return call


@pytest.fixture(scope="session")
def kept_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people, two films of 24 s and 28 pictures; not to be changed."""
    root = tmp_path_factory.mktemp("kept") / "study"
    simulate_study(root, STUDY)
    return root


@pytest.fixture(scope="session")
def kept_store(kept_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study's film runs, prepared by the command; not to be changed."""
    store = tmp_path_factory.mktemp("prepared") / "store"
    assert call("prepare", kept_study, "--task", "film", "--out", store).code == 0
    return store


@pytest.fixture(scope="session")
def run_args(kept_store: Path, kept_study: Path) -> tuple[str, ...]:
    """film_ridge on them, scored beside the truth."""
    return ("film_ridge", f"data.path={kept_store}", f"scoring.truth={kept_study}", *FEW_DRAWS)


@pytest.fixture(scope="session")
def kept_run(run_args: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It in one go; not to be changed."""
    out = tmp_path_factory.mktemp("runs") / "ridge"
    assert call("run", *run_args, "--out", out).code == 0
    return out


@pytest.fixture
def study(kept_study: Path, tmp_path: Path) -> Path:
    """A copy of the study, to be broken."""
    return Path(shutil.copytree(kept_study, tmp_path / "study"))


@pytest.fixture
def store(kept_store: Path, tmp_path: Path) -> Path:
    """A copy of the prepared runs; their films are those of the kept study."""
    return Path(shutil.copytree(kept_store, tmp_path / "store"))


@pytest.fixture
def fitted(kept_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return Path(shutil.copytree(kept_run, tmp_path / "fitted"))


@pytest.fixture
def trials(kept_study: Path) -> Path:
    """Single trials of the picture task."""
    return kept_study / "derivatives" / "trials" / "sub-01_pictures.npz"


@pytest.fixture
def series_file(tmp_path: Path) -> Path:
    """Three people, 60 TRs of 2 s, four regions that follow one regressor; one person constant."""
    rng = np.random.default_rng(0)
    power = rng.normal(size=60).astype(np.float32)
    bold = rng.normal(size=(3, 60, 4)).astype(np.float32) + power[:, None]
    bold[2] = 7.0
    path = tmp_path / "series.npz"
    np.savez(path, bold=bold, tr_s=np.float32(2), power=power, roi=np.array(list("abcd")))
    return path


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors are faster on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
