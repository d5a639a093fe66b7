"""Every backbone, TR by TR: against the network itself on the clip of each TR alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from brainreel.errors import ConfigError, DataError
from brainreel.layers.clip import Clip
from brainreel.models.encoding import EncodingConfig, EncodingModel
from brainreel.shapes import DataSpec

F, S, M, HRF = 2, 8, 8, 2
SPEC = DataSpec(
    subjects=("sub-01", "sub-02"),
    n_voxels=(5, 3),
    tr_s=2.0,
    frame_shape=(3, 16, 16),
    frames_per_tr=F,
    sound_shape=(1, S, M),
)
SMALL = {"width": 8, "depth": 1, "heads": 2}
BACKBONES: dict[str, dict[str, Any]] = {
    "ast": {"name": "ast", "patch": 4, **SMALL},
    "mbt": {"name": "mbt", "sound_patch": [8, 8], **SMALL},
    "tubevit": {
        "name": "tubevit",
        "tubes": [
            {"kernel": [2, 8, 8], "stride": [2, 8, 8]},
            {"kernel": [1, 8, 8], "stride": [4, 8, 8]},
        ],
        **SMALL,
        "width": 12,
    },
    "vtn": {
        "name": "vtn",
        "frame": {"name": "vit", "patch": 8, **SMALL},
        "depth": 1,
        "heads": 2,
        "window": 4,
    },
}


def make(name: str, clip_trs: int | None = 3, **options: Any) -> EncodingModel:
    torch.manual_seed(0)
    given = {"features": 4, "hrf_window_s": 2.0 * HRF, "dropout": 0, "clip_trs": clip_trs}
    config = EncodingConfig.parse({"backbone": BACKBONES[name], **given, **options})
    return config.build(SPEC).eval()


def film(trs: int = 8, seed: int = 1, windows: int = 1) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return {
        "frames": torch.randint(
            0, 256, (windows, trs, F, 3, 16, 16), dtype=torch.uint8, generator=rng
        ),
        "sound": torch.randn(windows, trs, 1, S, M, generator=rng) * 5 - 5,
        "frame_numbers": torch.arange(windows * trs * F).reshape(windows, trs, F) + 40,
        "shown": torch.ones(windows, trs, dtype=torch.bool),
    }


def run(model: EncodingModel, given: dict[str, Tensor]) -> Tensor:
    return model(film=torch.tensor([0]), subject=torch.tensor([0]), **given)


backbones = pytest.mark.parametrize("name", BACKBONES)


@backbones
@torch.no_grad()
def test_prediction_equals_the_formula_tr_by_tr(name: str) -> None:
    model, given = make(name), film()
    assert model.context_trs == HRF + 2
    vectors = []
    for tr in range(2, 8):
        clip = Clip(
            frames=given["frames"][:, tr - 2 : tr + 1].flatten(1, 2),
            sound=torch.cat(list(given["sound"][0, tr - 2 : tr + 1]), dim=1)[None],
            frame_numbers=given["frame_numbers"][:, tr - 2 : tr + 1].flatten(1, 2),
        )
        vectors.append(model.project(model.backbone.features(clip)[0]))
    predicted = run(model, given)
    assert predicted.shape == (1, 8 - HRF - 2, 5)
    readout = model.readouts["sub-01"]
    for row in range(4):
        delayed = torch.stack(vectors[row : row + HRF + 1], dim=1).flatten()
        expected = readout.weight @ delayed + readout.bias
        torch.testing.assert_close(predicted[0, row], expected, rtol=1e-4, atol=1e-5)


@backbones
@torch.no_grad()
def test_the_model_looks_back_and_never_ahead(name: str) -> None:
    model, given = make(name), film(trs=12)
    before = run(model, given)
    senses = EncodingConfig.parse({"backbone": BACKBONES[name]}).senses
    for key, sense in (("frames", "pictures"), ("sound", "sound")):
        changed = {key: value.clone() for key, value in given.items()}
        changed[key][0, 6] = 255 - changed[key][0, 6]
        moved = (run(model, changed) != before).any(dim=-1)[0]
        # TR 6 reaches the clips of TRs 6 to 8, and these the predictions of TRs 6 to 10; row 0 is
        # the prediction of TR 4.
        assert moved.tolist() == [sense in senses and 6 <= row + 4 <= 10 for row in range(8)]


@backbones
@torch.no_grad()
def test_it_does_not_matter_where_windows_are_cut(name: str) -> None:
    model, given = make(name), film(trs=10)
    whole = run(model, given)
    later = run(model, {key: value[:, 3:] for key, value in given.items()})
    torch.testing.assert_close(later, whole[:, 3:], rtol=1e-4, atol=1e-5)


@backbones
@torch.no_grad()
def test_nothing_leaks_in_from_before_the_film(name: str) -> None:
    model, given, other = make(name), film(), film(seed=2)
    for values in (given, other):
        values["shown"][:, :4] = False
    for key in ("frames", "sound"):
        other[key][:, 4:] = given[key][:, 4:]
    torch.testing.assert_close(run(model, other), run(model, given), rtol=0, atol=0)
    seen = {key: value.clone() for key, value in given.items()}
    seen["shown"][:, 3] = True
    assert not torch.allclose(run(model, seen), run(model, given), atol=1e-6)


@torch.no_grad()
def test_frames_that_many_clips_share_are_embedded_once() -> None:
    model = make("vtn")
    seen: list[int] = []
    model.backbone.frame.patches.register_forward_hook(lambda _m, x, _o: seen.append(len(x[0])))
    run(model, film())
    assert sum(seen) == 8 * F


@torch.no_grad()
def test_the_numbers_of_the_frames_tell_when_they_were() -> None:
    model, given = make("vtn"), film()
    later = {**given, "frame_numbers": given["frame_numbers"] * 3}
    assert not torch.allclose(run(model, later), run(model, given), atol=1e-6)


@backbones
def test_people_share_one_encoding_and_its_gradient(name: str) -> None:
    model = make(name).train()
    people = {"film": torch.tensor([0, 0]), "subject": torch.tensor([0, 1])}
    calls: list[int] = []
    model.project.register_forward_hook(lambda _m, x, _o: calls.append(x[0].shape[0]))
    model(**film(), **people).square().sum().backward()
    assert calls == [1]
    for key, parameter in model.backbone.named_parameters():
        assert parameter.grad is not None, f"{key} has no gradient"


@backbones
def test_a_frozen_backbone_learns_nothing_and_drops_nothing(name: str) -> None:
    model = make(name, frozen=True).train()
    assert not model.backbone.training
    assert not any(p.requires_grad for p in model.backbone.parameters())
    first, second = run(model, film()), run(model, film())
    assert torch.equal(first, second)
    first.sum().backward()
    assert model.project.weight.grad is not None
    assert all(p.grad is None for p in model.backbone.parameters())
    assert "backbone" in {key.split(".")[0] for key in model.state_dict()}


def test_what_a_backbone_keeps_frozen_stays_so() -> None:
    model = make("vtn", backbone={**BACKBONES["vtn"], "frozen": True}).train()
    learning = {key.split(".")[1] for key, p in model.named_parameters() if p.requires_grad}
    assert "temporal" in learning
    assert "frame" not in learning
    assert not model.backbone.frame.training


def test_missing_senses_and_clips_of_pictures_are_named() -> None:
    given = film()
    with pytest.raises(DataError, match="the clip has no sound. 'ast' listens"):
        run(make("ast"), {**given, "sound": None})
    with pytest.raises(DataError, match="the windows have no frames"):
        run(make("vtn"), {**given, "frames": None})
    with pytest.raises(DataError, match="a window of 2 TRs is shorter than the 3 TRs of a clip"):
        run(make("ast"), film(trs=2))
    with pytest.raises(ConfigError, match="clip_trs=2 is for networks on clips, and 'vit' looks"):
        EncodingConfig.parse({"backbone": {"name": "vit"}, "clip_trs": 2})


def test_clips_are_of_two_trs_where_none_are_asked_for() -> None:
    assert make("vtn", clip_trs=None).clip_trs == 2
    assert EncodingConfig(hrf_window_s=4).context_trs(2.0) == 2
