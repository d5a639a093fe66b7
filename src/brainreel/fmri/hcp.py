"""Folders in the layout of the Human Connectome Project, read as if they were BIDS.

<person>/MNINonLinear/Results/rfMRI_REST1_LR/rfMRI_REST1_LR.nii.gz
                                             brainmask_fs.2.nii.gz
                                             Movement_Regressors.txt
"""

from __future__ import annotations

from pathlib import Path

from brainreel.fmri.names import BidsName

_RUNS = "*/MNINonLinear/Results/*fMRI_*"
_DIRECTIONS = ("LR", "RL", "AP", "PA")  # of phase encoding, the last part of a run's name
_SPACE = "MNI152NLin6Asym"  # where HCP's pipelines put every volume
_CONFOUNDS = "Movement_Regressors.txt"


def hcp_images(root: Path) -> list[BidsName]:
    """Return the images of all people and runs, with their names said as BIDS entities.

    `100307/.../rfMRI_REST1_LR` is sub-100307, task-REST1, dir-LR; what stands between task and
    direction (`tfMRI_MOVIE1_7T_AP`) is acq-7T.
    """
    found = []
    for folder in sorted(root.glob(_RUNS)):
        path = folder / f"{folder.name}.nii.gz"
        if not path.is_file():
            path = path.with_suffix("")
        if not path.is_file():
            continue
        kind, task, *rest = folder.name.split("_")
        if kind not in ("rfMRI", "tfMRI", "fMRI"):
            continue
        person = folder.relative_to(root).parts[0].removeprefix("sub-")
        entities = {"sub": person, "task": task}
        direction = rest.pop() if rest and rest[-1] in _DIRECTIONS else ""
        if rest:
            entities["acq"] = "".join(rest)
        if direction:
            entities["dir"] = direction
        extension = path.name.removeprefix(folder.name)
        found.append(BidsName(path, {**entities, "space": _SPACE}, "bold", extension))
    return found


def hcp_mask(image: BidsName) -> Path | None:
    """Return the brain mask beside an image, or None."""
    masks = sorted(image.path.parent.glob("brainmask_fs*.nii.gz"))
    return masks[0] if len(masks) == 1 else None


def hcp_confounds(image: BidsName) -> Path | None:
    """Return the table of head motion beside an image, or None."""
    path = image.path.parent / _CONFOUNDS
    return path if path.is_file() else None
