"""Whether the process serves requests, for the platform's health check."""

from fastapi import APIRouter

router = APIRouter(tags=["health"])


@router.get("/health")
def health() -> dict[str, str]:
    """Answer that the process is up.

    The database is not asked: a check that fails while the database restarts makes the platform kill processes that
    would recover, and whether the schema is right was settled before this image was started.
    """
    return {"status": "ok"}
