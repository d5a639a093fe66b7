"""Small folders in the layouts of three public collections, file names as published."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from .conftest import bold_array, confound_table, mask_array, save, write_table

HCP_RUNS = ("rfMRI_REST1_LR", "rfMRI_REST1_RL", "tfMRI_MOVIE1_7T_AP")


def write_hcp(root: Path, people: tuple[str, ...] = ("100307", "100408")) -> Path:
    """The Human Connectome Project's: no BIDS names, a brain mask and head motion beside."""
    for number, person in enumerate(people):
        for run, name in enumerate(HCP_RUNS):
            folder = root / person / "MNINonLinear" / "Results" / name
            seed = 10 * number + run
            save(folder / f"{name}.nii.gz", bold_array(seed), tr_s=0.72)
            save(folder / f"{name}_hp2000_clean.nii.gz", bold_array(seed), tr_s=0.72)
            save(folder / f"{name}_SBRef.nii.gz", bold_array(seed, n_trs=1)[..., 0])
            save(folder / "brainmask_fs.2.nii.gz", mask_array().astype(np.uint8))
            motion = np.random.default_rng(seed).normal(size=(60, 12))
            np.savetxt(folder / "Movement_Regressors.txt", motion, fmt="%11.6f")
        save(root / person / "MNINonLinear" / "T1w_restore.nii.gz", bold_array(n_trs=1)[..., 0])
    rows = [f"{who},{sex},{family}" for who, sex, family in zip(people, "FM", "AB", strict=False)]
    (root / "unrestricted.csv").write_text("\n".join(["Subject,Gender,Family_ID", *rows]) + "\n")
    return root


def write_cnp(root: Path, people: tuple[str, ...] = ("10159", "50004"), *, former: bool) -> Path:
    """UCLA's consortium for neuropsychiatric phenomics (ds000030), with fMRIPrep's results.

    `former` gives the file names of the fMRIPrep of 2017 that the collection was published with.
    """
    results = root / "derivatives" / "fmriprep"
    results.mkdir(parents=True)
    described = {"Name": "CNP", "BIDSVersion": "1.0.0"}
    (root / "dataset_description.json").write_text(json.dumps(described))
    (root / "task-rest_bold.json").write_text(json.dumps({"RepetitionTime": 2.0}))
    for number, person in enumerate(people):
        raw, made = root / f"sub-{person}" / "func", results / f"sub-{person}" / "func"
        name = f"sub-{person}_task-rest"
        save(raw / f"{name}_bold.nii.gz", bold_array(number), tr_s=2)
        space = "space-MNI152NLin2009cAsym"
        table = confound_table(seed=number)
        if former:
            bold, mask = f"{name}_bold_{space}_preproc", f"{name}_bold_{space}_brainmask"
            confounds = f"{name}_bold_confounds.tsv"
            names = {"trans_x": "X", "trans_y": "Y", "trans_z": "Z", "rot_x": "RotX"}
            table = table[list(names)].rename(columns=names)
            table["NonSteadyStateOutlier00"] = np.eye(60)[0]
            save(made / f"{name}_bold_space-T1w_extra.nii.gz", bold_array(number), tr_s=2)
        else:
            bold, mask = f"{name}_{space}_desc-preproc_bold", f"{name}_{space}_desc-brain_mask"
            confounds = f"{name}_desc-confounds_timeseries.tsv"
        save(made / f"{bold}.nii.gz", bold_array(number + 5), tr_s=2)
        save(made / f"{mask}.nii.gz", mask_array().astype(np.uint8))
        write_table(made / confounds, table)
    table = pd.DataFrame(
        {"participant_id": [f"sub-{who}" for who in people], "diagnosis": ["CONTROL", "SCHZ"]}
    )
    write_table(root / "participants.tsv", table)
    return root


def write_film_study(root: Path, people: tuple[str, ...] = ("01", "02")) -> Path:
    """The film study with iEEG and fMRI (ds003688): sessions, raw images, other modalities."""
    root.mkdir()
    described = {"Name": "film", "BIDSVersion": "1.6.0", "DatasetType": "raw"}
    (root / "dataset_description.json").write_text(json.dumps(described))
    for number, person in enumerate(people):
        mri = root / f"sub-{person}" / "ses-mri3t"
        name = f"sub-{person}_ses-mri3t_task"
        for task in ("film", "rest"):
            bold = f"{name}-{task}_run-1_bold"
            save(mri / "func" / f"{bold}.nii.gz", bold_array(number), tr_s=0.608)
            sidecar = json.dumps({"RepetitionTime": 0.608, "TaskName": task})
            (mri / "func" / f"{bold}.json").write_text(sidecar)
        save(mri / "anat" / f"sub-{person}_ses-mri3t_run-1_T1w.nii.gz", bold_array(n_trs=1)[..., 0])
        ieeg = root / f"sub-{person}" / "ses-iemu" / "ieeg"
        ieeg.mkdir(parents=True)
        ieeg_name = f"sub-{person}_ses-iemu_task-film_acq-clinical_run-1"
        (ieeg / f"{ieeg_name}_ieeg.vhdr").write_text("Brain Vision Data Exchange Header File\n")
        write_table(
            ieeg / f"{ieeg_name}_events.tsv",
            pd.DataFrame({"onset": [5.0], "duration": [390.0], "trial_type": ["film"]}),
        )
    (root / "stimuli").mkdir()
    return root
