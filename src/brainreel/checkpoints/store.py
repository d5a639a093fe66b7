"""Weights in and out: safetensors with the config and the spec beside them; never a pickle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from brainreel.config import read_yaml, to_yaml
from brainreel.errors import CheckpointError, DataError, OutputError
from brainreel.files import digest_file, read_json, write_aside, write_json, write_text
from brainreel.shapes import DataSpec

CONFIG, SPEC, WEIGHTS, VERSIONS = (
    "config.yaml",
    "spec.json",
    "weights.safetensors",
    "versions.json",
)
# How a pickle, a PyTorch zip archive and an old PyTorch file begin.
_PICKLES = (b"\x80", b"PK\x03\x04", b"\x8a\x0a")


@dataclass(frozen=True, eq=False)
class StoredRun:
    """All that is needed to use a fitted run again.

    Attributes
    ----------
    config
        The resolved recipe.
    spec
        The facts of the data that sized the model.
    state
        Name to tensor, on the CPU.
    versions
        Packages and their versions at the time of the fit.
    digests
        SHA-256 of the data and of the weights.
    """

    config: dict[str, Any]
    spec: DataSpec
    state: dict[str, Tensor]
    versions: dict[str, str]
    digests: dict[str, str]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the weights as numpy arrays; bfloat16, which numpy lacks, as float32."""
        return {
            name: (value.float() if value.dtype == torch.bfloat16 else value).numpy()
            for name, value in self.state.items()
        }


def save_run(
    folder: Path,
    config: Mapping[str, Any],
    spec: DataSpec,
    state: Mapping[str, Tensor | NDArray[Any]],
    *,
    versions: Mapping[str, str] | None = None,
    digests: Mapping[str, str] | None = None,
    lineage: Sequence[Mapping[str, Any]] | None = None,
) -> Path:
    """Write config.yaml, spec.json, weights.safetensors and versions.json; return the folder.

    Each file is whole or not there. The digest of the weights is added to `digests`; `lineage`
    tells of the fits behind the weights, of a run.
    """
    folder = Path(folder)
    weights = save_weights(folder / WEIGHTS, state)
    write_text(folder / CONFIG, to_yaml(config))
    write_json(folder / SPEC, spec.to_json())
    known = {**(digests or {}), "weights": digest_file(weights)}
    told: dict[str, Any] = {"versions": dict(versions or {}), "digests": known}
    if lineage is not None:
        told["lineage"] = list(lineage)
    write_json(folder / VERSIONS, told)
    return folder


def load_run(folder: Path) -> StoredRun:
    """Read a run folder back.

    Raises
    ------
    CheckpointError
        If the weights are damaged, were changed after the fit, or are a pickle.
    DataError, ConfigError
        If another file is missing or broken.
    """
    folder = Path(folder)
    if not (folder / WEIGHTS).is_file():
        raise CheckpointError(
            f"{folder}: no {WEIGHTS} in it, so it is no fitted run. Run 'brainreel fit' first."
        )
    state = load_weights(folder / WEIGHTS)
    told = read_json(folder / VERSIONS)
    if not isinstance(told, dict) or not {"versions", "digests"} <= told.keys():
        raise CheckpointError(f"{folder / VERSIONS}: not what a fit writes there. Fit again.")
    if digest_file(folder / WEIGHTS) != told["digests"].get("weights"):
        raise CheckpointError(
            f"{folder / WEIGHTS}: is not the file that the fit wrote (its SHA-256 differs). "
            "Fit again, or restore the file."
        )
    try:
        spec = DataSpec.from_json(read_json(folder / SPEC))
    except (TypeError, DataError) as problem:
        raise CheckpointError(
            f"{folder / SPEC}: not what a fit writes there. Fit again."
        ) from problem
    return StoredRun(
        config=read_yaml(folder / CONFIG),
        spec=spec,
        state=state,
        versions=told["versions"],
        digests=told["digests"],
    )


def save_weights(path: Path, state: Mapping[str, Tensor | NDArray[Any]]) -> Path:
    """Write tensors or arrays by name as safetensors, in any dtype, bit for bit."""
    # Copies: safetensors refuses two names of one memory, and views.
    tensors = {
        name: torch.tensor(np.asarray(value)) if not isinstance(value, Tensor) else value.clone()
        for name, value in state.items()
    }
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with write_aside(Path(path)) as aside:
        try:
            save_file(tensors, aside)
        except SafetensorError as problem:  # a full disk, told in safetensors' own way
            raise OutputError(
                f"{path}: cannot be written ({problem}). Free some space or choose another folder."
            ) from problem
    return Path(path)


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file; nothing in it can run code.

    Raises
    ------
    CheckpointError
        If it is a pickle (refused unread), damaged, or no safetensors file.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file of weights.")
    with path.open("rb") as stream:
        head = stream.read(8)
    if head.startswith(_PICKLES) and not _is_safetensors(path):
        raise CheckpointError(
            f"{path}: is a pickle, which can run code when it is read, so it was not read. "
            "Give a .safetensors file."
        )
    try:
        weights: dict[str, Tensor] = load_file(path)
    except SafetensorError as problem:
        raise CheckpointError(
            f"{path}: truncated or damaged ({problem}). Fit again, or restore the file."
        ) from problem
    return weights


def _is_safetensors(path: Path) -> bool:
    """Whether a JSON header follows the length: a length of 128 bytes also begins with 0x80."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        return length < path.stat().st_size and stream.read(1) == b"{"


def load_state(module: nn.Module, state: Mapping[str, Tensor], *, where: str) -> None:
    """Put weights into a module; every name and shape must fit.

    Raises
    ------
    CheckpointError
        Naming the tensors that are missing, left over, or of another shape; the module is then
        as it was.
    """
    wanted = module.state_dict()
    faults = [
        f"{len(names)} {what}: {', '.join(names)}"
        for what, names in (
            ("missing", [name for name in wanted if name not in state]),
            ("not known to the model", [name for name in state if name not in wanted]),
            ("of another shape", _misshaped(wanted, state)),
        )
        if names
    ]
    if faults:
        raise CheckpointError(
            f"{where}: the weights do not fit the model. {'; '.join(faults)}. "
            "Use the config that they were fitted with."
        )
    module.load_state_dict(dict(state))


def _misshaped(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    return [
        f"{name} {tuple(state[name].shape)} for {tuple(value.shape)}"
        for name, value in wanted.items()
        if name in state and state[name].shape != value.shape
    ]
