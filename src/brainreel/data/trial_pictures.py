"""Pictures that trials name: found in folders, numbered by content, read at one size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.stimulus.pictures import crop_to_aspect, read_picture, resize_pictures

UInt8 = NDArray[np.uint8]
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_NAMED = 3


def find_pictures(names: Iterable[str], folders: Sequence[Path]) -> dict[str, Path]:
    """Return the file of each picture.

    Sought as `folder/name` in each folder in turn; then by its name without folders and suffix,
    anywhere in them.

    Raises
    ------
    DataError
        Saying how many are missing and which, or naming a picture that two files fit.
    """
    names = list(dict.fromkeys(names))
    found = {name: path for name in names if (path := _exact(name, folders)) is not None}
    lost = [name for name in names if name not in found]
    if lost:
        known = _by_stem(folders)
        for name in lost:
            fitting = known.get(Path(name).stem, [])
            if len(fitting) > 1:
                raise DataError(f"picture {name}: two files fit, {fitting[0]} and {fitting[1]}.")
            if fitting:
                found[name] = fitting[0]
    lost = [name for name in names if name not in found]
    if lost:
        more = ", ..." if len(lost) > _NAMED else ""
        raise DataError(
            f"{len(lost)} of {len(names)} pictures are not in "
            f"{' or '.join(map(str, folders))}: {', '.join(lost[:_NAMED])}{more}. Give their "
            "folder: --pictures FOLDER."
        )
    return found


def _exact(name: str, folders: Sequence[Path]) -> Path | None:
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def _by_stem(folders: Sequence[Path]) -> dict[str, list[Path]]:
    known: dict[str, list[Path]] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path not in known.get(path.stem, []):
                known.setdefault(path.stem, []).append(path)
    return known


def read_pictures(paths: Iterable[Path], size: tuple[int, int], grey: bool) -> UInt8:
    """Read pictures as (N, 3, H, W) uint8, or (N, 1, H, W) in grey.

    Each is cut around its middle to the aspect of `size` (H, W) and resized without aliasing;
    grey = 0.299 R + 0.587 G + 0.114 B.

    Raises
    ------
    DataError
        Naming the file that holds no picture.
    """
    read = [resize_pictures(crop_to_aspect(read_picture(path), size), size) for path in paths]
    pictures: UInt8 = np.stack(read)
    if grey:
        pictures = np.rint(np.einsum("c,ncyx->nyx", _LUMA, pictures))[:, None].astype(np.uint8)
    return pictures
