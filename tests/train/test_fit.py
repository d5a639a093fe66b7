"""A run from recipe to folder and back: stages, folds, folders in use."""

from pathlib import Path

import numpy as np
import pytest

from brainreel.config import override
from brainreel.errors import CheckpointError, ConfigError, DataError, LeakError, OutputError
from brainreel.fmri.bids import find_runs
from brainreel.fmri.prepare import prepare
from brainreel.simulate.study import StudyConfig, simulate_study
from brainreel.train.fit import fit, load_fitted
from brainreel.train.recipe import RunConfig, read_recipe, recipe_names, resolve

SMALL = [
    "model.hrf_window_s=3",
    "model.features=4",
    "model.backbone={name: vit, width: 8, depth: 1, heads: 2}",
    "task.windows={height: 16, width: 16, frames_per_tr: 2, window_trs: 6}",
    "trainer={max_epochs: 2, progress: false, checkpoint_every_steps: 1}",
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fit")
    config = StudyConfig(
        n_subjects=1,
        n_films=2,
        film_duration_s=24,
        voxel_size_mm=30,
        frame_size=(32, 32),
        n_train_pictures=0,
        n_test_pictures=0,
    )
    simulate_study(root / "study", config)
    prepare(find_runs(root / "study"), root / "store")
    return root / "store"


def recipe(store: Path, *more: str) -> RunConfig:
    return resolve("film_encoding", [f"data.path={store}", *SMALL, *more])


def same(one: dict[str, np.ndarray], two: dict[str, np.ndarray], **tolerance: float) -> bool:
    return one.keys() == two.keys() and all(
        np.allclose(one[name], two[name], **tolerance) for name in one
    )


def test_stages_hand_their_weights_on(store: Path, tmp_path: Path) -> None:
    """A second stage that hardly moves ends where the first one did; a third of two epochs not."""
    alone = fit(recipe(store), tmp_path / "alone").states["hold_out_stimulus"]
    content = recipe(store).to_dict()
    still = {"lr": 1e-9, "weight_decay": 0}
    content["stages"] = [{}, {"optim": still}]
    staged = RunConfig.parse(content)
    two = fit(staged, tmp_path / "two").states["hold_out_stimulus"]
    assert same(alone, two, atol=1e-6)
    assert not same(alone, two, atol=0)
    assert (tmp_path / "two" / "stage-1" / "metrics.csv").is_file()
    assert (tmp_path / "two" / "stage-2" / "metrics.csv").is_file()
    fresh = fit(recipe(store, "optim.lr=1e-9", "optim.weight_decay=0"), tmp_path / "fresh")
    assert not same(alone, fresh.states["hold_out_stimulus"], atol=1e-3)


@pytest.mark.parametrize("side", ["train", "validation"])
def test_a_stage_may_not_see_what_the_last_one_tests(
    store: Path, tmp_path: Path, side: str
) -> None:
    """Folds of two stages share a name, not their films."""
    content = recipe(store, "data.splits=[{name: hold_out_stimulus, test_stimuli: [film-2]}]")
    other = dict(content.to_dict()["data"])
    other["splits"] = [{"name": "hold_out_stimulus", "test_stimuli": ["film-1"]}]
    if side == "validation":
        other["splits"] = [{"name": "time", "validation": 2, "test": 2, "gap_s": 1}]
    staged = RunConfig.parse({**content.to_dict(), "stages": [{"data": other}, {}]})
    told = "trained in stage 1.* film-2|trained in stage 1.*of the same film"
    with pytest.raises(LeakError, match=told):
        fit(staged, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    other["splits"] = [{"name": "hold_out_stimulus", "test_stimuli": ["film-2"], "gap_s": 0}]
    apart = RunConfig.parse({**content.to_dict(), "stages": [{"data": other}, {}]})
    assert fit(apart, tmp_path / "run").states


def test_a_loaded_run_predicts_what_the_fitted_one_does(store: Path, tmp_path: Path) -> None:
    fitted = fit(recipe(store), tmp_path / "run")
    loaded = load_fitted(tmp_path / "run")
    assert loaded.config == fitted.config
    for one, two in zip(fitted.predict(), loaded.predict(), strict=True):
        np.testing.assert_array_equal(one.predicted, two.predicted)


def test_every_fold_keeps_weights_of_its_own(store: Path, tmp_path: Path) -> None:
    blocks = "data.splits=[{name: blocks, n_folds: 2, gap_s: 3}]"
    more = ["task.last_delay_s=3", "task.features=[luminance]", blocks]
    config = resolve("film_ridge", [f"data.path={store}", *more])
    fitted = fit(config, tmp_path / "run")
    assert list(fitted.states) == ["blocks-1", "blocks-2"]
    loaded = load_fitted(tmp_path / "run")
    assert all(same(fitted.states[f], loaded.states[f], atol=0) for f in fitted.states)
    assert {item.fold for item in loaded.predict()} == {"blocks-1", "blocks-2"}


def test_a_folder_in_use_is_refused_and_another_run_is_not_resumed(
    store: Path, tmp_path: Path
) -> None:
    fit(recipe(store), tmp_path / "run")
    with pytest.raises(OutputError, match="run: holds a run already"):
        fit(recipe(store), tmp_path / "run")
    with pytest.raises((OutputError, CheckpointError), match="another run"):
        fit(recipe(store, "seed=5"), tmp_path / "run", resume=True)
    before = load_fitted(tmp_path / "run").states["hold_out_stimulus"]
    again = fit(recipe(store), tmp_path / "run", resume=True).states["hold_out_stimulus"]
    assert same(before, again, atol=0)


def test_tasks_refuse_what_they_cannot_use() -> None:
    content = override(read_recipe("film_ridge"), ["data.path=x", "model.name=encoding"])
    with pytest.raises(ConfigError, match="task 'feature_ridge' cannot use model 'encoding'"):
        RunConfig.parse(content)
    with pytest.raises(ConfigError, match="no shipped recipe. Did you mean 'film_ridge'"):
        read_recipe("film_rigde")


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_says_what_it_asks(name: str) -> None:
    content = read_recipe(name)
    assert content["title"]
    assert len(content["about"]) > 60


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"accelerator": "gpu"},
            "trainer.accelerator=gpu: 1 GPUs are asked for and PyTorch finds 0",
        ),
        (
            {"accelerator": "cpu", "strategy": "fsdp", "devices": 2},
            "trainer.strategy=fsdp shards a model over GPUs",
        ),
    ],
)
def test_devices_that_are_not_there_are_refused(
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, object],
    told: str,
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    content = recipe(store).to_dict()
    content["trainer"] = {"progress": False, **options}
    with pytest.raises(ConfigError, match=told):
        fit(RunConfig.parse(content), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_splits_that_were_changed_after_the_fit_are_refused(store: Path, tmp_path: Path) -> None:
    blocks = "data.splits=[{name: blocks, n_folds: 2, gap_s: 3}]"
    more = ["task.last_delay_s=3", "task.features=[luminance]", blocks]
    fit(resolve("film_ridge", [f"data.path={store}", *more]), tmp_path / "run")
    path = tmp_path / "run" / "config.yaml"
    path.write_text(path.read_text().replace("gap_s: 3.0", "gap_s: 0.0"))
    with pytest.raises(DataError, match="its splits are not those of the fit"):
        load_fitted(tmp_path / "run")
