"""A failure shows people the line of the revision with a mark under what failed, and that of what it called."""

from __future__ import annotations

import pytest


def told(result) -> list[str]:
    return [line.rstrip() for line in result.stdout.decode().splitlines()]


def after(lines: list[str], place: str) -> list[str]:
    """The two lines below that of the place, from its column on."""
    at = next(index for index, line in enumerate(lines) if line.endswith(place))
    column = lines[at].index(place)
    return [line[column:] for line in lines[at + 1 : at + 3]]


def line_of(file, text: str) -> int:
    return next(number for number, line in enumerate(file.read_text().splitlines(), 1) if text in line)


CASES = {
    "op": ("op.drop_column('absent', 'a')", None),
    "op.execute": ("op.execute('SELECT * FROM absent')", None),
    "a method of the connection": (
        "x = op.get_bind().execute(sa.text('SELECT * FROM absent')) or 1",
        "op.get_bind().execute(sa.text('SELECT * FROM absent'))",
    ),
    "python": ("wanted = {}['absent']", "{}['absent']"),
    "letters of more than a byte": ("op.execute('SELECT ''ü'' FROM absent /* é */')", None),
    "more than a line": ("op.execute(\n    'SELECT * FROM absent'\n)", "op.execute("),
}


@pytest.mark.parametrize("case", CASES)
def test_the_revisions_line_is_shown_with_a_mark(project, database, run_migrate, case):
    statement, marked = CASES[case]
    line = statement.splitlines()[0]
    file = project.revision("bad", message="bad", upgrade=statement, header="import sqlalchemy as sa")
    result = run_migrate("up", "--log-format", "text", database=database)
    assert result.exit_code == 30, told(result)
    place = f"{file.relative_to(project.path)}:{line_of(file, line)}"
    shown, mark = after(told(result), place)
    assert shown == line
    marked = marked or line
    assert mark == " " * line.index(marked) + "^" * len(marked)


@pytest.mark.parametrize("where", ["beside the revisions", "in the application"])
def test_the_line_of_what_the_revision_called_is_shown_too(project, database, run_migrate, where):
    folder = project.versions.parent if where == "beside the revisions" else project.path
    (folder / "filling.py").write_text("def fill(op):\n    op.execute('SELECT * FROM absent')\n")
    header = f"import sys\nsys.path.insert(0, {str(folder)!r})\nfrom filling import fill"
    file = project.revision("bad", message="bad", header=header, upgrade="fill(op)")
    result = run_migrate("up", "--log-format", "text", database=database)
    assert result.exit_code == 30, told(result)
    lines = told(result)
    own, helper = (
        f"{file.relative_to(project.path)}:{line_of(file, '    fill(op)')}",
        f"{(folder / 'filling.py').relative_to(project.path)}:2",
    )
    assert after(lines, own) == ["fill(op)", "^^^^^^^^"]
    assert after(lines, helper) == ["op.execute('SELECT * FROM absent')", "^" * 34]
    assert next(i for i, line in enumerate(lines) if own in line) < next(
        i for i, line in enumerate(lines) if helper in line and "why" not in line
    )


def test_what_is_installed_is_not_shown(project, database, run_migrate):
    project.revision("bad", message="bad", upgrade="op.execute('SELECT * FROM absent')")
    result = run_migrate("up", "--log-format", "text", database=database)
    assert not [line for line in told(result) if "site-packages" in line or "sqlalchemy/" in line]


def test_a_secret_in_the_line_is_taken_out(project, database, run_migrate):
    project.revision("bad", message="bad", upgrade="op.execute(\"ALTER ROLE absent PASSWORD 'hunter2222'\")")
    result = run_migrate("up", "--log-format", "text", database=database)
    assert result.exit_code == 30
    assert "ALTER ROLE absent PASSWORD '***'" in result.stdout.decode()
    assert "hunter2222" not in result.stdout.decode()


def test_lines_of_json_have_the_file_and_the_line_and_no_more(project, database, run_migrate):
    file = project.revision("bad", message="bad", upgrade="op.execute('SELECT * FROM absent')")
    result = run_migrate("up", database=database)
    assert result.finished["file"] == str(file.relative_to(project.path))
    assert result.finished["line"] == line_of(file, "SELECT * FROM absent")
    assert "^^^" not in result.stdout.decode()
    assert not {"excerpts", "at"} & result.finished.keys()


def test_env_py_that_fails_is_shown_too(project, database, run_migrate):
    project.linear(1)
    env_py = project.versions.parent / "env.py"
    env_py.write_text(f"wanted = {{}}['absent']\n{env_py.read_text()}")
    result = run_migrate("up", "--log-format", "text", database=database)
    assert result.exit_code == 11, told(result)
    place = f"{env_py.relative_to(project.path)}:{line_of(env_py, 'absent')}"
    assert after(told(result), place) == ["wanted = {}['absent']", "         ^^^^^^^^^^^^"]


def test_the_replay_shows_it_too(project, run_migrate):
    file = project.revision("bad", message="bad", upgrade="op.drop_column('absent', 'a')")
    result = run_migrate("manifest", "--log-format", "text")
    place = f"{file.relative_to(project.path)}:{line_of(file, 'absent')}"
    assert after(told(result), place) == ["op.drop_column('absent', 'a')", "^" * 29]


def test_without_columns_the_statements_first_character_is_marked(project, database, run_migrate):
    file = project.revision("bad", message="bad", upgrade="op.execute('SELECT * FROM absent')")
    result = run_migrate("up", "--log-format", "text", database=database, env={"PYTHONNODEBUGRANGES": "1"})
    place = f"{file.relative_to(project.path)}:{line_of(file, 'absent')}"
    assert after(told(result), place) == ["op.execute('SELECT * FROM absent')", "^"]
