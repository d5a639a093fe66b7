"""Run folders with synthetic numbers, laid out as an evaluation leaves them."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import nibabel as nib
import numpy as np
import pytest

PEOPLE = ("sub-01", "sub-02", "sub-03")
TR_S, N_TRS, FILM_S = 1.5, 96, 144
REGIONS = {"visual": (0, -86, 4), "auditory": (54, -20, 8), "both": (46, -50, 12)}


def brain_mask(step_mm: float = 12.0) -> nib.Nifti1Image:
    affine = np.diag([step_mm, step_mm, step_mm, 1.0])
    affine[:3, 3] = (-72, -108, -60)
    shape = tuple(int(extent / step_mm) + 1 for extent in (144, 180, 132))
    places = np.argwhere(np.ones(shape)) * step_mm + affine[:3, 3]
    inside = (((places - (0, -18, 8)) / (67, 85, 60)) ** 2).sum(axis=1) < 1
    return nib.Nifti1Image(inside.reshape(shape).astype(np.uint8), affine)


def write_film(path: Path, seconds: int = FILM_S, rate_hz: int = 5) -> Path:
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:72, :96] / 72
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate_hz)
        stream.width, stream.height, stream.pix_fmt = 96, 72, "yuv420p"
        stream.codec_context.time_base = Fraction(1, rate_hz)
        for i in range(seconds * rate_hz):
            if i % (7 * rate_hz) == 0:
                tint, wave, speed = (
                    rng.uniform(40, 220, 3),
                    rng.uniform(4, 16, 2),
                    rng.uniform(1, 4),
                )
            texture = np.sin(wave[0] * x + wave[1] * y + speed * i / rate_hz)
            ball = (x - 0.66 - 0.4 * np.sin(i / 9)) ** 2 + (y - 0.5) ** 2 < 0.05
            picture = tint + 40 * texture[..., None] + 90 * ball[..., None]
            frame = av.VideoFrame.from_ndarray(
                np.clip(picture, 0, 255).astype(np.uint8), format="rgb24"
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def smooth_noise(rng: np.random.Generator, n_trs: int, n_columns: int) -> np.ndarray:
    white = rng.standard_normal((n_trs + 4, n_columns))
    kernel = np.hanning(7)[1:-1][:, None]
    series = np.stack([(white[i : i + 5] * kernel).sum(axis=0) for i in range(n_trs)])
    return series / series.std(axis=0)


def voxel_truth(mask: nib.Nifti1Image) -> tuple[np.ndarray, np.ndarray]:
    """Exact ceiling and region of every voxel: bumps of tuning in a silent brain."""
    places = np.argwhere(mask.get_fdata() > 0) * mask.affine[0, 0] + mask.affine[:3, 3]
    names = np.full(len(places), "silent", dtype="<U8")
    ceiling = np.zeros(len(places))
    for name, centre in REGIONS.items():
        offset = (
            np.abs(places) * (1, 0, 0) + places * (0, 1, 1) - np.abs(centre) * np.array([1, 0, 0])
        )
        offset -= np.array([0, centre[1], centre[2]])
        bump = 0.84 * np.exp(-(offset**2).sum(axis=1) / (2 * 24**2))
        names[(bump > ceiling) & (bump > 0.35)] = name
        ceiling = np.maximum(ceiling, bump)
    return np.where(names == "silent", 0.02, ceiling), names


def write_bold(
    folder: Path,
    film: Path | None,
    *,
    quality: float,
    columns: tuple[np.ndarray, list[str]],
    mask: nib.Nifti1Image | None = None,
    people: tuple[str, ...] = PEOPLE,
    estimator: str = "exact",
    seed: int = 0,
) -> dict[str, np.ndarray]:
    home = folder / "predictions"
    home.mkdir(parents=True)
    if mask is not None:
        nib.save(mask, home / "mask.nii.gz")
    ceiling, names = columns
    found, index = {}, []
    for i, person in enumerate(people):
        rng = np.random.default_rng(100 * seed + i)
        signal, noise, wrong = (smooth_noise(rng, N_TRS, len(ceiling)) for _ in range(3))
        measured = ceiling * signal + np.sqrt(1 - ceiling**2) * noise
        predicted = ceiling * (quality * signal + np.sqrt(1 - quality**2) * wrong)
        a, b = (x - x.mean(axis=0) for x in (predicted, measured))
        r = (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
        r[0] = np.nan
        found[person] = r
        q = np.where(np.nan_to_num(r) > 0.3, 0.004, 0.6)
        np.savez(
            home / f"film_{person}.npz",
            predicted=predicted.astype(np.float32),
            measured=measured.astype(np.float32),
            segment=np.zeros(N_TRS, int),
            film_time_s=np.arange(N_TRS) * TR_S,
        )
        np.savez(
            home / f"maps_film_{person}.npz",
            r=r,
            p=q / 2,
            q=q,
            names=np.array(names),
            **{f"ceiling_{estimator}": ceiling},
        )
        index.append(
            {
                "file": f"film_{person}.npz",
                "kind": "bold",
                "split": "film",
                "fold": "film-3",
                "subject": person,
                "film": None if film is None else str(film),
                "tr_s": TR_S,
                "mask": None if mask is None else "mask.nii.gz",
                "maps": f"maps_film_{person}.npz",
            }
        )
    (home / "index.json").write_text(json.dumps(index))
    return found


def card_of_bold(title: str, r: dict[str, np.ndarray], estimator: str, ceiling: float) -> dict:
    overall = float(np.nanmedian(np.concatenate([x[np.nan_to_num(x) > 0.3] for x in r.values()])))
    medians = {f"r_median/{name}": float(np.nanmedian(x)) for name, x in r.items()}
    reliable = {f"r_reliable/{name}": overall for name in r}
    return {
        "title": title,
        "scores": {
            "r_median": float(np.mean(list(medians.values()))),
            "r2_median": overall**2 * 0.9,
            "significant_voxels": 0.31,
            "r_reliable": overall,
            "identification_10way": 0.83,
            **medians,
            **reliable,
        },
        "intervals": {
            "r_reliable": [overall - 0.04, overall + 0.035],
            f"r_reliable|{estimator}": [0.76, 0.85],
            "identification_10way": [0.74, 0.9],
            **{key: [value - 0.07, value + 0.07] for key, value in medians.items()},
        },
        "ceilings": {estimator: ceiling, **{f"{estimator}/{name}": ceiling for name in r}},
        "p_values": {"r_median": 0.001, "identification_10way": 0.001},
        "baselines": {"r_median": 0.0, "identification_10way": 0.1, "r2_median": 0.0},
        "shares": {
            f"r_reliable|{estimator}": overall / ceiling,
            **{f"r_reliable|{estimator}/{name}": overall / ceiling for name in r},
        },
        "protocol": {
            "question": "How much of each voxel's response to a film never seen in training do "
            "low-level features of picture and sound predict?",
            "task": "feature_ridge",
            "model": "banded_ridge",
            "splits": [
                {
                    "name": "hold_out_stimulus",
                    "label": "",
                    "gap_s": 16.0,
                    "test_stimuli": ["film-3"],
                }
            ],
            "folds": ["hold_out_stimulus: 480 TRs train, 288 TRs test, over all people"],
            "fitted_on_test": False,
            "scoring": {
                "n_permutations": 1000,
                "n_bootstrap": 1000,
                "level": 0.95,
                "block_s": 20.0,
                "segment_s": 15.0,
                "ceiling_floor": 0.1,
            },
            "seed": 0,
        },
        "data": {
            "people": list(r),
            "voxels": {name: {"n_voxels": len(x)} for name, x in r.items()},
            "sources": {"film-3.mp4": "9f2c" * 16},
        },
        "versions": {"brainreel": "0.1.0", "numpy": "2.4.6", "torch": "2.13.0"},
        "notes": ["One voxel without variance is left out."],
    }


def finish(folder: Path, card: dict, config: str) -> Path:
    (folder / "scorecard.json").write_text(json.dumps(card))
    (folder / "config.yaml").write_text(config)
    (folder / "spec.json").write_text("{}")
    return folder


def write_logs(path: Path) -> None:
    rng = np.random.default_rng(3)
    lines = ["epoch,step,train/loss,val/loss,val/r_median,lr-AdamW"]
    for step in range(0, 400, 10):
        fall = np.exp(-step / 120)
        lines.append(
            f"{step // 50},{step},{0.4 + 0.6 * fall + rng.normal(0, 0.02):.4f},,,"
            f"{3e-4 * min(1, (step + 1) / 60):.2e}"
        )
        if step % 50 == 40:
            lines.append(f"{step // 50},{step},,{0.5 + 0.5 * fall:.4f},{0.5 * (1 - fall):.4f},")
    path.write_text("\n".join(lines) + "\n")


def glyphs(rng: np.random.Generator, n: int, size: int = 24) -> tuple[np.ndarray, np.ndarray]:
    y, x = (np.mgrid[:size, :size] - size / 2 + 0.5) / (size / 2)
    shapes = [
        np.abs(np.hypot(x, y) - 0.6) < 0.18,
        np.abs(x) < 0.18,
        np.abs(y) < 0.18,
        (np.abs(x) < 0.2) | (np.abs(y) < 0.2),
        np.abs(x - y) < 0.25,
        (np.maximum(np.abs(x), np.abs(y)) < 0.7) & (np.maximum(np.abs(x), np.abs(y)) > 0.4),
    ]
    labels = rng.integers(0, len(shapes), n)
    moved = [np.roll(shapes[i], rng.integers(-2, 3, 2), (0, 1)) for i in labels]
    return np.stack(moved)[:, None].astype(np.float32), labels


def write_pictures(folder: Path) -> Path:
    home = folder / "predictions"
    home.mkdir(parents=True)
    index = []
    for i, person in enumerate(PEOPLE[:2]):
        rng = np.random.default_rng(i)
        true, labels = glyphs(rng, 40)
        blurred = sum(np.roll(true, (a, b), (2, 3)) for a in (-1, 0, 1) for b in (-1, 0, 1)) / 9
        predicted = np.clip(0.75 * blurred + rng.normal(0.08, 0.1, true.shape), 0, 1)
        np.savez(
            home / f"pictures_{person}.npz",
            predicted=predicted.astype(np.float32),
            true=true,
            labels=labels,
        )
        index.append(
            {
                "file": f"pictures_{person}.npz",
                "kind": "pictures",
                "split": "given",
                "fold": "given",
                "subject": person,
            }
        )
    (home / "index.json").write_text(json.dumps(index))
    card = {
        "title": "Pictures read from visual cortex",
        "scores": {
            "pixel_correlation": 0.78,
            "identification_2way": 0.95,
            "ssim": 0.41,
            "mse": 0.052,
            "pixel_correlation/sub-01": 0.8,
            "pixel_correlation/sub-02": 0.76,
        },
        "intervals": {
            "pixel_correlation": [0.74, 0.81],
            "identification_2way": [0.92, 0.97],
            "ssim": [0.37, 0.45],
            "mse": [0.047, 0.057],
        },
        "baselines": {"pixel_correlation": 0.31, "identification_2way": 0.5, "mse": 0.13},
        "p_values": {"identification_2way": 0.001},
        "protocol": {
            "question": "What does ridge regression from voxels to pixels reconstruct of "
            "pictures it has not seen?",
            "splits": [{"name": "stratified", "n_folds": 10}],
            "scoring": {"n_permutations": 1000, "n_bootstrap": 1000, "level": 0.95},
        },
        "data": {"people": list(PEOPLE[:2]), "n_trials": 40},
        "versions": {"brainreel": "0.1.0"},
    }
    return finish(folder, card, "seed: 0\nmodel:\n  name: ridge\n")


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "film-3.mp4")


@pytest.fixture(scope="session")
def ridge_run(tmp_path_factory: pytest.TempPathFactory, film: Path) -> Path:
    return make_ridge(tmp_path_factory.mktemp("runs") / "ridge", film)


@pytest.fixture(scope="session")
def deep_run(tmp_path_factory: pytest.TempPathFactory, film: Path) -> Path:
    return make_deep(tmp_path_factory.mktemp("runs") / "deep", film)


@pytest.fixture(scope="session")
def pictures_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("runs") / "pictures")


@pytest.fixture(scope="session")
def regions_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_regions(tmp_path_factory.mktemp("runs") / "regions", 12)


def make_ridge(folder: Path, film: Path | None, step_mm: float = 12.0) -> Path:
    mask = brain_mask(step_mm)
    columns = voxel_truth(mask)
    r = write_bold(folder, film, quality=0.95, columns=columns, mask=mask)
    card = card_of_bold("Banded ridge: film and sound to voxels", r, "exact", 0.66)
    return finish(folder, card, "seed: 0\nmodel:\n  name: banded_ridge\n  delays_s: [3, 4.5, 6]\n")


def make_deep(folder: Path, film: Path | None, step_mm: float = 12.0) -> Path:
    mask = brain_mask(step_mm)
    columns = voxel_truth(mask)
    r = write_bold(folder, film, quality=0.7, columns=columns, mask=mask, seed=1)
    write_logs(folder / "metrics.csv")
    card = card_of_bold("A small ViT: film to voxels", r, "exact", 0.66)
    card["notes"].append("Negative control: the film was shifted by 10 s.")
    return finish(folder, card, "seed: 0\nmodel:\n  name: encoding\n")


def make_regions(folder: Path, n: int) -> Path:
    rng = np.random.default_rng(8)
    ceiling = np.sort(rng.uniform(0.05, 0.6, n))
    names = [f"region {i + 1}" for i in range(n)]
    people = tuple(f"sub-{i + 1:02d}" for i in range(6))
    r = write_bold(
        folder,
        None,
        quality=0.8,
        columns=(ceiling, names),
        people=people,
        estimator="leave_one_out",
        seed=2,
    )
    card = card_of_bold(
        "Spoken words to brain regions", r, "leave_one_out", float(np.median(ceiling))
    )
    return finish(folder, card, "seed: 0\nmodel:\n  name: ridge\n")
