"""The start of the program `convnn`, before anything slow is imported."""

import os
import sys

from tune_jobs.system.redaction import NOTIFY, NOTIFY_OPTION, without_notify


def main() -> None:
    """Run the program."""
    _hide_target()
    from tune_jobs.cli.app import main as run

    run()


def _hide_target() -> None:
    """Restart with the notification target in the environment: `ps` and Ray's dashboard show command lines."""
    kept, targets = without_notify(given := sys.argv[1:])
    started_here = sys.orig_argv[-len(given) :] == given and sys.argv[0] not in ("", "-")  # and not a caller's list
    if {*targets} <= {NOTIFY} or not started_here:
        return
    if targets[-1] != NOTIFY:
        os.environ[NOTIFY] = targets[-1]
    head = sys.orig_argv[1 : -len(given)]
    words = [sys.executable, *head, *kept[:1], NOTIFY_OPTION, NOTIFY, *kept[1:]]
    os.execv(sys.executable, words)  # noqa: S606 - this very program
