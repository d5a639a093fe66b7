from pathlib import Path

import pytest

from brainreel.simulate.study import StudyConfig, simulate_study
from brainreel.simulate.truth import StudyTruth

TOY = StudyConfig(
    n_subjects=2,
    n_films=2,
    film_duration_s=20,
    film_start_s=2.0,
    voxel_size_mm=24,
    frame_size=(16, 24),
    frame_rate_hz=5,
    sample_rate_hz=8000,
    n_train_pictures=6,
    n_test_pictures=3,
    picture_size=12,
    seed=3,
)


@pytest.fixture(scope="session")
def toy() -> StudyConfig:
    return TOY


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyTruth:
    folder: Path = tmp_path_factory.mktemp("simulated") / "study"
    return simulate_study(folder, TOY)
