"""Articles: list, read and store them."""

from collections.abc import Sequence
from http import HTTPStatus

from fastapi import APIRouter, HTTPException
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import joinedload, selectinload

from newsifier.database import DatabaseSession
from newsifier.models import Article, EntityMention
from newsifier.routes.parameters import RequestedPage, RowId
from newsifier.schemas import ArticleDetail, ArticleSummary, NewArticle

router = APIRouter(prefix="/articles", tags=["articles"])


@router.get("", response_model=list[ArticleSummary])
def list_articles(session: DatabaseSession, page: RequestedPage, source: str | None = None) -> Sequence[Article]:
    """List articles, newest first, of one source if it is given."""
    articles = select(Article).order_by(Article.id.desc()).limit(page.limit).offset(page.offset)
    if source is not None:
        articles = articles.where(Article.source == source)
    return session.scalars(articles).all()


@router.get("/{article_id}", response_model=ArticleDetail)
def read_article(session: DatabaseSession, article_id: RowId) -> Article:
    """Read one article with the entities that it mentions."""
    mentions = selectinload(Article.mentions).options(joinedload(EntityMention.entity))
    article = session.get(Article, article_id, options=[mentions])
    if article is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such article.")
    return article


@router.post("", status_code=HTTPStatus.CREATED, response_model=ArticleSummary)
def create_article(session: DatabaseSession, new: NewArticle) -> Article:
    """Store an article, once for each URL."""
    article: Article | None = session.scalar(
        insert(Article)
        .values(new.model_dump() | {"url": str(new.url)})
        .on_conflict_do_nothing(index_elements=[Article.url])
        .returning(Article),
    )
    if article is None:
        raise HTTPException(HTTPStatus.CONFLICT, "An article with this URL is stored already.")
    return article
