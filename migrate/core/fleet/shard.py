"""One part of a fleet, for one of several machines."""

from __future__ import annotations

from migrate.core.value import Value


class Shard(Value):
    """The ``index``-th of ``count`` parts of a fleet, counted from 0."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``I/N``. Raises ValueError with the end of a sentence that begins with the text."""
        index, slash, count = text.partition("/")
        if not (slash and index.isdecimal() and count.isdecimal() and int(index) < int(count)):
            raise ValueError("is not I/N with I from 0 to N - 1, such as 0/4")
        return cls(int(index), int(count))

    def has(self, name: str) -> bool:
        """Whether the tenant belongs to this part: by its name alone, so that every machine and release agrees."""
        import hashlib  # only a fleet needs it

        digest = hashlib.sha256(name.encode()).digest()
        return int.from_bytes(digest[:8]) % self.count == self.index
