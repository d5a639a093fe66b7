"""Task `denoise`: pictures drawn from brains; what it starts from, averages and withholds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from brainreel.checkpoints.store import save_run
from brainreel.data.samples import Fold, Trials
from brainreel.errors import CheckpointError, ConfigError, DataError, LeakError
from brainreel.models.brain_diffusion import BrainDiffusionConfig
from brainreel.models.sc_mbm import SCMBMConfig
from brainreel.shapes import DataSpec
from brainreel.train.denoise import DenoiseConfig
from brainreel.train.optim import OptimConfig
from brainreel.train.task import Job, State
from brainreel.train.trainer import TrainerConfig

from .breaking import power_cut

ENCODER = {"patch": 4, "width": 16, "depth": 1, "heads": 2}
UNET = {
    "channels": 16,
    "multiples": [1],
    "blocks": 1,
    "attention": [],
    "heads": 2,
    "context": 16,
    "norm_groups": 4,
}
SIZES = {
    "encoder": ENCODER,
    "unet": UNET,
    "first_stage": {"name": "pixels", "patch": 2},
    "context_tokens": 4,
    "predicts": "picture",
    "trained": "everything",
}
STILL = {"changes": {"crop_rate": 0}, "batch": 8, "guess": {"n_folds": 3}}
DRAWN = {"sampling": {"sampler": "ddim", "steps": 4, "samples": 2}}
SC_MBM = {**ENCODER, "mask_ratio": 0.5, "decoder_width": 8, "decoder_depth": 1, "decoder_heads": 2}


def trials(n: int = 24, people: int = 1, n_test: int = 6, **held: Any) -> Trials:
    """Pictures of a bright left or right half, and voxels that tell which."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) // people % 2
    pictures = 0.1 * rng.uniform(size=(n, 1, 8, 8))
    for row, label in enumerate(labels):
        pictures[row, 0, :, 4 * label : 4 * label + 4] += 0.8
    voxels = rng.normal(size=(n, 10)) + 3 * (labels[:, None] - 0.5) * np.ones(10)
    person = np.arange(n) % people
    names = tuple(f"sub-{i + 1:02d}" for i in range(people))
    train = tuple(range(n - n_test))
    fold = Fold("s", "s", train_trials=train, test_trials=tuple(range(n - n_test, n)), **held)
    return Trials(
        voxels.astype(np.float32), pictures.astype(np.float32), labels, (fold,), names,
        person=person,
    )  # fmt: skip


def task(**changes: Any) -> DenoiseConfig:
    return DenoiseConfig.parse({**STILL, **DRAWN, **changes})


def job(folder: Path, *, data: Trials | None = None, model: Any = None, **changes: Any) -> Job:
    data = data or trials()
    plain = {"max_epochs": 2, "progress": False, "accelerator": "cpu", "log_every_steps": 1}
    trainer = TrainerConfig.parse({**plain, **changes.pop("trainer", {})})
    config = BrainDiffusionConfig.parse({**SIZES, **(model or {})})
    optim = OptimConfig(lr=changes.pop("lr", 0.003), weight_decay=0)
    return replace(Job(data, data.folds[0], config, optim, trainer, 0, folder), **changes)


def same(one: State, two: State) -> bool:
    return one.keys() == two.keys() and all(np.array_equal(one[k], two[k]) for k in one)


@pytest.mark.parametrize("first_guess", [False, True])
def test_pictures_follow_the_brain_and_not_those_of_others(
    tmp_path: Path, first_guess: bool
) -> None:
    own = job(tmp_path, lr=0.01, model={"first_guess": first_guess}, trainer={"max_epochs": 40})
    denoise = task(sampling={"sampler": "ddim", "steps": 10, "samples": 4, "rule": "average"})
    state = denoise.fit(own)
    (found,) = denoise.predict(own, state)
    error = ((found.predicted - found.true) ** 2).mean(axis=(1, 2, 3))
    assert error.max() < 0.1  # the wrong half would be 0.64
    assert found.samples is not None
    assert found.samples.shape == (6, 4, 1, 8, 8)
    np.testing.assert_allclose(found.predicted, found.samples.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(
        found.baseline, np.mean([own.data.pictures[i] for i in range(18)], axis=0), atol=1e-6
    )
    (shuffled,) = denoise.predict_control(own, state, "brain_shuffled")
    assert ((shuffled.predicted - found.true) ** 2).mean() > 3 * error.mean()
    (alone,) = denoise.predict_control(own, state, "class_alone")
    halves = alone.predicted[..., 4:].mean(axis=(1, 2, 3)) > 0.5
    np.testing.assert_array_equal(halves, found.labels == 1)


def test_a_picture_is_the_same_with_others_beside_it_or_without(tmp_path: Path) -> None:
    own, denoise = job(tmp_path), task()
    state = denoise.fit(own)
    (whole,) = denoise.predict(own, state)
    fewer = replace(own, fold=replace(own.fold, test_trials=own.fold.test_trials[2:3]))
    (alone,) = denoise.predict(fewer, state)
    np.testing.assert_allclose(alone.predicted[0], whole.predicted[2], atol=1.01 / 255)


def test_people_are_drawn_one_by_one_each_by_own_moments(tmp_path: Path) -> None:
    data = trials(24, people=2)
    scale = np.where(data.person[:, None] == 1, 50, 1).astype(np.float32)
    data = replace(data, voxels=data.voxels * scale + scale)
    own = job(tmp_path, data=data, model={"first_guess": True})
    found = task().predict(own, task().fit(own))
    assert [p.subject for p in found] == ["sub-01", "sub-02"]
    assert [p.trials.tolist() for p in found] == [[18, 20, 22], [19, 21, 23]]
    plain = job(tmp_path, data=trials(24, people=2), model={"first_guess": True})
    other = task().predict(plain, task().fit(plain))
    for one, two in zip(found, other, strict=True):
        np.testing.assert_allclose(one.predicted, two.predicted, atol=0.02)


def test_an_average_of_the_weights_is_handed_on(tmp_path: Path) -> None:
    plain, averaged = task(), task(average=0.9)
    own = job(tmp_path, trainer={"max_epochs": 3})
    one, two = plain.fit(own), averaged.fit(replace(own, folder=tmp_path / "b"))
    name = "network/conditioner.over_width.weight"
    start = plain.fit(replace(job(tmp_path / "c", lr=1e-12)))[name]
    assert 0 < np.abs(two[name] - start).mean() < np.abs(one[name] - start).mean()
    # Three steps an epoch: 9 updates from the first weights on, each kept by (1 + n) / (10 + n).
    validated = trials(validation_trials=(16, 17))
    fold = replace(validated.folds[0], train_trials=tuple(range(16)))
    chosen = job(tmp_path / "d", data=replace(validated, folds=(fold,)))
    assert np.isfinite(averaged.fit(chosen)[name]).all()


def test_a_broken_training_ends_as_an_unbroken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    denoise = task(average=0.9, dropped_voxels=0.2, changes={"crop_rate": 0.5, "bend": 0.02})
    steps = {"checkpoint_every_steps": 1, "max_epochs": 3}
    whole = denoise.fit(job(tmp_path / "whole", trainer=steps))
    with power_cut(monkeypatch, step=4):
        denoise.fit(job(tmp_path / "broken", trainer=steps))
    assert same(denoise.fit(job(tmp_path / "broken", trainer=steps)), whole)


def test_training_starts_from_an_encoder_and_from_a_diffusion(tmp_path: Path) -> None:
    data = trials()
    scmbm = SCMBMConfig.parse(SC_MBM).build(DataSpec(subjects=("a",), n_voxels=(10,)))
    recipe = {"model": SCMBMConfig.parse(SC_MBM).to_dict()}
    weights = scmbm.state_dict()
    save_run(tmp_path / "mbm", recipe, DataSpec(subjects=("a",), n_voxels=(10,)), weights)
    begun = task(encoder_from=tmp_path / "mbm")
    model = begun.settled(BrainDiffusionConfig.parse({**SIZES, "encoder": {"patch": 4}}))
    assert isinstance(model, BrainDiffusionConfig)
    assert model.encoder.width == 16
    still = replace(job(tmp_path / "a", lr=1e-12), model=model)
    first = begun.fit(still)
    name = "encoder.embed.weight"
    np.testing.assert_allclose(first[f"network/{name}"], weights[name].numpy(), atol=1e-6)

    save_run(
        tmp_path / "run", {"model": model.to_dict()}, data.spec(),
        {f"s:{key}": value for key, value in first.items()},
    )  # fmt: skip
    again = task(start_from=tmp_path / "run")
    guess = again.settled(BrainDiffusionConfig.parse({"first_guess": True}))
    state = again.fit(replace(job(tmp_path / "b", lr=1e-12), model=guess, seed=5))
    conv = "network/unet.network.conv_in.weight"
    assert state[conv].shape[1] == 2 * first[conv].shape[1]
    np.testing.assert_allclose(state[conv][:, :4], first[conv], atol=1e-6)
    assert not np.abs(state[conv][:, 4:]).max() > 1e-6
    other = "network/unet.network.conv_out.weight"
    np.testing.assert_allclose(state[other], first[other], atol=1e-6)
    with pytest.raises(ConfigError, match=r"model.encoder.width is 8, and the weights in .*mbm"):
        begun.settled(BrainDiffusionConfig.parse({**SIZES, "encoder": {"width": 8}}))
    with pytest.raises(CheckpointError, match="no such file or folder"):
        task(start_from=tmp_path / "nothing").settled(BrainDiffusionConfig())
    with pytest.raises(CheckpointError, match="'sc_mbm', which is no latent diffusion"):
        task(start_from=tmp_path / "mbm").settled(BrainDiffusionConfig())


def test_the_stage_before_hands_its_encoder_on(tmp_path: Path) -> None:
    scmbm = SCMBMConfig.parse(SC_MBM).build(DataSpec(subjects=("a",), n_voxels=(10,)))
    start = {f"network/{name}": value.numpy() for name, value in scmbm.state_dict().items()}
    state = task().fit(job(tmp_path, lr=1e-12, start=start))
    name = "network/encoder.embed.weight"
    np.testing.assert_allclose(state[name], start[name], atol=1e-6)


def test_pictures_that_nobody_saw_are_learned_without_a_brain(tmp_path: Path) -> None:
    more = np.random.default_rng(2).uniform(size=(12, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "more.npz", more=more)
    given = {"more_pictures": tmp_path / "more.npz", "more_batch": 4, "withheld": 0.2}
    own = job(tmp_path / "a", model={"null_context": True, "first_guess": True})
    denoise = task(**given, sampling={"sampler": "ddim", "steps": 3, "guidance": 2.0})
    (found,) = denoise.predict(own, denoise.fit(own))
    assert np.isfinite(found.predicted).all()
    with pytest.raises(ConfigError, match=r"task.withheld needs .* model.null_context=true"):
        denoise.fit(job(tmp_path / "b"))
    state = denoise.fit(own)
    (tmp_path / "more.npz").unlink()  # who predicts does not need what was learned
    assert len(denoise.predict(own, state)) == 1
    data = trials()
    assert data.pictures is not None
    more[5] = data.pictures[20, 0]
    np.savez(tmp_path / "more.npz", more=more)
    with pytest.raises(LeakError, match="picture 5 is the one that was seen in trial"):
        denoise.fit(job(tmp_path / "c", model={"null_context": True}))


def test_pictures_alone_are_learned_for_a_later_stage_to_fine_tune(tmp_path: Path) -> None:
    null = {"null_context": True}
    prior = task(withheld=1).fit(job(tmp_path / "a", model=null))
    still = task(withheld=1).fit(job(tmp_path / "b", model=null, lr=1e-12))
    moved = {name for name in prior if np.abs(prior[name] - still[name]).max() > 1e-6}
    parts = {name.removeprefix("network/").partition(".")[0] for name in moved}
    assert parts == {"unet", "null_context", "time_condition"}
    fine = task().fit(job(tmp_path / "c", model=null | {"trained": "conditioner"}, start=prior))
    moved = {name for name in prior if np.abs(fine[name] - prior[name]).max() > 1e-6}
    parts = {name.removeprefix("network/").partition(".")[0] for name in moved}
    assert parts == {"conditioner", "encoder"}


def test_there_is_no_control_that_would_show_a_person_the_own_brain(tmp_path: Path) -> None:
    data = trials(24, people=2)
    fold = replace(data.folds[0], train_trials=tuple(range(0, 18, 2)), test_trials=(19, 21, 23))
    own = job(tmp_path, data=replace(data, folds=(fold,)))
    state = task().fit(own)
    assert [p.subject for p in task().predict(own, state)] == ["sub-02"]
    assert task().predict_control(own, state, "class_alone") == []
    assert len(task().predict_control(own, state, "brain_shuffled")) == 1
    alone = replace(own, fold=replace(fold, test_trials=(19,)))
    assert task().predict_control(alone, state, "brain_shuffled") == []


def test_a_brain_that_is_withheld_takes_its_first_guess_along(tmp_path: Path) -> None:
    model = {"null_context": True, "first_guess": True}
    found = []
    for withheld in (1, 0):
        for alpha in (1.0, 1e5):
            guess = {"n_folds": 3, "n_components": [3], "alphas": [alpha]}
            own = job(tmp_path / f"{withheld}-{alpha}", model=model)
            found.append(task(withheld=withheld, guess=guess).fit(own))
    name = "network/unet.network.conv_in.weight"
    assert np.array_equal(found[0][name], found[1][name])
    assert not np.array_equal(found[2][name], found[3][name])


def test_what_cannot_be_drawn_from_is_told(tmp_path: Path) -> None:
    data = trials()
    with pytest.raises(DataError, match="needs the pictures that were seen"):
        task().fit(job(tmp_path, data=replace(data, pictures=None)))
    with pytest.raises(DataError, match="cannot be made 3 times smaller"):
        task().fit(job(tmp_path, model={"first_stage": {"name": "pixels", "patch": 3}}))
    own = job(tmp_path, data=replace(data, labels=None))
    state = task().fit(own)
    assert task().predict_control(own, state, "class_alone") == []
    with pytest.raises(ConfigError, match=r"task.average needs whole weights.*fsdp shards them"):
        task(average=0.9).fit(job(tmp_path / "fsdp", trainer={"strategy": "fsdp"}))
    # Told before the training, not after it.
    with pytest.raises(ConfigError, match="steps=2000 is more than the 1000 noise levels"):
        task(sampling={"steps": 2000}).fit(job(tmp_path / "steps"))
    guided = task(sampling={"guidance": 2.0})
    with pytest.raises(ConfigError, match=r"task.sampling.guidance needs .* model.null_context"):
        guided.fit(job(tmp_path / "guided"))
    with pytest.raises(ConfigError, match=r"nothing is learned without one. Set task.withheld=0.1"):
        guided.fit(job(tmp_path / "guided", model={"null_context": True}))
    with pytest.raises(DataError, match="no control 'film_noise'"):
        task().predict_control(own, state, "film_noise")


def test_nothing_random_is_left_to_the_global_seed(tmp_path: Path) -> None:
    torch.manual_seed(1)
    one = task(dropped_voxels=0.5).fit(job(tmp_path / "a"))
    torch.manual_seed(2)
    assert same(one, task(dropped_voxels=0.5).fit(job(tmp_path / "b")))
