"""`pytest --migrate`: one test for each revision and check of `migrate test`; nothing is imported or run without the flag.

The trial runs in a process of its own, once, when the first of its tests is due. Installed as `pytest_migrate_job`, and never
imports `migrate`: pytest loads it at every start, also in a project whose own module has that name.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROPERTY: Final = "migrate"
_CASES: pytest.StashKey[dict[tuple[str | None, str], dict[str, Any]]] = pytest.StashKey()
_REFUSED: pytest.StashKey[str] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the flags."""
    group = parser.getgroup("migrate", "trial of the migrations")
    group.addoption("--migrate", action="store_true", help="add the tests of `migrate test`")
    group.addoption("--migrate-since", metavar="REVISION", help="only what a database at this revision has not applied")
    group.addoption("--migrate-base", metavar="BRANCH", help="only the revisions that differ from this branch")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the trial's tests to those that were collected."""
    if not config.getoption("--migrate"):
        return
    folder = _Trial.from_parent(session, name="migrate")
    items.extend(folder.collect())


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """List the findings that policy lets pass: no failures, and worth knowing."""
    passed = terminalreporter.stats.get("passed", [])
    told = [text for report in passed for name, text in report.user_properties if name == _PROPERTY]
    if told:
        terminalreporter.section("migrate: findings that do not fail the run")
        for text in told:
            terminalreporter.write_line(text)


class _Trial(pytest.Collector):
    """All tests of the trial."""

    def collect(self) -> Iterator[pytest.Item]:
        """One test for each revision and check, without running anything."""
        for case in _ask(self.config, "--list")["cases"]:
            item = _Case.from_parent(self, name=f"{case['revision'] or 'history'}-{case['check']}")
            item.key = (case["revision"], case["check"])
            # The trial is one process: with `--dist loadgroup` one worker of pytest-xdist runs it, and no other. Without
            # that plugin nobody has registered the marker.
            if self.config.pluginmanager.hasplugin("xdist"):
                item.add_marker(pytest.mark.xdist_group("migrate"))
            yield item


class _Case(pytest.Item):
    """One check of one revision."""

    key: tuple[str | None, str]

    def runtest(self) -> None:
        """Pass, fail or skip as the trial says."""
        stash = self.config.stash
        if _REFUSED in stash:  # what nothing can be tried for is not found out anew by every test
            raise pytest.UsageError(stash[_REFUSED])
        if _CASES not in stash:
            try:
                said = _ask(self.config)
            except pytest.UsageError as refused:
                stash[_REFUSED] = str(refused)
                raise
            stash[_CASES] = {(case["revision"], case["check"]): case for case in said["cases"]}
        case = stash[_CASES][self.key]
        if case["verdict"] in {"skipped", "accepted"}:
            pytest.skip(case["finding"])
        if case["verdict"] == "warned":
            self.user_properties.append((_PROPERTY, _in_full(case)))
        if case["verdict"] == "failed":
            raise _Found(_in_full(case))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show the finding; our own stack says nothing about the revision."""
        if isinstance(excinfo.value, (_Found, pytest.UsageError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """The heading of a failure."""
        return self.path, None, f"migrate: {self.name}"


class _Found(Exception):  # noqa: N818 - a finding
    """What the trial found."""


def _in_full(case: dict[str, Any]) -> str:
    place = f"{case['file']}:{case['line']}: " if case["file"] else ""
    return "\n".join([f"{place}{case['finding']}", *case["details"]])


def _ask(config: pytest.Config, *arguments: str) -> dict[str, Any]:
    """What `migrate test --json` prints. Raises pytest.UsageError where it cannot try anything."""
    # -P, -E: neither the current folder nor PYTHONPATH may lead to another `migrate`; env.py is run with both
    command = [sys.executable, "-P", "-E", "-m", "migrate", "test", "--json", *arguments]
    for flag in ("since", "base"):
        value = config.getoption(f"--migrate-{flag}")
        if value is not None:
            command += [f"--{flag}", value]
    done = subprocess.run(command, cwd=config.invocation_params.dir, capture_output=True, text=True, check=False)
    try:
        said: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise pytest.UsageError(f"migrate test: {done.stderr.strip() or done.stdout.strip()}") from None
    if "cases" not in said:
        raise pytest.UsageError(f"migrate test: {said.get('why')}\n{said.get('fix')}")
    return said
