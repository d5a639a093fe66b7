"""Files written aside and renamed into place, and digests that say what a file was made from."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from brainreel.errors import DataError, OutputError

_CHUNK_BYTES = 1 << 20


@contextmanager
def write_aside(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it into place only if the block succeeds.

    A file or a folder may be made at the yielded path (its suffix is that of `path`). A failed
    block leaves nothing behind. A full disk or a missing right becomes an `OutputError`.
    """
    path = Path(path)
    aside = path.with_name(f".{uuid.uuid4().hex[:8]}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        aside.replace(path)
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise OutputError(
            f"{path}: cannot be written ({reason}). Free some space or choose another folder."
        ) from problem
    finally:
        if aside.is_dir():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            with suppress(OSError):
                aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path`, whole or not at all."""
    with write_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON to `path`, whole or not at all; NaN becomes null."""
    write_text(path, json.dumps(_plain(content), indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON, or say which file is broken and where."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as missing:
        raise DataError(f"{path}: no such file.") from missing
    except (UnicodeDecodeError, json.JSONDecodeError) as problem:
        raise DataError(f"{path}: not valid JSON ({problem}).") from problem


def require_file(path: Path, what: str = "file") -> Path:
    """Return `path` if it is a file, else raise a `DataError` that names what is missing."""
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such {what}.")
    return path


def require_free(path: Path) -> Path:
    """Return `path` if it is not there or an empty folder; refuse what already holds something."""
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise OutputError(f"{path}: already in use. Choose another --out, or remove it first.")
    return path


def new_folder(path: Path) -> Path:
    """Make an empty folder for output; refuse one that already holds something."""
    path = require_free(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise OutputError(f"{path}: cannot be made ({problem.strerror}).") from problem
    return path


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, read in chunks, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def digest_json(content: Any) -> str:
    """Return the SHA-256 of a JSON-like value, whatever the order of its keys."""
    text = json.dumps(_plain(content), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint(path: Path) -> dict[str, Any]:
    """Return size and SHA-256 of a source file, as manifests store them."""
    path = Path(path)
    return {"file": path.name, "bytes": os.path.getsize(path), "sha256": digest_file(path)}  # noqa: PTH202


def _plain(value: Any) -> Any:
    """Turn numpy numbers and arrays, paths, tuples and NaN into what JSON can hold."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and value - value != 0.0:
        return None
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    return str(value)
