"""Apify: which actors are run, and the webhook that reports on their runs."""

from collections.abc import Sequence
from http import HTTPStatus

from fastapi import APIRouter, HTTPException
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from newsifier.database import DatabaseSession
from newsifier.models import ApifySourceConfig, ApifyWebhookRaw
from newsifier.routes.parameters import RequestedPage
from newsifier.schemas import NewSourceConfig, SourceConfig, WebhookPayload, WebhookReceipt

router = APIRouter(prefix="/apify", tags=["apify"])


@router.get("/sources", response_model=list[SourceConfig])
def list_sources(session: DatabaseSession, page: RequestedPage) -> Sequence[ApifySourceConfig]:
    """List the configured actors, newest first."""
    return session.scalars(
        select(ApifySourceConfig).order_by(ApifySourceConfig.id.desc()).limit(page.limit).offset(page.offset),
    ).all()


@router.post("/sources", status_code=HTTPStatus.CREATED, response_model=SourceConfig)
def create_source(session: DatabaseSession, new: NewSourceConfig) -> ApifySourceConfig:
    """Configure an actor, once for each name."""
    source: ApifySourceConfig | None = session.scalar(
        insert(ApifySourceConfig)
        .values(new.model_dump() | {"source_url": str(new.source_url) if new.source_url else None})
        .on_conflict_do_nothing(index_elements=[ApifySourceConfig.name])
        .returning(ApifySourceConfig),
    )
    if source is None:
        raise HTTPException(HTTPStatus.CONFLICT, "A source with this name exists already.")
    return source


@router.post("/webhook")
def receive_webhook(session: DatabaseSession, payload: WebhookPayload) -> WebhookReceipt:
    """Keep what Apify sent; a delivery that it repeats is acknowledged and not stored again."""
    run = payload.resource
    stored = session.scalar(
        insert(ApifyWebhookRaw)
        .values(
            run_id=run.id,
            actor_id=run.actor_id,
            status=run.status,
            data=payload.model_dump(mode="json", by_alias=True),
        )
        .on_conflict_do_nothing(index_elements=[ApifyWebhookRaw.run_id, ApifyWebhookRaw.status])
        .returning(ApifyWebhookRaw.id),
    )
    return WebhookReceipt(stored=stored is not None)
