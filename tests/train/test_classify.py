from __future__ import annotations

import csv
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from torch.nn import functional

from brainreel.checkpoints.store import load_run, save_run
from brainreel.data.labelled_samples import Item, Labelled
from brainreel.errors import ConfigError, DataError, LeakError
from brainreel.shapes import DataSpec
from brainreel.train import trainer as engine
from brainreel.train.classify import UNREADABLE, targets_of
from brainreel.train.fit import fit
from brainreel.train.recipe import RunConfig

SCRIPT = Path(__file__).with_name("tiny_clips.py")
CLIPS = "task.clips"


@pytest.fixture(scope="module")
def clips() -> ModuleType:
    spec = importlib.util.spec_from_file_location("brainreel_tiny_clips", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def media(clips: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(clips.write_media(tmp_path_factory.mktemp("media")))


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_a_classifier_learns_what_can_be_told_apart(
    clips: ModuleType, media: Path, tmp_path: Path
) -> None:
    task, job = clips.job_of(
        media, tmp_path, "model={name: pixels, cells: 1}", "trainer.max_epochs=30",
        "optim={name: adamw, lr: 0.3, weight_decay: 0}",
        f"{CLIPS}.temporal_views=3", f"{CLIPS}.sampling=dense", f"{CLIPS}.span_s=0.4",
    )  # fmt: skip
    state = task.fit(job)
    (found,) = task.predict(job, state)
    assert found.scores.shape == (6, 3)
    assert (found.scores.argmax(1) == found.targets.argmax(1)).all()
    assert found.scores.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert found.prior == pytest.approx(1 / 3)
    assert found.n_views.tolist() == [3] * 6
    assert found.classes == {"label": clips.CLASSES}
    assert found.unread == found.notes == ()
    with (tmp_path / "metrics.csv").open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["validation_loss"]]
    assert float(rows[-1]["validation_top1"]) == 1.0
    assert float(rows[-1]["validation_loss"]) < float(rows[0]["validation_loss"])


def test_scores_are_the_softmax_of_mean_logits_over_views(
    clips: ModuleType, media: Path, tmp_path: Path
) -> None:
    views = f"{CLIPS}.temporal_views=2", f"{CLIPS}.sampling=dense", f"{CLIPS}.span_s=0.2"
    task, job = clips.job_of(media, tmp_path, "trainer.max_steps=1", *views)
    state = task.fit(job)
    (found,) = task.predict(job, state)
    network = job.model.build(task.spec(job)).eval()
    weights = {k.removeprefix("network/"): torch.tensor(v) for k, v in state.items()}
    network.load_state_dict(weights)
    logits: dict[int, list[torch.Tensor]] = {}
    with torch.no_grad():
        for batch in task.data(job).views_loader(job.fold.test_trials):
            for part in batch.parts:
                for row, item in enumerate(part.item.tolist()):
                    logits.setdefault(item, []).append(network(part.clip)[row])
    for row, item in zip(found.scores, job.fold.test_trials, strict=True):
        expected = functional.softmax(torch.stack(logits[item]).mean(dim=0), dim=0)
        assert row == pytest.approx(expected.numpy(), abs=1e-5)


class BreakAt(Callback):  # type: ignore[misc]
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == self.step:
            raise RuntimeError("the power is cut")


def test_a_broken_training_with_mixup_ends_as_an_unbroken_one(
    clips: ModuleType, media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = (
        "task.mixup=0.4", "task.label_smoothing=0.1", f"{CLIPS}.batch=4", "model.dropout=0.2",
        "trainer.checkpoint_every_steps=1",
    )  # fmt: skip
    task, job = clips.job_of(media, tmp_path / "whole", *changes)
    whole = task.fit(job)
    make = engine.make_trainer

    def breaking(config: Any, folder: Path, callbacks: list[Any], **options: Any) -> Any:
        return make(config, folder, [*callbacks, BreakAt(7)], **options)

    task, job = clips.job_of(media, tmp_path / "broken", *changes)
    with monkeypatch.context() as patch:
        patch.setattr(engine, "make_trainer", breaking)
        with pytest.raises(RuntimeError, match="the power is cut"):
            task.fit(job)
    assert same(task.fit(job), whole)
    task, job = clips.job_of(media, tmp_path / "plain", *changes[1:])
    assert not same(task.fit(job), whole)


def test_two_processes_give_the_gradients_of_one(
    clips: ModuleType,
    media: Path,
    tiny: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The last batch of an epoch is uneven; clips are not changed at random between ranks.
    common = [
        f"{CLIPS}.augment.scale=none", f"{CLIPS}.augment.flip=0", "trainer.max_epochs=1",
        "trainer.clip_norm=none", "trainer.keep=last",
    ]  # fmt: skip
    (tmp_path / "two").mkdir()
    asked = [*common, f"{CLIPS}.batch=4", "trainer.devices=2", "trainer.strategy=ddp"]
    command = [sys.executable, str(SCRIPT), str(tmp_path / "two"), str(media), json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    task, job = clips.job_of(media, tmp_path / "one", *common, f"{CLIPS}.batch=8")
    monkeypatch.setattr(tiny, "fit", lambda *_, **__: task.fit(job))
    job.folder.mkdir()
    tiny.fit_with(tiny.SaveGradients(job.folder / "gradients.pt"), job.folder, media)
    one, pair = (torch.load(tmp_path / run / "gradients.pt") for run in ("one", "two"))
    assert one.keys() == pair.keys()
    assert {name.split(".")[0] for name in one} == {"0", "1", "2"}
    for name in one:
        torch.testing.assert_close(pair[name], one[name], rtol=1e-4, atol=1e-6)


def test_training_starts_from_another_run_without_its_head(
    clips: ModuleType, media: Path, tmp_path: Path
) -> None:
    task, job = clips.job_of(media, tmp_path / "a", "trainer.max_steps=1")
    spec = DataSpec(frame_shape=(3, 16, 16), clip_frames=2, classes={"other": 3})
    torch.manual_seed(7)
    start = job.model.build(spec).state_dict()
    save_run(tmp_path / "start", {}, spec, start)
    still = "optim={name: sgd, lr: 1e-12, weight_decay: 0}"
    task, job = clips.job_of(
        media, tmp_path / "b", still, "trainer.max_steps=1", f"task.start_from={tmp_path / 'start'}"
    )
    state = task.fit(job)
    near = {name: np.allclose(state[f"network/{name}"], start[name], atol=1e-7) for name in start}
    assert not near.pop("head.weight")
    near.pop("head.bias")
    assert all(near.values())
    assert task.protocol()["start_from"].endswith("start")


def test_options_that_are_not_given_are_those_of_the_start(
    clips: ModuleType, media: Path, tmp_path: Path
) -> None:
    before = clips.run_config(media, "trainer.max_steps=1", "model.patch=4")
    fit(before, tmp_path / "before")
    changes = f"task.start_from={tmp_path / 'before'}", "model={name: vit, dropout: 0.1}"
    settled = clips.run_config(media, *changes).settled().model
    assert (settled.patch, settled.width, settled.dropout) == (4, 8, 0.1)
    vtn = "model={name: vtn, heads: 2, depth: 1, frame: {name: vit}}"
    inside = clips.run_config(media, changes[0], "task.start_part=frame", vtn).settled().model
    assert (inside.frame.patch, inside.heads) == (4, 2)
    state = fit(
        clips.run_config(media, changes[0], "task.start_part=frame", vtn, "trainer.max_steps=1",
                         "task.freeze=[frame]"),
        tmp_path / "after",
    ).states["given"]  # fmt: skip
    kept = load_run(tmp_path / "before").state["given:network/patches.project.weight"]
    assert np.array_equal(state["network/frame.patches.project.weight"], kept.numpy())


def test_a_start_that_saw_the_test_items_is_refused(
    clips: ModuleType, media: Path, tmp_path: Path
) -> None:
    other = "data.splits=[{name: held_out, test: 0.5}]"
    fit(clips.run_config(media, "trainer.max_steps=1", other), tmp_path / "other")
    with pytest.raises(LeakError, match="fitted on the same data .* with other splits"):
        fit(clips.run_config(media, f"task.start_from={tmp_path / 'other'}"), tmp_path / "run")


def test_the_test_can_look_at_more_frames_than_the_training(
    clips: ModuleType, media: Path, tmp_path: Path
) -> None:
    task, job = clips.job_of(
        media, tmp_path, "trainer.max_steps=1", "task.test_frames=4", f"{CLIPS}.sampling=dense",
        f"{CLIPS}.span_s=0.4",
    )  # fmt: skip
    seen = []
    network = job.model.build(task.spec(job)).eval()
    state = {f"network/{k}": v.numpy() for k, v in network.state_dict().items()}
    forward = type(network).features
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            type(network), "features",
            lambda self, clip: (seen.append(clip.frames.shape[1]), forward(self, clip))[1],
        )  # fmt: skip
        task.predict(job, state)
    assert set(seen) == {4}
    assert task.protocol()["test_frames"] == 4


def test_a_stage_that_trains_on_the_test_of_the_last_is_refused(
    clips: ModuleType, media: Path, tmp_path: Path
) -> None:
    config = clips.run_config(media, "trainer.max_steps=1").to_dict()
    first = config["data"] | {"splits": [{"name": "held_out", "label": "given", "test": 0.4}]}
    config["stages"] = [{"title": "before", "data": first}, {"title": "last"}]
    with pytest.raises(LeakError, match="trained in stage 1"):
        fit(RunConfig.parse(config), tmp_path / "run")


def test_frozen_parts_stay(clips: ModuleType, media: Path, tmp_path: Path) -> None:
    task, job = clips.job_of(
        media, tmp_path, "task.freeze=[patches, transformer]", "optim.weight_decay=0.5"
    )
    before = task._network(job, task.data(job)).state_dict()
    state = task.fit(job)
    for name, value in before.items():
        kept = name.startswith(("patches", "transformer"))
        assert np.array_equal(state[f"network/{name}"], value.numpy()) is kept, name


def test_what_could_not_be_read_is_told(clips: ModuleType, media: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(media, tmp_path / "copy"))
    for n, broken in enumerate(("train/dark/0.mp4", "test/light/1.mp4")):
        (copy / broken).write_bytes(b"no film" * (50 + n))
    task, job = clips.job_of(copy, tmp_path / "run", "data.max_unreadable=0.2")
    state = task.fit(job)
    assert (tmp_path / "run" / UNREADABLE).is_file()
    (found,) = task.predict(job, state)
    assert len(found.items) == 5
    assert [Path(name).name for name in found.unread] == ["1.mp4"]
    assert len(found.notes) == 2
    assert "1 of 18 training items could not be read" in found.notes[0]
    assert "1 of 6 test items could not be read" in found.notes[1]
    assert "they are not scored" in found.notes[1]


def test_a_model_that_needs_another_sense_says_which_option(
    clips: ModuleType, media: Path, tmp_path: Path
) -> None:
    task, job = clips.job_of(media, tmp_path, "model={name: ast, width: 8, depth: 1, heads: 2}")
    with pytest.raises(ConfigError, match=r"'ast' takes sound, which task.clips.media=frames"):
        task.fit(job)


def test_one_class_is_refused(clips: ModuleType, tmp_path: Path, media: Path) -> None:
    for part in clips.PARTS:
        shutil.copytree(media / part / "dark", tmp_path / "one" / part / "dark")
    task, job = clips.job_of(tmp_path / "one", tmp_path / "run")
    with pytest.raises(DataError, match=r"the label 'label' has one class \(dark\)"):
        task.fit(job)


@pytest.mark.parametrize(
    ("model", "media_of", "modality"),
    [
        ("{name: ast, width: 8, depth: 1, heads: 2}", "sound", False),
        (
            "{name: mbt, width: 8, depth: 2, heads: 2, patch: 8, fusion_layer: 1}",
            "both",
            True,
        ),
        ("{name: vtn, frame: {name: pixels, cells: 2}, heads: 2, depth: 1}", "frames", False),
    ],
)
def test_every_sense_trains(
    clips: ModuleType, media: Path, tmp_path: Path, model: str, media_of: str, modality: bool
) -> None:
    task, job = clips.job_of(
        media, tmp_path, f"model={model}", f"{CLIPS}.media={media_of}", f"{CLIPS}.sound_s=0.64",
        "task.mixup=0.3", f"task.modality_mixup={modality}", "trainer.max_steps=2",
    )  # fmt: skip
    (found,) = task.predict(job, task.fit(job))
    assert found.scores.shape == (6, 3)


def test_targets_say_what_is_not_told() -> None:
    items = (Item(Path("a"), {"verb": (1,)}), Item(Path("b"), {"verb": (0,), "tag": ()}))
    labelled = Labelled(items, {"verb": ("x", "y"), "tag": ("p", "q")}, (), frozenset({"tag"}))
    assert targets_of(labelled, [0, 1]).tolist() == [[0, 1, -1, -1], [1, 0, 0, 0]]
