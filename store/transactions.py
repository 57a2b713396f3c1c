"""Transactions: one function of work each, and again from the start when a race was lost."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import Session

from store.engine import READ_ONLY

Result = TypeVar("Result")

_ATTEMPTS = 20  # of so many that race for one thing, each round lets at least one through
_LOST_RACES = frozenset({"40001", "40P01"})  # serialization_failure, deadlock_detected (PostgreSQL, appendix A)


def read(engine: Engine, work: Callable[[Session], Result]) -> Result:
    """Return what `work` reads in one transaction."""
    with Session(engine.execution_options(**{READ_ONLY: True})) as session:
        return work(session)


def write(engine: Engine, work: Callable[[Session], Result]) -> Result:
    """Return what `work` returned once its transaction is committed.

    A unique constraint that says that another was faster makes `work` run again, on what the other left; it then
    finds another free place or raises the domain's error. `work` has no effects outside its session.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with Session(engine, expire_on_commit=False) as session:
                result = work(session)
                session.commit()
                return result
        except DBAPIError as error:
            if attempt == _ATTEMPTS or not _lost_race(error):
                raise
    raise AssertionError  # pragma: no cover - the last attempt returns or raises


def _lost_race(error: DBAPIError) -> bool:
    return isinstance(error, IntegrityError) or getattr(error.orig, "sqlstate", None) in _LOST_RACES
