"""`convnn extend`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tune_jobs.cli.shared.notifying import Notify
from tune_jobs.cli.shared.options import AcceptCode, AsJson, Storage, Sweep
from tune_jobs.cli.shared.running import AnyAddress, Detach, continued

if TYPE_CHECKING:
    from tune_jobs.display.live import Progress
    from tune_jobs.driver.run import Outcome


def extend(
    sweep: Sweep,
    storage: Storage = None,
    *,
    trials: Annotated[
        str, typer.Option(metavar="+N", help="+20 for 20 more trials than planned now, or 84 for 84 trials in total.")
    ],
    address: AnyAddress = None,
    detach: Detach = False,
    accept_code: AcceptCode = False,
    notify: Notify = None,
    as_json: AsJson = False,
) -> None:
    """Add trials to a sweep, even after it has finished. Example: convnn extend quickstart --trials +6.

    The same study continues, in the same folder and under the same MLflow parent run.
    """

    def start(progress: "Progress", **where: Any) -> "Outcome":  # noqa: ANN401 - arguments as they are
        from tune_jobs.driver import restart

        return restart.extend(sweep, trials, progress, **where)

    continued(
        "extend",
        sweep,
        ["--trials", trials],
        start,
        address=address,
        storage=storage,
        accept_code=accept_code,
        notify=notify,
        detach=detach,
        as_json=as_json,
    )
