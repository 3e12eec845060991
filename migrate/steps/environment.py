"""The environment of the child: every variable by which an env.py may find a URL has the chosen one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from migrate.core.url import URL_COMMAND, URL_VARIABLES
from migrate.steps.control import without_ours

if TYPE_CHECKING:
    from migrate.core.target import Target
    from migrate.steps.order import Order
    from migrate.steps.run import Run

_OURS: Final = ("MIGRATE_DATABASE_URL", URL_COMMAND)  # variables that are none of env.py's business


def variables(order: Order, target: Target) -> dict[str, str]:
    """The target's URL on the variables by which an env.py may find it."""
    named = (name for name in URL_VARIABLES if name in order.environ and not name.startswith(_OURS))
    return dict.fromkeys((*named, "DATABASE_URL"), target.url.raw)


def child_environment(order: Order) -> dict[str, str]:
    """The environment with the chosen URL on every variable by which an env.py may find one.

    DATABASE_URL is always set, in the user's own spelling; the others only where they are set already.
    """
    environ = {name: value for name, value in without_ours(order.environ).items() if not name.startswith(_OURS)}
    environ.update(variables(order, order.target))
    return environ


def environ_of(run: Run, target: Target) -> dict[str, str]:
    """What the child's environment is to have for a task, and may not have had when it began."""
    if run.servers is not None:  # a shadow's: it may have begun before the server did
        return child_environment(run.order)
    return variables(run.order, target) if run.order.child is not None or target is not run.order.target else {}
