"""The table of four cells, and what is left of a score when something is withheld."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from brainreel.evaluate.scorecard import Scorecard
from brainreel.report.cells import make_grids, make_withheld
from brainreel.report.page import write_report
from brainreel.report.words import cell_of

CELLS = {
    "unseen_person-unseen_film": 0.1,
    "seen_person-unseen_film": 0.2,
    "unseen_person-seen_film": 0.3,
    "seen_person-seen_film": 0.4,
}


def card_of(cells: dict[str, float], label: str = "") -> Scorecard:
    card = Scorecard("Cells", protocol={"fitted_on_test": [f"{label}seen_person-seen_film"]})
    for cell, r in cells.items():
        name = f"{label}{cell}"
        scores = {"r_median": r, "r_median/sub-01": r, "identification_10way": 2 * r,
                  "coverage_50": 0.5, "spatial_r": 0.97}  # fmt: skip
        card = card.joined(
            Scorecard(
                "",
                {f"{name}:{key}": value for key, value in scores.items()},
                intervals={f"{name}:r_median": (r - 0.05, r + 0.05)},
                p_values={f"{name}:r_median": 0.01},
                shares={f"{name}:r_median|exact": r / 0.5},
            )
        )
    return card


def held(cells: dict[str, float]) -> Scorecard:
    """Of each cell a tenth is left."""
    scores = {f"{cell}:r_median": r / 10 for cell, r in cells.items()}
    falls = {f"{cell}:r_median": r - r / 10 for cell, r in cells.items()}
    bounds = {f"{name}|fall": (fall - 0.02, fall + 0.02) for name, fall in falls.items()}
    return Scorecard("", scores, bounds, falls=falls)


def test_people_are_rows_and_film_parts_columns() -> None:
    (grid,) = make_grids(card_of(CELLS))
    assert grid.columns == ("Seen film part", "Unseen film part")
    assert [name for name, _ in grid.rows] == ["Seen person", "Unseen person"]
    first = [[dict(q.entries)["r, all voxels"] for q in row if q] for _, row in grid.rows]
    assert [[entry.value for entry in row] for row in first] == [
        ["0.400", "0.200"],
        ["0.300", "0.100"],
    ]
    assert first[1][1].under == "0.050 to 0.150 · p\u00a00.010"
    corner = grid.rows[1][1][1]
    assert corner is not None
    assert [name for name, _ in corner.entries] == [
        "r, all voxels",
        "Share of ceiling, exact",
        "10-way identification",
        "Coverage of 50 % intervals",
        "r over space, which flatters",
    ]
    assert dict(corner.entries)["Share of ceiling, exact"].value == "20\u00a0%"
    stamps = [[q.stamp for q in row if q] for _, row in grid.rows]
    assert stamps == [["training data", ""], ["", ""]]


def test_cells_that_were_not_tested_are_empty_and_one_alone_is_no_table() -> None:
    without = {name: r for name, r in CELLS.items() if name != "seen_person-seen_film"}
    (grid,) = make_grids(card_of(without))
    assert grid.rows[0][1][0] is None
    seen = {name: r for name, r in CELLS.items() if name.startswith("seen_person")}
    (grid,) = make_grids(card_of(seen))
    assert [name for name, _ in grid.rows] == ["Seen person"]
    assert make_grids(card_of({"seen_person-unseen_film": 0.2})) == ()
    assert make_grids(card_of({"blocks": 0.2, "film": 0.3})) == ()


def test_every_split_of_cells_has_a_table() -> None:
    both = card_of(CELLS).joined(card_of(CELLS, "late_"))
    assert [grid.title for grid in make_grids(both)] == ["", "late"]
    cell = cell_of("late_unseen_person-seen_film")
    assert cell is not None
    assert (cell.label, cell.seen_person, cell.seen_film) == ("late", False, True)
    assert cell_of("hold_out_stimulus") is None


def test_what_is_left_stands_with_its_fall() -> None:
    new = {name: r for name, r in CELLS.items() if name != "seen_person-seen_film"}
    beside = {"mean_volume": card_of(CELLS), "control:film_noise": held(new)}
    table = make_withheld(replace(card_of(CELLS), beside=beside))
    assert table is not None
    assert table.score == "r, all voxels"
    assert table.columns == (
        "unseen person, unseen film part",
        "seen person, unseen film part",
        "unseen person, seen film part",
    )
    (real, entries), (control, left) = table.rows
    assert (real, control) == ("As it is", "Noise for the film")
    assert [entry.value for entry in entries] == ["0.100", "0.200", "0.300"]
    assert [entry.value for entry in left] == ["0.010", "0.020", "0.030"]
    assert left[1].under == "falls by 0.180, 0.160 to 0.200"
    assert table.meanings[0][1].startswith("The same model, shown white noise")
    older = replace(held(new), falls={}, p_values={f"{name}:r_median": 0.5 for name in new})
    table = make_withheld(replace(card_of(CELLS), beside={"control:film_noise": older}))
    assert table is not None
    assert table.rows[1][1][0].under == "p\u00a00.500"


@pytest.mark.parametrize("beside", [{}, {"mean_volume": held(CELLS)}])
def test_without_controls_nothing_is_withheld(beside: dict[str, Scorecard]) -> None:
    assert make_withheld(replace(card_of(CELLS), beside=beside)) is None
    assert make_withheld(Scorecard("", {"ssim": 0.3}, beside={"control:x": held(CELLS)})) is None


def test_a_single_test_needs_no_name() -> None:
    card = Scorecard("", {"r_median": 0.4}, beside={"control:film_noise": held({})})
    assert make_withheld(card) is None
    control = Scorecard("", {"r_median": 0.1}, falls={"r_median": 0.3})
    table = make_withheld(replace(card, beside={"control:film_noise": control}))
    assert table is not None
    assert table.columns == ("Test",)
    assert table.rows[1][1][0].under == "falls by 0.300"


def test_the_page_shows_both(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("seed: 0\n")
    replace(card_of(CELLS), beside={"control:film_noise": held(CELLS)}).save(run / "scorecard.json")
    text = write_report([run], tmp_path / "page.html").read_text()
    for words in (
        "Seen and unseen",
        '<th scope="row">Unseen person</th>',
        '<p class="mark">training data</p>',
        "All scores, cell by cell",
        "What of it is the film&#39;s, and what the person&#39;s?".replace("&#39;", "'"),
        "falls by 0.090, 0.070 to 0.110",
    ):
        assert words in text
    assert "Beside it, on the same tests" not in text
