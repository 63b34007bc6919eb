"""Databases for tests: each a copy of a migrated template, made in some tens of milliseconds."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg


class Databases:
    def __init__(self, template_url: str) -> None:
        self._base, self._template = template_url.replace("+psycopg", "").rsplit("/", 1)
        self._numbers = itertools.count(1)

    @contextmanager
    def fresh(self) -> Iterator[str]:
        name = f"test{next(self._numbers)}"
        with psycopg.connect(f"{self._base}/postgres", autocommit=True) as server:
            server.execute(f"create database {name} template {self._template}")
            try:
                yield f"{self._base}/{name}".replace("postgresql://", "postgresql+psycopg://")
            finally:
                server.execute(f"drop database {name} with (force)")
