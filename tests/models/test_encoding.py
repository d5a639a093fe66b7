from __future__ import annotations

import pytest
import torch

from brainreel.errors import ConfigError, DataError
from brainreel.layers.film_windows import FilmWindows
from brainreel.models.encoding import EncodingConfig, EncodingModel
from brainreel.shapes import DataSpec

SPEC = DataSpec(
    subjects=("sub-01", "sub.02"), n_voxels=(5, 3), tr_s=1.5, frame_shape=(3, 8, 8), frames_per_tr=4
)
CONFIG = EncodingConfig.parse(
    {"backbone": {"name": "pixels", "cells": 2}, "features": 6, "hrf_window_s": 4.5, "dropout": 0}
)


def make(config: EncodingConfig = CONFIG, spec: DataSpec = SPEC) -> EncodingModel:
    torch.manual_seed(0)
    return config.build(spec).eval()


def film(windows: int = 2, trs: int = 7) -> torch.Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (windows, trs, 4, 3, 8, 8), dtype=torch.uint8, generator=rng)


def rows(*numbers: int) -> torch.Tensor:
    return torch.tensor(numbers)


@torch.no_grad()
def test_prediction_equals_the_formula_tr_by_tr() -> None:
    model, frames = make(), film()
    assert model.context_trs == 3
    predicted = model(frames, rows(1, 0), rows(1, 0))
    for row, (window, person, n) in enumerate([(1, 1, 3), (0, 0, 5)]):
        readout = model.readouts["sub_02" if person else "sub-01"]
        for t in range(4):
            delayed = []
            for tr in range(t, t + 4):
                vectors = model.backbone.embed(frames[window, tr])
                deviation = (vectors.var(0, unbiased=False) + 1e-5).sqrt()
                pooled = torch.cat([vectors.mean(0), deviation])
                delayed.append(model.project(pooled))
            # The readout's columns run over delays within a feature.
            flat = torch.stack(delayed, dim=1).flatten()
            expected = readout.weight @ flat + readout.bias
            torch.testing.assert_close(predicted[row, t, :n], expected, rtol=1e-4, atol=1e-5)
            assert (predicted[row, t, n:] == 0).all()


@torch.no_grad()
def test_the_model_looks_back_and_never_ahead() -> None:
    model, frames = make(), film(1, trs=9)
    before = model(frames, rows(0), rows(0))
    changed = frames.clone()
    changed[0, 5] = 255 - changed[0, 5]
    moved = (model(changed, rows(0), rows(0)) != before).any(dim=-1)[0]
    # TR 5 of the window reaches the predictions of TRs 5 to 8, which are rows 2 to 5.
    assert moved.tolist() == [False, False, True, True, True, True]


@torch.no_grad()
def test_trs_before_the_run_give_nothing() -> None:
    model, frames = make(), film(1, trs=4)
    shown = torch.tensor([[False, False, True, True]])
    features = model.tr_features(FilmWindows(frames))
    features[:, :2] = 0
    expected = model.readouts["sub-01"](features.transpose(1, 2).flatten(1))
    torch.testing.assert_close(model(frames, rows(0), rows(0), shown)[:, 0], expected)


@torch.no_grad()
def test_motion_is_seen_only_through_the_spread_over_frames() -> None:
    still = film(1)[:, :, :1].expand(-1, -1, 4, -1, -1, -1)
    moving = torch.cat([255 - still[:, :, :2], still[:, :, 2:]], dim=2)
    mean_of_both = EncodingConfig.parse({**CONFIG.to_dict(), "summaries": ["std"]})
    model = make(mean_of_both)
    assert not torch.allclose(
        model(still, rows(0), rows(0)), model(moving, rows(0), rows(0)), atol=1e-3
    )
    assert model(still, rows(0), rows(0)).std(dim=1).max() < 1e-5


def test_people_share_an_encoded_film_and_its_gradient() -> None:
    config = EncodingConfig.parse(
        {**CONFIG.to_dict(), "backbone": {"name": "vit", "width": 8, "heads": 2, "patch": 4}}
    )
    model = make(config)
    together = model(film(1), rows(0, 0), rows(0, 1))
    seen: list[int] = []
    model.backbone.patches.register_forward_hook(lambda _m, given, _o: seen.append(len(given[0])))
    model(film(1), rows(0, 0), rows(0, 1)).sum().backward()
    assert seen == [7 * 4], "frames were encoded once, not once a person"
    apart = [model(film(1), rows(0), rows(who)) for who in (0, 1)]
    torch.testing.assert_close(together, torch.cat(apart), rtol=1e-5, atol=1e-6)


def test_a_person_without_a_row_still_has_a_gradient_of_zero() -> None:
    model = make()
    model(film(1), rows(0), rows(0)).sum().backward()
    grad = model.readouts["sub_02"].weight.grad
    assert grad is not None
    assert (grad == 0).all()


def test_float_frames_are_taken_as_they_are() -> None:
    model, frames = make(), film(1)
    torch.testing.assert_close(
        model(frames, rows(0), rows(0)), model(frames / 255, rows(0), rows(0))
    )


def test_bad_windows_and_people_are_named() -> None:
    model = make()
    with pytest.raises(DataError, match="a window of 3 TRs has none left after 3 TRs of context"):
        model(film(1, trs=3), rows(0), rows(0))
    with pytest.raises(DataError, match="subject holds a number outside 0 to 1"):
        model(film(1), rows(0), rows(2))
    with pytest.raises(DataError, match="no people or no TR"):
        CONFIG.build(DataSpec(frame_shape=(3, 8, 8)))
    with pytest.raises(ConfigError, match=r"'backbone\.name' is 'vitt', which is not known.*'vit'"):
        EncodingConfig.parse({"backbone": {"name": "vitt"}})


@pytest.mark.parametrize(("tr_s", "context"), [(1.5, 8), (0.608, 20), (2.0, 6), (0.1, 120)])
def test_context_covers_the_window_in_whole_trs(tr_s: float, context: int) -> None:
    assert EncodingConfig(hrf_window_s=12).context_trs(tr_s) == context
