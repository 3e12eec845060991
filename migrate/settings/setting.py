"""What a setting is: its name, type, default, help and the verbs that take it as a flag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from migrate.core.value import Value
from migrate.settings.kinds import Switch

if TYPE_CHECKING:
    from migrate.settings.kinds import ValueKind

VARIABLE_PREFIX: Final = "MIGRATE_"
TABLE: Final = "[tool.migrate]"


class Setting(Value):
    """One setting. Its variable, its key and, unless `flags` has Alembic's own, its flag are its name.

    A setting of one verb has the verb before its name, which is not typed twice: `wait --timeout` is MIGRATE_WAIT_TIMEOUT.
    `verbs` take it as a flag; the variable and the key count for every verb. `finds_project`: without it a command finds
    another project, so that the commands of printed fixes carry it. `unset` says what a setting without a default is.
    """

    name: str
    kind: ValueKind
    default: Any
    help: str
    verbs: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    in_table: bool = True
    finds_project: bool = False
    unset: str = ""

    @property
    def key(self) -> str:
        """The key below `[tool.migrate]`, with a dot where it is one of a table in it."""
        return self.name.replace("tenants_", "tenants.", 1)

    @property
    def variable(self) -> str:
        """The environment variable."""
        return VARIABLE_PREFIX + self.name.upper()

    @property
    def flag_names(self) -> tuple[str, ...]:
        """The flags, the long one last; empty where no verb takes one."""
        if not self.verbs:
            return ()
        if self.flags:
            return self.flags
        typed = self.name.removeprefix(f"{self.verbs[0]}_") if len(self.verbs) == 1 else self.name
        dashed = typed.replace("_", "-")
        return (f"--{dashed}/--no-{dashed}",) if isinstance(self.kind, Switch) else (f"--{dashed}",)

    @property
    def shown_default(self) -> str:
        """The default, as a person would write it; empty where there is none."""
        return "" if self.default is None else self.kind.show(self.default)
