"""What the models differ in from the schema, as `alembic check` finds it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from alembic.autogenerate import RevisionContext

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

PRINTED: Final = 300  # characters of an operation of autogenerate
_KINDS: Final = {"fk": "foreign key"}  # Alembic's words that are not everybody's


class Models:
    """What `alembic check` finds: autogenerate with every option of `configure()` and every hook, nothing written."""

    def __init__(self, config: Config, script: ScriptDirectory) -> None:
        # what `alembic check` hands over
        arguments = {"message": None, "autogenerate": True, "sql": False, "head": "head", "splice": False}
        arguments |= dict.fromkeys(("branch_label", "version_path", "rev_id", "depends_on"))
        self._script = script
        self._revision = RevisionContext(config, script, arguments)
        self._has_models = False

    @property
    def options(self) -> dict[str, Any]:
        """Of the environment in which env.py runs."""
        return {"as_sql": False, "template_args": self._revision.template_args, "revision_context": self._revision}

    def compare(self, context: MigrationContext) -> None:
        """Compare the models of one `run_migrations()`."""
        given: Any = context.opts.get("target_metadata")
        several = given if isinstance(given, (list, tuple)) else [given]
        if any(metadata is not None and metadata.tables for metadata in several):
            self._has_models = True
            # not the version rows: where one head depends on another, they are fewer than the heads
            self._revision.run_autogenerate(tuple(self._script.get_heads()), context)

    def differences(self) -> tuple[str, ...] | None:
        """Each as a sentence; None where env.py names no models."""
        if not self._has_models:
            return None
        # a hook may take the script away, which to a check means that there is nothing to do
        scripts = self._revision.generated_revisions[-1:]
        found: list[Any] = []
        for difference in (one for made in scripts for ops in made.upgrade_ops_list for one in _diffs_of(ops)):
            found += difference if isinstance(difference, list) else [difference]
        return tuple(_stable(_sentence(one)) for one in found)


def _diffs_of(operation: Any) -> Iterator[Any]:
    """As `as_diffs()`; an operation of an extension's that has no such form is named by its class."""
    if hasattr(operation, "ops"):
        for one in operation.ops:
            yield from _diffs_of(one)
        return
    try:
        yield operation.to_diff_tuple()
    except (AttributeError, NotImplementedError):
        yield (type(operation).__name__,)


def _stable(text: str) -> str:
    """Without the addresses of objects, which differ from run to run."""
    return re.sub(r" at 0x[0-9A-Fa-f]+", "", text)


def _sentence(difference: Any) -> str:
    """What autogenerate would do, as the difference that it would do it for."""
    kind, *about = difference
    does, _, what = str(kind).partition("_")
    if does == "modify":
        schema, table, column, _, old, new = about
        place = ".".join(filter(None, (schema, table, column)))
        return f"{what} of {place}: {_shown(old)} in the schema, {_shown(new)} in the models"
    sides = {"add": "in the models, not in the schema", "remove": "in the schema, not in the models"}
    if does not in sides or not about:  # an extension's
        return f"{kind}: {', '.join(map(repr, about))}"[:PRINTED].removesuffix(": ")
    thing = next((one for one in about if hasattr(one, "name")), about[-1])
    name = getattr(thing, "fullname", None) or getattr(thing, "name", None)
    if what == "column":
        name = ".".join(filter(None, (*about[:-1], thing.name)))
    table = getattr(thing, "table", None) if what != "column" else None
    of = f" of {table.fullname}" if table is not None else ""
    return f"{_KINDS.get(what, what.replace('_', ' '))} {name or ''}{of}{_detail(thing)}: {sides[does]}".replace(
        "  ", " "
    )


def _detail(thing: Any) -> str:
    """A column's type, or the columns of an index or a constraint."""
    if hasattr(thing, "type"):
        return f" ({thing.type!r}{'' if thing.nullable else ', not null'})"
    columns = getattr(thing, "columns", None)
    if columns is None or hasattr(thing, "indexes"):  # a table has too many to be listed
        return ""
    return f" ({', '.join(column.name for column in columns)})"


def _shown(value: Any) -> str:
    """A value of a column's property: a type with its arguments, a default by its text."""
    text_of = getattr(getattr(value, "arg", None), "text", None)
    return str(text_of) if text_of is not None else repr(value)
