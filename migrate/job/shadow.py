"""The shadow of a verb that replays the history: where it is, that it is no target, and what is replayed in it."""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from migrate.core.fleet.tenants import Tenant
from migrate.core.manifest.variables import fixed_by
from migrate.core.problems import Stop, stop
from migrate.core.shadow import environment, same_server
from migrate.core.target import Target
from migrate.core.url import DatabaseUrl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from migrate.core.image import Image
    from migrate.job.session import Session
    from migrate.shadow.databases import Shadow
    from migrate.shadow.ground import BaselineFile, Ground

# A server of our own has all that this has; what it is, is told later.
_NOWHERE: Final = DatabaseUrl.parse("postgresql://nobody:nothing@127.0.0.1:1/none")
_ONE: Final = Tenant("public", "public")
_VARIABLE: Final = re.compile(r"^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)[ \t]*=(.*)$", re.MULTILINE)


def read_baseline(path: Path, root: Path) -> BaselineFile:
    """What is there before the first revision; ``root`` is what its name is relative to. Raises Stop (`bad-baseline`)."""
    from migrate.shadow.databases import read_baseline as read
    from migrate.shadow.ground import BaselineFile

    sql = read(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return BaselineFile(path, os.path.relpath(path, root), sha256, sql)


def manifest_baseline(session: Session, image: Image, given: Path | None = None) -> BaselineFile | None:
    """What a replay starts from: the file that is given, else the one that the manifest names. Raises Stop."""
    root = session.config.root
    named = image.manifest.baseline if image.manifest is not None else None
    path = given or (root / named.file if named is not None else None)
    return read_baseline(path, root) if path is not None else None


@contextmanager
def lend_ground(
    session: Session, image: Image, baseline: BaselineFile | None, *, is_silent: bool = False
) -> Iterator[Ground]:
    """Where the history of an image is run, in shadow databases; ``is_silent`` where its events are not the verb's own.

    Raises Stop (`shadow-is-target`, `no-shadow`, and `bad-history` for a file that Python would refuse).
    """
    from migrate.shadow.ground import HASH_SEED, Ground
    from migrate.steps.control import without_ours
    from migrate.steps.kept_child import KeptChild

    target = _target(session)
    environ = partial(
        environment,
        {**os.environ, **fixed_by(session.settings.environ)},
        target=target.url if target.url_from else None,
        more=session.settings.shadow_environ,
        written=written_variables(session.cwd / ".env"),
    )
    with closing(KeptChild()) as child:
        if session.settings.shadow_url() is None and not session.settings.shadow_beside_target:
            begun = {**without_ours(environ(_NOWHERE)), **HASH_SEED}
            child.begin(begun, session.project.cwd, session.context.emit)
        with _lend_shadow(session, image) as shadow:
            order = session.order_for(target, image)
            if session.settings.fleet.sources:  # env.py is told the one schema that a throw-away database has
                x = tuple(_ONE.filled(argument) for argument in order.project.x)
                order = replace(order, project=replace(order.project, x=x))
            ground = Ground(
                shadow,
                replace(order, context=order.context.silent()) if is_silent else order,
                environment=environ,
                allowed=session.settings.shadow_allow,
                baseline=baseline,
                child=child,
            )
            with closing(ground):
                yield ground


def _lend_shadow(session: Session, image: Image) -> AbstractContextManager[Shadow]:
    """The place for shadow databases that the settings name."""
    from migrate.job.look import refuse_broken_files
    from migrate.shadow.databases import shadow

    refuse_broken_files(session.faults_in(image.graph.revisions))

    named = session.settings.shadow_url()
    beside = session.settings.shadow_beside_target
    if named is None and beside:
        target = session.settings.target(session.redactor.learn)
        named = target.url, target.url_from
    elif named is not None and not beside:
        target = _target(session)
        if target.url_from and same_server(named[0], target.url):
            raise stop(
                "shadow-is-target",
                f"{named[1]} and {target.url_from} lead to one server, {named[0].address or 'this machine'}",
            )
    url, url_from = named or (None, "")
    return shadow(url, session.context, url_from=url_from)


def written_variables(file: Path) -> dict[str, str]:
    """The variables of a file that applications read by themselves; empty where there is none."""
    try:
        text = file.read_text("utf-8", "replace")
    except OSError:
        return {}
    return {name: value.strip().strip("'\"") for name, value in _VARIABLE.findall(text)}


def _target(session: Session) -> Target:
    """The target as far as it is known: a replay needs its version table and its URL's spelling, not the database."""
    settings = session.settings
    try:
        # of a fleet the history is one: no tenant is looked for
        return session.fleet_target if settings.fleet.sources else session.target
    except Stop:
        url = DatabaseUrl.parse("postgresql://")
        return session.aimed(
            Target(url, "", version_table_schema=settings.version_table_schema, schemas=settings.schemas)
        )
