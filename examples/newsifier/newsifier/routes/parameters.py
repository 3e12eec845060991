"""Parameters that several routes take."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Query

LARGEST_INTEGER = 2**31 - 1  # of PostgreSQL; a larger one is an error of the server's

RowId = Annotated[int, Path(ge=1, le=LARGEST_INTEGER)]


@dataclass(frozen=True, slots=True)
class Page:
    """At most `limit` rows after the first `offset`."""

    limit: Annotated[int, Query(ge=1, le=500)] = 50
    offset: Annotated[int, Query(ge=0, le=LARGEST_INTEGER)] = 0


RequestedPage = Annotated[Page, Depends()]
