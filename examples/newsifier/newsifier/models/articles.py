"""Articles and what the analysis found in them."""

from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, String, Text, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from newsifier.models.declarative import Base, Moment, PrimaryKey, Timestamped, enum_type


class ArticleStatus(StrEnum):
    """How far an article has come."""

    NEW = "new"
    ANALYZED = "analyzed"
    FAILED = "failed"


class EntityKind(StrEnum):
    """What sort of thing an entity is."""

    PERSON = "person"
    ORGANIZATION = "organization"
    LOCATION = "location"
    EVENT = "event"


class Entity(Timestamped, Base):
    """A person, organization, place or event, under its canonical name."""

    __tablename__ = "entities"
    __table_args__ = (UniqueConstraint("name", "kind"),)

    id: Mapped[PrimaryKey]
    name: Mapped[str] = mapped_column(String(255))
    kind: Mapped[EntityKind] = mapped_column(enum_type(EntityKind, "entity_kind"))
    description: Mapped[str | None] = mapped_column(Text)


class EntityMention(Base):
    """One place in an article that names an entity."""

    __tablename__ = "entity_mentions"
    __table_args__ = (
        UniqueConstraint("article_id", "entity_id", "position"),
        CheckConstraint("position >= 0", name="position_not_negative"),
    )

    id: Mapped[PrimaryKey]
    article_id: Mapped[int] = mapped_column(ForeignKey("articles.id", ondelete="CASCADE"))
    entity_id: Mapped[int] = mapped_column(ForeignKey("entities.id", ondelete="CASCADE"), index=True)
    position: Mapped[int]  # characters from the start of the article's content
    sentence: Mapped[str] = mapped_column(Text)
    confidence: Mapped[float] = mapped_column(server_default=text("1.0"))

    entity: Mapped[Entity] = relationship()


class Article(Timestamped, Base):
    """A news article, known by its URL."""

    __tablename__ = "articles"
    __table_args__ = (UniqueConstraint("url"),)

    id: Mapped[PrimaryKey]
    title: Mapped[str | None] = mapped_column(String(255))
    url: Mapped[str] = mapped_column(String(2048))
    source: Mapped[str] = mapped_column(String(255), index=True)
    content: Mapped[str] = mapped_column(Text)
    status: Mapped[ArticleStatus] = mapped_column(
        enum_type(ArticleStatus, "article_status"),
        server_default=ArticleStatus.NEW.value,
        index=True,
    )
    published_at: Mapped[Moment | None] = mapped_column(index=True)

    mentions: Mapped[list[EntityMention]] = relationship(order_by=EntityMention.position)


class AnalysisResult(Base):
    """What one kind of analysis said of one article; its shape depends on the kind."""

    __tablename__ = "analysis_results"
    __table_args__ = (UniqueConstraint("article_id", "analysis_type"),)

    id: Mapped[PrimaryKey]
    article_id: Mapped[int] = mapped_column(ForeignKey("articles.id", ondelete="CASCADE"))
    analysis_type: Mapped[str] = mapped_column(String(50))
    results: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    created_at: Mapped[Moment] = mapped_column(server_default=func.now())


class ArticleSentiment(Base):
    """The tone of an article by one model, from -1 (negative) to 1 (positive)."""

    __tablename__ = "article_sentiments"
    __table_args__ = (
        UniqueConstraint("article_id", "model"),
        CheckConstraint("score BETWEEN -1 AND 1", name="score_range"),
    )

    id: Mapped[PrimaryKey]
    article_id: Mapped[int] = mapped_column(ForeignKey("articles.id", ondelete="CASCADE"))
    model: Mapped[str] = mapped_column(String(100))
    score: Mapped[float]
    magnitude: Mapped[float | None]
    created_at: Mapped[Moment] = mapped_column(server_default=func.now())
