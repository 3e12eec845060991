"""What the service accepts and answers, as JSON."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AnyUrl, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, UrlConstraints

from newsifier.models import ArticleStatus, EntityKind, FeedProcessingStatus

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]
Url = Annotated[AnyUrl, UrlConstraints(max_length=2048, allowed_schemes=["http", "https"])]


class Row(BaseModel):
    """A row of the database, as it is answered."""

    model_config = ConfigDict(from_attributes=True)

    id: int


class NewArticle(BaseModel):
    """An article to store."""

    title: Name | None = None
    url: Url
    source: Name
    content: str
    published_at: AwareDatetime | None = None


class ArticleSummary(Row):
    """An article without its content."""

    title: str | None
    url: str
    source: str
    status: ArticleStatus
    published_at: datetime | None
    created_at: datetime


class NamedEntity(Row):
    """An entity, where it is mentioned."""

    name: str
    kind: EntityKind


class Mention(Row):
    """One mention of an entity."""

    entity: NamedEntity
    position: int
    sentence: str
    confidence: float


class ArticleDetail(ArticleSummary):
    """An article with its content and the entities that it mentions."""

    content: str
    mentions: list[Mention]


class NewFeed(BaseModel):
    """A feed to read from now on."""

    url: Url
    name: Name
    description: str | None = None


class Feed(Row):
    """A feed."""

    url: str
    name: str
    description: str | None
    is_active: bool
    last_fetched_at: datetime | None
    created_at: datetime


class FeedReading(Row):
    """One reading of a feed."""

    status: FeedProcessingStatus
    articles_found: int
    articles_added: int
    error_message: str | None
    started_at: datetime
    finished_at: datetime | None


class NewSourceConfig(BaseModel):
    """An Apify actor to run."""

    name: Name
    actor_id: Name
    source_url: Url | None = None
    input_configuration: dict[str, Any] = Field(default_factory=dict)
    schedule: Annotated[str, StringConstraints(max_length=100)] | None = None


class SourceConfig(Row):
    """An Apify actor that is run, and how."""

    name: str
    actor_id: str
    source_url: str | None
    input_configuration: dict[str, Any]
    schedule: str | None
    schedule_id: str | None
    is_active: bool
    last_run_at: datetime | None
    created_at: datetime


class WebhookRun(BaseModel):
    """The part of a webhook's payload that names the run; Apify sends more, which is kept too."""

    model_config = ConfigDict(extra="allow")

    id: Name
    actor_id: Name = Field(alias="actId")
    status: Annotated[str, StringConstraints(min_length=1, max_length=50)]


class WebhookPayload(BaseModel):
    """What Apify's default payload template sends when a run changes its status."""

    model_config = ConfigDict(extra="allow")

    resource: WebhookRun


class WebhookReceipt(BaseModel):
    """The answer to a webhook: whether this delivery was the first of its run and status."""

    stored: bool
