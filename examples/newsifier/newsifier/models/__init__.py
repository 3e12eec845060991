"""The tables of the service; importing this package fills `Base.metadata` with all of them."""

from newsifier.models.apify import (
    ApifyCredential,
    ApifyDatasetItem,
    ApifyJob,
    ApifyJobStatus,
    ApifySourceConfig,
    ApifyWebhook,
    ApifyWebhookRaw,
)
from newsifier.models.articles import (
    AnalysisResult,
    Article,
    ArticleSentiment,
    ArticleStatus,
    Entity,
    EntityKind,
    EntityMention,
)
from newsifier.models.declarative import Base
from newsifier.models.feeds import FeedProcessingLog, FeedProcessingStatus, RssFeed

__all__ = [
    "AnalysisResult",
    "ApifyCredential",
    "ApifyDatasetItem",
    "ApifyJob",
    "ApifyJobStatus",
    "ApifySourceConfig",
    "ApifyWebhook",
    "ApifyWebhookRaw",
    "Article",
    "ArticleSentiment",
    "ArticleStatus",
    "Base",
    "Entity",
    "EntityKind",
    "EntityMention",
    "FeedProcessingLog",
    "FeedProcessingStatus",
    "RssFeed",
]
