"""What `make docs` runs, and what it says when a command fails."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

GOOD = """# A title

```console
$ echo one \\
>     two > first.txt
this is output and is not run
$ cat first.txt
```

Text with a file:

```yaml made/by.yaml
answer: 42
```

```bash
test "$(cat made/by.yaml)" = "answer: 42"
PLACE=here
```

```python
from pathlib import Path

assert Path("first.txt").read_text() == "one two\\n"
```

```bash skip: needs a scanner
exit 1
```

```json
{"not": "run"}
```

```bash
test "$PLACE" = here
```
"""


def document(root: Path, text: str) -> Path:
    (root / "page.md").write_text(text)
    return Path("page.md")


def test_a_document_is_one_session_and_its_skipped_blocks_are_told(
    runner: ModuleType, tmp_path: Path
) -> None:
    skipped = runner.run_document(document(tmp_path, GOOD), root=tmp_path)
    assert [block.skipped for block in skipped] == ["needs a scanner"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("# T\n\n```console\n$ true\nfine\n$ false\n```\n", 6),
        ("# T\n\n```bash\ntrue\ntrue\nls nowhere\n```\n", 6),
        ("# T\n\n```python\nx = 1\nassert x == 2\n```\n", 3),
        ("# T\n\n```bash\nfalse | true\n```\n", 4),
        ("# T\n\n```bash\nf() {\n  false\n}\nf\n```\n", 5),
    ],
)
def test_a_failing_command_is_named_by_file_and_line(
    runner: ModuleType, tmp_path: Path, text: str, line: int
) -> None:
    with pytest.raises(runner.DocsError, match=rf"page\.md:{line}: the command failed"):
        runner.run_document(document(tmp_path, text), root=tmp_path)


def test_a_skip_without_a_reason_is_refused(runner: ModuleType, tmp_path: Path) -> None:
    page = document(tmp_path, "# T\n\n```bash skip\nfalse\n```\n")
    with pytest.raises(runner.DocsError, match=r"page\.md:3: skipped without a reason"):
        runner.run_document(page, root=tmp_path)


def test_an_open_block_is_refused(runner: ModuleType, tmp_path: Path) -> None:
    page = document(tmp_path, "# T\n\n```bash\nfalse\n")
    with pytest.raises(runner.DocsError, match=r"page\.md:3: the block is never closed"):
        runner.run_document(page, root=tmp_path)


def test_a_change_is_made_where_its_lines_stand(runner: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "code.py"
    path.write_text("import b\n\nX = Union[A | B, more]\nY = (\n    1,\n)\n")
    change = ["+import a", " import b", "", "-X = Union[…, more]", "+X = Union[… | C, more]"]
    runner.apply_change(path, [*change, "", " Y = (", "+    0,"])
    assert path.read_text() == (
        "import a\nimport b\n\nX = Union[A | B | C, more]\nY = (\n    0,\n    1,\n)\n"
    )


@pytest.mark.parametrize("lines", [["-absent", "+new"], ["-x = 1", "+x = 2"]])
def test_a_change_that_fits_nowhere_or_twice_is_refused(
    runner: ModuleType, tmp_path: Path, lines: list[str]
) -> None:
    path = tmp_path / "code.py"
    path.write_text("x = 1\ny = 2\nx = 1\n")
    with pytest.raises(runner.DocsError, match=r"has [02] times, not once"):
        runner.apply_change(path, lines)
    assert path.read_text() == "x = 1\ny = 2\nx = 1\n"
