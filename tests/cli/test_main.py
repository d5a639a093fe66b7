"""The command itself: help, version, misuse, and what a reader of a terminal sees."""

from __future__ import annotations

import errno
import os
import pty
import subprocess
import sys

import pytest
import typer

from brainreel import __version__
from brainreel.cli.guard import guarded
from brainreel.errors import DataError

COMMANDS = (
    "quickstart", "simulate", "prepare", "run", "fit", "evaluate", "report", "predict",
    "reconstruct", "describe",
)  # fmt: skip


def test_help_names_every_command_and_needs_no_argument(brainreel):
    told = brainreel("--help").output
    assert told == brainreel().output == brainreel("-h").output
    for name in COMMANDS:
        assert f" {name} " in told


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_its_options(brainreel, name):
    told = brainreel(name, "--help").output
    assert f"brainreel {name}" in told
    assert "Traceback" not in told


def test_version(brainreel):
    assert brainreel("--version").output == f"brainreel {__version__}\n"


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["runn"], "No such command 'runn'. Did you mean 'run'? See brainreel --help."),
        (["run", "film_ridge"], "Missing option '--out'. See brainreel run --help."),
        (["run"], "Missing argument 'RECIPE'. See brainreel run --help."),
        (["report"], "Missing argument 'RUN'. See brainreel report --help."),
        (["describe", "rigde"], "nothing is called 'rigde'. Did you mean 'ridge'?"),
        (
            ["simulate", "--out", "x", "--subjects", "0"],
            "simulate: 'n_subjects' should be greater than or equal to 1 (given: 0).",
        ),
    ],
)
def test_misuse_is_one_sentence(brainreel, args, told):
    assert brainreel(*args).error == told


def test_a_misspelt_option_names_the_near_one(brainreel):
    told = brainreel("run", "film_ridge", "--oot", "x").error
    assert told.startswith("No such option: --oot")
    assert "--out" in told


def test_a_full_disk_anywhere_is_one_sentence(capsys):
    def fill() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere/file")

    assert guarded(fill) == 2
    told = capsys.readouterr().err
    assert told == (
        "brainreel: somewhere/file: cannot be written (No space left on device). Free some "
        "space or choose another folder.\n"
    )


def test_a_fault_of_ours_is_not_hidden():
    def broken() -> None:
        raise FileNotFoundError(errno.ENOENT, "x")

    with pytest.raises(FileNotFoundError, match="x"):
        guarded(broken)


def test_an_interrupt_ends_as_shells_expect():
    def interrupted() -> None:
        raise KeyboardInterrupt

    def aborted() -> None:
        raise typer.Abort

    assert guarded(interrupted) == guarded(aborted) == 130


def test_brackets_in_a_path_are_printed_as_they_are(capsys):
    def broken() -> None:
        raise DataError("a[bold]b.npz: no [/] 'x'.")

    assert guarded(broken) == 2
    assert capsys.readouterr().err == "brainreel: a[bold]b.npz: no [/] 'x'.\n"


def test_a_terminal_breaks_between_words_and_keeps_paths_whole():
    ours, theirs = pty.openpty()
    code = (
        "from brainreel.cli.guard import guarded\n"
        "from brainreel.errors import DataError\n"
        "def f(): raise DataError('/a' * 25 + '/file.npz: ' + 'words ' * 20 + 'end.')\n"
        "raise SystemExit(guarded(f))\n"
    )
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    done = subprocess.run([sys.executable, "-c", code], stderr=theirs, env=environment, check=False)
    os.close(theirs)
    told = os.read(ours, 10_000).decode()
    os.close(ours)
    assert done.returncode == 2
    lines = told.replace("\x1b[1;31m", "").replace("\x1b[0m", "").splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("brainreel: /a/a")
    assert "/file.npz:" in lines[0]
    assert all(len(line) <= 80 for line in lines)
    assert lines[-1].endswith("end.")


def test_the_installed_command(tmp_path):
    command = [sys.executable, "-c", "from brainreel.cli.main import main; main()"]
    done = subprocess.run(
        [*command, "run", "film_rigde", "--out", "x"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "brainreel: 'film_rigde' is no shipped recipe. Did you mean 'film_ridge'?\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_help_does_not_wait_for_torch():
    code = (
        "import sys; from brainreel.cli.guard import guarded; from brainreel.cli.main import app\n"
        "guarded(lambda: app(['--version'], standalone_mode=False))\n"
        "assert not {'torch', 'lightning', 'nilearn', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
