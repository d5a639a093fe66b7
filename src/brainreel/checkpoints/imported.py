"""Imported: published weights as one of our models, and the folder that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from brainreel.checkpoints.store import load_run, load_state, save_run
from brainreel.config import Config
from brainreel.errors import CheckpointError, ConfigError, DataError, OutputError
from brainreel.files import new_folder, read_json, write_aside, write_json
from brainreel.models.base import ModelConfig
from brainreel.models.catalog import AnyModel
from brainreel.shapes import DataSpec

STORY = "import.json"


@dataclass(frozen=True, eq=False)
class Imported:
    """Published weights as one of our models.

    Attributes
    ----------
    config
        The model's options.
    spec
        The facts of the data that it was made for: picture and sound shape, classes.
    state
        Our name -> tensor; all that the model needs, and nothing else.
    dropped
        Their name of each tensor that is not used -> why.
    notes
        What a user should know, one sentence each.
    """

    config: ModelConfig
    spec: DataSpec
    state: dict[str, Tensor]
    dropped: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def build(self, *, where: str) -> nn.Module:
        """Return the network with these weights; a tensor that does not fit is an error."""
        network: nn.Module = self.config.build(self.spec)
        load_state(network, self.state, where=where)
        return network


class _Stored(Config):
    """What config.yaml of an imported model holds."""

    origin: str = ""
    """Where the weights came from."""
    model: AnyModel
    """The model's options."""


def save_imported(
    folder: Path,
    imported: Imported,
    *,
    origin: str,
    versions: Mapping[str, str] | None = None,
    digests: Mapping[str, str] | None = None,
) -> Path:
    """Write config.yaml, spec.json, weights.safetensors, versions.json and import.json.

    The folder is whole or not there. Read it back with `load_imported`.

    Raises
    ------
    CheckpointError
        If the weights do not fit the model, naming the tensors.
    OutputError
        If the folder is in use or cannot be written.
    """
    folder = Path(folder)
    imported.build(where=f"{origin} weights")
    new_folder(folder)
    config = {"origin": origin, "model": imported.config.to_dict()}
    story = {"dropped": imported.dropped, "notes": imported.notes}
    try:
        with write_aside(folder) as aside:
            save_run(
                aside, config, imported.spec, imported.state, versions=versions, digests=digests
            )
            write_json(aside / STORY, story)
    except OutputError as problem:
        with suppress(OSError):
            folder.rmdir()
        # The folder is written under another name first, which means nothing to a user.
        raise OutputError(str(problem).replace(aside.name, folder.name)) from problem
    return folder


def load_imported(folder: Path) -> Imported:
    """Read a folder of imported weights back.

    Raises
    ------
    CheckpointError
        If it is none, or is damaged.
    """
    folder = Path(folder)
    run = load_run(folder)
    if not (folder / STORY).is_file():
        raise CheckpointError(
            f"{folder}: was not made by 'brainreel import' (it has no {STORY}). "
            "Import the weights first."
        )
    try:
        stored = _Stored.parse(run.config, where=str(folder / "config.yaml"))
        story: Any = read_json(folder / STORY)
        dropped, notes = dict(story["dropped"]), tuple(story["notes"])
    except (ConfigError, DataError, KeyError, TypeError, ValueError) as problem:
        raise CheckpointError(
            f"{folder}: not what an import writes there. Import again."
        ) from problem
    return Imported(stored.model, run.spec, run.state, dropped, notes)
