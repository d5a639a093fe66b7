"""Ways to break files, and what is left of a folder."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

TWO_STEPS = ("trainer.max_epochs=none", "trainer.max_steps=2", "trainer.progress=false")
NET = ("film_encoding", *TWO_STEPS)
RIDGE = ("film_ridge",)


def tree(folder: Path) -> list[str]:
    """Every file below a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def rewritten(path: Path, change: Callable[[Any], Any], tr_s: float = 1.5) -> None:
    """Write an image again with other voxels."""
    old = nib.load(path)
    values = change(np.asarray(old.dataobj, np.float32))
    image = nib.Nifti1Image(values, old.affine)
    image.header.set_xyzt_units("mm", "sec")
    if values.ndim == 4:
        image.header["pixdim"][4] = tr_s
    nib.save(image, path)


def with_voxel(value: float) -> Callable[[Path], None]:
    def change(values: Any) -> Any:
        values[4, 4, 4, 3] = value
        return values

    return lambda path: rewritten(path, change)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def full_disk(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
