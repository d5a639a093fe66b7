"""A plain ridge on features of the decoded film comes near the exact ceiling."""

from pathlib import Path

import av
import nibabel
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import RidgeCV

from brainreel.simulate.nuisance import MOTION_NAMES
from brainreel.simulate.study import StudyConfig, simulate_study
from brainreel.simulate.truth import StudyTruth

START_S, TR_S, N_TRS, RATE_HZ, DELAYS = 1.0, 1.5, 101, 6.25, range(8)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> StudyTruth:
    config = StudyConfig(
        n_subjects=1,
        film_duration_s=150,
        voxel_size_mm=20,
        frame_size=(24, 32),
        frame_rate_hz=RATE_HZ,
        n_train_pictures=0,
        n_test_pictures=0,
    )
    return simulate_study(tmp_path_factory.mktemp("learnable") / "study", config)


def features(path: Path) -> np.ndarray:
    """Mean, deviation and change of luma, log mel-like bands and level, averaged in TRs."""
    with av.open(str(path)) as container:
        luma = np.stack([f.to_ndarray(format="gray") for f in container.decode(video=0)]) / 255
    with av.open(str(path)) as container:
        sound = np.concatenate([f.to_ndarray() for f in container.decode(audio=0)], axis=1)[0]
    change = np.abs(np.diff(luma, axis=0, prepend=luma[:1])).mean(axis=(1, 2))
    seen = np.stack([luma.mean(axis=(1, 2)), luma.std(axis=(1, 2)), change], axis=1)
    pieces = sound[: len(sound) // 400 * 400].reshape(-1, 400)
    power = np.abs(np.fft.rfft(pieces * np.hamming(400), axis=1)) ** 2
    octaves = np.log2(np.maximum(np.fft.rfftfreq(400, 1 / 16000), 1) / 100)
    bands = [power[:, (octaves >= k / 2) & (octaves < (k + 1) / 2)].sum(axis=1) for k in range(12)]
    level = (pieces**2).mean(axis=1)
    heard = np.log(np.stack([*bands, level], axis=1) + 1e-5)
    dark = np.concatenate([np.zeros(3), np.full(13, np.log(1e-5))])
    rows = np.tile(dark, (N_TRS + len(DELAYS), 1))
    for row in range(len(rows)):
        start_s = (row - len(DELAYS)) * TR_S - START_S
        for columns, values, rate in ((slice(0, 3), seen, RATE_HZ), (slice(3, 16), heard, 40)):
            span = [int(max(np.ceil((start_s + part) * rate), 0)) for part in (0, TR_S)]
            if len(values[slice(*span)]):
                rows[row, columns] = values[slice(*span)].mean(axis=0)
    return np.concatenate([rows[len(DELAYS) - d : len(rows) - d] for d in DELAYS], axis=1)


def cleaning(root: Path, run: int) -> np.ndarray:
    """(T, T) projection: cosines up to 1/128 Hz and motion are taken out."""
    folder = root / "derivatives" / "fmriprep" / "sub-01" / "func"
    name = f"sub-01_task-film_run-{run}_desc-confounds_timeseries.tsv"
    moved = pd.read_csv(folder / name, sep="\t")[list(MOTION_NAMES)].to_numpy()
    order = np.arange(int(2 * N_TRS * TR_S / 128) + 1)
    cosines = np.cos(np.pi * (np.arange(N_TRS)[:, None] + 0.5) * order / N_TRS)
    basis = np.linalg.qr(np.concatenate([cosines, moved], axis=1))[0]
    return np.eye(N_TRS) - basis @ basis.T


def test_ridge_reaches_the_ceiling_on_an_unseen_film(films: StudyTruth) -> None:
    X, Y, P = [], [], []
    for run in (1, 2, 3):
        raw = films.root / "sub-01" / "func" / f"sub-01_task-film_run-{run}_bold.nii.gz"
        volumes = np.asarray(nibabel.load(raw).dataobj).astype(float)
        P.append(cleaning(films.root, run))
        Y.append(P[-1] @ volumes[volumes.std(axis=-1) > 0].T)
        X.append(features(films.root / "stimuli" / f"film-{run}.mp4"))
    mean, std = np.concatenate(X[:2]).mean(axis=0), np.concatenate(X[:2]).std(axis=0)
    X = [projection @ ((x - mean) / std) for projection, x in zip(P, X, strict=True)]
    scale = np.concatenate(Y[:2]).std(axis=0)
    ridge = RidgeCV(alphas=np.logspace(1, 4, 7), alpha_per_target=True)
    ridge.fit(np.concatenate(X[:2]), np.concatenate(Y[:2]) / scale)
    found = ridge.predict(X[2])
    r = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(found.T, Y[2].T, strict=True)])
    truth = films.run("sub-01_task-film_run-3")
    ceiling = truth.ceiling(lambda values: P[2] @ values)
    share = r[truth.tuned] / ceiling[truth.tuned]
    assert 0.6 < np.median(ceiling[truth.tuned]) < 0.9
    # Films of 150 s; the default ones are longer.
    assert 0.85 < np.median(share) < 1
    assert abs(np.median(r[~truth.tuned])) < 0.06
