"""Failures that end an attempt before its last epoch, and what follows: another attempt, or the end of the trial.

oom           out of memory: one more attempt, alone on a whole GPU (on the CPU: without another trial of the sweep);
              then the trial fails, and the sampler is told that the configuration cannot run
diverged      a loss was not finite: final; the sampler is told
user_error    an exception in the training code: final
data          the images cannot be read: one more attempt, on another machine if there is one; then final
time_limit    the trial used up `resources.max_trial_hours`: final
disk_full     no space for a checkpoint or a log: the sweep pauses, and the trial continues when the sweep is resumed
lost_worker   the process died, or its storage was unavailable: the trial resumes from its last checkpoint
lost_node     the machine died: the same
preempted     the machine was taken away: the same

Lost attempts do not count against a trial unless LOST_AT_MOST of them in a row complete no new epoch.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Literal, get_args

Failure = Literal[
    "oom", "diverged", "user_error", "data", "time_limit", "disk_full", "lost_worker", "lost_node", "preempted"
]
CLASSES: tuple[Failure, ...] = get_args(Failure)
LOST: tuple[Failure, ...] = ("lost_worker", "lost_node", "preempted")

LOST_AT_MOST = 3
"""A trial fails after this many lost attempts in a row without a new epoch."""

Next = Literal["final", "again", "alone", "pause"]


def what_follows(failures: Iterable[tuple[Failure | None, bool]]) -> Next:
    """Return what follows the last of a trial's attempts.

    Args:
        failures: For each attempt since the user last requested the trial, oldest first: its failure, `None` if it was
            interrupted with the sweep; and whether it completed a new epoch.
    """
    history = list(failures)
    failure, _ = history[-1]
    if failure in LOST:
        lost = 0
        for earlier, gained in history:
            lost = 0 if gained else lost + (earlier in LOST)
        return "final" if lost >= LOST_AT_MOST else "again"
    seen = sum(earlier == failure for earlier, _ in history)
    if failure == "oom":
        return "alone" if seen == 1 else "final"
    if failure == "data":
        return "again" if seen == 1 else "final"
    if failure == "disk_full":
        return "pause"
    return "final" if failure else "again"


def state_after(failure: Failure, follows: Next) -> Literal["diverged", "failed", "interrupted"]:
    """Return the state of a trial whose attempt failed; `interrupted` means that another attempt is pending."""
    if follows != "final":
        return "interrupted"
    return "diverged" if failure == "diverged" else "failed"


def counted(failures: Iterable[Failure | None]) -> dict[str, int]:
    """Count the failures of each class, in the order of CLASSES; classes without failures are left out."""
    counts = Counter(failures)
    return {name: counts[name] for name in CLASSES if counts[name]}


def alone(failures: Iterable[Failure | None]) -> bool:
    """Whether a trial with these past failures runs alone."""
    return "oom" in failures
