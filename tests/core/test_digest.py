"""The digest of a file is the one that everybody computes."""

from __future__ import annotations

import hashlib

from migrate.core.digest import sha256


def test_it_is_sha_256():
    assert sha256(b"abc").hexdigest() == hashlib.sha256(b"abc").hexdigest()
