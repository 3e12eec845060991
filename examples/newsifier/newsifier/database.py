"""Sessions on the service's database, one a request."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.orm import Session, sessionmaker


def open_session(request: Request) -> Iterator[Session]:
    """Yield a session whose transaction commits if the route returns, and rolls back if it raises."""
    sessions: sessionmaker[Session] = request.app.state.sessions
    with sessions.begin() as session:
        yield session


# "function" scope: a commit that fails must fail before the response has been sent, not after.
DatabaseSession = Annotated[Session, Depends(open_session, scope="function")]
