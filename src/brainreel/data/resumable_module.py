"""What Lightning's views of all data have in common: where a broken training goes on, and ranks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from lightning.pytorch import LightningDataModule

from brainreel.data.loading import ResumableLoader

Loader = TypeVar("Loader", bound=ResumableLoader)


class ResumableModule(LightningDataModule):  # type: ignore[misc]
    """A data module whose training batches go on where a broken run stopped."""

    def __init__(self) -> None:
        super().__init__()
        self._position = 0
        self._train: ResumableLoader | None = None

    @property
    def ranks(self) -> tuple[int, int]:
        """Which process this is, of how many."""
        trainer = self.trainer
        return (trainer.global_rank, trainer.world_size) if trainer else (0, 1)

    def continued(self, loader: Loader) -> Loader:
        """Return the training loader, from where a broken run stopped."""
        self._train = loader
        loader.position = self._position
        return loader

    def state_dict(self) -> dict[str, Any]:
        """Return how many training batches were handed out, for the checkpoint."""
        return {"position": self._train.position if self._train else self._position}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on after that many batches; Lightning calls it before it asks for the loader."""
        self._position = int(state_dict["position"])
