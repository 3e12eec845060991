"""RSS feeds: list and add them, and see how their readings went."""

from collections.abc import Sequence
from http import HTTPStatus

from fastapi import APIRouter, HTTPException
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from newsifier.database import DatabaseSession
from newsifier.models import FeedProcessingLog, RssFeed
from newsifier.routes.parameters import RequestedPage, RowId
from newsifier.schemas import Feed, FeedReading, NewFeed

router = APIRouter(prefix="/feeds", tags=["feeds"])


@router.get("", response_model=list[Feed])
def list_feeds(session: DatabaseSession, page: RequestedPage) -> Sequence[RssFeed]:
    """List feeds, newest first."""
    return session.scalars(select(RssFeed).order_by(RssFeed.id.desc()).limit(page.limit).offset(page.offset)).all()


@router.post("", status_code=HTTPStatus.CREATED, response_model=Feed)
def create_feed(session: DatabaseSession, new: NewFeed) -> RssFeed:
    """Add a feed, once for each URL."""
    feed: RssFeed | None = session.scalar(
        insert(RssFeed)
        .values(new.model_dump() | {"url": str(new.url)})
        .on_conflict_do_nothing(index_elements=[RssFeed.url])
        .returning(RssFeed),
    )
    if feed is None:
        raise HTTPException(HTTPStatus.CONFLICT, "A feed with this URL exists already.")
    return feed


@router.get("/{feed_id}/readings", response_model=list[FeedReading])
def list_readings(session: DatabaseSession, feed_id: RowId, page: RequestedPage) -> Sequence[FeedProcessingLog]:
    """List the readings of a feed, newest first."""
    if session.get(RssFeed, feed_id) is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such feed.")
    return session.scalars(
        select(FeedProcessingLog)
        .where(FeedProcessingLog.feed_id == feed_id)
        .order_by(FeedProcessingLog.started_at.desc())
        .limit(page.limit)
        .offset(page.offset),
    ).all()
