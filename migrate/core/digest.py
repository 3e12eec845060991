"""SHA-256 as Python has it without OpenSSL, which `hashlib` loads: 3 MiB of a run with nothing to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import sha256
else:
    try:
        from _sha2 import sha256  # as the standard library's own `random` does; from Python 3.12 on
    except ImportError:  # pragma: no cover - before it
        try:
            from _sha256 import sha256
        except ImportError:  # pragma: no cover - a Python that is built with OpenSSL's alone
            from hashlib import sha256

__all__ = ["sha256"]
