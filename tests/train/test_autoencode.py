"""Task `autoencode`: a first stage learned from pictures, and what is drawn in it afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from brainreel.checkpoints.store import save_run
from brainreel.data.samples import Trials
from brainreel.errors import CheckpointError, ConfigError, DataError, LeakError
from brainreel.models.brain_diffusion import BrainDiffusionConfig
from brainreel.models.first_stage import KLOptions, VQOptions, VQStage
from brainreel.models.picture_autoencoder import PictureAutoencoder, PictureAutoencoderConfig
from brainreel.train.autoencode import AutoencodeConfig, built
from brainreel.train.fit import fit
from brainreel.train.optim import OptimConfig
from brainreel.train.recipe import RunConfig
from brainreel.train.task import Job, State
from brainreel.train.trainer import TrainerConfig

from .breaking import power_cut
from .test_denoise import SC_MBM, SIZES, STILL, trials

VQ = {
    "name": "vq", "channels": 8, "multiples": [1, 1], "blocks": 1, "latent": 2, "norm_groups": 4,
    "codes": 16,
}  # fmt: skip
KL = {**{name: value for name, value in VQ.items() if name != "codes"}, "name": "kl"}


def task(**changes: Any) -> AutoencodeConfig:
    return AutoencodeConfig.parse({"batch": 6, "changes": {"crop_rate": 0}, **changes})


def job(
    folder: Path,
    *,
    data: Trials | None = None,
    stage: Any = None,
    lr: float = 0.01,
    start: State | None = None,
    **trainer: Any,
) -> Job:
    data = data or trials()
    plain = {"max_epochs": 2, "progress": False, "accelerator": "cpu", "log_every_steps": 1}
    model = PictureAutoencoderConfig.parse({"first_stage": stage or VQ})
    optim = OptimConfig(lr=lr, weight_decay=0)
    config = TrainerConfig.parse({**plain, **trainer})
    return Job(data, data.folds[0], model, optim, config, 0, folder, start or {})


def same(one: State, two: State) -> bool:
    return one.keys() == two.keys() and all(np.array_equal(one[k], two[k]) for k in one)


@pytest.mark.parametrize("stage", [VQ, KL], ids=["vq", "kl"])
def test_pictures_come_back_and_latents_have_a_deviation_of_one(
    tmp_path: Path, stage: dict[str, Any]
) -> None:
    own, learned = job(tmp_path, stage=stage, max_epochs=25), task(revive=10)
    state = learned.fit(own)
    (found,) = learned.predict(own, state)
    mean = ((found.baseline - found.true) ** 2).mean()
    assert ((found.predicted - found.true) ** 2).mean() < 0.2 * mean
    assert found.samples is None
    network = built(own, own.data.spec())
    weights = {n.removeprefix("network/"): torch.tensor(v) for n, v in state.items()}
    network.load_state_dict(weights)
    pictures = torch.from_numpy(np.asarray(own.data.pictures)[:18])
    with torch.no_grad():
        latents = network.eval().first_stage.encode(2 * pictures - 1)
    # The second witness: numpy's deviation of all latents at once.
    assert float(np.std(latents.numpy())) == pytest.approx(1, abs=1e-4)
    assert "No brain took part" in learned.protocol()["stamps"][0]


def test_a_given_scale_is_kept(tmp_path: Path) -> None:
    state = task().fit(job(tmp_path, stage={**VQ, "scale": 0.5}, max_epochs=1))
    assert not [name for name in state if name.endswith("scale")]


def test_the_cost_is_that_of_diffusers_quantiser_and_of_torchs_kl() -> None:
    torch.manual_seed(0)
    pictures = torch.rand(3, 1, 8, 8) * 2 - 1
    stage = VQOptions.parse(VQ).build((1, 8, 8))
    stage.network.quantize.embedding.weight.data.normal_()
    coded = stage.coded(pictures)
    theirs, distance = stage.reconstructed(coded.latents)
    torch.testing.assert_close(coded.pictures, theirs)
    torch.testing.assert_close(coded.cost.mean(), distance)
    ours = torch.autograd.grad(coded.cost.mean() + coded.pictures.sum(), list(stage.parameters()))
    again = stage.reconstructed(stage.latents(pictures))
    wanted = torch.autograd.grad(again[1] + again[0].sum(), list(stage.parameters()))
    for one, other in zip(ours, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)

    soft = KLOptions.parse(KL).build((1, 8, 8))
    told = soft.network.encode(pictures, return_dict=False)[0]
    own = torch.distributions.Normal(told.mean, told.std)
    kl = torch.distributions.kl_divergence(own, torch.distributions.Normal(0.0, 1.0))
    coded = soft.coded(pictures, torch.ones_like(told.mean))
    torch.testing.assert_close(coded.cost, kl.mean(dim=(1, 2, 3)))
    torch.testing.assert_close(coded.pictures, soft.pictures(told.mean + told.std))


def test_codes_that_nothing_is_near_become_latents(tmp_path: Path) -> None:
    torch.manual_seed(0)
    far = PictureAutoencoder(PictureAutoencoderConfig.parse({"first_stage": VQ}), trials().spec())
    stage = far.first_stage
    assert isinstance(stage, VQStage)
    table = stage.network.quantize.embedding.weight
    with torch.no_grad():
        table[3:] = 100.0
    start = {f"network/{name}": value.numpy() for name, value in far.state_dict().items()}
    name = "network/first_stage.network.quantize.embedding.weight"
    still = {"lr": 1e-9, "start": start, "max_epochs": 1}  # three steps
    left = task(revive=0).fit(job(tmp_path / "a", **still))
    np.testing.assert_allclose(left[name], start[name], atol=1e-5)
    moved = task(revive=3).fit(job(tmp_path / "b", **still))[name]
    used = [row for row in range(3) if np.allclose(moved[row], start[name][row], atol=1e-5)]
    assert used
    pictures = torch.from_numpy(np.asarray(trials().pictures)[:18])
    with torch.no_grad():
        latents = stage.latents(2 * pictures - 1).movedim(1, -1).reshape(-1, 2).numpy()
    for row in moved[3:]:
        assert np.abs(latents - row).max(axis=1).min() < 1e-4


def test_a_broken_training_ends_as_an_unbroken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned = task(revive=2, changes={"crop_rate": 0.5})
    steps = {"checkpoint_every_steps": 1, "max_epochs": 3}
    whole = learned.fit(job(tmp_path / "whole", **steps))
    with power_cut(monkeypatch, step=3):
        learned.fit(job(tmp_path / "broken", **steps))
    assert same(learned.fit(job(tmp_path / "broken", **steps)), whole)


def test_further_pictures_and_another_start(tmp_path: Path) -> None:
    more = np.random.default_rng(2).uniform(size=(9, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "more.npz", more=more)
    learned = task(more_pictures=tmp_path / "more.npz", more_batch=4)
    own = job(tmp_path / "a")
    first = learned.fit(own)
    data = own.data
    save_run(
        tmp_path / "run", {"model": own.model.to_dict()}, data.spec(),
        {f"s:{key}": value for key, value in first.items()},
    )  # fmt: skip
    again = task(start_from=tmp_path / "run")
    model = again.settled(PictureAutoencoderConfig.parse({"first_stage": {"name": "vq"}}))
    assert model.to_dict() == own.model.to_dict()
    state = again.fit(replace(job(tmp_path / "b", lr=1e-12), model=model, seed=4))
    for name, value in first.items():
        np.testing.assert_allclose(state[name], value, atol=1e-5)
    with pytest.raises(ConfigError, match=r"model.first_stage.codes is 9, and the weights in"):
        again.settled(PictureAutoencoderConfig.parse({"first_stage": {"name": "vq", "codes": 9}}))
    assert data.pictures is not None
    more[5] = data.pictures[20, 0]
    np.savez(tmp_path / "more.npz", more=more)
    with pytest.raises(LeakError, match="picture 5 is the one that was seen in trial"):
        learned.fit(job(tmp_path / "c"))


def test_what_cannot_be_learned_is_told(tmp_path: Path) -> None:
    data = replace(trials(), pictures=None)
    with pytest.raises(DataError, match="autoencode needs the pictures that were seen"):
        task().fit(job(tmp_path, data=data))
    with pytest.raises(DataError, match="cannot be made 16 times smaller"):
        task().fit(job(tmp_path, stage={**VQ, "multiples": [1, 1, 1, 1, 1]}))
    with pytest.raises(ConfigError, match="autoencode cannot fit a model 'latent_diffusion'"):
        task().fit(replace(job(tmp_path), model=BrainDiffusionConfig()))
    pixels = {"model": BrainDiffusionConfig.parse(SIZES).to_dict()}
    save_run(tmp_path / "run", pixels, trials().spec(), {"s:network/a": np.zeros(1, np.float32)})
    with pytest.raises(CheckpointError, match="holds no first stage with weights"):
        task(start_from=tmp_path / "run").settled(PictureAutoencoderConfig())


def study(path: Path) -> Path:
    """Write the trials of these tests as a file."""
    data = trials()
    np.savez(path, voxels=data.voxels, pictures=np.asarray(data.pictures)[:, 0], labels=data.labels)
    return path


def staged(path: Path, **changes: Any) -> RunConfig:
    """First stage, then brains, then pictures from brains."""
    few = {"max_epochs": 1, "progress": False, "accelerator": "cpu", "checkpoint_every_steps": 0}
    first = {"task": {"name": "autoencode", "batch": 6}, "title": "First stage"}
    first["model"] = {"name": "first_stage", "first_stage": VQ}
    second = {"task": {"name": "mask", "batch": 6}, "model": {"name": "sc_mbm", **SC_MBM}}
    model = {"name": "latent_diffusion", **SIZES, "first_stage": VQ}
    keys = {"voxel_keys": ["voxels"], "picture_keys": ["pictures"], "label_keys": ["labels"]}
    splits = [{"name": "given", "n_train": 18}]
    content = {
        "data": {"name": "trials", "path": str(path), "splits": splits, **keys},
        "stages": [first, {**second, "title": "Brains"}, {"title": "Pictures"}],
        "task": {"name": "denoise", **STILL},
        "model": model,
        "trainer": few,
        # So small that what was handed on is still seen in what comes out.
        "optim": {"lr": 1e-9, "weight_decay": 0},
    }
    return RunConfig.parse({**content, **changes}, where="test")


def test_three_stages_hand_on_the_first_stage_and_the_encoder(tmp_path: Path) -> None:
    path = study(tmp_path / "trials.npz")
    config = staged(path)
    first, second, _ = config.resolved_stages()
    alone = fit(first, tmp_path / "first").states["given"]
    (found,) = fit(config, tmp_path / "all").states.values()
    names = [name for name in alone if name.startswith("network/first_stage.")]
    assert "network/first_stage.scale" in names
    for name in names:
        np.testing.assert_array_equal(found[name], alone[name])
    (brains,) = fit(second, tmp_path / "second").states.values()
    np.testing.assert_allclose(
        found["network/encoder.embed.weight"], brains["network/encoder.embed.weight"], atol=1e-6
    )
    # The same first stage, by its run folder.
    unnamed = {name: value for name, value in SIZES.items() if name != "first_stage"}
    (again,) = fit(
        staged(
            path,
            stages=[],
            task={"name": "denoise", **STILL, "first_stage_from": str(tmp_path / "first")},
            model={"name": "latent_diffusion", **unnamed},
        ),
        tmp_path / "from",
    ).states.values()
    for name in names:
        np.testing.assert_array_equal(again[name], alone[name])


def test_a_first_stage_without_weights_or_with_others_is_refused(tmp_path: Path) -> None:
    path = study(tmp_path / "trials.npz")
    with pytest.raises(ConfigError, match="model.first_stage has no weights"):
        fit(staged(path, stages=[]), tmp_path / "a")
    other = {"name": "latent_diffusion", **SIZES, "first_stage": {**VQ, "blocks": 2}}
    with pytest.raises(CheckpointError, match="its first stage has other layers than"):
        fit(staged(path, model=other), tmp_path / "b")
