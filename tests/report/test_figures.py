from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brainreel.report.figures import (
    ceiling_figure,
    histogram_figure,
    learning_figures,
    nan_mean,
    regions_figure,
)
from brainreel.report.runs import Maps, read_run


def test_mean_leaves_out_what_is_not_defined() -> None:
    values = np.random.default_rng(0).normal(size=(4, 6))
    values[0, 1] = values[2, 1] = np.nan
    values[:, 3] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.nanmean(values, axis=0)
    np.testing.assert_allclose(nan_mean(values), expected)


def test_the_histogram_counts_every_voxel() -> None:
    rng = np.random.default_rng(1)
    r, ceiling = rng.uniform(-0.3, 0.7, 500), rng.uniform(0.2, 0.8, 500)
    figure = histogram_figure(r, ceiling, "exact", "regions")
    (axes,) = figure.axes
    assert axes.get_ylabel() == "regions"
    low, high = axes.get_xlim()
    assert low <= min(r.min(), ceiling.min())
    assert high >= max(r.max(), ceiling.max())
    outline = axes.patches[0].get_xy()
    edges = np.unique(outline[:, 0])
    counts = np.histogram(r, edges)[0]
    assert counts.sum() == 500
    assert outline[:, 1].max() == counts.max()


def test_a_spike_of_the_ceiling_does_not_hide_r() -> None:
    r = np.random.default_rng(2).uniform(0, 0.7, 300)
    figure = histogram_figure(r, np.full(300, 0.05), "exact")
    top = figure.axes[0].get_ylim()[1]
    assert top < 100


@pytest.mark.parametrize("n", [50, 2000], ids=["points", "density"])
def test_r_stands_against_its_ceiling(n: int) -> None:
    rng = np.random.default_rng(3)
    ceiling = rng.uniform(0.1, 0.9, n)
    r = ceiling * 0.8 + rng.normal(0, 0.1, n)
    figure = ceiling_figure(r, ceiling, "exact")
    (axes,) = figure.axes
    (drawn,) = axes.collections
    if n == 50:
        np.testing.assert_allclose(drawn.get_offsets(), np.column_stack([ceiling, r]))
    else:
        assert 20 < len(drawn.get_offsets()) < n
        alpha = drawn.get_facecolor()[:, 3]
        assert alpha.min() < 0.5 < alpha.max() == pytest.approx(1.0)
    x, y = axes.lines[0].get_data()
    np.testing.assert_array_equal(x, y)


def people(n: int) -> list[Maps]:
    rng = np.random.default_rng(4)
    names = tuple(f"area {i}" for i in range(n))
    found = []
    for person in range(3):
        r = rng.uniform(0, 0.5, n)
        r[0] = np.nan
        ceilings = {"inter_subject": np.full(n, 0.4)}
        found.append(Maps("film", f"sub-{person}", r, ceilings=ceilings, names=names))
    return found


def test_regions_stand_in_the_order_of_their_mean() -> None:
    maps = people(9)
    figure = regions_figure(maps, "inter_subject")
    (axes,) = figure.axes
    mean = np.mean([item.r for item in maps], axis=0)
    order = [i for i in np.argsort(-mean) if i != 0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [f"area {i}" for i in order]
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches], mean[order])
    dots = [c.get_offsets()[:, 0] for c in axes.collections if len(c.get_offsets()) == 8]
    np.testing.assert_allclose(dots, [item.r[order] for item in maps])
    texts = {text.get_text() for text in figure.texts}
    assert "ceiling" in texts
    assert "ceiling" not in {t.get_text() for t in regions_figure(maps, None).texts}


def test_many_regions_become_a_falling_curve() -> None:
    figure = regions_figure(people(120), "inter_subject")
    curve = figure.axes[0].lines[0].get_ydata()
    assert len(curve) == 119
    assert np.all(np.diff(curve) <= 0)


def test_learning_curves_join_training_and_validation(deep_run: Path) -> None:
    logs = read_run(deep_run).logs
    assert logs is not None
    panels = dict(learning_figures(logs))
    assert list(panels) == ["loss", "r median", "lr-AdamW"]
    training, validation = panels["loss"].axes[0].lines
    np.testing.assert_allclose(training.get_ydata(), logs["train/loss"].dropna())
    np.testing.assert_allclose(validation.get_xdata(), logs.loc[logs["val/loss"].notna(), "step"])
    assert {"training", "validation"} <= {text.get_text() for text in panels["loss"].texts}


def test_a_quantity_logged_by_step_and_epoch_is_drawn_once() -> None:
    logs = pd.DataFrame(
        {"step": [0, 1, 2], "train_loss_step": [3.0, 2, 1], "train_loss_epoch": [3.0, 2.5, 2]}
    )
    ((name, figure),) = learning_figures(logs)
    assert name == "loss"
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [3, 2.5, 2])


def test_one_point_is_no_curve() -> None:
    assert learning_figures(pd.DataFrame({"step": [0], "loss": [1.0]})) == []
