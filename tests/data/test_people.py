from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brainreel.data.people import People, PeopleData
from brainreel.data.people_labels import read_people
from brainreel.data.people_splits import check_stage_people
from brainreel.data.volume_module import VolumeModule
from brainreel.data.volume_windows import VolumeWindowsConfig
from brainreel.errors import DataError, LeakError
from brainreel.files import digest_file
from brainreel.fmri.bids import Run
from brainreel.fmri.prepare import prepare

AFFINE = np.diag([4.0, 4, 4, 1])
TABLE = """participant_id\tdiagnosis\tage\tgroup\tfamily
sub-01\tCONTROL\t21\t0\tA
sub-02\tSCHZ\t35.5\t1\tA
sub-03\tCONTROL\t44\t0\tn/a
sub-04\tSCHZ\t29\t1\tB
sub-05\tBIPOLAR\tn/a\t1\tB
sub-06\tn/a\t60\t0\tC
sub-07\tCONTROL\t33\t1\tC
sub-08\tSCHZ\t52\t0\tD
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight people at rest, one of them missing from the table."""
    root = tmp_path_factory.mktemp("study")
    inside = np.zeros((4, 5, 3), np.uint8)
    inside[1:3, 1:4] = 1
    nib.save(nib.Nifti1Image(inside, AFFINE), root / "mask.nii.gz")
    runs = []
    for number in range(1, 10):
        rng = np.random.default_rng(number)
        values = 700 + rng.normal(0, 9, (4, 5, 3, 24))
        image = nib.Nifti1Image(values.astype(np.float32), AFFINE)
        image.header.set_xyzt_units("mm", "sec")
        image.header["pixdim"][4] = 2
        path = root / f"sub-{number:02}_bold.nii.gz"
        nib.save(image, path)
        who = f"{number:02}"
        runs.append(Run.single(path, subject=who, task="rest", mask=root / "mask.nii.gz"))
    prepare(runs, root / "store")
    (root / "participants.tsv").write_text(TABLE)
    return root


def people(study: Path, **options) -> People:
    table = options.pop("participants", study / "participants.tsv")
    return PeopleData.parse({"path": study / "store", "participants": table, **options}).open()


HALF = [{"name": "held_out", "test": 0.4}]


def test_classes_by_name_and_those_without_one_left_out_and_named(study: Path) -> None:
    found = people(study, label="diagnosis", splits=HALF)
    assert found.classes == ("BIPOLAR", "CONTROL", "SCHZ")
    assert found.labels["sub-01"] == 1
    assert [r.subject for r in found.recordings] == [f"sub-{i:02}" for i in (1, 2, 3, 4, 5, 7, 8)]
    table = study / "participants.tsv"
    told = f"2 people were left out: sub-06, sub-09 (no 'diagnosis' in {table})."
    assert told in found.notes
    assert found.sources["participants.tsv"] == digest_file(table)
    assert isinstance(found.recordings[0].bold.data, np.memmap)
    assert found.recordings[0].level is not None


def test_some_classes_in_a_given_order(study: Path) -> None:
    found = people(study, label="diagnosis", classes=["SCHZ", "CONTROL"], splits=HALF)
    assert found.classes == ("SCHZ", "CONTROL")
    assert found.labels == {
        "sub-01": 1, "sub-02": 0, "sub-03": 1, "sub-04": 0, "sub-07": 1, "sub-08": 0
    }  # fmt: skip
    assert "1 person was left out: sub-05 (none of SCHZ, CONTROL)." in found.notes
    with pytest.raises(DataError, match="nobody's 'diagnosis' is 'CONTROLS'. Did you mean 'CONT"):
        people(study, label="diagnosis", classes=["SCHZ", "CONTROLS"])


def test_a_number_and_a_number_that_is_two_classes(study: Path) -> None:
    age = people(study, label="age", splits=HALF)
    assert age.classes == ()
    assert age.labels["sub-02"] == 35.5
    assert len(age.labels) == 7
    group = people(study, label="group", splits=HALF)
    assert (group.classes, group.labels["sub-05"]) == (("0", "1"), 1)
    turned = people(study, label="group", classes=[1, 0], splits=HALF)
    assert (turned.classes, turned.labels["sub-05"]) == (("1", "0"), 0)
    number = people(study, label="group", label_kind="number", splits=HALF)
    assert (number.classes, number.labels["sub-05"]) == ((), 1)
    with pytest.raises(DataError, match="the 'diagnosis' of sub-01 is 'CONTROL', no number"):
        people(study, label="diagnosis", label_kind="number")


def test_without_a_label_everybody_is_there(study: Path) -> None:
    found = people(study, participants=None)
    assert len(found.recordings) == 9
    assert (found.label, found.labels, found.classes, found.notes) == ("", {}, (), ())
    with pytest.raises(DataError, match=r"data\.label names a column, and there is no table"):
        people(study, participants=None, label="age")
    with pytest.raises(DataError, match=r"data\.family names a column, and there is no table"):
        people(study, participants=None, family="family")


def test_families_are_kept_together_by_a_column(study: Path) -> None:
    for seed in range(5):
        splits = [{"name": "held_out", "test": 0.4, "seed": seed}]
        found = people(study, label="age", family="family", splits=splits)
        assert found.families == {
            "sub-01": "A", "sub-02": "A", "sub-04": "B", "sub-05": "B", "sub-06": "C",
            "sub-07": "C", "sub-08": "D",
        }  # fmt: skip
        (fold,) = found.folds
        tested = {found.recordings[s.recording].subject for s in fold.test}
        for pair in ({"sub-01", "sub-02"}, {"sub-06", "sub-07"}):
            assert len(pair & tested) in (0, 2)
    given = [{"name": "given", "test_subjects": ["01", "03"]}]
    with pytest.raises(LeakError, match="sub-02 .train. and sub-01 .test. are of the family 'A'"):
        people(study, label="age", family="family", splits=given)


def test_the_module_knows_the_classes_and_says_who_was_not_in_training(study: Path) -> None:
    found = people(study, label="diagnosis", classes=["SCHZ", "CONTROL"], splits=HALF)
    fold = found.folds[0]
    module = VolumeModule(found, fold, VolumeWindowsConfig(window_trs=5), seed=0)
    module.setup()
    assert module.spec.classes == {"diagnosis": 2}
    assert module.spec.grid == (2, 3, 3)
    batch = next(iter(module.train_dataloader()))
    assert batch.views.shape == (4, 5, 2, 2, 3, 3)
    level = batch.views[:, :, 0].mean()
    assert abs(float(level)) < 0.1
    (note,) = module.notes()
    assert note.endswith("normalised by the moments of their own runs.")


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_tables_of_other_makes(tmp_path: Path) -> None:
    table = write(tmp_path / "hcp.csv", "Subject,Gender,Age\n100307,F,26-30\n100408,M,31-35\n")
    asked = ["sub-100307", "sub-100408", "sub-100500"]
    found = read_people(table, asked, column="Gender", id_column="Subject")
    assert found.values == {"sub-100307": 0, "sub-100408": 1}
    assert found.missing == ("sub-100500",)
    sessions = "participant_id\tsession\tsex\n01\ta\tF\n01\tb\tF\n02\ta\tM\n"
    table = write(tmp_path / "sessions.tsv", sessions)
    found = read_people(table, ["sub-01", "sub-02"], column="sex", id_column="participant_id")
    assert found.values == {"sub-01": 0, "sub-02": 1}


@pytest.mark.parametrize(("rows", "match"), [
    ("01\tF\n02\tM\n01\tM\n", "sub-01 has several rows that differ"),
    ("01\tF\n02\tF\n", "everybody's 'x' is 'F'; there is nothing to tell apart"),
    ("08\tF\n09\tM\n", "nobody among sub-01, sub-02 .. has a 'x'"),
    ("01\tn/a\n02\t\n", "nobody among sub-01, sub-02 .. has a 'x'"),
])  # fmt: skip
def test_tables_that_tell_nothing(tmp_path: Path, rows: str, match: str) -> None:
    table = write(tmp_path / "t.tsv", "participant_id\tx\n" + rows)
    with pytest.raises(DataError, match=match):
        read_people(table, ["sub-01", "sub-02"], column="x", id_column="participant_id")


def test_a_column_or_a_table_that_is_not_there(tmp_path: Path) -> None:
    table = write(tmp_path / "t.tsv", "participant_id\tx\n01\t3\n02\t3\n")
    with pytest.raises(DataError, match=r"t\.tsv: no column 'y'. It has: participant_id, x"):
        read_people(table, ["sub-01"], column="y", id_column="participant_id")
    with pytest.raises(DataError, match="everybody's 'x' is 3; there is nothing to predict"):
        read_people(
            table, ["sub-01", "sub-02"], column="x", id_column="participant_id", kind="number"
        )
    with pytest.raises(DataError, match=r"none\.tsv: no such table"):
        read_people(tmp_path / "none.tsv", ["sub-01"], column="y", id_column="participant_id")


def test_a_stage_may_not_have_seen_the_people_tested(study: Path, tmp_path: Path) -> None:
    found = people(study, label="age", family="family", splits=HALF)
    (fold,) = found.folds
    parts = [
        [found.recordings[s.recording] for s in segments] for segments in (fold.train, fold.test)
    ]
    check_stage_people(*parts, found.families, "stage 1")
    with pytest.raises(LeakError, match=f"stage 1: {parts[1][0].subject}, or their family, is"):
        check_stage_people([*parts[0], parts[1][0]], parts[1], {}, "stage 1")
    kin = {parts[0][0].subject: "Z", parts[1][-1].subject: "Z"}
    with pytest.raises(LeakError, match=f"{parts[1][-1].subject}, or their family"):
        check_stage_people(*parts, kin, "stage 1")
    # Another study has a sub-01 of its own; a copy of this one has the same images.
    shutil.copytree(study / "store", tmp_path / "store")
    copy = PeopleData.parse({"path": tmp_path / "store"}).open().recordings
    with pytest.raises(LeakError, match="is trained on in an earlier stage"):
        check_stage_people(copy, parts[1], {}, "stage 1")
    others = [dataclasses.replace(r, subject=parts[1][0].subject) for r in copy[:1]]
    elsewhere = [r for r in others if r.prepared.subject != parts[1][0].subject]
    check_stage_people(elsewhere, parts[1][:1], {}, "stage 1")
