"""Does something to a module of somebody else's when it has been loaded: for the finders that wait for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec


def after_loading(spec: ModuleSpec | None, then: Callable[[Any], object]) -> ModuleSpec | None:
    """The spec, whose loader calls ``then`` with the module that it has loaded; as it is where nothing is loaded."""
    if spec is not None and spec.loader is not None:
        load = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            load(module)
            then(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
    return spec
