"""Parse commands from standard input (`where<TAB>command`) and their recipes; run none of them.

A process of its own, because a document may add models to a copy of the source.
"""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import typer
from typer.exceptions import TyperException
from typer.main import get_command

from brainreel.cli.describe import describe
from brainreel.cli.main import app
from brainreel.config import override
from brainreel.errors import BrainreelError
from brainreel.fmri.prepare import PrepareConfig
from brainreel.train.recipe import resolve
from brainreel.train.sweep import resolve_sweep, runs_of

# A command that shows an error is followed by what the shell does about it.
SHELL_WORDS = ("|", "||", "&&", ">", ";")


def words_of(command: str) -> tuple[list[str], str, bool]:
    """Return the words of a command, the file it is printed to, and whether it should fail."""
    words = shlex.split(command, comments=True)
    end = next((i for i, word in enumerate(words) if word in SHELL_WORDS), len(words))
    printed_to = words[words.index(">") + 1] if ">" in words else os.devnull
    return words[1:end], printed_to, "||" in words


def check(words: list[str]) -> None:
    """Parse a command as the command line would, and its recipe as `run` would."""
    name, *rest = words
    group: Any = get_command(app)
    if name not in group.commands:
        # The group's own options, or a command that is none: it says so itself.
        group.resolve_command(group.make_context("brainreel", list(words)), words)
        return
    given = group.commands[name].make_context(name, rest).params
    if name in ("run", "fit"):
        resolve(given["recipe"], given["overrides"] or [])
    elif name == "sweep":
        runs_of(resolve_sweep(given["name"], given["overrides"] or []), given["name"])
    elif name == "prepare":
        PrepareConfig.parse(override({}, given["options"] or []), where="prepare")
    elif name == "describe":
        describe(given["name"])


def main() -> int:
    """Check every line; say which are not understood."""
    wrong, n_commands = 0, 0
    for line in sys.stdin.read().splitlines():
        where, _, command = line.partition("\t")
        words, printed_to, must_fail = words_of(command)
        n_commands += 1
        try:
            with Path(printed_to).open("w") as file, redirect_stdout(file):
                check(words)
        except typer.Exit:
            continue
        except (TyperException, BrainreelError) as problem:
            if not must_fail:
                wrong += 1
                print(f"{where}: {command}: {problem}")
    print(f"{n_commands} commands")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
