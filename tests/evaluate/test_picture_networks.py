"""Scores by networks, and of several samples of a brain."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from skimage import data

from brainreel.checkpoints.efficientnet_files import load_efficientnet_lite0
from brainreel.errors import ConfigError
from brainreel.evaluate.picture_looks import Judges
from brainreel.evaluate.pictures import score_pictures
from brainreel.metrics.images import frechet_distance, ssim
from brainreel.metrics.ranking import n_way_classification
from brainreel.models.efficientnet import on_scale
from brainreel.models.picture_layers import fitted
from brainreel.train.picture_scoring import PictureScoringConfig
from brainreel.train.predictions import PicturePrediction
from brainreel.train.recipe import ScoringConfig

N, S = 6, 3
LAYERS = ("blocks.4", "pooled")
NETWORKS = PictureScoringConfig(
    classifier="efficientnet_lite0",
    n_way=(50,),
    top_k=(1, 5),
    features=[{"layers": LAYERS}],
    fid={"layers": ["pooled"]},
    lpips={"layers": ["blocks.2"]},
)


def prediction() -> PicturePrediction:
    """Parts of photographs, and noisy ones as what was read from a brain."""
    rng = np.random.default_rng(0)
    true = np.stack(
        [
            getattr(data, name)()[i : i + 128 : 2, i : i + 128 : 2].transpose(2, 0, 1) / 255
            for name in ("chelsea", "coffee")
            for i in (0, 80, 160)
        ]
    ).astype(np.float32)
    noise = 0.2 * rng.standard_normal((N, S, *true.shape[1:]))
    samples = np.clip(true[:, None] + noise, 0, 1).astype(np.float32)
    return PicturePrediction(
        split="test",
        fold="test",
        subject="sub-01",
        predicted=np.round(samples[:, 0] * 255).astype(np.float32) / np.float32(255),
        true=true,
        labels=np.zeros(N, np.int64),
        trials=np.arange(N),
        baseline=true.mean(axis=0),
        samples=samples,
        rule="first",
    )


@pytest.fixture(scope="module")
def judges() -> Judges:
    return Judges(NETWORKS)


@pytest.fixture(scope="module")
def scores(judges: Judges) -> dict:
    scoring = ScoringConfig(n_permutations=50, n_bootstrap=50, n_way=(2,), pictures=NETWORKS)
    return score_pictures([prediction()], scoring, 0, judges)


def logits_and(pictures: np.ndarray, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """What the network gives, read without our readers of layers."""
    network, kept = load_efficientnet_lite0(), []
    network.get_submodule(layer).register_forward_hook(lambda m, x, y: kept.append(y))
    shown = fitted(torch.from_numpy(pictures), (3, 224, 224))
    logits = network(on_scale(shown))
    return logits.numpy(), kept[0].flatten(1).numpy()


def test_class_scores_and_features_are_those_of_the_network(scores: dict) -> None:
    item = prediction()
    seen, shown = (logits_and(side, "pooled") for side in (item.predicted, item.true))
    label = shown[0].argmax(axis=1)
    for k in (1, 5):
        expected = n_way_classification(seen[0], label, 50, top_k=k).mean()
        assert scores[f"class_50way_top{k}"].value == pytest.approx(expected, abs=1e-5)
        other = [n_way_classification(seen[0], np.roll(label, s), 50, top_k=k) for s in range(N)]
        assert scores[f"class_50way_top{k}"].baseline == pytest.approx(np.mean(other), abs=1e-5)
    r = np.corrcoef(seen[1], shown[1])[:N, N:]
    won = [r[i, i] > r[i, j] for i in range(N) for j in range(N) if i != j]
    name = "efficientnet_lite0.pooled"
    assert scores[f"identification_2way_by_{name}"].value == pytest.approx(np.mean(won))
    distance = scores[f"feature_distance_{name}"].value
    assert distance == pytest.approx(1 - r.diagonal().mean(), abs=1e-4)
    fid = frechet_distance(seen[1], shown[1], features=name).value
    assert scores[f"frechet_distance_{name}"].value == pytest.approx(fid, rel=1e-3)


def test_samples_are_scored_each_and_at_their_best(scores: dict) -> None:
    item = prediction()
    table = np.stack([ssim(item.samples[:, s], item.true) for s in range(S)])
    assert scores["ssim"].value == pytest.approx(table[0].mean(), abs=1e-6)
    assert scores["ssim_each"].value == pytest.approx(table.mean(), abs=1e-6)
    assert scores["ssim_each"].spread == pytest.approx(table.mean(axis=1).std(ddof=1), abs=1e-6)
    assert scores["ssim_best"].value == pytest.approx(table.max(axis=0).mean(), abs=1e-6)
    errors = ((item.samples - item.true[:, None]) ** 2).mean(axis=(2, 3, 4))
    assert scores["mse_best"].value == pytest.approx(errors.min(axis=1).mean(), abs=1e-6)
    assert np.isnan(scores["ssim"].spread)
    assert "frechet_distance_efficientnet_lite0.pooled_best" not in scores


def test_the_chance_of_the_best_is_higher_than_that_of_one(scores: dict) -> None:
    """Whoever picks with the truth in sight wins more often, also where nothing is known."""
    assert scores["identification_2way_each"].baseline == 0.5
    assert scores["identification_2way_by_ssim_best"].baseline > 0.5
    item = prediction()
    best = [
        max(ssim(item.samples[i : i + 1, s], item.true[j : j + 1])[0] for s in range(S))
        for i in range(N)
        for j in range(N)
    ]
    assert scores["ssim_best"].baseline == pytest.approx(np.mean(best), abs=1e-6)


def test_drawn_trials_come_to_the_exact_score(judges: Judges, scores: dict) -> None:
    drawn = ScoringConfig(
        n_permutations=0,
        n_bootstrap=0,
        n_way=(2,),
        pictures=NETWORKS.model_copy(update={"trials": 1000}),
    )
    item = prediction()
    found = score_pictures([item], drawn, 0, judges)["class_50way_top1"].value
    assert found == pytest.approx(scores["class_50way_top1"].value, abs=0.05)
    assert found != scores["class_50way_top1"].value


def test_the_card_names_every_network_and_width(judges: Judges) -> None:
    assert judges.stamp() == {
        "classifier": "efficientnet_lite0",
        "n_way": [50],
        "top_k": [1, 5],
        "trials": "exact expectation",
        "features": {
            "efficientnet_lite0.blocks.4": "31360-d",
            "efficientnet_lite0.pooled": "1280-d",
        },
        "frechet_distance": {"efficientnet_lite0.pooled": "1280-d"},
        "lpips": {
            "network": "efficientnet_lite0",
            "layers": ["blocks.2"],
            "weights": "none, all 1",
        },
    }


def test_learned_weights_of_lpips_are_read_by_layer(tmp_path: Path) -> None:
    file = tmp_path / "lpips.safetensors"
    options = {"lpips": {"layers": ["blocks.2"]}, "lpips_weights": file}
    save_file({"blocks.2": torch.full((24,), 4.0)}, file)
    true = prediction().true
    plain = Judges(PictureScoringConfig(lpips={"layers": ["blocks.2"]})).look(true).perceptual
    weighted = Judges(PictureScoringConfig(**options)).look(true).perceptual
    np.testing.assert_allclose(weighted, 2 * plain, rtol=1e-5)
    save_file({"blocks.2": torch.full((24,), -1.0)}, file)
    with pytest.raises(ConfigError, match="negative"):
        Judges(PictureScoringConfig(**options))
    save_file({"blocks.3": torch.ones(24)}, file)
    with pytest.raises(ConfigError, match="no weights called"):
        Judges(PictureScoringConfig(**options))


def test_lpips_takes_the_default_layers_that_hold_maps() -> None:
    judges = Judges(PictureScoringConfig(lpips={}))
    assert judges.stamp()["lpips"]["layers"] == ["blocks.2", "blocks.4", "blocks.10"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"features": [{"layers": ["blocks.99"]}]}, r"no layer 'blocks\.99'.*Did you mean"),
        ({"lpips": {"layers": ["pooled"]}}, "holds one vector a picture"),
        ({"classifier": "efficientnet_lite0", "n_way": [2000]}, "has 1000 classes"),
    ],
)
def test_what_cannot_be_asked_is_told_before_anything_is_fitted(options: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Judges(PictureScoringConfig(**options))


def test_options_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="name the layers"):
        PictureScoringConfig.parse({"features": [{"network": "some/vit"}]})
    with pytest.raises(ConfigError, match="below every n_way"):
        PictureScoringConfig.parse({"n_way": [2], "top_k": [2]})
    with pytest.raises(ConfigError, match="give lpips too"):
        PictureScoringConfig.parse({"lpips_weights": "file.safetensors"})
