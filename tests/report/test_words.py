from __future__ import annotations

import math

import pytest

from brainreel.report.words import (
    ScoreName,
    ceiling_words,
    interval,
    label,
    number,
    p_value,
    percent,
    plain_rows,
)


def test_a_score_key_comes_apart() -> None:
    name = ScoreName.parse("blocks:r_median/sub-01")
    assert (name.split, name.metric, name.person) == ("blocks", "r_median", "sub-01")
    assert ScoreName.parse("ssim") == ScoreName("ssim", "", "ssim", "")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("r_median", "Correlation r, all voxels"),
        ("r_reliable", "Correlation r, voxels with a ceiling"),
        ("significant_voxels", "Share of voxels with q < 0.05"),
        ("identification_10way/sub-02", "10-way identification"),
        ("mse", "Mean squared error"),
        ("top_5", "Top-5 accuracy"),
        ("my_own_score", "My own score"),
    ],
)
def test_scores_have_names_that_can_be_read(key: str, words: str) -> None:
    assert ScoreName.parse(key).words == words


def test_regions_are_not_called_voxels() -> None:
    name = ScoreName.parse("r_median", "region")
    assert name.words == "Correlation r, all regions"
    assert "voxel" not in name.meaning


def test_only_errors_are_better_when_low() -> None:
    assert ScoreName.parse("mse").lower_is_better
    assert not ScoreName.parse("ssim").lower_is_better


def test_the_meaning_names_the_number_of_candidates() -> None:
    assert "one of 7 candidates" in ScoreName.parse("identification_7way").meaning
    assert ScoreName.parse("my_own_score").meaning == ""


def test_numbers_are_written_for_a_table() -> None:
    assert [number(x) for x in (0.12345, -0.5, 23.456, math.nan, None)] == [
        "0.123", "−0.500", "23.5", "–", "–",
    ]  # fmt: skip
    assert [percent(x) for x in (0.914, math.nan)] == ["91\u00a0%", "–"]
    assert [p_value(x) for x in (0.0421, 0.00001, None)] == ["0.042", "< 0.001", "–"]
    assert interval((0.1, 0.2)) == "0.100 to 0.200"
    assert interval((math.nan, 0.2)) == interval(None) == ""


def test_ceilings_are_named_with_split_and_person_taken_off() -> None:
    assert ceiling_words("blocks:exact/sub-01")[0] == "exact"
    assert ceiling_words("inter_subject")[0] == "other people"
    assert ceiling_words("new_kind") == ("new kind", "")


def test_keys_become_labels_with_units() -> None:
    assert label("n_permutations") == "Number of permutations"
    assert label("high_pass_hz") == "High pass (Hz)"
    assert label("gap_s") == "Gap (s)"


def test_a_protocol_becomes_lines() -> None:
    content = {"seed": 3, "empty": [], "none": None, "clean": {"on": True, "low_hz": [0.1, 0.25]}}
    assert list(plain_rows(content)) == [
        ("Seed", "3"),
        ("Clean: on", "yes"),
        ("Clean: low (Hz)", "0.1, 0.25"),
    ]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("class_50way_top1", "50-way top-1 by a classifier"),
        ("identification_2way_by_mse", "2-way identification by squared error"),
        ("identification_2way_by_net.blocks.4", "2-way identification, net.blocks.4"),
        ("ssim_each", "Structural similarity (SSIM) (each sample)"),
        ("lpips_best", "Perceptual distance (LPIPS form) (best sample, picked by the truth)"),
        ("frechet_distance_net.pooled", "Fréchet distance, net.pooled"),
    ],
)
def test_scores_of_pictures_have_names_that_can_be_read(key: str, words: str) -> None:
    name = ScoreName.parse(key)
    assert name.words == words
    assert name.meaning


def test_what_a_score_is_made_of_does_not_make_it_an_error() -> None:
    assert not ScoreName.parse("identification_2way_by_mse").lower_is_better
    assert ScoreName.parse("feature_distance_net.pooled").lower_is_better
    assert ScoreName.parse("lpips_each").lower_is_better


def test_the_best_of_several_flatters() -> None:
    assert ScoreName.parse("ssim_best").flatters
    assert not ScoreName.parse("ssim_each").flatters
    assert "picked with the true picture in sight" in ScoreName.parse("ssim_best").meaning
