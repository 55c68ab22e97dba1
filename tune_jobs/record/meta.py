"""A ledger's entries about the sweep as a whole: one typed field per key of the table `meta`.

Keys and the format of their values are known only here.
"""

import functools
import json
import sqlite3
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Protocol, TypeVar, overload

from pydantic import FiniteFloat, TypeAdapter

from tune_jobs.errors import LedgerError
from tune_jobs.record.rows import Champion, Halted, Home

Value = TypeVar("Value")
Given = ParamSpec("Given")


class _Reader(Protocol):
    path: Path


Reader = TypeVar("Reader", bound=_Reader)
Goal = Literal["maximize", "minimize"]


UNREADABLE = (sqlite3.Error, ValueError, TypeError, KeyError)
"""Errors from reading a file that is damaged or not a ledger; JSON's and Pydantic's errors are subclasses of these."""


def unreadable(path: Path, error: Exception) -> LedgerError:
    """Return such an error as a message of one line."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return LedgerError(f"{path} cannot be read: {reason}; check that it is the complete record of a sweep.")


def said_in_a_line(method: Callable[Concatenate[Reader, Given], Value]) -> Callable[Concatenate[Reader, Given], Value]:
    """Turn the errors of a method that reads a damaged file into a `LedgerError` of one line."""

    def read(reader: Reader, /, *arguments: Given.args, **named: Given.kwargs) -> Value:
        try:
            return method(reader, *arguments, **named)
        except UNREADABLE as error:
            raise unreadable(reader.path, error) from error

    functools.update_wrapper(read, method)
    return read


class _Entry(Generic[Value]):
    """A key of the table; it has the name of the field."""

    def __init__(self, decode: Callable[[str | None], Value], encode: Callable[[Value], str | None]) -> None:
        self._decode = decode
        self._encode = encode

    def __set_name__(self, owner: type, name: str) -> None:
        self._key = name

    @overload
    def __get__(self, meta: None, owner: type) -> "_Entry[Value]": ...
    @overload
    def __get__(self, meta: "Meta", owner: type) -> Value: ...
    def __get__(self, meta: "Meta | None", owner: type) -> "_Entry[Value] | Value":
        if meta is None:
            return self
        try:
            return self._decode(meta.read(self._key))
        except UNREADABLE as error:
            raise unreadable(meta.path, error) from error

    def __set__(self, meta: "Meta", value: Value) -> None:
        meta.write(self._key, self._encode(value))


class _Fixed(_Entry[Value]):
    """A key that the ledger itself writes."""

    def __init__(self, decode: Callable[[str | None], Value]) -> None:
        super().__init__(decode, str)

    def __set__(self, meta: "Meta", value: Value) -> None:
        raise AttributeError(f"only the ledger itself writes {self._key}.")


def _text() -> _Entry[str | None]:
    return _Entry(lambda text: text, lambda value: value)


def _goal(text: str | None) -> Goal:
    return "minimize" if text == "minimize" else "maximize"


_LIMITS = TypeAdapter(dict[str, int | FiniteFloat])
_HALTED = TypeAdapter(Halted | None)
_HOME = TypeAdapter(Home | None)
_CHAMPION = TypeAdapter(Champion | None)


class Meta:
    """The entries of one ledger."""

    sweep_id = _Fixed(lambda text: text or "")
    """Created with the ledger; distinguishes sweeps of the same name."""

    wall_s = _Fixed(lambda text: float(text or 0))
    """Seconds that drivers have run the sweep."""

    seq = _Fixed(lambda text: int(text or 0))
    """Grows with each write to the ledger."""

    started = _text()
    """When the sweep started, in UTC."""

    metric = _Entry[str](lambda text: text or "val/accuracy", str)
    goal = _Entry[Goal](_goal, str)
    budget = _Entry[dict[str, int | float]](
        lambda text: _LIMITS.validate_json(text or "{}", strict=True), lambda limits: _LIMITS.dump_json(limits).decode()
    )
    """The limits that are set, such as `gpu_hours`."""

    planned = _Entry[int | None](
        lambda text: int(text) if text else None, lambda trials: None if trials is None else str(trials)
    )
    """Number of configurations that the search will try; `None` if it ends only when the space is exhausted."""

    repeats = _Entry[int](lambda text: int(text or 1), lambda value: str(value) if value > 1 else None)
    """Number of seeds of each configuration."""

    exhausted = _Entry[bool](lambda text: text is not None, lambda value: "true" if value else None)
    """Whether every configuration of the space has been tried."""

    halted = _Entry[Halted | None](
        lambda text: _HALTED.validate_json(text or "null"), lambda value: json.dumps(value and asdict(value))
    )
    """Why the last run ended early, if it did."""

    tracker = _text()
    """The address of the tracker to which the sweep was last sent."""

    tracker_experiment = _text()
    tracker_experiment_id = _text()
    tracker_is_default = _Entry[bool](lambda text: text is not None, lambda value: "true" if value else None)
    """Whether that tracker was the default, not chosen by a user."""

    tracked_as = _text()
    """The value that identifies the sweep's runs there; `None` for the sweep's id. A copy of a sweep has other runs."""

    home = _Entry[Home | None](
        lambda text: _HOME.validate_json(text or "null"), lambda value: json.dumps(value and asdict(value))
    )
    """Where the ledger was when the sweep was last tracked."""

    confirmations = _Entry[list[dict[str, Any]]](lambda text: json.loads(text or "[]"), json.dumps)
    """The plan of each confirmation, recorded when the test set was opened; see `tune_jobs.evidence.confirmation`."""

    champion = _Entry[Champion | None](
        lambda text: _CHAMPION.validate_json(text or "null"), lambda value: json.dumps(value and asdict(value))
    )
    """The result of the latest finished confirmation."""

    left = _Entry[dict[str, Any] | None](lambda text: json.loads(text or "null"), json.dumps)
    """The state in which the last run left the sweep and its tracker; see `tune_jobs.driver.handover`."""

    def __init__(self, path: Path, read: Callable[[str], str | None], write: Callable[[str, str | None], None]) -> None:
        self.path = path
        self.read = read
        self.write = write

    def digest(self, data: str) -> str | None:
        """Return the digest of the images of a data set with which the sweep started."""
        return self.read(f"digest.{data}")

    def set_digest(self, data: str, digest: str) -> None:
        """Record the digest of a data set's images."""
        self.write(f"digest.{data}", digest)
