"""Every shipped recipe: resolves, and runs at toy size to a scorecard and a page.

A new recipe joins by a function that makes its data small, and the overrides that go with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from brainreel.cli.runs import fit as fit_only
from brainreel.cli.runs import run
from brainreel.evaluate.scorecard import Scorecard
from brainreel.fmri.bids import find_runs
from brainreel.fmri.prepare import prepare
from brainreel.simulate.study import StudyConfig, simulate_study
from brainreel.train.recipe import recipe_names

from ..checkpoints.test_from_dc_ldm import ours, theirs
from ..data.fake_mind_vis import write_god
from ..evaluate.test_people_data import store as people_store
from .cases_diffusion import UNET, VQ
from .labelled_media import LISTS, labelled_recipe, simulated_recipe, write_films

FEW = ("scoring.n_permutations=20", "scoring.n_bootstrap=20")
STUDY = StudyConfig(
    n_subjects=2,
    n_films=2,
    film_duration_s=24,
    voxel_size_mm=24,
    frame_size=(32, 48),
    frame_rate_hz=5,
    n_train_pictures=24,
    n_test_pictures=4,
    picture_size=8,
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recipes") / "study"
    simulate_study(root, STUDY)
    prepare(find_runs(root, tasks=["film"]), root.parent / "store")
    write_films(root.parent / "films")
    return root


def small_digits(path: Path) -> Path:
    """30 pictures of 28 x 28 stored column by column, and 12 voxels that see parts of them."""
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 2 + 1
    pictures = np.zeros((30, 28, 28))
    for i, label in enumerate(labels):
        pictures[i, 4:14, 6:20] = 200 * (label == 1) + rng.uniform(0, 55)
        pictures[i, 14:24, 6:20] = 200 * (label == 2) + rng.uniform(0, 55)
    rows = pictures.transpose(0, 2, 1).reshape(30, 784)
    voxels = rows @ rng.normal(size=(784, 12)) / 784 + rng.normal(size=(30, 12))
    savemat(path, {
        "fmriTrn": voxels[:24], "fmriTest": voxels[24:],
        "stimTrn": rows[:24].astype(np.uint8), "stimTest": rows[24:].astype(np.uint8),
        "labelTrn": labels[:24, None], "labelTest": labels[24:, None],
    })  # fmt: skip
    return path


def small_alice(path: Path) -> Path:
    """Four people, the last one constant, and words at random times."""
    rng = np.random.default_rng(0)
    onset = np.sort(rng.uniform(20, 740, 600)).astype(np.float32)
    bold = rng.normal(size=(4, 362, 6)).astype(np.float32)
    bold[3] = 1.0
    np.savez(
        path,
        bold_6mm=bold, tr_s=np.float32(2), subject=np.array(["s1", "s2", "s3", "s33"]),
        roi=np.array(list("abcdef")), word=np.array(["word", "a"] * 300),
        word_onset_s=onset, word_offset_s=onset + np.float32(0.3),
    )  # fmt: skip
    return path


def small_cloud(path: Path) -> Path:
    """Three people, and five scenes in a table beside the file."""
    rng = np.random.default_rng(0)
    bold = rng.normal(size=(3, 300, 5)).astype(np.float16)
    np.savez(path, bold=bold, tr_s=np.float32(0.8))
    rows = [(10 + 40 * i, 8, ("control", "social", "pain")[i % 3]) for i in range(5)]
    lines = ["\t".join(map(str, row)) for row in rows]
    (path.parent / "events.tsv").write_text("\n".join(["onset\tduration\ttrial_type", *lines]))
    return path


def small_people(root: Path) -> list[str]:
    """Four people of two groups; one of each is tested."""
    return [
        f"data.path={people_store(root)}",
        f"data.participants={root / 'participants.tsv'}",
        "data.label=group",
        "data.splits=[{name: given, test_subjects: [sub-03, sub-04]}]",
    ]


SMALL_TFF = "widths: [4, 8], blocks: [1, 1], embedding: 8, heads: 2, layers: 1, hidden: 8"
TINY_VTN = "{name: vtn, depth: 1, heads: 2, frame: {name: vit, width: 8, depth: 1, heads: 2}}"
TWO_STEPS = "trainer={max_epochs: null, max_steps: 2, progress: false}"


def small_stages(*names: str) -> list[str]:
    """Stages of tiny networks that take two steps each."""
    made = []
    for number, name in enumerate(names):
        over_time = SMALL_TFF if name != "tff_autoencoder" else SMALL_TFF.partition(", heads")[0]
        made.append(f"stages.{number}.model={{name: {name}, {over_time}}}")
        made.append(f"stages.{number}.{TWO_STEPS}")
    return made


Maker = Callable[[Path, Path], list[str]]


def small_mask(store: Path) -> list[str]:
    """SC-MBM on four people, two of whom are tested."""
    splits = "[{name: given, test_subjects: [sub-03, sub-04]}]"
    sizes = "{name: sc_mbm, width: 16, depth: 1, heads: 2, decoder_width: 8, decoder_depth: 1,"
    return [
        f"data={{name: people, path: {store}, splits: {splits}}}",
        f"model={sizes} decoder_heads: 2}}",
        TWO_STEPS,
    ]


def small_adapt(folder: Path) -> list[str]:
    """The same, from weights that were fitted before, on the brains that are tested."""
    before = small_mask(people_store(folder))
    fit_only("sc_mbm_pretrain", before, folder / "before", False)
    return [*before, f"task.start_from={folder / 'before'}", "task.transductive=true"]


TINY_ENCODER = "patch: 2, width: 8, depth: 1, heads: 2"
TINY_UNET = "channels: 8, multiples: [1], blocks: 1, attention: [], heads: 2, context: 8"


def small_drawn() -> list[str]:
    """A tiny SC-MBM and a tiny diffusion on it, two steps each."""
    decoder = "decoder_width: 8, decoder_depth: 1, decoder_heads: 2"
    return [
        f"stages.0.model={{name: sc_mbm, {TINY_ENCODER}, {decoder}}}",
        f"stages.0.{TWO_STEPS}",
        f"model.encoder={{{TINY_ENCODER}}}",
        f"model.unet={{{TINY_UNET}, norm_groups: 4}}",
        "task.sampling.steps=2",
        "task.sampling.samples=2",
        "task.guess_parts=3",
        "task.guess.n_folds=3",
        TWO_STEPS,
    ]


def small_god(tmp: Path) -> list[str]:
    """A fake of the study, and of the files that the published training begins with."""
    write_god(tmp / "god", sizes=(100,))
    wide = {"channels": 32, "norm_groups": 32}
    stage = {**VQ, **wide, "scale": 1}
    published = theirs(ours(unet={**UNET, **wide, "heads": 1}, first_stage=stage))
    state = {name: value for name, value in published.items() if "cond" not in name}
    torch.save({"state_dict": state}, tmp / "model.ckpt")
    fit_only("sc_mbm_pretrain", small_mask(people_store(tmp)), tmp / "before", False)
    return [
        f"data={{name: god, path: {tmp / 'god'}}}",
        f"stages.0.task.start_from={tmp / 'before'}",
        f"stages.0.{TWO_STEPS}",
        f"task.start_from={tmp / 'model.ckpt'}",
        "model.encoder={width: 16, depth: 1, heads: 2}",
        "task.sampling.steps=2",
        "task.sampling.samples=2",
        TWO_STEPS,
    ]


RECIPES: dict[str, Maker] = {
    "film_ridge": lambda study, _: [f"data.path={study.parent / 'store'}"],
    "film_encoding": lambda study, _: [
        f"data.path={study.parent / 'store'}",
        "trainer.max_epochs=none",
        "trainer.max_steps=2",
        "trainer.progress=false",
    ],
    "tff_pretrain": lambda study, _: [
        f"data.path={study.parent / 'store'}",
        *small_stages("tff_autoencoder", "tff"),
        "stages.1.task.windows.window_trs=5",
    ],
    "film_vae": lambda study, _: [
        f"data.path={study.parent / 'store'}",
        *small_stages("tff_autoencoder", "tff"),
        "stages.1.task.windows.window_trs=5",
        "task.windows.window_trs=5",
        "data.splits.0.test=4",
        "data.splits.0.gap_s=0",
        "model.widths=[4, 8]",
        "model.embedding=8",
        "model.squeeze=2",
        "model.heads=2",
        "model.hidden=8",
        "model.max_trs=30",
        TWO_STEPS,
    ],
    "film_vae_published": lambda study, _: [
        f"data.path={study.parent / 'store'}",
        *small_stages("tff_autoencoder", "tff"),
        f"model={{name: film_vae, {SMALL_TFF}, backbone: {TINY_VTN}, features: null}}",
        "stages.1.task.windows.window_trs=5",
        "task.windows={window_trs: 5, batch_windows: 1, height: 8, width: 8}",
        "data.splits.0.test=4",
        "data.splits.0.gap_s=0",
        TWO_STEPS,
    ],
    "tff_finetune": lambda _, tmp: [
        *small_people(tmp),
        *small_stages("tff_autoencoder", "tff", "tff_label"),
        "stages.1.task.windows.window_trs=5",
        "task.windows.window_trs=5",
    ],
    "sc_mbm_pretrain": lambda _, tmp: small_mask(people_store(tmp)),
    "sc_mbm_adapt": lambda _, tmp: small_adapt(tmp),
    "pictures_ridge": lambda study, _: [
        f"data.path={study / 'derivatives' / 'trials' / 'sub-01_pictures.npz'}",
        "data.splits.0.n_train=24",
    ],
    "digits69": lambda _, tmp: [
        f"data.path={small_digits(tmp / 'digits.mat')}",
        "data.splits.1.n_folds=2",
        "model.n_folds=3",
    ],
    "digits69_ldm": lambda _, tmp: [
        f"data.path={small_digits(tmp / 'digits.mat')}",
        "data.splits.1.n_folds=2",
        *small_drawn(),
    ],
    "pictures_ldm": lambda study, _: [
        f"data.path={study / 'derivatives' / 'trials' / 'sub-01_pictures.npz'}",
        "data.splits.0.n_train=24",
        *small_drawn(),
    ],
    "first_stage": lambda study, _: [
        f"data.path={study / 'derivatives' / 'trials' / 'sub-01_pictures.npz'}",
        "data.splits.0.n_train=24",
        "model.first_stage.channels=8",
        TWO_STEPS,
    ],
    "mind_vis": lambda _, tmp: small_god(tmp),
    "alice": lambda _, tmp: [f"data.path={small_alice(tmp / 'alice.npz')}"],
    "partlycloudy": lambda _, tmp: [f"data.path={small_cloud(tmp / 'cloud.npz')}"],
}


for labelled in LISTS:
    RECIPES[labelled] = lambda study, tmp, name=labelled: labelled_recipe(  # type: ignore[misc]
        name, study.parent / "films", tmp
    )


for simulated in ("mbt_pairs", "tubevit_motion"):
    RECIPES[simulated] = lambda _, tmp, name=simulated: simulated_recipe(  # type: ignore[misc]
        name, tmp
    )


def test_every_shipped_recipe_is_tried_here() -> None:
    assert set(RECIPES) == set(recipe_names())


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_runs_at_toy_size(study: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    run(name, [*RECIPES[name](study, tmp_path), *FEW], out, False, False)
    card = Scorecard.load(out / "scorecard.json")
    assert card.scores
    assert all(np.isfinite(value) for key, value in card.scores.items() if "/" not in key)
    assert set(card.intervals)
    assert card.protocol["folds"]
    for entry in json.loads((out / "predictions" / "index.json").read_text()):
        assert (out / "predictions" / entry["file"]).is_file()
    page = (out / "report.html").read_text()
    assert card.title in page
    if name == "alice":
        assert "s33 was left out: its signal never changes." in card.notes
        assert "r_median/group" in card.scores
        assert card.ceilings["inter_subject"] is not None
    if name == "tff_pretrain":
        assert "the measured volumes went through the network" in card.protocol["predicted"]
        assert "off: task.loss.vgg" in card.protocol["perceptual loss"]
    if name == "sc_mbm_adapt":
        assert card.protocol["adapted_on_test"] == [str(out)]
        assert "Transductive: the network was trained on the brains of a test part" in page
    if name == "tff_finetune":
        assert set(card.scores) == {"balanced_accuracy", "auroc", "accuracy"}
        assert card.protocol["folds"] == ["given: 2 people train, 2 test"]
        assert (out / "predictions" / "people_given.tsv").is_file()
    if name.startswith("film_vae"):
        cells = {key.partition(":")[0] for key in card.scores}
        assert cells == {
            f"{a}_person-{b}_film" for a in ("seen", "unseen") for b in ("seen", "unseen")
        }
        assert {"mean_volume", "control:film_shuffled", "control:film_noise"} <= set(card.beside)
        assert set(card.data["latents"]) == cells
    if name.endswith("_ldm"):
        assert card.protocol["pictures"]["samples"] == 2
        assert any("control:class_alone" in beside for beside in card.beside)
    if name == "film_encoding":
        assert (out / "metrics.csv").is_file()
    if name in LISTS:
        scores = {
            "mbt_audioset": {"map"},
            "mbt_epic": {"verb_top1", "verb_map", "noun_top1", "noun_map", "action_top1"},
            "tubevit_joint": {"action_top1", "action_map", "object_top1", "object_map"},
        }
        assert set(card.scores) == scores.get(name, {"top1", "map"})
        assert "Class by class" in page


def score_real(data: Path, out: Path, *args: str) -> Scorecard:
    name, file, *overrides = args
    few = ["scoring.n_permutations=100", "scoring.n_bootstrap=100"]
    run(name, [f"data.path={data / file}", *overrides, *few], out, False, False)
    return Scorecard.load(out / "scorecard.json")


DIGITS = ("digits69", "digits69/digit69_28x28.mat")
ALICE = ("alice", "alice/alice.npz")
CLOUD = ("partlycloudy", "partlycloudy/partlycloudy_40.npz")


def test_digits_reach_what_is_published(real_data: Path, tmp_path: Path) -> None:
    card = score_real(real_data, tmp_path / "run", *DIGITS)
    scores, low = card.scores, {key: bounds[0] for key, bounds in card.intervals.items()}
    assert scores["published:pixel_correlation"] >= 0.79
    assert scores["published:mse"] <= 0.038
    assert scores["published:ssim"] >= 0.50
    assert scores["published:identification_2way"] >= 0.93
    assert low["folds:identification_2way"] > 0.8
    assert scores["folds:pixel_correlation"] > card.baselines["folds:pixel_correlation"] + 0.1


def test_shuffled_digits_fall_to_chance(real_data: Path, tmp_path: Path) -> None:
    folds = "data.splits=[{name: stratified, label: folds, n_folds: 10, seed: 0}]"
    card = score_real(real_data, tmp_path / "run", *DIGITS, "data.shuffle_pairs=true", folds)
    assert 0.4 < card.scores["identification_2way"] < 0.6
    assert card.p_values["identification_2way"] > 0.05
    assert card.scores["pixel_correlation"] < card.baselines["pixel_correlation"] + 0.02
    assert "Negative control: brains and pictures were paired at random." in card.notes


def test_a_misaligned_story_loses_and_the_constant_person_is_told(
    real_data: Path, tmp_path: Path
) -> None:
    right = score_real(real_data, tmp_path / "right", *ALICE)
    wrong = score_real(real_data, tmp_path / "wrong", *ALICE, "data.shift_s=10")
    assert 0.07 < right.scores["r_median"] < 0.17
    assert right.scores["r_median/group"] > 0.22
    for key in ("r_median", "r_median/group"):
        assert wrong.scores[key] < right.scores[key] - 0.05
    assert "s33 was left out: its signal never changes." in right.notes
    assert len(right.data["people"]) == 28  # 27 people and their mean
    assert 0.17 < right.ceilings["inter_subject"] < 0.40


def test_partly_cloudy_has_ceilings_and_corrected_p_values(real_data: Path, tmp_path: Path) -> None:
    card = score_real(real_data, tmp_path / "run", *CLOUD)
    assert len(card.data["people"]) == 41
    assert 0.2 < card.ceilings["inter_subject"] < 0.45
    assert 0 <= card.scores["significant_voxels"] < 0.5
    with np.load(tmp_path / "run" / "predictions" / "maps_blocks_group.npz") as maps:
        assert maps["q"].shape == (293,)
        assert (maps["q"] >= maps["p"]).all()
