from __future__ import annotations

import itertools
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from brainreel.errors import DataError, OutputError
from brainreel.report.page import named_cards, write_report
from brainreel.report.runs import read_run

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Collects what the tests ask of a page, and checks that every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def joint(
    tmp_path_factory: pytest.TempPathFactory, ridge_run: Path, deep_run: Path, pictures_run: Path
) -> Path:
    out = tmp_path_factory.mktemp("page") / "report.html"
    return write_report([ridge_run, deep_run, pictures_run], out)


@pytest.fixture(scope="module")
def page(joint: Path) -> Page:
    return Page(joint.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory, regions_run: Path) -> Page:
    folder = tmp_path_factory.mktemp("regions")
    assert write_report([regions_run], folder, title="Six people") == folder / "report.html"
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_the_page_needs_nothing_else(joint: Path, page: Page) -> None:
    text = joint.read_text(encoding="utf-8")
    assert page.of("script") == [{}]
    assert not page.of("link")
    assert all(
        found.startswith("data:image/webp;base64,")
        for found in re.findall(r"url\((?!#)([^)]{0,40})", text)
    )
    assert "@import" not in text
    links = re.findall(r"""(?:href|src)=["']([^"']*)""", text)
    assert links
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    namespaces = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r"https?://[^\"' )<]+", text)) <= namespaces
    assert len(text) < 6e6


def test_ids_are_unique_and_links_inside_the_page_arrive(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = {str(a["href"])[1:] for a in page.of("a")}
    assert {"run-1", "run-2", "run-3"} <= wanted
    assert wanted <= set(ids)


def test_every_figure_says_what_it_shows(page: Page) -> None:
    assert page.of("img")
    assert all(image.get("alt") for image in page.of("img"))
    drawings = page.of("svg")
    assert all(svg.get("aria-label") or svg.get("aria-hidden") == "true" for svg in drawings)
    told = [str(svg["aria-label"]) for svg in drawings if svg.get("aria-label")]
    for start in ("Glass brain", "Inflated cortex", "Histogram", "Predicted and measured",
                  "Learning curve of loss"):  # fmt: skip
        assert any(label.startswith(start) for label in told)


def test_headings_go_down_one_level_at_a_time(page: Page, regions: Page) -> None:
    for one in (page, regions):
        levels = [int(tag[1]) for tag, _ in one.elements if re.fullmatch(r"h[1-6]", tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_the_joint_table_opens_with_every_run(page: Page, joint: Path, ridge_run: Path) -> None:
    table = Page(re.findall(r"<table.*?</table>", joint.read_text(), re.DOTALL)[0])
    for title in ("Banded ridge: film and sound to voxels", "A small ViT: film to voxels",
                  "Pictures read from visual cortex"):  # fmt: skip
        assert title in table.words
    card = json.loads((ridge_run / "scorecard.json").read_text())
    for name, value in card["scores"].items():
        if "/" not in name:
            assert f"{value:.3f}" in table.words
    assert "sub-01" not in table.words
    assert "76 to 85" in table.words
    assert len(table.of("th")) == 8 + 3 + 5 + 5 + 4


def test_people_configuration_and_digests_are_folded(page: Page) -> None:
    for word in ("Person by person", "Configuration", "Data and digests", "Versions",
                 "What these numbers mean"):  # fmt: skip
        assert word in page.words
    assert len(page.of("details")) == len(page.of("summary")) > 10
    assert "9f2c" * 16 in page.words
    assert "delays_s: [3, 4.5, 6]" in page.words


def test_the_page_tells_how_it_was_scored_and_how_to_repeat_it(page: Page, ridge_run: Path) -> None:
    assert "Tested on films that nobody saw in training: film-3." in page.words
    assert f"brainreel run {ridge_run / 'config.yaml'} --out {ridge_run}-again" in page.words
    assert "Mind this. Negative control: the film was shifted by 10 s." in page.words
    assert "· mind: Negative control: the film was shifted by 10 s." in page.words


def test_pictures_stand_in_pairs(page: Page) -> None:
    assert len(page.of("img")) == 2 * 2 * 24
    assert "24 of 40 test pictures, taken evenly and not by quality" in page.words


def test_dark_light_narrow_and_print_have_their_rules(joint: Path) -> None:
    text = joint.read_text(encoding="utf-8")
    for rule in ("prefers-color-scheme:dark", "@media print", "@media (max-width"):
        assert rule in text
    assert 'name="viewport"' in text
    # A table is wider than a telephone; it scrolls in its own box.
    assert text.count("<table") == len(re.findall(r'<div class="scroll" tabindex="0"><table', text))


def test_regions_without_a_place_get_a_chart(regions: Page) -> None:
    assert "Six people" in regions.words
    assert "Region by region" in regions.words
    assert "Where in the brain" not in regions.words
    assert "Correlation r, all regions" in regions.words
    assert "not at hand" not in regions.words
    assert "region 12" in regions.words


def test_a_film_that_is_gone_is_named(deep_run: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(deep_run, tmp_path / "run")
    index = copied / "predictions" / "index.json"
    entries = [entry | {"film": "gone/film-9.mp4"} for entry in json.loads(index.read_text())]
    for entry in entries:
        entry["mask"] = None
    index.write_text(json.dumps(entries))
    page = Page(write_report([copied], tmp_path / "page.html").read_text())
    assert "The film film-9.mp4 is not at hand" in page.words


def test_without_a_ceiling_nothing_stands_against_it(ridge_run: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(ridge_run, tmp_path / "run")
    card = json.loads((copied / "scorecard.json").read_text())
    (copied / "scorecard.json").write_text(json.dumps(card | {"ceilings": {}, "shares": {}}))
    whole = Page(write_report([ridge_run], tmp_path / "a.html").read_text())
    assert "Against the ceiling" in whole.words
    bare = Page(write_report([copied], tmp_path / "b.html").read_text())
    assert "Against the ceiling" not in bare.words
    assert "How r is spread" in bare.words


def test_scores_alone_make_a_page(ridge_run: Path, tmp_path: Path) -> None:
    for name in ("config.yaml", "scorecard.json"):
        shutil.copy(ridge_run / name, tmp_path / name)
    page = Page(write_report([tmp_path], tmp_path / "page.html").read_text())
    assert "Scores" in page.words
    assert "Where in the brain" not in page.words


def test_words_of_the_user_are_not_markup(ridge_run: Path, tmp_path: Path) -> None:
    card = json.loads((ridge_run / "scorecard.json").read_text())
    card["title"] = "<script>alert(1)</script>"
    card["notes"] = ["a < b & c"]
    (tmp_path / "scorecard.json").write_text(json.dumps(card))
    (tmp_path / "config.yaml").write_text("title: </code><script>\n")
    page = Page(write_report([tmp_path], tmp_path / "page.html").read_text())
    assert not page.of("script")
    assert "<script>alert(1)</script>" in page.words
    assert "a < b & c" in page.words


def test_a_folder_that_is_no_run_leaves_nothing(ridge_run: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=r"empty: not a run folder"):
        write_report([ridge_run, empty], tmp_path / "page.html")
    with pytest.raises(DataError, match="No run was given"):
        write_report([], tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == [empty]


def test_a_page_that_cannot_be_written_says_so(pictures_run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_report([pictures_run], tmp_path / "file" / "page.html")


def test_runs_with_one_title_are_told_apart_by_their_folders(
    ridge_run: Path, deep_run: Path
) -> None:
    one, other = read_run(ridge_run), read_run(deep_run)
    assert [name for name, _ in named_cards([one, other])] == [one.card.title, other.card.title]
    names = [name for name, _ in named_cards([one, replace(other, card=one.card)])]
    assert names == [f"{one.card.title} (ridge)", f"{one.card.title} (deep)"]
