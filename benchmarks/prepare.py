"""How fast one run is prepared, and the most memory it takes.

    python benchmarks/prepare.py                     91 x 109 x 91 x 1200 float32, brain mask
    python benchmarks/prepare.py --mask all          every voxel of the grid
    python benchmarks/prepare.py --size 40 48 40 200

The run is made in a temporary folder and removed. Its voxels are Gaussian noise about a bright
ellipsoid. To make 4 GB in seconds, eight different volumes are compressed (zlib level 1) as gzip
members of their own and repeated in turn; every one of them has to be read and inflated as in any
other file, and the noise compresses as badly as real float32 BOLD does.
"""

from __future__ import annotations

import argparse
import gzip
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

from brainreel.fmri.bids import Run
from brainreel.fmri.normalize import CleanConfig
from brainreel.fmri.prepare import PrepareConfig, prepare, read_store

FULL = (91, 109, 91, 1200)
TR_S = 1.5
N_DISTINCT = 8


def ellipsoid(grid: tuple[int, ...]) -> np.ndarray:
    """Return a brain-like region of about a quarter of the grid."""
    axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in grid), indexing="ij")
    return sum((axis / 0.8) ** 2 for axis in axes) < 1


def make_run(folder: Path, size: tuple[int, ...], mask: str) -> Run:
    """Write the BOLD file, its mask and a table of 24 confounds."""
    grid, n_trs = size[:3], size[3]
    rng = np.random.default_rng(0)
    brain = ellipsoid(grid)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    header = nib.Nifti1Image(np.zeros((*grid, 1), np.float32), affine).header
    header.set_data_shape(size)
    header.set_xyzt_units("mm", "sec")
    header["pixdim"][4] = TR_S
    header["vox_offset"] = 352
    volumes = [
        gzip.compress((1000 * brain + rng.normal(0, 20, grid)).astype("<f4").tobytes("F"), 1)
        for _ in range(N_DISTINCT)
    ]
    with (folder / "bold.nii.gz").open("wb") as file:
        file.write(gzip.compress(header.binaryblock + bytes(4), 1))
        for number in range(n_trs):
            file.write(volumes[number % N_DISTINCT])
    inside = brain if mask == "brain" else np.ones(grid, bool)
    nib.save(nib.Nifti1Image(inside.astype(np.uint8), affine), folder / "mask.nii.gz")
    names = [f"motion_{number}" for number in range(24)]
    table = rng.normal(size=(n_trs, 24))
    np.savetxt(
        folder / "confounds.tsv", table, delimiter="\t", header="\t".join(names), comments=""
    )
    return Run.single(
        folder / "bold.nii.gz",
        mask=folder / "mask.nii.gz",
        confounds=folder / "confounds.tsv",
    )


def measure(folder: Path) -> None:
    """Prepare the run in this process and print what it took."""
    run = Run.single(
        folder / "bold.nii.gz",
        mask=folder / "mask.nii.gz",
        confounds=folder / "confounds.tsv",
    )
    config = PrepareConfig(clean=CleanConfig(confounds=("motion_*",)))
    began, worked = time.perf_counter(), time.process_time()
    prepare([run], folder / "store", config)
    took, worked = time.perf_counter() - began, time.process_time() - worked
    again = time.perf_counter()
    prepare([run], folder / "store", config)
    again = time.perf_counter() - again
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    prepared = read_store(folder / "store")[0]
    image = nib.load(run.bold)
    megabytes = np.prod(image.shape, dtype=np.int64) * 4 / 1e6
    print(f"run          {' x '.join(map(str, image.shape))} float32, {megabytes:.0f} MB inflated")
    print(f"file         {os.path.getsize(run.bold) / 1e6:.0f} MB .nii.gz")  # noqa: PTH202
    print(f"voxels kept  {prepared.n_voxels}")
    print(f"time         {took:.1f} s ({worked:.1f} s of CPU), a second call {again:.2f} s")
    speed = f"{megabytes / took:.0f} MB/s ({megabytes / worked:.0f} by CPU time)"
    print(f"speed        {speed}, of inflated volumes")
    print(f"peak memory  {peak:.0f} MB (limit 2500 MB)")


def main() -> None:
    """Make the run here, measure in a fresh process: its peak is then of `prepare` alone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=4, default=FULL, metavar=("X", "Y", "Z", "T"))
    parser.add_argument("--mask", choices=("brain", "all"), default="brain")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure)
        return
    with tempfile.TemporaryDirectory() as folder:
        make_run(Path(folder), tuple(options.size), options.mask)
        subprocess.run([sys.executable, __file__, "--measure", folder], check=True)


if __name__ == "__main__":
    main()
