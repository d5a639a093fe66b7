"""What every model family shares: a frozen config that builds the model for given data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from brainreel.config import Config
from brainreel.shapes import DataSpec


class ModelConfig(Config, ABC):
    """Base of every model's options; a family adds `name: Literal["..."]` and `build`.

    Sizes that the data decides (voxels, TR, columns of the features) are never options: they
    reach the model in the `DataSpec`.
    """

    name: str
    """Which model family these options are for."""

    @classmethod
    def facts(cls) -> tuple[str, ...]:
        """Return lines that `describe` prints before the options, such as worked sizes."""
        return ()

    @abstractmethod
    def build(self, spec: DataSpec) -> Any:
        """Return the model, unfitted or with fresh weights, sized by the facts of the data."""
