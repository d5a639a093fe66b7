"""Labelled media from folders and lists: which file, which span, which class, which part."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from brainreel.data.labelled import LabelledData
from brainreel.data.labelled_samples import Item, Labelled
from brainreel.errors import ConfigError, DataError, LeakError

from .media import touch, write_film, write_picture
from .test_label_rows import AUDIOSET, EPIC, KINETICS, VGGSOUND


def names(data: Labelled, numbers: tuple[int, ...]) -> list[str]:
    return [data.items[i].name for i in numbers]


def test_a_folder_a_class(tmp_path: Path) -> None:
    for name in ("run/a.mp4", "run/deep/b.MP4", "walk/c.png", "walk/d.wav", "walk/.e.mp4"):
        touch(tmp_path / name)
    touch(tmp_path / "walk/notes.txt")
    touch(tmp_path / ".hidden/f.mp4")
    touch(tmp_path / "loose.mp4")
    data = LabelledData(path=tmp_path, splits=({"name": "held_out", "test": 0.5},)).open()
    assert data.classes == {"label": ("run", "walk")}
    assert [(i.name, i.kind, i.labels["label"]) for i in data.items] == [
        ("run/a.mp4", "film", (0,)),
        ("run/deep/b.MP4", "film", (0,)),
        ("walk/c.png", "picture", (1,)),
        ("walk/d.wav", "sound", (1,)),
    ]
    (fold,) = data.folds
    assert sorted(fold.train_trials + fold.test_trials) == [0, 1, 2, 3]
    assert {data.items[i].labels["label"] for i in fold.test_trials} == {(0,), (1,)}
    with pytest.raises(DataError, match="no item is for testing. Give data.test, or a split"):
        LabelledData(path=tmp_path).open()


def test_folders_of_parts(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        touch(tmp_path / part / "run" / f"{part}1.mp4")
        touch(tmp_path / part / "walk" / f"{part}2.mp4")
    fold = LabelledData(path=tmp_path).open().folds[0]
    assert (len(fold.train_trials), len(fold.validation_trials), len(fold.test_trials)) == (2, 2, 2)
    data = LabelledData(path=tmp_path, train="train", test="val").open()
    assert names(data, data.folds[0].test_trials) == ["val/run/val1.mp4", "val/walk/val2.mp4"]
    assert data.folds[0].validation_trials == ()
    for file in (tmp_path / "test").rglob("*.mp4"):
        file.unlink()
    data = LabelledData(path=tmp_path).open()
    assert names(data, data.folds[0].test_trials) == ["val/run/val1.mp4", "val/walk/val2.mp4"]
    with pytest.raises(DataError, match="none: has no folder of a class"):
        LabelledData(path=tmp_path, train="train", test="none").open()


def test_kinetics_finds_files_by_the_usual_names(tmp_path: Path) -> None:
    touch(tmp_path / "media/testifying/---QUuC4vJs_000084_000094.mkv")
    touch(tmp_path / "media/--3ouPhoy2A.mp4")
    (tmp_path / "k400.csv").write_text(KINETICS.replace("validate", "test"))
    data = LabelledData(
        path=tmp_path / "media",
        style="kinetics",
        train=tmp_path / "k400.csv",
        classes={"label": tmp_path / "names.txt"},
    )
    (tmp_path / "names.txt").write_text("testifying\nwashing hands\n")
    opened = data.open()
    cut, whole = opened.items
    # A file whose name holds the span is the span; a whole film is cut at it.
    assert (cut.path.suffix, cut.start_s, cut.stop_s) == (".mkv", None, None)
    assert (whole.path.name, whole.start_s, whole.stop_s) == ("--3ouPhoy2A.mp4", 20, 30)
    assert (opened.folds[0].train_trials, opened.folds[0].test_trials) == ((1,), (0,))
    assert set(opened.sources) == {"media files", "media train", "media classes of label"}


def test_a_pattern_names_the_files(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text(KINETICS.replace("validate", "test"))
    touch(tmp_path / "testifying/x---QUuC4vJs.84.mp4")
    touch(tmp_path / "washing hands/x--3ouPhoy2A.20.mp4")
    data = LabelledData(
        path=tmp_path,
        style="kinetics",
        train="l.csv",
        pattern="{label}/x{youtube_id}.{start}.mp4",
    )
    with pytest.raises(DataError, match="'testifying' of 'label' is in test and never in training"):
        data.open()
    (tmp_path / "names.txt").write_text("testifying\nwashing hands\n")
    known = LabelledData.parse(data.to_dict() | {"classes": {"label": "names.txt"}})
    assert [item.start_s for item in known.open().items] == [None, None]
    own = LabelledData.parse(data.to_dict() | {"splits": [{"name": "held_out", "test": 0.4}]})
    with pytest.raises(DataError, match="nothing to test on"):
        own.open()  # one file a class, whatever the list says of parts
    for pattern, told in (
        ("{nobody}.mp4", "names 'nobody', which .*line 2 has not. It has: id, label"),
        ("{id:06d}", "cannot be filled from .*line 2"),
    ):
        with pytest.raises(ConfigError, match=told):
            LabelledData.parse(known.to_dict() | {"pattern": pattern}).open()


def test_slowfast_paths_with_numbers(tmp_path: Path) -> None:
    a, b = touch(tmp_path / "v/a one.mp4"), touch(tmp_path / "b.mp4")
    (tmp_path / "train.csv").write_text("v/a one.mp4 2\n")
    (tmp_path / "test.csv").write_text(f"{b} 0\n")
    (tmp_path / "names.json").write_text('["x", "y", "z"]')
    data = LabelledData(
        path=tmp_path,
        style="slowfast",
        train="train.csv",
        test="test.csv",
        classes={"label": "names.json"},
    ).open()
    assert [(item.path, item.labels["label"]) for item in data.items] == [(a, (2,)), (b, (0,))]


def test_audioset_has_several_classes(tmp_path: Path) -> None:
    touch(tmp_path / "--4gqARaEJE.wav")
    touch(tmp_path / "--PJHxphWEs_000030.wav")
    (tmp_path / "train.csv").write_text(AUDIOSET)
    (tmp_path / "eval.csv").write_text(AUDIOSET.replace("--", "=="))
    touch(tmp_path / "==4gqARaEJE.wav")
    touch(tmp_path / "==PJHxphWEs.mp4")
    mids = ["/m/09x0r", "/m/068hy", "/m/07q6cd_", "/m/0jbk"]
    lines = [f"{i},{mid},name {i}" for i, mid in enumerate(mids)]
    (tmp_path / "classes.csv").write_text("\n".join(["index,mid,display_name", *lines]))
    data = LabelledData(
        path=tmp_path,
        style="audioset",
        train="train.csv",
        test="eval.csv",
        classes={"label": "classes.csv"},
    ).open()
    assert data.several == {"label"}
    assert data.classes["label"][1] == "name 1"
    assert [item.labels["label"] for item in data.items[:2]] == [(1, 2, 3), (0, 3)]
    assert [(item.start_s, item.stop_s) for item in data.items] == [
        (0, 10),
        (None, None),
        (0, 10),
        (30, 40),
    ]


def test_vggsound_has_its_split_in_the_list(tmp_path: Path) -> None:
    touch(tmp_path / "---g-f_I2yQ_000001.mp4")
    touch(tmp_path / "--0PQM4-hqg.mp4")
    text = VGGSOUND.replace("people marching", "waterfall burbling, near")
    (tmp_path / "vgg.csv").write_text(text.replace("near,test", '"near",test'))
    (tmp_path / "vgg.csv").write_text(
        '---g-f_I2yQ,1,"waterfall burbling, near",test\n' + VGGSOUND.splitlines()[1]
    )
    data = LabelledData(path=tmp_path, style="vggsound", train="vgg.csv").open()
    assert data.classes == {"label": ("waterfall burbling, near",)}
    assert [(item.start_s, item.stop_s) for item in data.items] == [(None, None), (30, 40)]
    assert (data.folds[0].test_trials, data.folds[0].train_trials) == ((0,), (1,))


def test_epic_has_verb_and_noun(tmp_path: Path) -> None:
    touch(tmp_path / "P01/videos/P01_01.MP4")
    touch(tmp_path / "P02/videos/P02_01.MP4")
    (tmp_path / "train.csv").write_text(EPIC)
    (tmp_path / "test.csv").write_text(EPIC.replace("P01", "P02"))
    data = LabelledData(path=tmp_path, style="epic", train="train.csv", test="test.csv").open()
    assert {label: len(names) for label, names in data.classes.items()} == {"verb": 7, "noun": 115}
    assert data.items[0].labels == {"verb": (3,), "noun": (3,)}
    assert data.items[1].start_s == 3600 + 120 + Fraction(437, 100)
    assert data.items[2].path.name == "P02_01.MP4"
    assert data.spec((3, 8, 8), 4).classes == {"verb": 7, "noun": 115}


def test_further_sources_share_a_head_or_have_their_own(tmp_path: Path) -> None:
    for name in ("films/train/run/a.mp4", "films/test/run/b.mp4"):
        touch(tmp_path / name)
    for name in ("pictures/cat/c.png", "pictures/run/d.png"):
        touch(tmp_path / name)
    films = {"path": tmp_path / "films"}
    own = {"path": tmp_path / "pictures", "label": "picture", "share": 2}
    data = LabelledData(**films, also=(own,)).open()
    assert data.classes == {"label": ("run",), "picture": ("cat", "run")}
    assert [(item.source, item.labels) for item in data.items] == [
        (0, {"label": (0,)}),
        (0, {"label": (0,)}),
        (1, {"picture": (0,)}),
        (1, {"picture": (1,)}),
    ]
    assert data.shares == (1.0, 2.0)
    assert data.folds[0].train_trials == (1, 2, 3)
    shared = LabelledData(**films, also=({"path": tmp_path / "pictures"},)).open()
    assert shared.classes == {"label": ("cat", "run")}
    assert len({*shared.sources}) == len(shared.sources) == 2


def missing(tmp_path: Path, **options) -> LabelledData:
    for i in range(4):
        touch(tmp_path / f"m/{i}.mp4")
    rows = [f"{i}.mp4,run,{'test' if i > 3 else 'train'}" for i in (0, 1, 2, 7, 3, 8, 9)]
    rows[4] = "3.mp4,run,test"
    (tmp_path / "l.csv").write_text("\n".join(["path,label,split", *rows]))
    return LabelledData(path=tmp_path / "m", style="kinetics", train=tmp_path / "l.csv", **options)


def test_missing_files_are_named_and_left_out_up_to_a_share(tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"3 of 4 test items cannot be read: 7.mp4 \(no such file\).* max_unreadable=0.3",
    ):
        missing(tmp_path, max_unreadable=0.3).open()
    data = missing(tmp_path, max_unreadable=0.75).open()
    assert len(data.items) == 4
    assert data.notes == (
        "3 of 4 test items cannot be read: 7.mp4 (no such file), 8.mp4 (no such file), 9.mp4 (no "
        "such file). They are left out.",
    )


def test_check_opens_every_file(tmp_path: Path) -> None:
    write_film(tmp_path / "a/good.mp4")
    write_film(tmp_path / "a/other.mp4", shade=3)
    touch(tmp_path / "a/bad.mp4")
    write_picture(tmp_path / "a/picture.png")
    data = LabelledData(
        path=tmp_path, check=True, max_unreadable=0.5, splits=({"name": "held_out", "test": 0.4},)
    ).open()
    assert [item.path.name for item in data.items] == ["good.mp4", "other.mp4", "picture.png"]
    assert data.notes[0].startswith("1 of 4 items cannot be read: a/bad.mp4 (cannot be read as a")
    assert data.max_unreadable == 0.5


def test_check_finds_spans_behind_the_end(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mp4", n_frames=20, rate=10)
    (tmp_path / "l.csv").write_text(
        "path,label,start,end,split\na.mp4,x,0,1,train\na.mp4,x,1,9,test\na.mp4,x,2,3,test\n"
    )
    data = LabelledData(path=tmp_path, style="kinetics", train="l.csv", max_unreadable=0.5)
    assert len(data.open().items) == 3
    checked = LabelledData.parse(data.to_dict() | {"check": True}).open()
    assert [item.start_s for item in checked.items] == [0, 1]
    assert "(its span starts at 2 s, the file lasts 2 s)" in checked.notes[0]


def test_one_moment_on_two_sides_is_a_leak(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")

    def opened(*rows: str) -> Labelled:
        lines = ["path,label,start,end,split", *rows]
        (tmp_path / "l.csv").write_text("\n".join(lines))
        return LabelledData(path=tmp_path, style="kinetics", train="l.csv").open()

    assert opened("a.mp4,x,0,5,train", "a.mp4,x,5,9,test", "a.mp4,x,1,3,train").items
    for rows in (
        ("a.mp4,x,0,5,train", "a.mp4,x,4,9,test"),
        ("a.mp4,x,,,train", "a.mp4,x,4,9,test"),
        ("a.mp4,x,6,7,train", "a.mp4,x,4,,test"),
        ("a.mp4,x,0,9,train", "a.mp4,x,1,2,train", "a.mp4,x,5,6,test"),
    ):
        with pytest.raises(LeakError, match=r"a.mp4 \((train|test)\) and .* are the same moments"):
            opened(*rows)


def test_a_copy_under_another_name_is_a_leak(tmp_path: Path) -> None:
    touch(tmp_path / "train/x/a.mp4", "the same bytes")
    touch(tmp_path / "test/x/b.mp4", "the same bytes")
    with pytest.raises(LeakError, match=r"a.mp4 \(train\) and .*b.mp4 \(test\) are the same file"):
        LabelledData(path=tmp_path).open()
    assert LabelledData(path=tmp_path, find_copies=False).open().items
    touch(tmp_path / "test/x/b.mp4", "other bytes: 1")
    assert LabelledData(path=tmp_path).open().items


def test_digests_follow_the_data_not_its_place(tmp_path: Path) -> None:
    def sources(root: Path) -> dict[str, str]:
        for part in ("train", "test"):
            if not (root / part).exists():
                touch(root / part / "x" / "a.mp4", part)
        return dict(LabelledData(path=root).open().sources)

    first = sources(tmp_path / "one" / "set")
    assert sources(tmp_path / "two" / "set") == first
    touch(tmp_path / "one/set/test/x/a.mp4", "longer than before")
    assert sources(tmp_path / "one" / "set") != first


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"path": "nowhere"}, "no such folder of media files"),
        ({}, "has no folder of a class with films"),
        ({"style": "kinetics"}, "no list of style 'kinetics' is given. Give data.train"),
        ({"style": "kinetics", "train": "l.csv"}, "no such list"),
    ],
)
def test_nothing_to_read(tmp_path: Path, given: dict[str, str], told: str) -> None:
    content = {"path": tmp_path, **given}
    if "path" in given:
        content["path"] = tmp_path / given["path"]
    with pytest.raises(DataError, match=told):
        LabelledData(**content).open()


def test_files_that_cannot_be_told_apart(tmp_path: Path) -> None:
    touch(tmp_path / "x/a.mp4")
    touch(tmp_path / "y/a.mp4")
    (tmp_path / "l.csv").write_text("id,label\na,run\n")
    data = LabelledData(path=tmp_path, style="kinetics", train="l.csv")
    with pytest.raises(DataError, match=r"line 2: 'a' may be x/a.mp4 or y/a.mp4"):
        data.open()
    (tmp_path / "y/a.mp4").rename(tmp_path / "y/a.wav")
    with pytest.raises(DataError, match="no item is for testing"):
        data.open()


def test_names_of_classes_for_another_label(tmp_path: Path) -> None:
    touch(tmp_path / "x/a.mp4")
    data = LabelledData(path=tmp_path, classes={"verb": "names.txt"})
    with pytest.raises(DataError, match="data.classes names 'verb', the label is label"):
        data.open()


def test_labels_must_be_classes_that_are_there() -> None:
    def labelled(*numbers: int, several: frozenset[str] = frozenset()) -> Labelled:
        item = Item(Path("a.mp4"), {"label": numbers}, name="a")
        return Labelled((item,), {"label": ("x", "y")}, (), several)

    assert labelled(1).items
    assert labelled(0, 1, several=frozenset({"label"})).items
    with pytest.raises(DataError, match=r"a: class \(2,\) of 'label', which has 2 classes"):
        labelled(2)
    with pytest.raises(DataError, match="a: has 2 classes of 'label', of which an item has one"):
        labelled(0, 1)
