"""Runs, baselines and controls side by side on the tests that they share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from brainreel.evaluate.scorecard import Scorecard
from brainreel.report.beside import Comparison, make_comparison
from brainreel.report.page import write_report
from brainreel.report.scores import make_tables
from brainreel.report.words import split_words, system_words

NEW, KNOWN = "unseen_person-unseen_film", "seen_person-seen_film"


def numbers(r: float, *, cells: tuple[str, ...] = (NEW, KNOWN), spread: bool = True) -> Scorecard:
    card = Scorecard("")
    for cell in cells:
        scores = {"r_reliable": r, "r_median": r / 2, "identification_2way": 0.6,
                  "identification_10way": r, "spatial_r": 0.97}  # fmt: skip
        scores |= {"coverage_50": 0.4, "coverage_90": 0.85} if spread else {}
        keyed = {f"{cell}:{name}": value for name, value in scores.items()}
        card = card.joined(
            Scorecard(
                "",
                scores=keyed | {f"{cell}:r_reliable/sub-01": r},
                intervals={f"{cell}:r_reliable": (r - 0.1, r + 0.1)},
                p_values={f"{cell}:r_reliable": 0.01},
                ceilings={f"{cell}:inter_subject": 0.5},
                shares={f"{cell}:r_reliable|inter_subject": r / 0.5},
                baselines={f"{cell}:spatial_r": 0.96},
                targets={f"{cell}:coverage_50": 0.5} if spread else {},
            )
        )
    return card


def card_of_cells() -> Scorecard:
    beside = {
        "control:film_noise": numbers(0.01, cells=(NEW,)),
        "mean_volume": numbers(0.0, spread=False),
        "other_people": numbers(0.5, spread=False),
    }
    own = numbers(0.4).joined(Scorecard("", beside=beside))
    protocol = {"fitted_on_test": [KNOWN]}
    return Scorecard(
        "Film to volumes",
        **{part: getattr(own, part) for part in ("scores", "intervals", "p_values", "shares",
                                                 "ceilings", "baselines", "targets", "beside")},
        protocol=protocol,
    )  # fmt: skip


def rows(comparison: Comparison, group: int) -> dict[str, list[str]]:
    return {
        line.name: [entry.value for entry in line.entries]
        for line in comparison.groups[group].lines
    }


def test_a_run_stands_over_its_baselines_and_controls_cell_by_cell() -> None:
    table = make_comparison([("This run", card_of_cells())])
    assert table is not None
    assert table.columns == (
        "r, voxels with a ceiling",
        "r, all voxels",
        "Share of ceiling, other people",
        "10-way identification",
        "Coverage of 50 % intervals",
        "Coverage of 90 % intervals",
        "r over space, which flatters",
    )
    first, second = table.groups
    assert (first.title, first.stamp) == ("unseen person, unseen film part", "")
    assert (second.title, second.stamp) == ("seen person, seen film part", "training data")
    names = ["This run", "Mean volume", "Other people"]
    assert [line.name for line in first.lines] == names
    assert [line.kind for line in first.lines] == ["run", "system", "system"]
    assert [line.name for line in second.lines] == names
    found = rows(table, 0)
    assert found["This run"] == ["0.400", "0.200", "80\u00a0%", "0.400", "0.400", "0.850", "0.970"]
    assert found["Mean volume"][:2] == ["0.000", "0.000"]
    assert found["Mean volume"][4:6] == ["–", "–"]
    assert first.lines[0].entries[0].under == "0.300 to 0.500 · p\u00a00.010"
    assert {name for name, _ in table.meanings} == set(names[1:])


def test_runs_meet_on_the_cells_that_they_share() -> None:
    ridge = numbers(0.3, cells=(KNOWN,), spread=False)
    ridge = ridge.joined(Scorecard("", beside={"mean_volume": numbers(0.0, cells=(KNOWN,))}))
    table = make_comparison([("VAE", card_of_cells()), ("Ridge", ridge)])
    assert table is not None
    assert list(rows(table, 0)) == ["VAE", "Mean volume", "Other people"]
    assert list(rows(table, 1)) == ["VAE", "Ridge", "Mean volume", "Other people"]


def of_test(card: Scorecard, digest: str, n_trs: int = 40) -> Scorecard:
    told = {"n_people": 2, "n_trs": n_trs, "n_voxels": 100, "digest": digest}
    return replace(card, data={"tests": {KNOWN: told}})


def test_runs_of_another_test_stand_apart() -> None:
    """The same name of a split does not make the same test."""
    one, two, other = (
        of_test(numbers(r, cells=(KNOWN,)), digest, n_trs)
        for r, digest, n_trs in ((0.3, "x", 40), (0.4, "x", 40), (0.9, "y", 12))
    )
    table = make_comparison([("One", one), ("Other", other), ("Two", two)])
    assert table is not None
    assert [list(rows(table, i)) for i in range(2)] == [["One", "Two"], ["Other"]]
    assert table.groups[0].stamp == "not the same test data: 40 TRs, 100 voxels of 2 people"
    assert table.groups[1].stamp == "not the same test data: 12 TRs, 100 voxels of 2 people"
    sizes = [{"n_people": 1, "n_trials": 10, "picture_shape": [1, n, n]} for n in (28, 8)]
    cards = [replace(one, data={"tests": {KNOWN: {**s, "digest": str(s)}}}) for s in sizes]
    table = make_comparison([("Large", cards[0]), ("Small", cards[1])])
    assert table is not None
    stamps = [group.stamp for group in table.groups]
    assert stamps[1] == "not the same test data: 10 pictures of 8 x 8 seen by 1 person"
    table = make_comparison([("One", one), ("Old", numbers(0.2, cells=(KNOWN,)))])
    assert table is not None
    assert table.groups[1].stamp == "it is not known whether these are the same test data"
    table = make_comparison([("One", one), ("Two", two)])
    assert table is not None
    assert [group.stamp for group in table.groups] == [""]


def test_voxels_chosen_by_another_ceiling_are_told() -> None:
    exact = replace(numbers(0.3), shares={f"{NEW}:r_reliable|exact": 0.5})
    table = make_comparison([("A", exact), ("B", numbers(0.3))])
    assert table is not None
    (note,) = table.notes
    assert note.endswith("it is not the same ceiling: A, exact; B, other people.")
    table = make_comparison([("A", exact), ("B", exact)])
    assert table is not None
    assert table.notes == ()


def test_nothing_beside_is_no_table() -> None:
    assert make_comparison([("a", numbers(0.4))]) is None
    assert make_comparison([("a", numbers(0.4)), ("b", numbers(0.4))]) is not None
    assert make_comparison([("a", Scorecard("", scores={"ssim": 0.4}))]) is None
    plain = Scorecard("", scores={"r_median": 0.4}, beside={"mean_volume": Scorecard("")})
    assert make_comparison([("a", plain)]) is not None


def test_what_flatters_and_what_is_right_at_one_value_is_no_headline() -> None:
    table = make_tables(card_of_cells(), "voxel")[0]
    assert [row.name.metric for row in table.headlines] == [
        "r_reliable",
        "r_median",
        "identification_10way",
    ]
    row = next(row for row in table.main if row.name.metric == "coverage_50")
    assert (row.value, row.target, row.baseline) == ("0.400", "0.500", "–")
    assert 'class="top"' in str(row.gauge)
    spatial = next(row for row in table.main if row.name.metric == "spatial_r")
    assert "flatters" in spatial.name.words
    assert spatial.baseline == "0.960"


def test_cells_and_systems_in_words() -> None:
    assert split_words("late_seen_person-unseen_film") == "late: seen person, unseen film part"
    assert split_words("hold_out_stimulus") == "hold_out_stimulus"
    assert system_words("control:film_shuffled")[0] == "Film shuffled in time"
    assert system_words("control:upside_down") == ("Upside down", "")


def run_of(folder: Path, card: Scorecard) -> Path:
    folder.mkdir()
    card.save(folder / "scorecard.json")
    (folder / "config.yaml").write_text("seed: 0\n")
    return folder


def test_the_page_shows_the_table_of_one_run_and_of_several(tmp_path: Path) -> None:
    run = run_of(tmp_path / "vae", card_of_cells())
    ridge = run_of(tmp_path / "ridge", numbers(0.3, cells=(KNOWN,), spread=False))
    text = write_report([run], tmp_path / "one.html").read_text()
    assert "Beside it, on the same tests" in text
    assert "Unseen person, unseen film part" in text
    assert "Film replaced" not in text
    assert "fitted on the data of seen person, seen film part; the scores there" in text
    both = write_report([run, ridge], tmp_path / "two.html").read_text()
    assert "Side by side on the same tests" in both
    assert "Beside it" not in both
    assert both.count("<small>seen person, seen film part</small>") > 4
