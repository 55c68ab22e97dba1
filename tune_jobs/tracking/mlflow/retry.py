"""How a tracker answers: what is progress, what a refusal, and when nobody waits any longer."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

# MLflow's answers that refuse this request, and say nothing about the next.
_REFUSALS = ("BAD_REQUEST", "INVALID_PARAMETER_VALUE", "RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST")


UPLOAD_S = 600.0
"""How long the upload of one model may take."""


class Abandoned(Exception):  # noqa: N818 - it is no error
    """Nobody waits for MLflow any more."""


class SyncHealth:
    """How it goes: what is left, since when nothing succeeds, and whether to give up. For the thread that waits."""

    def __init__(self) -> None:
        self.left: int | None = None
        """Trials of which something is to be shipped; `None` before the first look."""

        self.abandoned = threading.Event()
        """Set it, and no further call is made."""

        self._patient_until = 0.0
        self._done: set[object] = set()
        self._succeeded = time.monotonic()
        self._last_failed_try: float | None = None
        self._silent_since: float | None = None

    def call(
        self, step: object, function: Callable[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Answer:
        """Call the tracker, and note that this step succeeded.

        Raises:
            Abandoned: If nobody waits any longer; no call is made then.
        """
        if self.abandoned.is_set():
            raise Abandoned
        answer = function(*args, **kwargs)
        self._beat(step)
        return answer

    @contextmanager
    def patient(self) -> Iterator[None]:
        """A call in this block may take long: it is an upload, not silence."""
        self._patient_until = time.monotonic() + UPLOAD_S
        try:
            yield
        finally:
            self._patient_until = 0.0

    def _beat(self, step: object) -> None:
        """Doing again what an earlier try did is no progress."""
        if step not in self._done:
            self._done.add(step)
            self._succeeded, self._silent_since = time.monotonic(), None

    def miss(self, tried_at: float) -> None:
        """Note that a try which began at `tried_at` failed."""
        self._last_failed_try = tried_at
        if self._silent_since is None:
            self._silent_since = max(tried_at, self._succeeded)

    def rest(self) -> None:
        """Note that a try did all there was to do."""
        self._done.clear()
        self._silent_since = None

    def silent(self, begun: float, timeout_s: float) -> bool:
        """Whether nothing has succeeded for `timeout_s`, in a wait that began at `begun`.

        A tracker that was silent before then gets one more try: it may have come back.
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
    """Whether the tracker answered, and refuses this one thing; or its files, on this machine, cannot be written."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return error.error_code in _REFUSALS
    return isinstance(error, OSError) and error.errno is not None  # the HTTP library's errors have none


def reason_of(error: Exception) -> str:
    """One line; of the HTTP library's nested errors the innermost, which names the cause."""
    inner: object = error
    if isinstance(error.__context__, OSError) and error.__context__.args:
        inner = error.__context__.args[0]
        inner = getattr(inner, "reason", None) or inner
    return (str(inner).splitlines() or [type(error).__name__])[0]
