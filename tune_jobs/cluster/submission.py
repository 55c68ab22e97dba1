"""Starts sweeps on a cluster. Everything is checked first, and afterwards this machine is no longer needed."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from convnn.plugins import Plugin, editable
from convnn.plugins import plugins as installed_plugins
from search_spaces import SweepSpec
from search_spaces.plurals import plural
from tune_jobs.cluster.catalog import Cluster, Located, in_storage
from tune_jobs.cluster.package import code_digest
from tune_jobs.doctor.cluster import has_our_code, judge, lacking, packages, totals
from tune_jobs.doctor.finding import Finding
from tune_jobs.errors import ClusterError, UsageError
from tune_jobs.record.manifest import JOB_ADDRESS
from tune_jobs.record.plugins import used_by
from tune_jobs.system.files import size_text
from tune_jobs.system.notify import require_target
from tune_jobs.system.redaction import NOTIFY, TRACKING_TOKEN, tidy_tracking_token, without_password
from tune_jobs.tracking.address import is_relative

Code = Literal["auto", "ship", "installed"]
_TRACKER = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", TRACKING_TOKEN)


@dataclass(frozen=True)
class Submission:
    """A job that was started."""

    job_id: str
    sweep: str
    storage: str
    upload_bytes: int
    findings: list[Finding]

    def as_dict(self) -> dict[str, Any]:
        """Return the submission for programs, with stable keys."""
        return {
            "job": self.job_id,
            "sweep": self.sweep,
            "storage": self.storage,
            "upload_bytes": self.upload_bytes,
            "checks": [finding.as_dict() for finding in self.findings],
        }


def check_cluster(
    cluster: Cluster, spec: SweepSpec | None, storage: str | None
) -> tuple[dict[str, Any], list[Finding]]:
    """Return what the cluster has, and what that means for a sweep; for any sweep if `spec` is `None`.

    Args:
        cluster: The cluster.
        spec: The sweep to run there.
        storage: The storage folder there; the cluster's default if `None`.

    Raises:
        UsageError: If the tracker is a relative path, which is not valid there.
        ClusterError: If the cluster does not answer.
    """
    request: dict[str, Any] = {"packages": packages(), "storage": storage, "data": [], "environment": _credentials()}
    plugins, uploaded = used_plugins(spec), []
    if spec is not None:
        request["data"] = [[data.name, data.root, spec.evaluation.opens] for data in spec.space.data_sets()]
        uploaded = [each for each in plugins if each.editable]
    report = cluster.probe({**request, "tracker": _tracker_uri(spec)}, uploaded)
    return report, judge(report, spec.resources if spec else None, plugins)


def submit(
    spec: SweepSpec,
    cluster: Cluster,
    *,
    storage: str | None = None,
    code: Code = "auto",
    options: Sequence[str] = (),
    notify: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Submission:
    """Check everything, and start a sweep as a job of the cluster.

    Args:
        spec: The sweep.
        cluster: Where to run it.
        storage: The storage folder there; the cluster's default if `None`.
        code: `installed` uses our code on the cluster, `ship` uploads it, `auto` uploads it only if it differs.
        options: More arguments of `convnn run` there.
        notify: The address or command that the job notifies when it ends; see `tune_jobs.system.notify`.
        say: Called with the progress and every finding.

    Raises:
        UsageError: If a check fails for this sweep; if the sweep is already running there; if the upload is too
            large; or if the tracker is a relative path, which is not valid there.
        ClusterError: If the cluster does not answer.
    """
    _require_notify(notify)
    _require_idle(cluster, spec.name)
    say(f"checking the cluster at {cluster.address} ...")
    report, findings = check_cluster(cluster, spec, storage)
    for finding in findings:
        say(str(finding))
    wrong = [finding for finding in findings if not finding.ok]
    if wrong:
        kind = ClusterError if all(finding.check in ("cluster", "tracker") for finding in wrong) else UsageError
        raise kind(f"{len(wrong)} of {len(findings)} checks failed, so nothing was started; see above.")
    for line in plan_lines(spec, *totals(report)):
        say(line)
    place = report["storage"]["path"]
    ship = _ships(code, report)
    plugins = [each for each in used_plugins(spec) if each.editable and lacking(report, each)]
    task = {
        "storage": place,
        "arguments": ["run", "sweep.yaml", "--storage", place, *options],
        "environment": _environment(cluster, spec, notify),
    }
    _require_idle(cluster, spec.name)  # the checks may have taken minutes
    job_id, size = cluster.start("run", spec.name, task, text=spec.text, code=ship, plugins=plugins)
    what = "the sweep's file and the code" if ship else "the sweep's file; the code is already there"
    say(f"uploaded {size_text(size)}: {what}{''.join(f'; the plugin {each.name}' for each in plugins)}")
    return Submission(job_id, spec.name, place, size, findings)


def used_plugins(spec: SweepSpec | None) -> list[Plugin]:
    """Return the plugins that a sweep uses; without a sweep, all installed plugins."""
    used = None if spec is None else used_by(spec)
    return [plugin for plugin in installed_plugins() if used is None or plugin.name in used]


def restart(
    cluster: Cluster, command: str, name: str, options: Sequence[str], *, notify: str | None = None
) -> Submission:
    """Start `resume`, `retry`, `extend` or `confirm` of a sweep as a job of the cluster.

    Raises:
        UsageError: If the sweep does not exist there, or is running; or if the tracker is a relative path, which is
            not valid there.
        ClusterError: If the cluster does not answer.
    """
    _require_notify(notify)
    found = cluster.locate(name)
    _require_idle(cluster, found.name)
    task = {
        "storage": found.storage,
        "arguments": [command, found.name, *in_storage(found.storage), *options],
        "environment": _environment(cluster, None, notify),
    }
    job_id, size = cluster.start(command, found.name, task, text=None, code=True, plugins=editable())
    return Submission(job_id, found.name, found.storage or "", size, [])


def stop(cluster: Cluster, name: str, seconds: float) -> tuple[Located, bool]:
    """Ask a sweep's job to stop; return the sweep, and whether it has ended within `seconds`.

    Raises:
        UsageError: If no job of the cluster runs it.
    """
    found = cluster.locate(name)
    if found.job is None or found.job.ended:
        raise UsageError(
            f"no job at {cluster.address} runs {name}; `convnn list --address {cluster.address}` shows them."
        )
    cluster.jobs.stop(found.job.id)
    try:
        return replace(found, job=cluster.jobs.wait(found.job.id, seconds)), True
    except ClusterError:
        return found, False


def plan_lines(spec: SweepSpec, cpus: int, gpus: int) -> list[str]:
    """Return a short plan of the sweep for a cluster of this size."""
    from tune_jobs.planning.plan import plan

    found = plan(spec, gpus=max(1, gpus), cpus=max(1, cpus))
    disk = f"about {found.disk_gb:.2g} GB of disk"
    epochs = f"{'at most ' * found.at_most}{plural(found.trial_epochs, 'epoch')} in all"
    first = f"plan: {plural(found.trials, 'trial')}, {epochs}, {disk}"
    return [first, *(f"warning: {warning}" for warning in found.warnings)]


def _require_idle(cluster: Cluster, name: str) -> None:
    found = cluster.locate(name)
    if found.job is not None and not found.job.ended:
        raise UsageError(
            f"job {found.job.id} runs the sweep {name} at {cluster.address} now. To see its status: convnn status "
            f"{name} --address {cluster.address}. To stop it: convnn stop {name} --address {cluster.address}. To run "
            f"it under another name: --set name=..."
        )


def _require_notify(notify: str | None) -> None:
    if notify is not None:
        require_target(notify, here=False)  # a command runs on the cluster


def _ships(code: Code, report: dict[str, Any]) -> bool:
    there = has_our_code(report, code_digest())
    if code == "installed" and not there:
        raise UsageError(
            "--code installed requires this version's code on every machine of the cluster, but the code there differs "
            "from the code here; use the image of this version, or --code ship."
        )
    return code == "ship" or not there


def _environment(cluster: Cluster, spec: SweepSpec | None, notify: str | None) -> dict[str, str]:
    """Return a job's variables. They belong in the package, as Ray's dashboard shows the job's own environment."""
    target = {} if notify is None else {NOTIFY: notify}
    return _credentials() | target | _tracker(spec) | {JOB_ADDRESS: without_password(cluster.address)}


def _credentials() -> dict[str, str]:
    """Return those of MLflow."""
    tidy_tracking_token()
    return {name: os.environ[name] for name in _TRACKER if name in os.environ}


def _tracker(spec: SweepSpec | None) -> dict[str, str]:
    """Return the tracker's address for the job's environment, unless the sweep's file names it."""
    uri = _tracker_uri(spec)
    return {"MLFLOW_TRACKING_URI": uri} if uri and (spec is None or spec.tracking.uri is None) else {}


def _tracker_uri(spec: SweepSpec | None) -> str | None:
    """Return the tracker that is chosen here for a job.

    Raises:
        UsageError: If it is a relative path.
    """
    uri = (spec.tracking.uri if spec else None) or os.environ.get("MLFLOW_TRACKING_URI")
    if uri and is_relative(uri):
        raise UsageError(
            f"the tracker {without_password(uri)!r} is a relative path, but a job on the cluster runs in another "
            f"folder; set tracking.uri or MLFLOW_TRACKING_URI to http://host:5000, or to sqlite:////path/to/mlflow.db "
            f"in a folder on persistent storage of the cluster."
        )
    return uri
