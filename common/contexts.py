"""Settings that hold for what is done within a `with` block, however deep the calls go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def holding(variable: ContextVar[T], value: T) -> Iterator[None]:
    """The variable has this value herein, and its former one after."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
