import errno
import json
from pathlib import Path

import numpy as np
import pytest

from brainreel.errors import DataError, OutputError
from brainreel.files import (
    digest_file,
    digest_json,
    new_folder,
    read_json,
    require_file,
    write_aside,
    write_json,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    write_json(target, {"a": 1})

    def fail_half_way() -> None:
        with write_aside(target) as aside:
            aside.write_text("half")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail_half_way()
    assert read_json(target) == {"a": 1}
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    def fill() -> None:
        with write_aside(tmp_path / "b.npy") as aside:
            aside.mkdir()
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OutputError, match=r"b\.npy: cannot be written \(No space left on device\)"):
        fill()
    assert not list(tmp_path.iterdir())


def test_json_holds_numpy_and_nan_becomes_null(tmp_path: Path) -> None:
    content = {"a": np.float32(1.5), "b": np.arange(3), "c": float("nan"), "d": (Path("x"), True)}
    write_json(tmp_path / "c.json", content)
    assert read_json(tmp_path / "c.json") == {"a": 1.5, "b": [0, 1, 2], "c": None, "d": ["x", True]}


def test_broken_json_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text('{"a": ')
    with pytest.raises(DataError, match=r"d\.json: not valid JSON"):
        read_json(tmp_path / "d.json")
    with pytest.raises(DataError, match=r"e\.json: no such file"):
        read_json(tmp_path / "e.json")
    with pytest.raises(DataError, match=r"e\.mp4: no such film"):
        require_file(tmp_path / "e.mp4", "film")


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    assert new_folder(tmp_path / "run").is_dir()
    (tmp_path / "run" / "x").touch()
    with pytest.raises(OutputError, match=r"run: already in use"):
        new_folder(tmp_path / "run")


def test_digests_see_content_and_not_order(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert digest_file(tmp_path / "x").startswith("ba7816bf")  # FIPS 180-2 example
    assert digest_json({"a": 1, "b": [2]}) == digest_json(json.loads('{"b": [2], "a": 1}'))
    assert digest_json({"a": 1}) != digest_json({"a": 2})
