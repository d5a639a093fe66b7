"""One simulated person whose answers are known, fitted once for all tests of this folder."""

from pathlib import Path

import pytest

from brainreel.evaluate.run import evaluate
from brainreel.evaluate.scorecard import Scorecard
from brainreel.fmri.bids import find_runs
from brainreel.fmri.prepare import PrepareConfig, prepare
from brainreel.simulate.study import StudyConfig, simulate_study
from brainreel.train.fit import fit
from brainreel.train.recipe import resolve

# Not the seed that any default was chosen with.
SEED = 11


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of one person at full length, prepared beside itself."""
    root = tmp_path_factory.mktemp("known")
    config = StudyConfig(n_subjects=1, n_train_pictures=0, n_test_pictures=0, seed=SEED)
    simulate_study(root / "study", config)
    options = PrepareConfig.parse({"clean": {"confounds": ["motion:basic"]}})
    prepare(find_runs(root / "study"), root / "store", options)
    return root


@pytest.fixture(scope="session")
def ridge(study: Path) -> tuple[Path, Scorecard]:
    """The shipped ridge recipe on that study, with its scorecard."""
    config = resolve(
        "film_ridge", [f"data.path={study / 'store'}", f"scoring.truth={study / 'study'}"]
    )
    fit(config, study / "ridge")
    return study / "ridge", evaluate(study / "ridge")
