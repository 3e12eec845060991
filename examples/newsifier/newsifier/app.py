"""The application, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from newsifier.routes import apify, articles, feeds, health
from newsifier.settings import Settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the application; without `settings` it reads them from the environment.

    Nothing connects until the first request that needs a row.

    Raises:
        RuntimeError: `settings` is not given and DATABASE_URL is not set.
    """
    if settings is None:
        settings = Settings.from_environment()
    # A server that restarted has closed the pooled connections: test them before use.
    engine = create_engine(settings.database_url, pool_pre_ping=True)

    @asynccontextmanager
    async def close_connections_at_the_end(_app: FastAPI) -> AsyncIterator[None]:
        yield
        engine.dispose()

    app = FastAPI(title="newsifier", lifespan=close_connections_at_the_end)
    app.state.sessions = sessionmaker(engine, expire_on_commit=False)
    for part in (health, articles, feeds, apify):
        app.include_router(part.router)
    return app
