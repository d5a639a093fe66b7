"""Lists in exactly the published column layouts, and every way in which one is wrong."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from brainreel.data.label_classes import classes_of_rows, read_classes
from brainreel.data.label_rows import Row, read_rows
from brainreel.errors import DataError

KINETICS = """label,youtube_id,time_start,time_end,split,is_cc
testifying,---QUuC4vJs,84,94,validate,0
"washing hands",--3ouPhoy2A,20,30,train,0
"""
AUDIOSET = """# Segments csv created Sun Mar  5 10:54:25 2017
# num_ytids=2, num_segs=2, num_unique_labels=3, num_positive_labels=4
# YTID, start_seconds, end_seconds, positive_labels
--4gqARaEJE, 0.000, 10.000, "/m/068hy,/m/07q6cd_,/m/0jbk"
--PJHxphWEs, 30.000, 40.000, "/m/09x0r,/m/0jbk"
"""
VGGSOUND = """---g-f_I2yQ,1,people marching,test
--0PQM4-hqg,30,"waterfall burbling, near",train
"""
EPIC = """narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,\
start_frame,stop_frame,narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes
P01_01_0,P01,P01_01,00:00:01.089,00:00:00.14,00:00:03.37,8,202,open door,open,3,door,3,['door'],[3]
P01_01_1,P01,P01_01,00:00:02.629,01:02:04.37,01:02:06.5,262,370,turn on light,turn-on,6,light,114,\
"['light']","[114]"
"""
EPIC_55 = """uid,participant_id,video_id,narration,start_timestamp,stop_timestamp,start_frame,\
stop_frame,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes
0,P01,P01_01,open door,00:00:00.14,00:00:03.37,8,202,open,2,door,8,['door'],[8]
"""


@pytest.fixture
def read(tmp_path: Path):
    def reader(text: str, style: str, part: str = "", label: str = "label") -> list[Row]:
        path = tmp_path / "list.csv"
        path.write_text(text, encoding="utf-8")
        return read_rows(path, style, label, part)

    return reader


def test_kinetics(read) -> None:
    first, second = read(KINETICS, "kinetics")
    assert (first.id, first.part, first.labels) == (
        "---QUuC4vJs",
        "validation",
        {"label": ("testifying",)},
    )
    assert (first.start_s, first.stop_s) == (84, 94)
    assert (second.labels, second.part) == ({"label": ("washing hands",)}, "train")
    assert second.columns["is_cc"] == "0"
    assert read(KINETICS, "kinetics", "test", "action")[0].part == "test"
    assert list(read(KINETICS, "kinetics", "test", "action")[0].labels) == ["action"]


def test_kinetics_with_paths(read) -> None:
    (row,) = read("path,label,start,end\na/one.mp4,run,0.5,1:02.25\n", "kinetics")
    assert (row.id, row.start_s, row.stop_s) == ("a/one.mp4", Fraction(1, 2), Fraction(249, 4))
    (row,) = read("path,label\na b.mp4,3\n", "kinetics", "train")
    assert (row.id, row.start_s, row.stop_s, row.part) == ("a b.mp4", None, None, "train")


def test_slowfast(read) -> None:
    rows = read("videos/a one.mp4 3\n\n/abs/b.mp4 0\n", "slowfast", "train")
    assert [(row.id, row.labels["label"]) for row in rows] == [
        ("videos/a one.mp4", ("3",)),
        ("/abs/b.mp4", ("0",)),
    ]


def test_audioset(read) -> None:
    first, second = read(AUDIOSET, "audioset", "train")
    assert first.labels == {"label": ("/m/068hy", "/m/07q6cd_", "/m/0jbk")}
    assert (second.id, second.start_s, second.stop_s) == ("--PJHxphWEs", 30, 40)
    assert second.where.endswith("list.csv line 5")


def test_vggsound(read) -> None:
    first, second = read(VGGSOUND, "vggsound")
    assert (first.start_s, first.stop_s, first.part) == (1, 11, "test")
    assert second.labels == {"label": ("waterfall burbling, near",)}


@pytest.mark.parametrize(("text", "name"), [(EPIC, "P01_01_0"), (EPIC_55, "0")])
def test_epic(read, text: str, name: str) -> None:
    first = read(text, "epic", "train")[0]
    assert (first.id, first.name) == ("P01_01", name)
    assert (first.start_s, first.stop_s) == (Fraction(14, 100), Fraction(337, 100))
    assert set(first.labels) == {"verb", "noun"}
    assert first.columns["participant_id"] == "P01"


def test_epic_hours(read) -> None:
    second = read(EPIC, "epic")[1]
    assert second.start_s == 3600 + 2 * 60 + Fraction(437, 100)
    assert second.labels == {"verb": ("6",), "noun": ("114",)}


@pytest.mark.parametrize(
    ("text", "style", "told"),
    [
        (KINETICS, "epic", "has no column video_id. Found: label, youtube_id, time_start"),
        (VGGSOUND, "kinetics", "has no column path or youtube_id .* Found: ---g-f_I2yQ, 1"),
        (KINETICS, "audioset", "line 1: has 6 columns, not 4: label, youtube_id"),
        (EPIC, "vggsound", "line 1: has 15 columns, not 4"),
        (KINETICS, "slowfast", "line 1: 'label,youtube_id.*' is not 'path number'"),
        ("", "kinetics", r"has no column path .* Found: \."),
        ("path,label\n", "kinetics", "the list is empty"),
        ("# only\n", "audioset", "the list is empty"),
        ("path,label\n,run\n", "kinetics", "line 2: names no file"),
        ("path,label\na.mp4,\n", "kinetics", "line 2: 'label' is empty"),
        ("path,label\na.mp4,NaN\n", "kinetics", "line 2: 'label' is empty"),
        ("path,label\na.mp4\n", "kinetics", "line 2: has 1 columns, not 2: a.mp4"),
        ("path,label,start,end\na,b,5,4\n", "kinetics", "line 2: ends at 4 s and starts at 5 s"),
        ("path,label,start,end\na,b,5,5\n", "kinetics", "line 2: ends at 5 s and starts at 5 s"),
        ("path,label,start,end\na,b,-1,5\n", "kinetics", "line 2: starts at -1 s, before"),
        ("path,label,start,end\na,b,nan,5\n", "kinetics", "line 2: 'nan' is no time"),
        ("path,label,split\na,b,holdout\n", "kinetics", "line 2: the split 'holdout' is not"),
        ('a, 0.0, 1.0, ""\n', "audioset", "line 1: 'label' is empty"),
        ("a,x,b,test\n", "vggsound", "line 1: 'x' is no time"),
    ],
)
def test_wrong_lists(read, text: str, style: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        read(text, style)


def test_a_list_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DataError, match="is no text in UTF-8"):
        read_rows(path, "kinetics", "label")
    with pytest.raises(DataError, match="no such list"):
        read_rows(tmp_path / "none.csv", "kinetics", "label")


def row(text: str, part: str = "train") -> Row:
    return Row("list.csv line 2", "a", {"label": (text,)}, None, None, part, "a", {})


def test_classes_of_lists_are_sorted_names_or_numbers() -> None:
    named = classes_of_rows("label", [row("walk"), row("run"), row("walk", "test")])
    assert named.names == ("run", "walk")
    assert named.number("walk", row("walk")) == 1
    numbered = classes_of_rows("label", [row("10"), row("2"), row("2.0", "test"), row("2.0")])
    assert len(numbered.names) == 11
    assert numbered.number("10", row("10")) == 10
    assert numbered.number("2.0", row("2.0")) == 2


def test_a_class_that_is_never_trained_is_named() -> None:
    with pytest.raises(DataError, match=r"'wlak' of 'label' is in test .* Did you mean 'walk'"):
        classes_of_rows("label", [row("walk"), row("wlak", "test")])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.csv", 'index,mid,display_name\n0,/m/09x0r,"Speech"\n1,/m/05zppz,"Male, man"\n'),
        ("EPIC_verbs.csv", "id,key,instances\n0,Speech,\"['a', 'b']\"\n1,\"Male, man\",\"[]\"\n"),
        ("names.txt", "Speech\n\nMale, man\n"),
        ("names.json", '{"\\"Male, man\\"": 1, "Speech": 0}'),
        ("list.json", '["Speech", "Male, man"]'),
        ("names.tsv", "id\tname\n1\tMale, man\n0\tSpeech\n"),
    ],
)  # fmt: skip
def test_files_of_class_names(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    classes = read_classes(tmp_path / name)
    assert classes.names == ("Speech", "Male, man")
    assert classes.number("Male, man", row("")) == classes.number("1", row("")) == 1
    if "mid" in text:
        assert classes.number("/m/05zppz", row("")) == 1
    with pytest.raises(DataError, match=rf"list.csv line 2: no class 'Speach' in .*{name}.*Speech"):
        classes.number("Speach", row(""))


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.csv", "index,display_name\n0,a\n2,b\n", "not numbered 0, 1, 2"),
        ("a.csv", "index,display_name\n", "not numbered 0, 1, 2"),
        ("a.csv", "x,y\n0,a\n", r"needs a column of numbers .* Found: x, y"),
        ("a.csv", "index,display_name\none,a\n", "'one' is no number of a class"),
        ("a.txt", "a\nb\na\n", "two classes are called 'a'"),
        ("a.json", "3", "should be a list of names"),
    ],
)
def test_wrong_files_of_class_names(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=told):
        read_classes(tmp_path / name)
