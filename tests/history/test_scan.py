"""Which files are revisions, and what becomes of those that cannot be read."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from migrate.core.history.faults import FaultKind, HistoryFault
from migrate.core.history.graph import Revision
from migrate.history import AlembicConfig, Scanned, check_syntax, load_config, scan


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    folder = tmp_path / "scripts" / "versions"
    folder.mkdir(parents=True)
    (tmp_path / "scripts" / "env.py").touch()
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/scripts\npath_separator = os\n")
    return folder


def config(versions: Path, **changes: object) -> AlembicConfig:
    found = load_config(None, versions.parent.parent)
    assert isinstance(found, AlembicConfig), found
    return replace(found, **changes)  # type: ignore[arg-type]


def revision(id_: str, down: str | None = None, rest: str = "") -> bytes:
    return f'"""step {id_}"""\nrevision = {id_!r}\ndown_revision = {down!r}\n{rest}'.encode()


def ids(scanned: Scanned) -> list[str]:
    assert scanned.faults == ()
    return [each.id for each in scanned.revisions]


def only_fault(scanned: Scanned) -> HistoryFault:
    (found,) = scanned.faults
    return found


def test_an_empty_folder_is_an_empty_history(versions: Path) -> None:
    assert scan(config(versions)) == Scanned((), (), {})


def test_a_file_and_all_that_is_known_of_it(versions: Path) -> None:
    data = revision("b", "a")
    (versions / "b_step.py").write_bytes(data)

    scanned = scan(config(versions))

    file = "scripts/versions/b_step.py"
    assert scanned.revisions == (Revision("b", ("a",), (), (), "step b", file, hashlib.sha256(data).hexdigest()),)
    assert scanned.paths == {file: str(versions / "b_step.py")}


def test_the_hash_is_that_of_the_bytes_whatever_they_are_decoded_to(versions: Path) -> None:
    data = b"\xef\xbb\xbf" + revision("b").replace(b"\n", b"\r\n")
    (versions / "b.py").write_bytes(data)

    (found,) = scan(config(versions)).revisions
    assert found.sha256 == hashlib.sha256(data).hexdigest()


def test_files_come_in_the_order_of_locations_and_names(versions: Path) -> None:
    other = versions.parent / "other"
    other.mkdir()
    for folder, name in ((versions, "c"), (versions, "a"), (other, "b")):
        (folder / f"{name}.py").write_bytes(revision(name))

    assert ids(scan(config(versions, version_locations=(other, versions)))) == ["b", "a", "c"]


def test_what_is_no_revision_file(versions: Path) -> None:
    for name in ("__init__.py", ".#a.py", "README", "a.pyc", "a.py.bak", "__init__old.py", "a\nb.py"):
        (versions / name).write_text("not a revision")
    (versions / "__pycache__").mkdir()
    (versions / "__pycache__" / "b.cpython-311.pyc").touch()
    (versions / "folder.py").mkdir()
    (versions / "below").mkdir()
    (versions / "below" / "d.py").write_bytes(revision("d"))
    (versions / "_c.py").write_bytes(revision("c"))

    assert ids(scan(config(versions))) == ["c"]


def test_folders_below_are_read_when_asked_for(versions: Path) -> None:
    for inner in ("2026", "2025/early", "2025/__pycache__"):
        (versions / inner).mkdir(parents=True)
    for name in ("z", "2026/c", "2025/b", "2025/early/a", "2025/__pycache__/no"):
        (versions / f"{name}.py").write_bytes(revision(Path(name).name))
    (versions / "link").symlink_to(versions / "2026")

    assert ids(scan(config(versions, recursive=True))) == ["z", "b", "a", "c"]


def test_links_count_as_the_file_they_point_to_and_once(versions: Path) -> None:
    shared = versions.parent.parent / "shared"
    shared.mkdir()
    (shared / "1a.py").write_bytes(b"down_revision = None\n")
    (shared / "note.txt").write_text("no revision")
    (versions / "a_link.py").symlink_to(shared / "1a.py")
    (versions / "b_link.py").symlink_to(shared / "1a.py")
    (versions / "c.py").symlink_to(shared / "note.txt")
    (versions / "folder.py").symlink_to(shared)
    linked = versions.parent / "linked"
    linked.symlink_to(versions)

    scanned = scan(config(versions, version_locations=(versions, linked, versions)))

    assert ids(scanned) == ["1a"]
    assert scanned.paths == {"scripts/versions/a_link.py": str(shared / "1a.py")}


def test_files_outside_the_project_are_shown_with_their_whole_path(
    versions: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("package")
    (outside / "a.py").write_bytes(revision("a"))

    (found,) = scan(config(versions, version_locations=(outside,))).revisions
    assert found.file == str(outside / "a.py")


def test_names_that_no_log_line_should_carry_are_escaped(versions: Path) -> None:
    for number, name in enumerate([b"a\x1b[31m.py", b"caf\xe9.py", "été.py".encode(), b"with space.py", b"quote'.py"]):
        (versions / os.fsdecode(name)).write_bytes(revision(str(number)))

    scanned = scan(config(versions))

    names = {each.file.removeprefix("scripts/versions/") for each in scanned.revisions}
    assert names == {"a\\x1b[31m.py", "caf\\udce9.py", "été.py", "with space.py", "quote'.py"}
    assert all(Path(scanned.paths[each.file]).exists() for each in scanned.revisions)


def test_a_file_is_not_run(versions: Path) -> None:
    for number, way in enumerate(("", "if True: pass\n", "down_revision = str()\n")):
        (versions / f"{number}.py").write_bytes(revision(str(number), None, f"{way}raise SystemExit('it ran')\n"))

    scanned = scan(config(versions))

    assert len(scanned.revisions) == 2
    assert only_fault(scanned).kind is FaultKind.DYNAMIC
    assert check_syntax(scanned, scanned.revisions) == ()


@pytest.mark.parametrize("way", ["missing", "loop", "pipe", "socket", "link to a pipe"])
def test_what_is_called_like_a_revision_and_is_no_file(
    versions: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = versions / "a.py"
    match way:
        case "missing":
            path.symlink_to(versions / "gone.py")
        case "loop":
            path.symlink_to(path)
        case "pipe":
            os.mkfifo(path)
        case "socket":
            monkeypatch.chdir(versions)  # a socket's name may not be long
            with socket.socket(socket.AF_UNIX) as server:
                server.bind("a.py")
        case _:
            os.mkfifo(versions / "pipe.py")
            path.symlink_to(versions / "pipe.py")

    scanned = scan(config(versions))

    assert scanned.revisions == ()
    assert {fault.kind for fault in scanned.faults} == {FaultKind.UNREADABLE}
    assert "scripts/versions/a.py" in scanned.faults[0].why


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_without_permission(versions: Path) -> None:
    (versions / "a.py").touch(mode=0)
    assert only_fault(scan(config(versions))).kind is FaultKind.UNREADABLE


def test_a_folder_that_went_away(versions: Path) -> None:
    found = config(versions)
    versions.rmdir()

    fault = only_fault(scan(found))
    assert fault.kind is FaultKind.UNREADABLE
    assert fault.files == ("scripts/versions",)


def test_each_bad_file_is_one_fault_and_the_others_are_read(versions: Path) -> None:
    (versions / "a.py").write_bytes(revision("a"))
    (versions / "b.py").write_bytes(b"revision = (\n")
    (versions / "c.py").write_bytes(b"def helper(): pass\n")
    (versions / "d.py").write_bytes(b"import os\nrevision = os.name\ndown_revision = None\n")
    (versions / "e.py").write_bytes(b"revision = 'e'\ndown_revision = None\nx = 'caf\xe9'\n")

    scanned = scan(config(versions))

    assert [each.id for each in scanned.revisions] == ["a"]
    assert [(fault.kind, fault.files) for fault in scanned.faults] == [
        (FaultKind.SYNTAX, ("scripts/versions/b.py",)),
        (FaultKind.UNDECLARED, ("scripts/versions/c.py",)),
        (FaultKind.DYNAMIC, ("scripts/versions/d.py",)),
        (FaultKind.SYNTAX, ("scripts/versions/e.py",)),
    ]


def test_byte_code_counts_where_no_source_is_shipped(versions: Path) -> None:
    (versions / "a.py").write_bytes(revision("a"))
    assert ids(scan(config(versions, sourceless=True))) == ["a"]
    (versions / "__pycache__").mkdir()
    for name in ("a.pyc", "b.pyc", "b.pyo", "c.pyo", "__pycache__/a.cpython-311.pyc", "__pycache__/d.cpython-311.pyc"):
        (versions / name).touch()

    assert ids(scan(config(versions))) == ["a"]
    scanned = scan(config(versions, sourceless=True))
    assert [each.id for each in scanned.revisions] == ["a"]
    assert {(fault.kind, *fault.files) for fault in scanned.faults} == {
        (FaultKind.DYNAMIC, f"scripts/versions/{name}") for name in ("b.pyc", "c.pyo", "__pycache__/d.cpython-311.pyc")
    }


def test_a_syntax_error_below_the_header_is_found_when_asked_for(versions: Path) -> None:
    (versions / "a.py").write_bytes(revision("a", None, "def upgrade():\n    pass pass\n"))
    (versions / "b.py").write_bytes(revision("b", "a", "return\n"))
    (versions / "c.py").write_bytes(revision("c", "b", "x = '\\d'\n"))
    (versions / "d.py").write_bytes(revision("d", "c"))
    scanned = scan(config(versions))
    (versions / "d.py").unlink()

    assert ids(scanned) == ["a", "b", "c", "d"]
    assert [(fault.kind, fault.line) for fault in check_syntax(scanned, scanned.revisions)] == [
        (FaultKind.SYNTAX, 5),
        (FaultKind.SYNTAX, 4),
        (FaultKind.UNREADABLE, None),
    ]


def test_reading_an_image_imports_no_alembic_and_no_sqlalchemy(versions: Path) -> None:
    (versions / "a.py").write_bytes(revision("a"))
    code = (
        "import sys, pathlib; from migrate.history import *; from migrate.core.history.graph import Graph;"
        "graph = Graph(scan(load_config(None, pathlib.Path(sys.argv[1]))).revisions);"
        "assert graph.heads == ('a',);"
        "print(sorted({'alembic', 'sqlalchemy', 'mako'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, versions.parent.parent], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
