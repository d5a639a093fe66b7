from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from brainreel.checkpoints.flax_files import read_flax
from brainreel.checkpoints.readers import read_tensors
from brainreel.errors import CheckpointError


def pack(value: Any) -> bytes:
    """MessagePack by its specification, as far as Flax uses it."""
    match value:
        case None:
            return b"\xc0"
        case bool():
            return b"\xc3" if value else b"\xc2"
        case int():
            return b"\xd3" + struct.pack(">q", value)
        case float():
            return b"\xcb" + struct.pack(">d", value)
        case str():
            return b"\xdb" + struct.pack(">I", len(value.encode())) + value.encode()
        case bytes():
            return b"\xc6" + struct.pack(">I", len(value)) + value
        case dict():
            inside = b"".join(pack(k) + pack(v) for k, v in value.items())
            return b"\xdf" + struct.pack(">I", len(value)) + inside
        case tuple():
            return b"\xdd" + struct.pack(">I", len(value)) + b"".join(map(pack, value))
        case np.ndarray():
            return extension(1, pack((value.shape, value.dtype.name, value.tobytes())))
        case complex():
            return extension(2, pack((value.real, value.imag)))
        case np.generic():
            return extension(3, pack((value.shape, value.dtype.name, value.tobytes())))
    raise TypeError(value)


def extension(code: int, data: bytes) -> bytes:
    return b"\xc9" + struct.pack(">Ib", len(data), code) + data


def bfloat16(values: list[float]) -> bytes:
    """The upper half of each float32."""
    halves = np.array(values, np.float32).view(np.uint32) >> 16
    return extension(1, pack(((len(values),), "bfloat16", halves.astype("<u2").tobytes())))


def write(path: Path, content: Any) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else pack(content))
    return path


def test_names_of_all_levels_are_joined(tmp_path: Path) -> None:
    kernel = np.arange(6, dtype=np.float32).reshape(2, 3)
    tree = {
        "params": {"dense": {"kernel": kernel, "empty": np.zeros((0, 4), np.float32)}},
        "step": 7, "rate": 0.5, "wave": 1 + 2j, "one": np.float32(2.5), "none": None, "text": "a",
        "list": {"0": np.array([True, False])}, "tuple": (np.array([1, 2], np.int64),),
    }  # fmt: skip
    found = read_flax(write(tmp_path / "a.msgpack", tree))
    assert set(found) == {
        "params/dense/kernel", "params/dense/empty", "step", "rate", "wave", "one", "list/0",
        "tuple/0",
    }  # fmt: skip
    assert torch.equal(found["params/dense/kernel"], torch.from_numpy(kernel))
    assert found["params/dense/empty"].shape == (0, 4)
    assert found["step"].item() == 7
    assert found["rate"].item() == 0.5
    assert found["wave"].item() == 1 + 2j
    assert found["one"].item() == 2.5
    assert found["list/0"].tolist() == [True, False]
    assert found["tuple/0"].tolist() == [1, 2]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float16", "float32", "float64"])
def test_every_dtype_comes_back_bit_for_bit(dtype: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(3, 2, 4)).astype(dtype)
    found = read_flax(write(tmp_path / "a", {"x": values}))["x"]
    np.testing.assert_array_equal(found.numpy(), values)
    assert found.numpy().dtype == values.dtype


def test_bfloat16_is_the_upper_half_of_float32(tmp_path: Path) -> None:
    values = [1.0, -2.5, 0.15625, 3.0e38]
    head = b"\xdf" + struct.pack(">I", 1) + pack("x")
    found = read_flax(write(tmp_path / "a", head + bfloat16(values)))["x"]
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), torch.tensor(values), rtol=2**-8, atol=0)


def test_a_large_array_in_chunks_is_one_again(tmp_path: Path) -> None:
    whole = np.random.default_rng(0).normal(size=(12, 11)).astype(np.float32)
    chunks = np.split(whole.ravel(), range(10, whole.size, 10))
    tree = {
        "__msgpack_chunked_array__": True,
        "shape": {"0": 12, "1": 11},
        # More than ten, in the order of text: "10" stands before "2".
        "chunks": {str(i): chunks[i] for i in sorted(range(len(chunks)), key=str)},
    }
    found = read_flax(write(tmp_path / "a", {"params": {"x": tree}}))
    np.testing.assert_array_equal(found["params/x"].numpy(), whole)
    del tree["chunks"]["3"]
    with pytest.raises(CheckpointError, match="params/x is in chunks that do not make one array"):
        read_flax(write(tmp_path / "b", {"params": {"x": tree}}))


def test_every_truncated_file_is_refused(tmp_path: Path) -> None:
    whole = pack({"a": np.arange(3, dtype=np.float32), "b": {"c": 1}})
    for length in range(len(whole)):
        with pytest.raises(CheckpointError, match="truncated, damaged, or no Flax checkpoint"):
            read_flax(write(tmp_path / "a", whole[:length]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x04\x95\x0b\x00\x00\x00", "truncated, damaged"),  # a pickle
        (b"plain text", "truncated, damaged"),
        (pack((1, 2)), "at its top are no names"),
        (pack({"a": 2**62, "b": 1})[:-9] + b"\xcf" + b"\xff" * 8, "truncated, damaged"),
        (b"\xdf\x00\x00\x00\x01" + pack("x") + extension(5, b"ab"), "unknown type 5"),
        (
            b"\xdf\x00\x00\x00\x01" + pack("x") + extension(1, pack(((2,), "object", b"0" * 16))),
            "an array of object, which is no kind of number",
        ),
        (
            b"\xdf\x00\x00\x00\x01" + pack("x") + extension(1, pack(((3,), "float32", b"0" * 8))),
            r"an array of shape \(3,\) in 8 bytes",
        ),
        (
            b"\xdf\x00\x00\x00\x01" + pack("x") + extension(1, pack(((-1, -2), "int8", b"00"))),
            r"an array of shape \(-1, -2\)",
        ),
        (b"\x81\xa1x" * 3000 + b"\xc0", "truncated, damaged"),  # deeper than any tree of weights
    ],
)  # fmt: skip
def test_a_foreign_file_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_flax(write(tmp_path / "a.msgpack", content))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file of weights"):
        read_flax(tmp_path / "a.msgpack")


@pytest.mark.parametrize("name", ["a.msgpack", "checkpoint_17000"])
def test_weights_of_any_origin_may_be_a_flax_file(name: str, tmp_path: Path) -> None:
    tree = {"target": {"x": np.ones(2, np.float16)}}
    found = read_tensors(write(tmp_path / name, tree))
    assert found["target/x"].dtype == torch.float32


def test_flax_writes_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serialization = pytest.importorskip("flax.serialization")
    jnp = pytest.importorskip("jax.numpy")
    monkeypatch.setattr(serialization, "MAX_CHUNK_SIZE", 64)
    values = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    tree = {"params": {"big": values, "half": jnp.asarray([1.5, -3], jnp.bfloat16)}, "step": 3}
    found = read_flax(write(tmp_path / "a", serialization.to_bytes(tree)))
    np.testing.assert_array_equal(found["params/big"].numpy(), values)
    assert found["params/half"].tolist() == [1.5, -3]
    assert found["step"].item() == 3
