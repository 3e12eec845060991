"""Where the history is and which files belong to it: our reading against Alembic's."""

from __future__ import annotations

import configparser
import inspect
import py_compile
import sys
from typing import TYPE_CHECKING

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from migrate.history import AlembicConfig, ConfigFault, load_config, scan

if TYPE_CHECKING:
    from pathlib import Path

READS_PYPROJECT = "toml_file" in inspect.signature(Config).parameters
HAS_PATH_SEPARATOR = hasattr(Config, "get_version_locations_list")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in ("scripts/versions", "a", "b", "src/shop/scripts/versions"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "src" / "shop" / "__init__.py").touch()
    for scripts in ("scripts", "src/shop/scripts"):
        (tmp_path / scripts / "env.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("shop", None)
    sys.path_importer_cache.pop("src", None)  # a relative entry, remembered for the working folder of its first use


def alembics(project: Path) -> ScriptDirectory:
    files: dict[str, str] = {"file_": "alembic.ini"}
    if READS_PYPROJECT:
        files["toml_file"] = "pyproject.toml"
    return ScriptDirectory.from_config(Config(**files))  # type: ignore[arg-type]


def ours(project: Path) -> AlembicConfig:
    config = load_config(None, project)
    assert isinstance(config, AlembicConfig), config
    return config


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("ini", "toml"),
    [
        ("script_location = scripts", ""),
        ("script_location = %(here)s/scripts", ""),
        ("script_location = ./scripts/", ""),
        ("script_location = shop:scripts\nprepend_sys_path = src", ""),
        ("script_location = scripts\nversion_locations = a b", ""),
        ("script_location = scripts\nversion_locations = a, b", ""),
        ("script_location = scripts\nversion_locations = %(here)s/a,b", ""),
        ("script_location = scripts\nversion_path_separator = :\nversion_locations = a:b", ""),
        ("script_location = scripts\nversion_path_separator = os\nversion_locations = a:%(here)s/b", ""),
        ("script_location = scripts\nversion_path_separator = space\nversion_locations = a  b", ""),
        ("script_location = scripts\nsourceless = true\nrecursive_version_locations = true", ""),
        ("script_location = scripts\nsourceless = True\nrecursive_version_locations = yes", ""),
        ("script_location = scripts\nversion_locations =", ""),
        pytest.param(
            "script_location = scripts\npath_separator = newline\nversion_locations =\n  a\n  %(here)s/b",
            "",
            marks=pytest.mark.skipif(not HAS_PATH_SEPARATOR, reason="Alembic before 1.16"),
        ),
        pytest.param(
            "script_location = scripts\npath_separator = ;\nversion_path_separator = :\nversion_locations = a; b ;",
            "",
            marks=pytest.mark.skipif(not HAS_PATH_SEPARATOR, reason="Alembic before 1.16"),
        ),
        *(
            pytest.param(ini, toml, marks=pytest.mark.skipif(not READS_PYPROJECT, reason="Alembic before 1.16"))
            for ini, toml in (
                ("", "script_location = 'scripts'"),
                ("", "script_location = '%(here)s/scripts'\nversion_locations = ['a', '%(here)s/b']"),
                ("", "script_location = 'shop:scripts'\nprepend_sys_path = ['src']\nsourceless = true"),
                ("script_location = scripts", "script_location = 'gone'\nversion_locations = ['b']"),
                ("script_location = scripts\nversion_locations = a", "version_locations = ['b']"),
                (
                    "script_location = scripts\nsourceless = true",
                    "sourceless = false\nrecursive_version_locations = true",
                ),
            )
        ),
    ],
)
def test_the_same_places(project: Path, ini: str, toml: str) -> None:
    if ini:
        (project / "alembic.ini").write_text(f"[alembic]\n{ini}\n")
    if toml:
        (project / "pyproject.toml").write_text(f"[tool.alembic]\n{toml}\n")

    config = ours(project)
    theirs = alembics(project)

    assert config.script_location == (project / theirs.dir)
    assert [str(folder) for folder in config.version_locations] == [str(folder) for folder in theirs._version_locations]
    assert (config.sourceless, config.recursive) == (theirs.sourceless, theirs.recursive_version_locations)
    assert list(config.prepend_sys_path) == sys.path[: len(config.prepend_sys_path)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "ini",
    [
        "",
        "script_location = gone",
        "script_location = %(gone)s",
        "script_location = scripts\nversion_path_separator = tab\nversion_locations = a",
        "script_location = shop:gone\nprepend_sys_path = src",
        "script_location = no_such_package:scripts",
    ],
)
def test_what_alembic_refuses_we_refuse(project: Path, ini: str) -> None:
    (project / "alembic.ini").write_text(f"[alembic]\n{ini}\n")

    assert isinstance(load_config(None, project), ConfigFault)
    with pytest.raises((CommandError, ValueError, ImportError, configparser.Error)):
        alembics(project)


@pytest.mark.filterwarnings("ignore:File .* loaded twice")
@pytest.mark.parametrize("recursive", [False, True])
@pytest.mark.parametrize("sourceless", [False, True])
def test_the_same_files_in_the_same_order(project: Path, *, recursive: bool, sourceless: bool) -> None:
    def write(name: str, id_: str) -> Path:
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"'''{id_}'''\nrevision = '{id_}'\ndown_revision = None\n")
        return path

    for number, name in enumerate(
        [
            "c.py",
            "a.py",
            "_private.py",
            "z/deep/er.py",
            "z/a.py",
            "b/x.py",
            "été.py",
            "a b.py",
            "x.cpython.py",
            "__pycache__/no.py",
        ]
    ):
        write(f"scripts/versions/{name}", f"v{number}")
    write("shared/linked.py", "s1")
    versions = project / "scripts" / "versions"
    (versions / "b_link.py").symlink_to("../../shared/linked.py")
    (versions / "q_link").symlink_to("../../shared/linked.py")
    (versions / "folder").symlink_to("../../shared")
    for ignored in ("__init__.py", ".#a.py", "notes.txt", "a.py~"):
        (versions / ignored).write_text("raise SystemExit")
    (versions / "text.py").symlink_to("notes.txt")
    (versions / "compiled.py").write_text("revision = 'compiled'\ndown_revision = None\n")
    py_compile.compile(str(versions / "compiled.py"), str(versions / "compiled.pyc"), doraise=True)
    py_compile.compile(
        str(versions / "compiled.py"), str(versions / "__pycache__" / "cached.cpython-311.pyc"), doraise=True
    )
    (versions / "compiled.py").unlink()
    write("b/other.py", "b1")
    flags = f"recursive_version_locations = {str(recursive).lower()}\nsourceless = {str(sourceless).lower()}"
    (project / "alembic.ini").write_text(
        f"[alembic]\nscript_location = scripts\nversion_path_separator = os\npath_separator = os\n{flags}\n"
        "version_locations = scripts/versions:b:scripts/versions\n"
    )

    scanned = scan(ours(project))

    theirs = [(str(script.path), script.revision) for script in alembics(project)._load_revisions()]
    byte_code = [fault.files[0] for fault in scanned.faults]
    assert list(scanned.paths.values()) == [path for path, _ in theirs]
    assert [revision.id for revision in scanned.revisions] == [id_ for path, id_ in theirs if path.endswith(".py")]
    assert byte_code == (
        ["scripts/versions/compiled.pyc", "scripts/versions/__pycache__/cached.cpython-311.pyc"] if sourceless else []
    )


def test_a_folder_that_was_not_copied_is_an_empty_history_to_alembic_and_a_fault_to_us(project: Path) -> None:
    (project / "alembic.ini").write_text(
        "[alembic]\nscript_location = scripts\npath_separator = os\nversion_locations = gone\n"
    )

    assert alembics(project).get_heads() == []
    assert isinstance(load_config(None, project), ConfigFault)
