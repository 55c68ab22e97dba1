"""`convnn resume`."""

from typing import TYPE_CHECKING, Any

from tune_jobs.cli.shared.notifying import Notify
from tune_jobs.cli.shared.options import AcceptCode, AsJson, Set, Storage, Sweep, setting
from tune_jobs.cli.shared.running import AnyAddress, Detach, continued

if TYPE_CHECKING:
    from tune_jobs.display.live import Progress
    from tune_jobs.driver.run import Outcome


def resume(
    sweep: Sweep,
    overrides: Set = None,
    storage: Storage = None,
    *,
    address: AnyAddress = None,
    detach: Detach = False,
    accept_code: AcceptCode = False,
    notify: Notify = None,
    as_json: AsJson = False,
) -> None:
    """Resume a sweep that was stopped or killed, or has used up its budget. Example: convnn resume quickstart.

    --set may change its budget, search.trials, search.repeats, stopping.max_failed_fraction,
    stopping.enough, resources and tracking.
    """

    def start(progress: "Progress", **where: Any) -> "Outcome":  # noqa: ANN401 - arguments as they are
        from tune_jobs.driver import restart

        return restart.resume(sweep, progress, overrides=tuple(overrides or ()), **where)

    continued(
        "resume",
        sweep,
        setting(overrides),
        start,
        address=address,
        storage=storage,
        accept_code=accept_code,
        notify=notify,
        detach=detach,
        as_json=as_json,
    )
