"""A run that breaks in the middle of its training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from lightning.pytorch import Callback

from brainreel.train import trainer as engine


class BrokenError(Exception):
    """What a power cut is in the tests."""


class _Break(Callback):  # type: ignore[misc]
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == self.step:
            raise BrokenError("the power is cut")


@contextmanager
def power_cut(monkeypatch: pytest.MonkeyPatch, *, step: int) -> Iterator[None]:
    """Break every training in the block after so many steps, and see that it broke."""
    make = engine.make_trainer
    with monkeypatch.context() as patch:
        patch.setattr(
            engine,
            "make_trainer",
            lambda config, folder, callbacks, **kw: make(
                config, folder, [*callbacks, _Break(step)], **kw
            ),
        )
        with pytest.raises(BrokenError, match="the power is cut"):
            yield
