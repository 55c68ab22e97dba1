"""What may be shown of an address, and what can be sent as a token: neither ever appears in a message."""

import os
import re

from tune_jobs.errors import UsageError

TRACKING_TOKEN = "MLFLOW_TRACKING_TOKEN"  # noqa: S105 - its name
NOTIFY = "CONVNN_NOTIFY"
"""Names whom to tell of a sweep's end; a secret, as whoever knows an address may write there."""

_PORT = r"(?!\d{1,5}(?:[\s/?#,;'\")\]>]|$))"
_USER = re.compile(
    r"(?<=://)(?:"
    rf"[^/?#:@\s]*:{_PORT}\S*@"  # a password may have any letter, / and @ too
    rf"|[^/?#:@\s]*:{_PORT}[^@\n]*@"  # and blanks
    r"|[^/?#:@\s]*@)"
)
_FIELD = re.compile(
    r"([?&][\w.-]*(?:token|password|passwd|pwd|secret|key|signature|sig|auth)[\w.-]*=)[^&#\s'\"]+", re.IGNORECASE
)


def without_password(text: str) -> str:
    """A text without the users, passwords and tokens that may stand in its addresses."""
    return _FIELD.sub(r"\1***", _USER.sub("", text))


def holds_secret(text: str) -> bool:
    """Whether there are any."""
    return without_password(text) != text


def can_be_sent(token: str) -> bool:
    """Whether a token can stand in the header of a request: it is one word of ASCII."""
    return token.isascii() and token.isprintable() and " " not in token


def tidy_tracking_token() -> None:
    """Take the blanks from around MLflow's token: a file, or a secret of Kubernetes, may end with a line break.

    Raises:
        UsageError: If it cannot be sent all the same; MLflow's own error would show it.
    """
    token = os.environ.get(TRACKING_TOKEN)
    if token is None:
        return
    os.environ[TRACKING_TOKEN] = token.strip()
    if not can_be_sent(token.strip()):
        raise UsageError(f"{TRACKING_TOKEN} contains whitespace or non-ASCII characters; set it again.")
