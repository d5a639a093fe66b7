"""Every command in the documents is one that the command line, and the recipes, understand."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs.conftest import ROOT, load_runner

CHECK = Path(__file__).with_name("check_commands.py")
DOCUMENTS = load_runner().documents()


def written_tree(runner: ModuleType, document: Path, scratch: Path) -> None:
    """Do what the document does to files, and nothing else."""
    shutil.copytree(ROOT / "src", scratch / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests" / "contracts", scratch / "tests" / "contracts")
    for block in runner.blocks_of(ROOT / document, document):
        if not block.file:
            continue
        path = scratch / block.file
        if block.language == "diff":
            runner.apply_change(path, block.lines)
        else:
            path.write_text("\n".join(block.lines) + "\n")


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_commands_are_understood(runner: ModuleType, document: Path, tmp_path: Path) -> None:
    blocks = runner.blocks_of(ROOT / document, document)
    commands = [
        f"{block.where}\t{command}"
        for block in blocks
        for command in block.commands()
        if shlex.split(command, comments=True)[:1] == ["brainreel"]
    ]
    if not commands:
        return
    written_tree(runner, document, tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "src")}
    done = subprocess.run(
        [sys.executable, str(CHECK)],
        input="\n".join(commands),
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(commands)} commands" in done.stdout


def test_every_skipped_block_says_why(runner: ModuleType) -> None:
    for document in DOCUMENTS:
        for block in runner.blocks_of(ROOT / document, document):
            assert not block.beside.startswith("skip") or len(block.skipped) > 10


def test_a_wrong_command_is_found(tmp_path: Path) -> None:
    lines = [
        "a:1\tbrainreel prepare study --nowhere store",
        "a:2\tbrainreel run film_ridge data.paht=store --out runs/a",
        "a:3\tbrainreel run film_ridge data.path=store --out runs/a",
        "a:4\tbrainreel describe banded_rigde",
        "a:5\tbrainreel run film_ridge model.alpha=1 --out runs/a || echo wrong",
        "a:6\tbrainreel rnu film_ridge",
    ]
    done = subprocess.run(
        [sys.executable, str(CHECK)],
        input="\n".join(lines),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    told = [line[:3] for line in done.stdout.splitlines()[:-1]]
    assert told == ["a:1", "a:2", "a:4", "a:6"]
