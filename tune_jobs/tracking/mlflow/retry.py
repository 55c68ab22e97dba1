"""A tracker's answers: which count as progress, which as a refusal, and when to give up."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

# Error codes of MLflow that refuse only this request, and do not affect the next one.
_REFUSALS = ("BAD_REQUEST", "INVALID_PARAMETER_VALUE", "RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST")


UPLOAD_S = 600.0
"""Maximum duration of the upload of one model."""


class Abandoned(Exception):  # noqa: N818 - it is not an error
    """The sync was given up."""


class SyncHealth:
    """The state of a sync, for the waiting thread: what is left, since when nothing succeeds, whether to give up."""

    def __init__(self) -> None:
        self.left: int | None = None
        """The number of trials with unsynced data; `None` before the first look."""

        self.abandoned = threading.Event()
        """Once set, no further call is made."""

        self._patient_until = 0.0
        self._done: set[object] = set()
        self._succeeded = time.monotonic()
        self._last_failed_try: float | None = None
        self._silent_since: float | None = None

    def call(
        self, step: object, function: Callable[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Answer:
        """Call the tracker, and record that this step succeeded.

        Raises:
            Abandoned: If the sync was given up; then no call is made.
        """
        if self.abandoned.is_set():
            raise Abandoned
        answer = function(*args, **kwargs)
        self._beat(step)
        return answer

    @contextmanager
    def patient(self) -> Iterator[None]:
        """Allow a long call in this block: an upload does not count as silence."""
        self._patient_until = time.monotonic() + UPLOAD_S
        try:
            yield
        finally:
            self._patient_until = 0.0

    def _beat(self, step: object) -> None:
        """Record progress; repeating a step of an earlier try does not count."""
        if step not in self._done:
            self._done.add(step)
            self._succeeded, self._silent_since = time.monotonic(), None

    def miss(self, tried_at: float) -> None:
        """Record that the try which started at `tried_at` failed."""
        self._last_failed_try = tried_at
        if self._silent_since is None:
            self._silent_since = max(tried_at, self._succeeded)

    def rest(self) -> None:
        """Record that a try completed everything."""
        self._done.clear()
        self._silent_since = None

    def silent(self, begun: float, timeout_s: float) -> bool:
        """Whether nothing has succeeded for `timeout_s`, in a wait that started at `begun`.

        A tracker that was silent before gets one more try, since it may be back.
        """
        now = time.monotonic()
        if timeout_s and now < self._patient_until:
            return False
        tried = self._last_failed_try is not None and self._last_failed_try >= begun
        if not tried and now < begun + timeout_s:
            return False
        since = self._silent_since
        return now >= timeout_s + (max(begun, self._succeeded) if since is None else since)


def is_refusal(error: Exception) -> bool:
    """Whether the tracker refuses this one request; or whether local files of the tracker cannot be written."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return error.error_code in _REFUSALS
    return isinstance(error, OSError) and error.errno is not None  # the HTTP library's errors have none


def reason_of(error: Exception) -> str:
    """Return one line; for nested errors of the HTTP library, the innermost, which names the cause."""
    inner: object = error
    if isinstance(error.__context__, OSError) and error.__context__.args:
        inner = error.__context__.args[0]
        inner = getattr(inner, "reason", None) or inner
    return (str(inner).splitlines() or [type(error).__name__])[0]
