"""What a user sees of an error: one sentence on stderr, and an exit status."""

from __future__ import annotations

import errno
import textwrap
from collections.abc import Callable
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from brainreel.errors import BrainreelError

# Typer carries its own Click and does not name this class: every misuse of a command.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS)


def guarded(call: Callable[[], Any]) -> int:
    """Call, and turn an error that the user can mend into its sentence and status 2."""
    try:
        status = call()
    except BrainreelError as problem:
        return _told(str(problem))
    except _UsageError as problem:
        command = getattr(getattr(problem, "ctx", None), "command_path", "brainreel")
        message = str(getattr(problem, "format_message", problem.__str__)())
        stop = "" if message.endswith((".", "?")) else "."
        return _told(f"{message}{stop} See {command} --help.")
    except OSError as problem:
        if problem.errno not in _OF_THE_DISK:
            raise
        return _told(
            f"{problem.filename or 'a file'}: cannot be written ({problem.strerror}). Free some "
            "space or choose another folder."
        )
    except (KeyboardInterrupt, typer.Abort):
        return 130
    return status if isinstance(status, int) else 0


def _told(sentence: str) -> int:
    """Print an error; whole on one line for a log, broken between words for a reader."""
    console = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)
    text = f"brainreel: {sentence}"
    if console.is_terminal:
        text = textwrap.fill(text, console.width, break_long_words=False, break_on_hyphens=False)
    name, rest = text[: len("brainreel:")], text[len("brainreel:") :]
    console.print(f"[bold red]{name}[/]{escape(rest)}")
    return 2
