"""Whether a prepared run still stands for the files that it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brainreel.errors import DataError
from brainreel.files import digest_file, read_json, write_json

MANIFEST = "manifest.json"


def describe_source(path: Path) -> dict[str, Any]:
    """Return path, size, time of change and SHA-256 of a source file."""
    path = Path(path)
    try:
        state = path.stat()
        digest = digest_file(path)
    except OSError as problem:
        raise DataError(f"{path}: cannot be read ({problem.strerror}).") from problem
    return {
        "path": str(path.resolve()),
        "bytes": state.st_size,
        "modified_ns": state.st_mtime_ns,
        "sha256": digest,
    }


def is_current(folder: Path, sources: Mapping[str, Path]) -> bool:
    """Tell whether a folder holds a whole run made from these sources as they are now.

    A source with the same size and time of change is taken to be the same; else its bytes decide.
    """
    if not (folder / MANIFEST).is_file():
        return False
    kept = read_json(folder / MANIFEST)["sources"]
    if set(kept) != set(sources):
        return False
    return all(_same_source(kept[role], path) for role, path in sources.items())


def _same_source(kept: Mapping[str, Any], path: Path) -> bool:
    try:
        state = path.stat()
    except OSError as problem:
        raise DataError(f"{path}: cannot be read ({problem.strerror}).") from problem
    if state.st_size != kept["bytes"]:
        return False
    unchanged = bool(state.st_mtime_ns == kept["modified_ns"])
    return unchanged or digest_file(path) == kept["sha256"]


def note_paths(folder: Path, sources: Mapping[str, Path]) -> None:
    """Write new paths into a manifest whose sources were moved; else touch nothing."""
    manifest = read_json(folder / MANIFEST)
    moved = {role: str(path.resolve()) for role, path in sources.items()}
    if all(manifest["sources"][role]["path"] == path for role, path in moved.items()):
        return
    for role, path in moved.items():
        manifest["sources"][role]["path"] = path
    write_json(folder / MANIFEST, manifest)
