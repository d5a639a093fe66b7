"""Run the gallery and every command of the documents, in order; name the line that fails.

Each document runs in a scratch copy of the source tree of its own, as one shell session:

    ```console        lines after "$ " run, with "> " or a backslash to go on; the rest is output
    ```bash           everything runs
    ```python         everything runs
    ```yaml my.yaml   any language: the block is written to that file
    ```diff my.py     the change is made in that file; "…" stands for any text within a line
    ```bash skip: why is not run, and says why

Blocks of other languages without a file name are for reading only.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = (
    "src", "tests", "gallery", "benchmarks", "docs",
    "README.md", "Makefile", "pyproject.toml", "constraints.txt",
)  # fmt: skip
_FENCE = re.compile(r"^(`{3,})(\w*)[ \t]*(.*)$")
_SHELL = ("console", "bash", "sh")
_END = "END_OF_BLOCK"


class DocsError(Exception):
    """A document that cannot be run, or a command that failed: file, line, what to do."""


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, what is written beside the fence, and its lines."""

    path: Path
    first: int
    """Line number of the opening fence, from 1."""
    language: str
    beside: str
    lines: tuple[str, ...]

    @property
    def where(self) -> str:
        """File and line, as an editor understands them."""
        return f"{self.path}:{self.first}"

    @property
    def skipped(self) -> str:
        """Why the block is not run, or empty."""
        if not self.beside.startswith("skip"):
            return ""
        reason = self.beside.removeprefix("skip").lstrip(": ").strip()
        if not reason:
            raise DocsError(f"{self.where}: skipped without a reason. Write `skip: why`.")
        return reason

    @property
    def file(self) -> str:
        """The file that the block is written to or changes, or empty."""
        return "" if self.skipped else self.beside

    def shell(self) -> list[str]:
        """Return the block as shell lines, one for each line of the document, fences included."""
        opening, closing, body = "", "", list(self.lines)
        if self.skipped:
            body = [""] * len(body)
        elif self.file:
            verb = "apply" if self.language == "diff" else "write"
            opening = f"python \"$RUN_DOCS\" --{verb} {shlex.quote(self.file)} <<'{_END}'"
            closing = _END
        elif self.language == "python":
            opening, closing = f"python - <<'{_END}'", _END
        elif self.language in _SHELL:
            opening = f"echo '# {self.where}'"
            body = _commands(body) if self.language == "console" else body
        else:
            body = [""] * len(body)
        return [opening, *body, closing]

    def commands(self) -> list[str]:
        """Return the shell commands of the block, continued lines joined."""
        if self.language not in _SHELL or self.skipped or self.file:
            return []
        lines = _commands(self.lines) if self.language == "console" else list(self.lines)
        joined = "\n".join(lines).replace("\\\n", " ")
        return [line.strip() for line in joined.split("\n") if line.strip()]


def blocks_of(path: Path, name: Path | None = None) -> list[Block]:
    """Return the fenced blocks of a document, in order."""
    found: list[Block] = []
    fence, start, head = "", 0, ("", "")
    body: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        match = _FENCE.match(line)
        if not fence and match:
            fence, start, head, body = match[1], number, (match[2], match[3].strip()), []
        elif fence and line.strip() == fence:
            found.append(Block(name or path, start, *head, tuple(body)))
            fence = ""
        elif fence:
            body.append(line)
    if fence:
        raise DocsError(f"{path}:{start}: the block is never closed.")
    return found


def documents() -> list[Path]:
    """Return README.md and all of docs/, relative to the root."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [path.relative_to(ROOT) for path in found]


def run_document(path: Path, *, root: Path = ROOT) -> list[Block]:
    """Run a document in a scratch copy of the tree; return the blocks that were skipped.

    Raises
    ------
    DocsError
        With the file and line of the command that failed; the scratch folder is kept.
    """
    blocks = blocks_of(root / path, path)
    lines = [""] * (max((b.first + len(b.lines) for b in blocks), default=0) + 1)
    for block in blocks:
        for number, line in enumerate(block.shell(), start=block.first):
            lines[number - 1] = line
    if not any(lines):
        return []
    scratch = Path(tempfile.mkdtemp(prefix=f"brainreel-{path.stem}-"))
    for name in COPIED:
        _copy(root / name, scratch / name)
    failed = scratch / ".failed"
    # On the first line, which is the title's, so that shell and document count alike.
    trap = f"trap 'echo $LINENO > {shlex.quote(str(failed))}' ERR"
    lines[0] = f"set -eEuo pipefail; {trap}; {lines[0]}"
    script = scratch / ".commands.sh"
    script.write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = subprocess.run(["bash", str(script)], cwd=scratch, env=_environment(scratch))
    if done.returncode:
        line = failed.read_text().strip() if failed.is_file() else "1"
        raise DocsError(f"{path}:{line}: the command failed; its folder is {scratch}.")
    shutil.rmtree(scratch)
    return [block for block in blocks if block.skipped]


def run_gallery(out: Path) -> None:
    """Run every script of the gallery; figures go to a folder."""
    for script in sorted((ROOT / "gallery").glob("[0-9]*.py")):
        name = script.relative_to(ROOT)
        with _timed(str(name)):
            command = [sys.executable, str(script), "--out", str(out)]
            if subprocess.run(command, env=_environment(ROOT)).returncode:
                raise DocsError(f"{name}: the script failed; its error stands above.")


def apply_change(path: Path, lines: Sequence[str]) -> None:
    """Change a file as a diff says; every run of ' ' and '-' lines must be found once.

    Raises
    ------
    DocsError
        Naming the line that the file does not have.
    """
    text = path.read_text(encoding="utf-8")
    for hunk in _hunks(lines):
        old = [line[1:] for line in hunk if line[:1] in " -"]
        pattern = "\n".join(_loose(line) for line in old)
        found = list(re.finditer(rf"^{pattern}$", text, re.MULTILINE))
        if len(found) != 1:
            raise DocsError(f"{path}: has {len(found)} times, not once: {' / '.join(old)}")
        kept = iter(found[0].groups())
        new: list[str] = []
        stood: list[str] = []
        for line in hunk:
            # In a new line "…" is what it stood for in the line before.
            if line[0] != "+":
                stood = [next(kept) for _ in range(line.count("…"))]
            if line[0] != "-":
                new.append(_filled(line[1:], stood))
        text = text[: found[0].start()] + "\n".join(new) + text[found[0].end() :]
    path.write_text(text, encoding="utf-8")


def _hunks(lines: Sequence[str]) -> Iterator[list[str]]:
    """Yield the parts of a diff that blank or @@ lines separate."""
    hunk: list[str] = []
    for line in [*lines, ""]:
        if line and not line.startswith("@@"):
            hunk.append(line)
        elif hunk:
            yield hunk
            hunk = []


def _loose(line: str) -> str:
    return "(.*?)".join(re.escape(part) for part in line.split("…"))


def _filled(line: str, stood: Sequence[str]) -> str:
    head, *parts = line.split("…")
    return head + "".join(text + part for text, part in zip(stood, parts, strict=False))


def _commands(lines: Sequence[str]) -> list[str]:
    """Return what was typed in a console block, blank lines in place of output."""
    typed = []
    going_on = False
    for line in lines:
        prompt = "$ " if not going_on else ""
        if line.startswith("> ") and going_on:
            line = line.removeprefix("> ")
        taken = line.startswith(prompt)
        typed.append(line.removeprefix(prompt) if taken else "")
        going_on = taken and line.endswith("\\")
    return typed


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "out"))
    elif source.is_file():
        shutil.copy2(source, target)


def _environment(tree: Path) -> dict[str, str]:
    """Return the environment in which commands use the tree's own source."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": str(tree / "src"),
        "RUN_DOCS": str(Path(__file__).resolve()),
        "MPLBACKEND": "agg",
        "COLUMNS": "100",
    }


@contextmanager
def _timed(title: str) -> Iterator[None]:
    """Say what runs, and how long it took."""
    started = time.monotonic()
    print(f"== {title}", flush=True)
    yield
    print(f"== {title}: {time.monotonic() - started:.0f} s\n", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("documents", nargs="*", type=Path, help="only these; 'gallery' for it")
    parser.add_argument("--out", type=Path, default=ROOT / "gallery" / "out")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--apply", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    try:
        if asked.write:
            asked.write.parent.mkdir(parents=True, exist_ok=True)
            asked.write.write_text(sys.stdin.read(), encoding="utf-8")
        elif asked.apply:
            apply_change(asked.apply, sys.stdin.read().splitlines())
        else:
            _run_all(asked.documents, asked.out)
    except DocsError as problem:
        print(f"docs: {problem}", file=sys.stderr)
        return 1
    return 0


def _run_all(chosen: Sequence[Path], out: Path) -> None:
    skipped: list[Block] = []
    if not chosen or Path("gallery") in chosen:
        run_gallery(out)
    for path in documents():
        if not chosen or path in chosen:
            with _timed(str(path)):
                skipped += run_document(path)
    for block in skipped:
        print(f"not run: {block.where}: {block.skipped}")


if __name__ == "__main__":
    sys.exit(main())
