import gzip

import pytest

from brainreel.errors import DataError
from brainreel.fmri.streams import ByteStream, prefetched

CONTENT = bytes(range(256)) * 9000


def read(path, step=100_000) -> bytes:
    parts, n_bytes = [], len(CONTENT)
    with ByteStream(path) as stream:
        for start in range(0, n_bytes, step):
            part = bytearray(min(step, n_bytes - start))
            stream.fill(memoryview(part))
            parts.append(bytes(part))
        stream.finish()
    return b"".join(parts)


@pytest.mark.parametrize("after", [b"", bytes(512)])
def test_plain_gzip_and_many_members_give_the_same(tmp_path, after):
    members = gzip.compress(CONTENT[:777]) + gzip.compress(CONTENT[777:])
    kinds = {"plain": CONTENT, "gz": gzip.compress(CONTENT) + after, "members": members + after}
    for name, content in kinds.items():
        (tmp_path / name).write_bytes(content)
        assert read(tmp_path / name) == CONTENT


def test_skipping(tmp_path):
    (tmp_path / "gz").write_bytes(gzip.compress(CONTENT))
    with ByteStream(tmp_path / "gz") as stream:
        stream.skip(1_500_003)
        part = bytearray(5)
        stream.fill(memoryview(part))
    assert bytes(part) == CONTENT[1_500_003:1_500_008]


def test_a_wrong_checksum_is_found_at_the_end(tmp_path):
    content = bytearray(gzip.compress(CONTENT))
    content[-8] ^= 1
    (tmp_path / "gz").write_bytes(bytes(content))
    with pytest.raises(DataError, match="the gzip data is broken .*incorrect data check"):
        read(tmp_path / "gz")


def test_a_missing_end_is_found(tmp_path):
    (tmp_path / "gz").write_bytes(gzip.compress(CONTENT)[:-4])
    with pytest.raises(DataError, match="its end is missing"):
        read(tmp_path / "gz")


def test_what_cannot_be_opened(tmp_path):
    with pytest.raises(DataError, match="cannot be read .Is a directory"):
        ByteStream(tmp_path)


def test_prefetching_keeps_order_and_errors():
    def numbers():
        yield from range(5)
        raise DataError("the sixth is broken.")

    seen: list[int] = []
    with pytest.raises(DataError, match="the sixth is broken"):
        seen.extend(prefetched(numbers()))
    assert seen == [0, 1, 2, 3, 4]
