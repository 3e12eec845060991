"""RSS feeds and the record of every time one was read."""

from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, func, text, true
from sqlalchemy.orm import Mapped, mapped_column, relationship

from newsifier.models.declarative import Base, Moment, PrimaryKey, Timestamped, enum_type


class FeedProcessingStatus(StrEnum):
    """How one reading of a feed stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class FeedProcessingLog(Base):
    """One reading of a feed."""

    __tablename__ = "feed_processing_logs"
    __table_args__ = (Index(None, "feed_id", "started_at"),)

    id: Mapped[PrimaryKey]
    feed_id: Mapped[int] = mapped_column(ForeignKey("rss_feeds.id", ondelete="CASCADE"))
    status: Mapped[FeedProcessingStatus] = mapped_column(
        enum_type(FeedProcessingStatus, "feed_processing_status"),
        server_default=FeedProcessingStatus.RUNNING.value,
    )
    articles_found: Mapped[int] = mapped_column(server_default=text("0"))
    articles_added: Mapped[int] = mapped_column(server_default=text("0"))
    error_message: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[Moment] = mapped_column(server_default=func.now())
    finished_at: Mapped[Moment | None]


class RssFeed(Timestamped, Base):
    """A feed to read articles from, known by its URL."""

    __tablename__ = "rss_feeds"
    __table_args__ = (UniqueConstraint("url"),)

    id: Mapped[PrimaryKey]
    url: Mapped[str] = mapped_column(String(2048))
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text)
    is_active: Mapped[bool] = mapped_column(server_default=true(), index=True)
    last_fetched_at: Mapped[Moment | None]

    processing_logs: Mapped[list[FeedProcessingLog]] = relationship(order_by=FeedProcessingLog.started_at.desc())
