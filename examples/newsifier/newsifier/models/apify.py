"""Apify: which actors to run, their runs and items, and the webhooks that report on them."""

from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint, false, func, text, true
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from newsifier.models.declarative import Base, Moment, PrimaryKey, Timestamped, enum_type


class ApifyJobStatus(StrEnum):
    """How a run of an actor stands, in Apify's words."""

    READY = "READY"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    ABORTED = "ABORTED"
    TIMED_OUT = "TIMED-OUT"


class ApifyCredential(Timestamped, Base):
    """An API token of Apify, encrypted by the application."""

    __tablename__ = "apify_credentials"
    __table_args__ = (UniqueConstraint("label"),)

    id: Mapped[PrimaryKey]
    label: Mapped[str] = mapped_column(String(100))
    encrypted_token: Mapped[bytes] = mapped_column(LargeBinary)
    is_active: Mapped[bool] = mapped_column(server_default=true())


class ApifySourceConfig(Timestamped, Base):
    """An actor to run against a news site, and how."""

    __tablename__ = "apify_source_configs"
    __table_args__ = (UniqueConstraint("name"),)

    id: Mapped[PrimaryKey]
    name: Mapped[str] = mapped_column(String(255))
    actor_id: Mapped[str] = mapped_column(String(255))
    credential_id: Mapped[int | None] = mapped_column(
        ForeignKey("apify_credentials.id", ondelete="SET NULL"),
        index=True,
    )
    source_url: Mapped[str | None] = mapped_column(String(2048))
    input_configuration: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    schedule: Mapped[str | None] = mapped_column(String(100))  # a cron expression
    schedule_id: Mapped[str | None] = mapped_column(String(255), index=True)  # of the schedule made for it at Apify
    is_active: Mapped[bool] = mapped_column(server_default=true())
    last_run_at: Mapped[Moment | None]


class ApifyJob(Timestamped, Base):
    """One run of an actor."""

    __tablename__ = "apify_jobs"
    __table_args__ = (UniqueConstraint("run_id"),)

    id: Mapped[PrimaryKey]
    source_config_id: Mapped[int | None] = mapped_column(
        ForeignKey("apify_source_configs.id", ondelete="SET NULL"),
        index=True,
    )
    run_id: Mapped[str] = mapped_column(String(255))
    dataset_id: Mapped[str | None] = mapped_column(String(255))
    status: Mapped[ApifyJobStatus] = mapped_column(
        enum_type(ApifyJobStatus, "apify_job_status"),
        server_default=ApifyJobStatus.READY.value,
        index=True,
    )
    item_count: Mapped[int] = mapped_column(server_default=text("0"))
    error_message: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[Moment | None]
    finished_at: Mapped[Moment | None]


class ApifyDatasetItem(Base):
    """One item that a run produced, and the article made of it."""

    __tablename__ = "apify_dataset_items"
    __table_args__ = (
        UniqueConstraint("job_id", "item_index"),
        Index("ix_apify_dataset_items_waiting", "created_at", postgresql_where=text("NOT is_transformed")),
    )

    id: Mapped[PrimaryKey]
    job_id: Mapped[int] = mapped_column(ForeignKey("apify_jobs.id", ondelete="CASCADE"))
    article_id: Mapped[int | None] = mapped_column(ForeignKey("articles.id", ondelete="SET NULL"), index=True)
    item_index: Mapped[int]
    raw_data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    is_transformed: Mapped[bool] = mapped_column(server_default=false())
    error_message: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[Moment] = mapped_column(server_default=func.now())


class ApifyWebhook(Timestamped, Base):
    """A webhook that is registered at Apify."""

    __tablename__ = "apify_webhooks"
    __table_args__ = (UniqueConstraint("webhook_id"),)

    id: Mapped[PrimaryKey]
    webhook_id: Mapped[str] = mapped_column(String(255))
    source_config_id: Mapped[int] = mapped_column(
        ForeignKey("apify_source_configs.id", ondelete="CASCADE"),
        index=True,
    )
    event_types: Mapped[list[str]] = mapped_column(ARRAY(String(100)), server_default=text("'{}'"))
    request_url: Mapped[str] = mapped_column(String(2048))
    is_active: Mapped[bool] = mapped_column(server_default=true())


class ApifyWebhookRaw(Base):
    """What a webhook sent, kept as it came; Apify sends each status of a run at least once."""

    __tablename__ = "apify_webhook_raw"
    __table_args__ = (UniqueConstraint("run_id", "status"),)

    id: Mapped[PrimaryKey]
    run_id: Mapped[str] = mapped_column(String(255))
    actor_id: Mapped[str] = mapped_column(String(255))
    status: Mapped[str] = mapped_column(String(50))
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    received_at: Mapped[Moment] = mapped_column(server_default=func.now())
