"""A broken run, started again, ends as if it had never broken."""

from __future__ import annotations

import json
import pickle
import signal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

from brainreel.checkpoints.torch_files import read_torch
from brainreel.errors import CheckpointError

EVERY = {"checkpoint_every_steps": 1}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class BrokenError(Exception):
    """What a power cut is in this file."""


class BreakAt(Callback):  # type: ignore[misc]
    def __init__(self, hook: str, step: int) -> None:
        setattr(self, hook, lambda trainer, *_: self.check(trainer, step))

    def check(self, trainer: Any, step: int) -> None:
        if trainer.global_step == step:
            raise BrokenError("the power is cut")


def test_killed_mid_epoch_it_ends_with_the_weights_of_an_unbroken_run(
    tiny: ModuleType, films: Path, start_tiny: Any, tmp_path: Path
) -> None:
    asked = {"kill_at_step": 6, "trainer": {"checkpoint_every_steps": 5}}
    killed = start_tiny(tmp_path / "broken", films, json.dumps(asked))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    whole = tiny.fit(tmp_path / "whole", films)
    curve = (tmp_path / "whole" / "metrics.csv").read_text()
    assert (tmp_path / "broken" / "metrics.csv").read_text() != curve
    resumed = tiny.fit(tmp_path / "broken", films)
    assert same(resumed, whole)
    assert (tmp_path / "broken" / "metrics.csv").read_text() == curve


@pytest.mark.parametrize(
    ("hook", "step", "options"),
    [
        ("on_train_batch_end", 4, EVERY),
        ("on_validation_start", 4, EVERY),
        ("on_train_epoch_end", 8, EVERY),
        ("on_train_epoch_end", 12, EVERY),
        ("on_train_batch_end", 3, {"checkpoint_every_steps": 1, "accumulate": 3}),
        ("on_train_batch_end", 7, {"checkpoint_every_steps": 3, "keep": "last"}),
        ("on_train_batch_end", 9, {**EVERY, "max_epochs": None, "max_steps": 10}),
        (
            "on_train_batch_end",
            5,
            {"checkpoint_every_steps": 4, "max_epochs": None, "max_steps": 10},
        ),
    ],
)
def test_wherever_it_breaks_it_ends_the_same(
    tiny: ModuleType, films: Path, tmp_path: Path, hook: str, step: int, options: dict[str, Any]
) -> None:
    whole = tiny.fit(tmp_path / "whole", films, **options)
    with pytest.raises(BrokenError, match="the power is cut"):
        tiny.fit_with(BreakAt(hook, step), tmp_path / "broken", films, **options)
    resumed = tiny.fit(tmp_path / "broken", films, **options)
    assert same(resumed, whole)
    curves = [(tmp_path / run / "metrics.csv").read_text() for run in ("whole", "broken")]
    assert curves[0] == curves[1]


def test_dropout_and_order_depend_on_the_seed(
    tiny: ModuleType, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tiny.fit(tmp_path / "a", films, max_epochs=1)
    torch.rand(7)
    assert same(tiny.fit(tmp_path / "b", films, max_epochs=1), first)
    still = tiny.MODEL.model_copy(update={"dropout": 0.0})
    monkeypatch.setattr(tiny, "MODEL", still)
    assert not same(tiny.fit(tmp_path / "c", films, max_epochs=1), first)


def test_training_leaves_the_callers_generator_alone(
    tiny: ModuleType, films: Path, tmp_path: Path
) -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    tiny.fit(tmp_path / "run", films, max_epochs=1)
    assert torch.equal(torch.rand(3), expected)


def test_a_checkpoint_of_other_settings_is_refused(
    tiny: ModuleType, films: Path, tmp_path: Path
) -> None:
    tiny.fit(tmp_path / "run", films, max_steps=2, **EVERY)
    with pytest.raises(CheckpointError, match="saved by a run with other settings or data"):
        tiny.fit(tmp_path / "run", films, max_steps=2, clip_norm=0.1, **EVERY)
    tiny.fit(tmp_path / "run", films, max_steps=2, log_every_steps=2, **EVERY)


class Malicious:
    """Unpickling it makes a file: the sign that code ran."""

    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.sign,))


@pytest.mark.parametrize("strategy", ["auto", "fsdp"])
@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_a_pickle_in_the_place_of_the_checkpoint_runs_no_code(
    tiny: ModuleType, films: Path, tmp_path: Path, how: str, strategy: str
) -> None:
    sign, last = tmp_path / "code-ran", tmp_path / "run" / "checkpoints" / "last.ckpt"
    last.parent.mkdir(parents=True)
    content = {"state_dict": {}, "trap": Malicious(sign)}
    if how == "torch":
        torch.save(content, last)
    else:
        last.write_bytes(pickle.dumps(content))
    with pytest.raises(CheckpointError, match=r"last\.ckpt: holds more than tensors"):
        tiny.fit(tmp_path / "run", films, strategy=strategy)
    assert not sign.exists()
    # The trap works: a reader that unpickles springs it.
    if how == "pickle":
        pickle.loads(last.read_bytes())
        assert sign.exists()


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    whole = tmp_path / "whole.ckpt"
    torch.save({"x": torch.arange(1000)}, whole)
    assert torch.equal(read_torch(whole)["x"], torch.arange(1000))
    cut = tmp_path / "cut.ckpt"
    cut.write_bytes(whole.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match=r"cut\.ckpt: cannot be read; the checkpoint is dama"):
        read_torch(cut)
