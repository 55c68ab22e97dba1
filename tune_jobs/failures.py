"""What can end an attempt before its last epoch, and what follows: another attempt, or the end of the trial.

oom           out of memory: once more, alone on a whole GPU (on the CPU: with no other trial of the sweep beside it);
              then the trial has failed, and the sampler is told that the configuration cannot run
diverged      a loss was not finite: final; the sampler is told
user_error    an exception in the training code: final
data          the images cannot be read: once more, on another machine if there is one; then final
time_limit    the trial used up `resources.max_trial_hours`: final
disk_full     no room for a checkpoint or a log: the sweep pauses, the trial goes on when it is resumed
lost_worker   the process died, or its storage was away: goes on from its last checkpoint
lost_node     the machine died: the same
preempted     the machine was taken away: the same

Lost attempts do not count against a trial unless LOST_AT_MOST of them in a row bring it no epoch further.
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
"""Lost attempts in a row without a new epoch, after which the trial has failed."""

Next = Literal["final", "again", "alone", "pause"]


def what_follows(failures: Iterable[tuple[Failure | None, bool]]) -> Next:
    """What follows the last of a trial's attempts.

    Args:
        failures: For each attempt since the trial was last asked for by hand, the oldest first: its failure, `None`
            where it was interrupted with the sweep; and whether it brought the trial an epoch further.
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
    """The state of a trial whose attempt failed; `interrupted` is due for another one."""
    if follows != "final":
        return "interrupted"
    return "diverged" if failure == "diverged" else "failed"


def counted(failures: Iterable[Failure | None]) -> dict[str, int]:
    """How many there are of each class, in the order of CLASSES; none of those that are not there."""
    counts = Counter(failures)
    return {name: counts[name] for name in CLASSES if counts[name]}


def alone(failures: Iterable[Failure | None]) -> bool:
    """Whether a trial with this past runs alone."""
    return "oom" in failures
