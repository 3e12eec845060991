"""What all tables share: the registry, the names of constraints, and columns that most of them have."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from sqlalchemy import DateTime, Enum, MetaData, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The declarative base; every constraint gets a name that a revision can refer to."""

    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",  # PostgreSQL's own, so that databases from before the convention agree
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        },
    )


PrimaryKey = Annotated[int, mapped_column(primary_key=True)]
Moment = Annotated[datetime, mapped_column(DateTime(timezone=True))]


class Timestamped:
    """Adds when a row was created and last changed, both by the server's clock."""

    created_at: Mapped[Moment] = mapped_column(server_default=func.now())
    updated_at: Mapped[Moment] = mapped_column(server_default=func.now(), onupdate=func.now())


def enum_type(labels: type[StrEnum], name: str) -> Enum:
    """Return the PostgreSQL enum type `name` with the values of `labels`; SQLAlchemy's default is their names."""
    return Enum(labels, name=name, values_callable=lambda members: [member.value for member in members])
