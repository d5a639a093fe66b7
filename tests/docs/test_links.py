"""Documents point at what is there, and name what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.docs.conftest import ROOT, load_runner

DOCUMENTS = [*load_runner().documents(), Path("CHANGELOG.md")]
LINK = re.compile(r"(?<!\\)\[[^\]]*\]\(([^)\s]+)\)|<img[^>]+src=\"([^\"]+)\"")
SOURCE = ROOT / "src" / "brainreel"


def prose(path: Path) -> str:
    """A document without its fenced blocks."""
    return re.sub(r"^(```+).*?^\1$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)


def anchors(path: Path) -> set[str]:
    """Anchors of a document's headings, as GitHub makes them."""
    found = set()
    for title in re.findall(r"^#+\s+(.*)$", prose(path), flags=re.M):
        plain = re.sub(r"[^\w\- ]", "", title.lower())
        found.add(plain.strip().replace(" ", "-"))
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_link_leads_somewhere(document: Path) -> None:
    for match in LINK.finditer(prose(ROOT / document)):
        target = match[1] or match[2]
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / document).parent / file if file else ROOT / document
        assert path.exists(), f"{document}: {target} is not there"
        if anchor:
            assert anchor in anchors(path), f"{document}: {target} has no such heading"


def test_architecture_lists_every_file_of_the_package_and_no_other() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([\w/]+\.py)` \| \S", text, flags=re.M)
    there = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if not path.name.startswith("__")
    }
    assert len(listed) == len(set(listed))
    assert set(listed) == there


def test_architecture_shows_the_floors_of_the_contract() -> None:
    contract = re.search(
        r"^layers = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(), flags=re.M | re.S
    )
    assert contract is not None
    floors = [set(re.findall(r"\w+", line)) for line in contract[1].splitlines()]
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawn = text.partition("## Floors")[2].partition("```text\n")[2].partition("```")[0]
    rows = drawn.splitlines()
    assert len(rows) == len(floors)
    for row, rooms in zip(rows, floors, strict=True):
        assert rooms <= set(re.findall(r"\w+", row))


def test_names_in_the_glossary_are_in_the_source() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py"))
    words = set(re.findall(r"\w+", source)) | set(re.findall(r"[\w.\-]+", source))
    entries = re.findall(r"\*In\s+code:\*(.*?)(?=\n\n|\n- |\Z)", _glossary(), flags=re.S)
    assert len(entries) > 50
    for name in re.findall(r"`([^`]+)`", " ".join(entries)):
        assert name in words, f"the glossary names '{name}', which is not in the source"


def _glossary() -> str:
    return (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")


def test_the_glossary_explains_the_words_that_both_readers_need() -> None:
    explained = " ".join(re.findall(r"^(?:- )?\*\*([^*]+)\*\*", _glossary(), flags=re.M)).lower()
    for word in (
        "tr", "bold", "hrf", "fir", "voxel", "mask", "run", "segment", "fold", "encoding model",
        "decoding model", "banded ridge", "readout", "backbone", "noise ceiling", "identification",
        "fdr", "max-statistic", "block permutation", "derivative", "confounds",
    ):  # fmt: skip
        assert word in explained


def test_citation_and_changelog_tell_the_version_of_the_package() -> None:
    cite = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.+)"$', project, flags=re.M)
    assert version is not None
    assert {"cff-version", "message", "title", "authors"} <= set(cite)
    assert cite["cff-version"] == "1.2.0"
    assert cite["version"] == version[1]
    assert f'license = "{cite["license"]}"' in project
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{version[1]}]" in changes
