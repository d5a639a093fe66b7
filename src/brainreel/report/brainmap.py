"""A number per voxel -> NIfTI volume, glass brain, cortical surface."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from nilearn.datasets import load_fsaverage, load_fsaverage_data
from nilearn.plotting import plot_glass_brain, plot_surf
from numpy.typing import NDArray

from brainreel.errors import DataError
from brainreel.files import write_aside
from brainreel.fmri.bold import VoxelMask
from brainreel.report.style import INK, MUTED, canvas, drawing, ramp

Values = NDArray[np.float64]

# Farther out than this, in millimetres, no head in MNI space has a voxel.
_MNI_LOW, _MNI_HIGH = np.array([-98.0, -140.0, -92.0]), np.array([98.0, 100.0, 120.0])
# With less of the cortex inside the mask a surface shows mostly bare grey.
MIN_SURFACE_SHARE = 0.25


def volume_image(values: Values, mask: VoxelMask, fill: float = 0.0) -> nib.Nifti1Image:
    """Return (V,) values, in the order of the mask's voxels, as an image; NaN becomes `fill`."""
    finite = np.where(np.isfinite(values), values, fill).astype(np.float32)
    return nib.Nifti1Image(mask.unmask(finite, fill=fill), mask.affine)


def save_map(path: Path, values: Values, mask: VoxelMask) -> Path:
    """Write (V,) values as a float32 NIfTI volume, NaN outside the mask, whole or not at all.

    Parameters
    ----------
    path
        Ends in `.nii` or `.nii.gz`.
    values
        (V,) in the order of the mask's voxels.
    mask
        Where they lie.
    """
    path = Path(path)
    if not path.name.endswith((".nii", ".nii.gz")):
        raise DataError(f"{path}: a map is a NIfTI volume. End its name in .nii or .nii.gz.")
    volume = mask.unmask(np.asarray(values, dtype=np.float32), fill=float("nan"))
    with write_aside(path) as aside:
        nib.save(nib.Nifti1Image(volume, mask.affine), aside)
    return path


def in_mni(mask: VoxelMask) -> bool:
    """Tell whether a mask may be drawn into the MNI brain.

    By the name of its space where it has one, else by whether all of its voxels lie where a head
    in MNI space can be.
    """
    if mask.space:
        return mask.space.lower().startswith(("mni", "talairach"))
    indices = np.argwhere(mask.inside)
    places = indices @ mask.affine[:3, :3].T + mask.affine[:3, 3]
    spans_both_sides = places[:, 0].min() < 0 < places[:, 0].max()
    return bool(spans_both_sides and (places >= _MNI_LOW).all() and (places <= _MNI_HIGH).all())


def glass_brain(
    values: Values, mask: VoxelMask, views: str, *, vmax: float, size_px: tuple[float, float]
) -> Figure:
    """Draw the largest value along each line of sight, from 0 to `vmax`, through a glass brain.

    Parameters
    ----------
    values
        (V,); below 0 or NaN is drawn as nothing.
    mask
        Where they lie; if not in MNI space the brain is left out and views are along the grid.
    views
        Letters of nilearn's display mode, such as `"lr"` (from left and right) or `"yz"` (from
        behind and above).
    vmax
        Value of the last colour.
    size_px
        Width and height in CSS pixels.
    """
    with drawing():
        figure = canvas(*size_px)
        draw_glass_brain(figure, (0, 0, 1, 1), values, mask, views, vmax=vmax)
    return figure


def draw_glass_brain(
    figure: Figure,
    box: tuple[float, float, float, float],
    values: Values,
    mask: VoxelMask,
    views: str,
    *,
    vmax: float,
) -> None:
    """Draw `glass_brain` into a box (left, bottom, width, height, as shares) of a figure."""
    shown = np.clip(np.nan_to_num(values), 0.0, None)
    if not in_mni(mask):
        _draw_projections(figure, box, shown, mask, len(views), vmax)
        return
    display = plot_glass_brain(
        volume_image(shown, mask),
        display_mode=views,
        figure=figure,
        axes=box,
        colorbar=False,
        cmap=ramp(),
        threshold=1e-6,
        vmin=0.0,
        vmax=vmax,
        annotate=False,
        symmetric_cbar=False,
        alpha=0.75,
    )
    for view, side in display.axes.items():
        _label_view(side.ax, view)
        for line in side.ax.patches:
            dark = float(np.mean(to_rgba(line.get_edgecolor())[:3])) < 0.4
            line.set_edgecolor(to_rgba(INK if dark else MUTED, 0.75 if dark else 0.45))


def _label_view(axes: Axes, view: str) -> None:
    """Say which side is which: nilearn's own letters sit on a white box."""
    if view in ("l", "r"):
        label = {"l": "left", "r": "right"}[view]
        axes.text(0.0, 1.0, label, transform=axes.transAxes, ha="left", va="top", color=MUTED)
        return
    if view == "x":
        return
    for at, letter in ((0.06, "L"), (0.94, "R")):
        axes.text(at, 0.92, letter, transform=axes.transAxes, ha="center", va="top", color=MUTED)


def _draw_projections(
    figure: Figure,
    box: tuple[float, float, float, float],
    shown: Values,
    mask: VoxelMask,
    n_views: int,
    vmax: float,
) -> None:
    volume = mask.unmask(shown)
    left, bottom, width, height = box
    for i, axis in enumerate((0, 2) if n_views == 2 else (0, 1, 2)):
        step = width / (2 if n_views == 2 else 3)
        axes = figure.add_axes((left + i * step, bottom, step, height))
        flat = volume.max(axis=axis).T
        axes.imshow(
            np.where(flat > 0, flat, np.nan),
            cmap=ramp(),
            vmin=0.0,
            vmax=vmax,
            origin="lower",
            interpolation="none",
        )
        axes.axis("off")


def surface_values(values: Values, mask: VoxelMask) -> dict[str, Values] | None:
    """Return the value of the voxel under each vertex of fsaverage5, NaN where there is none.

    The voxel is the one that holds the point half-way between the white and the pial surface.
    None if the mask is not in MNI space or holds too little of the cortex to be worth drawing.
    """
    if not in_mni(mask):
        return None
    volume = mask.unmask(np.asarray(values, dtype=np.float64), fill=float("nan"))
    to_voxel = np.linalg.inv(mask.affine)
    white, pial = (load_fsaverage("fsaverage5")[key] for key in ("white_matter", "pial"))
    found: dict[str, Values] = {}
    for side in ("left", "right"):
        middle = (white.parts[side].coordinates + pial.parts[side].coordinates) / 2
        index = np.rint(middle @ to_voxel[:3, :3].T + to_voxel[:3, 3]).astype(int)
        inside = ((index >= 0) & (index < np.array(mask.grid))).all(axis=1)
        found[side] = np.full(len(middle), np.nan)
        found[side][inside] = volume[tuple(index[inside].T)]
    covered = np.mean(np.isfinite(np.concatenate(list(found.values()))))
    return found if covered >= MIN_SURFACE_SHARE else None


def surface_figure(
    vertices: Values, side: str, *, vmax: float, size_px: tuple[float, float]
) -> Figure:
    """Draw (10242,) vertices of one side of fsaverage5, inflated, from outside and from inside.

    Colours run from 0 to `vmax`; grey where there is no voxel or a value below 0.
    """
    mesh = load_fsaverage("fsaverage5")["inflated"]
    folds = load_fsaverage_data("fsaverage5", data_type="sulcal").data
    views = ("lateral", "medial") if side == "left" else ("medial", "lateral")
    with drawing():
        figure = canvas(*size_px)
        for i, view in enumerate(views):
            # Axes of three dimensions leave wide margins, so the boxes overlap.
            axes = figure.add_axes((i / 2 - 0.11, -0.25, 0.72, 1.5), projection="3d")
            plot_surf(
                mesh.parts[side],
                np.where(vertices > 0, vertices, np.nan),
                # Between 0 and 1 nilearn takes grey levels as they are: two soft tones.
                bg_map=0.25 + 0.2 / (1 + np.exp(-folds.parts[side])),
                hemi=side,
                view=view,
                cmap=ramp(),
                vmin=0.0,
                vmax=vmax,
                figure=figure,
                axes=axes,
                colorbar=False,
            )
            for part in axes.collections:
                part.set_rasterized(True)
    return figure
