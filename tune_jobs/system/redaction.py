"""Which parts of an address may be shown, and which tokens can be sent. No secret ever appears in a message."""

import os
import re
from collections.abc import Sequence

from tune_jobs.errors import UsageError

TRACKING_TOKEN = "MLFLOW_TRACKING_TOKEN"  # noqa: S105 - its name
NOTIFY = "CONVNN_NOTIFY"
"""Contains the notification target. It is a secret: anyone who knows the address can post to it."""

NOTIFY_OPTION = "--notify"
"""The same as an option. Its value `CONVNN_NOTIFY` stands for that variable."""

_PORT = r"(?!\d{1,5}(?:[\s/?#,;'\")\]>]|$))"
_USER = re.compile(
    r"(?<=://)(?:"
    rf"[^/?#:@\s]*:{_PORT}\S*@"  # a password may contain any character, also / and @
    rf"|[^/?#:@\s]*:{_PORT}[^@\n]*@"  # and spaces
    r"|[^/?#:@\s]*@)"
)
_FIELD = re.compile(
    r"([?&][\w.-]*(?:token|password|passwd|pwd|secret|key|signature|sig|auth)[\w.-]*=)[^&#\s'\"]+", re.IGNORECASE
)


def without_password(text: str) -> str:
    """Remove user names, passwords and tokens from the addresses in a text."""
    return _FIELD.sub(r"\1***", _USER.sub("", text))


def holds_secret(text: str) -> bool:
    """Whether the text contains such a secret."""
    return without_password(text) != text


def without_notify(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return a command line without its notification targets, and these targets."""
    kept: list[str] = []
    targets: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            kept += [word, *rest]
        elif word.startswith(f"{NOTIFY_OPTION}="):
            targets.append(word.partition("=")[2])
        elif word == NOTIFY_OPTION and (target := next(rest, None)) is not None:
            targets.append(target)
        else:
            kept.append(word)
    return kept, targets


def can_be_sent(token: str) -> bool:
    """Whether a token can be sent in a request header: it must be one word of printable ASCII."""
    return token.isascii() and token.isprintable() and " " not in token


def tidy_tracking_token() -> None:
    """Strip whitespace from MLflow's token: a file or a Kubernetes secret may end with a line break.

    Raises:
        UsageError: If the token still cannot be sent; MLflow's own error would show the token.
    """
    token = os.environ.get(TRACKING_TOKEN)
    if token is None:
        return
    os.environ[TRACKING_TOKEN] = token.strip()
    if not can_be_sent(token.strip()):
        raise UsageError(f"{TRACKING_TOKEN} contains whitespace or non-ASCII characters; set it again.")
