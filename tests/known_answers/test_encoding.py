"""Where the truth is known, the estimate must meet it."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kstest

from brainreel.evaluate.run import evaluate
from brainreel.evaluate.scorecard import Scorecard
from brainreel.fmri.store import read_store
from brainreel.simulate.truth import read_truth
from brainreel.train.fit import fit
from brainreel.train.recipe import resolve

Ridge = tuple[Path, Scorecard]


def maps_and_truth(study: Path, folder: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    with np.load(folder / "predictions" / "maps_hold_out_stimulus_sub-01.npz") as stored:
        maps = {key: stored[key] for key in stored.files}
    return maps, read_truth(study / "study", "sub-01_task-film_run-3").tuned


@pytest.mark.slow
def test_ridge_reaches_the_exact_ceiling_within_its_error(study: Path, ridge: Ridge) -> None:
    folder, card = ridge
    maps, tuned = maps_and_truth(study, folder)
    share = maps["r"][tuned] / maps["ceiling_exact"][tuned]
    assert np.median(share) >= 0.85
    assert card.shares["r_reliable|exact"] == pytest.approx(np.median(share), abs=0.02)
    low, high = card.intervals["r_reliable|exact"]
    assert low <= 1.0
    assert low < np.median(share) < high


@pytest.mark.slow
def test_p_values_of_voxels_tuned_to_nothing_are_uniform(study: Path, ridge: Ridge) -> None:
    maps, tuned = maps_and_truth(study, ridge[0])
    untuned = maps["p"][~tuned]
    assert untuned.size >= 200
    assert kstest(untuned, "uniform").pvalue > 0.01
    assert np.mean(untuned < 0.05) == pytest.approx(0.05, abs=0.025)
    assert np.mean(maps["q"][tuned] < 0.05) > 0.8


@pytest.mark.slow
def test_the_exact_ceiling_is_what_the_noise_free_signal_reaches(study: Path, ridge: Ridge) -> None:
    """The true signal, cleaned as the data were, correlates with the data at the ceiling."""
    maps, tuned = maps_and_truth(study, ridge[0])
    run = next(r for r in read_store(study / "store") if r.label.endswith("run-3"))
    signal = run.clean(np.asarray(read_truth(study / "study", run.label).signal))[:, tuned]
    measured = run.bold().data[:, tuned]
    s, m = (x - x.mean(axis=0) for x in (signal.astype(float), np.asarray(measured, float)))
    r = (s * m).sum(axis=0) / np.sqrt((s**2).sum(axis=0) * (m**2).sum(axis=0))
    assert np.median(r / maps["ceiling_exact"][tuned]) == pytest.approx(1, abs=0.02)


@pytest.mark.slow
def test_segments_of_the_film_are_told_apart(ridge: Ridge) -> None:
    _, card = ridge
    assert card.scores["identification_10way"] > 0.9
    assert card.baselines["identification_10way"] == 0.1
    assert card.p_values["identification_10way"] < 0.01


@pytest.mark.slow
def test_a_network_that_hears_predicts_what_is_tuned_to_sound(study: Path, tmp_path: Path) -> None:
    """The same network without its listener knows nothing of the sound."""
    heard = []
    for listener in ("{name: bands}", "none"):
        out = tmp_path / listener[1:5]
        options = [
            f"data.path={study / 'store'}",
            f"task.cache={study / 'frames'}",
            f"model.listener={listener}",
            "trainer.max_epochs=30",
            "trainer.progress=false",
            "scoring.n_permutations=0",
        ]
        fit(resolve("film_encoding", options), out)
        evaluate(out)
        with np.load(out / "predictions" / "maps_hold_out_stimulus_sub-01.npz") as maps:
            r = maps["r"]
        tuning = read_truth(study / "study", "sub-01_task-film_run-3").regions
        heard.append(np.median(r[np.isin(tuning, ["loudness", "pitch"])]))
    assert heard[0] > 0.3
    assert heard[0] > heard[1] + 0.2
