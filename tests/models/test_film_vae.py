from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from brainreel.errors import ConfigError, DataError
from brainreel.layers.film_windows import FilmWindows
from brainreel.models.film_vae import FilmVAE, FilmVAEConfig
from brainreel.models.tff import TFF, TFFConfig

from ..contracts.cases_volumes import CASES, film_inputs

CASE = CASES["film_vae"]


def built(**options: Any) -> FilmVAE:
    torch.manual_seed(0)
    config = FilmVAEConfig.parse({**CASE.config.to_dict(), **options})
    return config.build(CASE.spec).eval()


@torch.no_grad()
def test_it_begins_as_the_tff_that_handed_its_weights_on() -> None:
    model = built(start_std=0.2)
    options = {k: v for k, v in CASE.config.to_dict().items() if k in TFFConfig.model_fields}
    tff = TFF(TFFConfig.parse({**options, "name": "tff"}), CASE.spec).eval()
    model.load_state_dict(tff.state_dict(), strict=False)
    given = film_inputs()
    out = model(**given)
    torch.testing.assert_close(out.reconstructed, tff(given["volumes"]))
    torch.testing.assert_close(out.posterior.log_std.exp(), torch.full((3, 2, 8), 0.2))


@torch.no_grad()
def test_the_prior_adds_the_means_and_the_deviations_of_person_and_film() -> None:
    model, given = built(), film_inputs()
    prior = model.prior(given["film"], given["reference"], given["row"])
    person = model.posterior(given["reference"][:, None])
    mean, log_std = model.prior_head(model.film_vectors(given["film"])).chunk(2, dim=-1)
    torch.testing.assert_close(prior.mean, person.mean + mean[given["row"]])
    std = person.log_std.exp() + log_std[given["row"]].exp()
    torch.testing.assert_close(prior.log_std.exp(), std)


@torch.no_grad()
@pytest.mark.parametrize(("delay_s", "window_s"), [(0.0, 0.0), (0.0, 4.0), (4.0, 0.0), (3.0, 2.0)])
def test_a_volume_sees_the_film_of_its_delays_and_no_other(delay_s: float, window_s: float) -> None:
    model = built(hrf_delay_s=delay_s, hrf_window_s=window_s)
    lag, back = round(delay_s / 2 + 1e-9), int(window_s / 2)
    assert model.context_trs == lag + back
    n_trs = 3
    frames = torch.rand(1, model.context_trs + n_trs, 2, 3, 8, 12)
    plain = model.film_vectors(FilmWindows(frames))
    assert plain.shape[:2] == (1, n_trs)
    for tr in range(model.context_trs + n_trs):
        changed = frames.clone()
        changed[:, tr] += 1
        moved = (model.film_vectors(FilmWindows(changed)) != plain).any(-1)[0]
        own = [v + model.context_trs for v in range(n_trs)]
        assert moved.tolist() == [v - lag - back <= tr <= v - lag for v in own]


@torch.no_grad()
def test_where_windows_are_cut_does_not_matter_to_the_prior() -> None:
    model = built()
    reference, row = film_inputs()["reference"][:1], torch.tensor([0])
    frames = torch.rand(1, model.context_trs + 6, 2, 3, 8, 12)
    whole = model.prior(FilmWindows(frames), reference, row).mean
    halves = [
        model.prior(FilmWindows(frames[:, a : a + 3 + model.context_trs]), reference, row).mean
        for a in (0, 3)
    ]
    torch.testing.assert_close(torch.cat(halves, 1), whole)


def test_it_draws_in_training_alone() -> None:
    model, given = built(), film_inputs()
    assert torch.equal(model(**given).reconstructed, model(**given).reconstructed)
    model.train()
    assert not torch.equal(model(**given).reconstructed, model(**given).reconstructed)
    drawn = [model.eval()(**{**given, "imagine": "draw"}).imagined for _ in range(2)]
    assert not torch.equal(*drawn)


def test_film_of_another_length_is_refused() -> None:
    given = film_inputs()
    film = FilmWindows(given["film"].frames[:, 1:])
    with pytest.raises(DataError, match="2 volumes meet film of 1 TRs after its context"):
        built()(**{**given, "film": film})


def test_data_without_time_is_refused() -> None:
    with pytest.raises(DataError, match="has no TR"):
        CASE.config.build(replace(CASE.spec, tr_s=0.0))


def test_levels_of_widths_and_blocks_must_be_as_many() -> None:
    with pytest.raises(ConfigError, match="blocks has 4 levels and widths 2; give one number"):
        FilmVAEConfig.parse({"widths": [4, 8]}, where="model")
