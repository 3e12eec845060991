"""Alembic's configuration as it is found in projects, and every way in which it can be wrong."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from migrate.history import AlembicConfig, ConfigFault, ConfigFaultKind, load_config

if TYPE_CHECKING:
    from collections.abc import Iterator

INI = "[alembic]\nscript_location = %(here)s/scripts\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "scripts" / "versions").mkdir(parents=True)
    (tmp_path / "scripts" / "env.py").touch()
    return tmp_path


def loaded(project: Path, config_file: str | None = None, section: str = "alembic") -> AlembicConfig:
    config = load_config(Path(config_file) if config_file else None, project, section)
    assert isinstance(config, AlembicConfig), config
    return config


def fault(project: Path, config_file: str | None = None, section: str = "alembic") -> ConfigFault:
    found = load_config(Path(config_file) if config_file else None, project, section)
    assert isinstance(found, ConfigFault), found
    assert "\n" not in found.why
    return found


def test_an_ordinary_ini(project: Path) -> None:
    (project / "alembic.ini").write_text(INI)

    assert loaded(project) == AlembicConfig(
        root=project,
        ini=project / "alembic.ini",
        toml=None,
        section="alembic",
        script_location=project / "scripts",
        env_py=project / "scripts" / "env.py",
        version_locations=(project / "scripts" / "versions",),
        prepend_sys_path=(),
        sourceless=False,
        recursive=False,
    )


def test_a_named_file_in_another_folder(project: Path) -> None:
    (project / "deploy").mkdir()
    (project / "deploy" / "db.ini").write_text("[alembic]\nscript_location = %(here)s/../scripts\n")
    (project / "elsewhere").mkdir()

    config = loaded(project / "elsewhere", "../deploy/db.ini")

    assert config.root.resolve() == project / "deploy"
    assert config.script_location.resolve() == project / "scripts"


def test_a_relative_script_location_is_relative_to_the_working_folder_as_in_alembic(project: Path) -> None:
    (project / "deploy").mkdir()
    (project / "deploy" / "db.ini").write_text("[alembic]\nscript_location = scripts\n")

    assert loaded(project, "deploy/db.ini").script_location == project / "scripts"
    assert fault(project / "deploy", "db.ini").kind is ConfigFaultKind.MISSING_FOLDER


def test_another_section(project: Path) -> None:
    (project / "alembic.ini").write_text("[tenants]\nscript_location = scripts\n[alembic]\nscript_location = gone\n")

    assert loaded(project, section="tenants").section == "tenants"
    found = fault(project, section="users")
    assert found.kind is ConfigFaultKind.MISSING_SCRIPT_LOCATION
    assert "[users]" in found.why


def test_options_may_come_from_the_default_section(project: Path) -> None:
    (project / "alembic.ini").write_text("[DEFAULT]\nbase = scripts\n[alembic]\nscript_location = %(base)s\n")

    assert loaded(project).script_location == project / "scripts"


def test_pyproject_alone(project: Path) -> None:
    (project / "pyproject.toml").write_text(
        '[tool.alembic]\nscript_location = "%(here)s/scripts"\nprepend_sys_path = ["."]\n'
        'version_locations = ["%(here)s/scripts/versions", "scripts"]\n'
        "recursive_version_locations = true\nsourceless = false\n"
    )

    config = loaded(project)

    assert (config.ini, config.toml, config.root) == (None, project / "pyproject.toml", project)
    assert config.version_locations == (project / "scripts" / "versions", project / "scripts")
    assert (config.prepend_sys_path, config.recursive, config.sourceless) == ((".",), True, False)
    assert loaded(project, "pyproject.toml") == config


def test_both_files_the_ini_comes_first(project: Path) -> None:
    (project / "alembic.ini").write_text(INI)
    (project / "pyproject.toml").write_text('[tool.alembic]\nscript_location = "gone"\nprepend_sys_path = ["src"]\n')

    config = loaded(project)

    assert config.script_location == project / "scripts"
    assert config.prepend_sys_path == ("src",)


def test_a_logging_only_ini_beside_pyproject(project: Path) -> None:
    (project / "alembic.ini").write_text("[loggers]\nkeys = root\n")
    (project / "pyproject.toml").write_text('[tool.alembic]\nscript_location = "scripts"\n')

    assert loaded(project).script_location == project / "scripts"


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("path_separator = os", "a:b", ("a", "b")),
        ("path_separator = :", "a: b", ("a", "b")),
        ("path_separator = ;", "a;b;", ("a", "b")),
        ("path_separator = space", "a  b", ("a", "b")),
        ("path_separator = newline", "\n  a\n  b", ("a", "b")),
        ("version_path_separator = :", "a:b", ("a", "b")),
        ("version_path_separator = space\npath_separator = :", "a:b", ("a", "b")),
        ("", "a b", ("a", "b")),
        ("", "a, b", ("a", "b")),
    ],
)
def test_version_locations(project: Path, option: str, value: str, expected: tuple[str, ...]) -> None:
    for folder in ("a", "b"):
        (project / folder).mkdir()
    (project / "alembic.ini").write_text(f"{INI}{option}\nversion_locations = {value}\n")

    assert loaded(project).version_locations == tuple(project / folder for folder in expected)


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [("path_separator = os", ".:src", (".", "src")), ("", ". src:lib, x", (".", "src", "lib", "x")), ("", "", ())],
)
def test_prepend_sys_path(project: Path, option: str, value: str, expected: tuple[str, ...]) -> None:
    (project / "alembic.ini").write_text(f"{INI}{option}\nprepend_sys_path = {value}\n")

    assert loaded(project).prepend_sys_path == expected


@pytest.mark.parametrize(("value", "expected"), [("true", True), ("True", False), ("1", False), ("false", False)])
def test_flags_of_an_ini_are_true_in_one_spelling_only(project: Path, value: str, *, expected: bool) -> None:
    (project / "alembic.ini").write_text(f"{INI}sourceless = {value}\nrecursive_version_locations = {value}\n")

    config = loaded(project)

    assert (config.sourceless, config.recursive) == (expected, expected)


@pytest.fixture
def unimportable(project: Path) -> Iterator[str]:
    """A package that fails whoever imports it, in the folder `src`."""
    inner = project / "src" / "shop" / "db"
    (inner / "migrations" / "versions").mkdir(parents=True)
    (inner / "migrations" / "env.py").touch()
    for folder in (inner.parent, inner):
        (folder / "__init__.py").write_text("raise SystemExit('imported')\n")
    (project / "src" / "spaces" / "inner" / "migrations" / "versions").mkdir(parents=True)
    (project / "src" / "spaces" / "inner" / "migrations" / "env.py").touch()
    yield "shop"
    assert "shop" not in sys.modules


@pytest.mark.usefixtures("unimportable")
@pytest.mark.parametrize(
    ("location", "folder"),
    [
        ("shop.db:migrations", "shop/db/migrations"),
        ("shop:db:migrations", "shop/db/migrations"),
        ("spaces.inner:migrations", "spaces/inner/migrations"),
    ],
)
def test_a_package_is_found_and_not_imported(project: Path, location: str, folder: str) -> None:
    (project / "alembic.ini").write_text(
        f"[alembic]\nscript_location = {location}\nprepend_sys_path = src\nversion_locations = {location}/versions\n"
    )

    config = loaded(project)

    assert config.script_location == project / "src" / folder
    assert config.version_locations == (project / "src" / folder / "versions",)


def test_an_installed_package_is_found(project: Path) -> None:
    (project / "alembic.ini").write_text("[alembic]\nscript_location = sqlalchemy:dialects\n")

    # Found; it has no env.py, being no script folder.
    assert fault(project).kind is ConfigFaultKind.MISSING_ENV_PY


class OnlyByItsFinder:
    """What an editable install puts into `sys.meta_path`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> object:
        from importlib.machinery import ModuleSpec

        if name != "editable_shop":
            return None
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(self.folder)]
        return spec


def test_a_package_of_an_editable_install_is_found(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, OnlyByItsFinder(project)])
    (project / "alembic.ini").write_text("[alembic]\nscript_location = editable_shop:scripts\n")

    assert loaded(project).script_location == project / "scripts"


@pytest.mark.parametrize("package", ["gone", "gone.deeper", "os.path", "", "sqlalchemy..x", "without_spec"])
def test_a_package_that_is_not_there(project: Path, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "without_spec", ModuleType("without_spec"))
    (project / "alembic.ini").write_text(f"[alembic]\nscript_location = {package}:migrations\n")

    found = fault(project)
    assert found.kind is ConfigFaultKind.MISSING_PACKAGE
    assert "prepend_sys_path" in str(found.fix)


def test_a_package_without_that_folder(project: Path) -> None:
    (project / "alembic.ini").write_text("[alembic]\nscript_location = json:migrations\n")

    assert fault(project).kind is ConfigFaultKind.MISSING_FOLDER


def test_no_configuration_at_all_says_where_we_looked(tmp_path: Path) -> None:
    found = fault(tmp_path)

    assert found.kind is ConfigFaultKind.MISSING_FILE
    assert str(tmp_path) in found.why
    assert "--config" in str(found.fix)


def test_a_pyproject_of_another_tool_is_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")

    assert fault(tmp_path).kind is ConfigFaultKind.MISSING_FILE


def test_a_named_file_that_is_not_there(project: Path) -> None:
    (project / "alembic.ini").write_text(INI)

    found = fault(project, "conf/db.ini")
    assert found.kind is ConfigFaultKind.MISSING_FILE
    assert str(project / "conf" / "db.ini") in found.why


@pytest.mark.parametrize(
    ("ini", "kind", "said"),
    [
        ("", ConfigFaultKind.MISSING_SCRIPT_LOCATION, "[alembic]"),
        ("[alembic]\n", ConfigFaultKind.MISSING_SCRIPT_LOCATION, "script_location"),
        ("[alembic]\nscript_location =\n", ConfigFaultKind.MISSING_SCRIPT_LOCATION, "script_location"),
        ("[alembic]\nscript_location = %(gone)s/x\n", ConfigFaultKind.INVALID_VALUE, "script_location"),
        ("[alembic]\nscript_location = 100%\n", ConfigFaultKind.INVALID_VALUE, "%%"),
        ("[alembic]\nscript_location = gone\n", ConfigFaultKind.MISSING_FOLDER, "gone"),
        ("[alembic]\nscript_location = alembic.ini\n", ConfigFaultKind.MISSING_FOLDER, "alembic.ini"),
        (f"{INI}version_locations = scripts/versions gone\n", ConfigFaultKind.MISSING_FOLDER, "gone"),
        (f"{INI}version_locations = a\npath_separator = tab\n", ConfigFaultKind.INVALID_VALUE, "newline"),
        ("script_location = x\n", ConfigFaultKind.MALFORMED_FILE, "line 1"),
        ("[alembic]\nx = 1\nscript_location\n", ConfigFaultKind.MALFORMED_FILE, "line 3"),
        ("[alembic]\nx = 1\nx = 2\n", ConfigFaultKind.MALFORMED_FILE, "'x'"),
        ("[alembic]\n[alembic]\n", ConfigFaultKind.MALFORMED_FILE, "line 2"),
    ],
)
def test_a_wrong_ini(project: Path, ini: str, kind: ConfigFaultKind, said: str) -> None:
    (project / "alembic.ini").write_text(ini)

    found = fault(project)
    assert found.kind is kind
    assert said in found.why
    assert found.fix


@pytest.mark.parametrize(
    ("toml", "kind"),
    [
        ("[tool.alembic\n", ConfigFaultKind.MALFORMED_FILE),
        ("tool = 1\n", ConfigFaultKind.MALFORMED_FILE),
        ("[tool]\nalembic = []\n", ConfigFaultKind.MALFORMED_FILE),
        ("[tool.alembic]\nscript_location = 1\n", ConfigFaultKind.INVALID_VALUE),
        ("[tool.alembic]\nscript_location = '%(gone)s'\n", ConfigFaultKind.INVALID_VALUE),
        ("[tool.alembic]\nscript_location = '50%'\n", ConfigFaultKind.INVALID_VALUE),
        ("[tool.alembic]\nscript_location = 'scripts'\nversion_locations = 'x'\n", ConfigFaultKind.INVALID_VALUE),
        ("[tool.alembic]\nscript_location = 'scripts'\nprepend_sys_path = [1]\n", ConfigFaultKind.INVALID_VALUE),
        ("[tool.alembic]\nscript_location = 'scripts'\nsourceless = 'true'\n", ConfigFaultKind.INVALID_VALUE),
        ("[tool.alembic]\nprepend_sys_path = ['.']\n", ConfigFaultKind.MISSING_SCRIPT_LOCATION),
    ],
)
def test_a_wrong_pyproject(project: Path, toml: str, kind: ConfigFaultKind) -> None:
    (project / "pyproject.toml").write_text(toml)

    assert fault(project).kind is kind


@pytest.mark.parametrize("line", ["sqlalchemy.url postgresql://u:hunter2@h/d", "[alembic]\nx\n  hunter2"])
def test_no_password_of_a_malformed_ini_is_repeated(project: Path, line: str) -> None:
    for text in (f"{line}\n", f"[alembic]\n{line}\n", f"[alembic]\nscript_location = %(hunter2)s\n{line}\n"):
        (project / "alembic.ini").write_text(text)
        found = fault(project)
        assert "hunter2" not in found.why + str(found.fix)


@pytest.mark.parametrize("name", ["alembic.ini", "pyproject.toml"])
def test_a_configuration_that_cannot_be_read(project: Path, name: str) -> None:
    (project / name).mkdir()
    assert fault(project).kind is ConfigFaultKind.UNREADABLE_FILE
    (project / name).rmdir()
    (project / name).write_bytes(b"# caf\xe9\n")
    assert fault(project).kind is ConfigFaultKind.MALFORMED_FILE


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_configuration_without_read_permission(project: Path) -> None:
    (project / "alembic.ini").touch(mode=0)

    assert fault(project).kind is ConfigFaultKind.UNREADABLE_FILE


def test_missing_env_py(project: Path) -> None:
    (project / "alembic.ini").write_text(INI)
    (project / "scripts" / "env.py").unlink()
    assert fault(project).kind is ConfigFaultKind.MISSING_ENV_PY

    (project / "scripts" / "env.pyc").touch()
    assert fault(project).kind is ConfigFaultKind.MISSING_ENV_PY
    (project / "alembic.ini").write_text(f"{INI}sourceless = true\n")
    assert loaded(project).sourceless


def test_a_versions_folder_that_was_not_copied(project: Path) -> None:
    (project / "alembic.ini").write_text(INI)
    (project / "scripts" / "versions").rmdir()

    found = fault(project)
    assert found.kind is ConfigFaultKind.MISSING_FOLDER
    assert str(project / "scripts" / "versions") in found.why
