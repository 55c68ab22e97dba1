"""Turn a probe's report on a cluster into findings, one per check."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from search_spaces.settings import Resources
from tune_jobs.doctor.finding import Finding, digests_shown
from tune_jobs.executors.capacity import fitting, per_trial
from tune_jobs.system.packages import PYTHON, required, shown, versions_here, wrong_versions

_COMPARED = ("torch", "torchvision", "numpy", "optuna", "mlflow")
Report = Mapping[str, Any]


def judge(report: Report, resources: Resources | None = None) -> list[Finding]:
    """Return the findings; without `resources`, the resources of a trial are not checked."""
    nodes = report["nodes"]
    able = [node for node in nodes if node["error"] is None]
    findings = [_machines(nodes)]
    if not able:
        return findings
    findings += [_versions(able), _storage(report["storage"], able, resources), *_data(able)]
    findings += list(_gpus(able, needed=resources is None or resources.gpus_per_trial > 0))
    if resources is not None:
        findings.append(_room(able, resources))
    if report.get("tracker"):
        findings.append(Finding(**report["tracker"]))
    return findings


def has_our_code(report: Report, digest: str) -> bool:
    """Whether every machine has the same code as this one."""
    return all(node.get("code") == digest for node in report["nodes"])


def totals(report: Report) -> tuple[int, int]:
    """Return the number of CPUs and GPUs in the cluster."""
    return tuple(int(sum(node["resources"][kind] for node in report["nodes"])) for kind in ("CPU", "GPU"))  # type: ignore[return-value]


def _machines(nodes: Sequence[Report]) -> Finding:
    silent = [f"{_name(node)}: {node['error']}" for node in nodes if node["error"] is not None]
    cpus, gpus = totals({"nodes": nodes})
    says = (
        f"{len(nodes)} machines, {cpus} CPUs, {gpus} GPUs" if len(nodes) > 1 else f"1 machine, {cpus} CPUs, {gpus} GPUs"
    )
    if silent:
        fix = "read Ray's logs there (/tmp/ray/session_latest/logs), or remove the machine: ray stop"
        return Finding("cluster", ok=False, says=f"{says}; {'; '.join(silent)}", fix=fix)
    return Finding("cluster", ok=True, says=says)


def _versions(nodes: Sequence[Report]) -> Finding:
    wrong: dict[str, list[str]] = {}
    for node in nodes:
        for problem in wrong_versions({**node["versions"], PYTHON: node["python"]}):
            wrong.setdefault(problem, []).append(_name(node))
    if wrong:
        says = "; ".join(f"{problem} ({', '.join(hosts)})" for problem, hosts in wrong.items())
        fix = "install requirements.lock on every machine, or use the image (docs/how-to/containers.md)"
        return Finding("versions", ok=False, says=says, fix=fix)
    for name in _COMPARED:
        different = {node["versions"][name]: _name(node) for node in nodes}
        if len(different) > 1:
            says = f"{name} differs: {', '.join(f'{there} on {host}' for there, host in different.items())}"
            fix = "install the same requirements.lock on every machine"
            return Finding("versions", ok=False, says=f"{says}; a trial's results would depend on its machine", fix=fix)
    there, here = nodes[0]["versions"], versions_here()
    others = [f"{name} {here[name]}" for name in _COMPARED if here.get(name) and here[name] != there[name]]
    note = f" (here: {', '.join(others)})" if others else ""
    return Finding("versions", ok=True, says=f"{shown({**there, PYTHON: nodes[0]['python']})}{note}")


def _storage(storage: Report, nodes: Sequence[Report], resources: Resources | None) -> Finding:
    path = storage["path"]
    if storage["error"]:
        fix = "choose another with --storage that every machine of the cluster has"
        return Finding("storage", ok=False, says=f"{path} cannot be used on the head: {storage['error']}", fix=fix)
    blind = [_name(node) for node in nodes if not node["sees_storage"]]
    if blind:
        fix = "mount one shared folder at the same path on every machine, and pass it with --storage"
        return Finding(
            "storage", ok=False, says=f"{path} on the head is another folder than on {', '.join(blind)}", fix=fix
        )
    locked = [_name(node) for node in nodes if not node["writes_storage"]]
    if locked:
        fix = f"give Ray's user write permission for {path} there"
        return Finding("storage", ok=False, says=f"{path} is not writable on {', '.join(locked)}", fix=fix)
    least = resources.min_free_gb if resources else 0.0
    if storage["free_gb"] < least:
        says = f"{path} has {storage['free_gb']:.2f} GB free, resources.min_free_gb is {least:g}"
        return Finding("storage", ok=False, says=says, fix="free space there, or choose another with --storage")
    shared = ", the same on every machine" if len(nodes) > 1 else ""
    return Finding("storage", ok=True, says=f"{path}{shared}, {storage['free_gb']:.0f} GB free")


def _data(nodes: Sequence[Report]) -> Iterator[Finding]:
    for number, first in enumerate(nodes[0]["data"]):
        each = [(_name(node), node["data"][number]) for node in nodes]
        what = f"{first['name']} in {first['root'] or 'the default folder'}"
        hosts_by_error: dict[str, list[str]] = {}
        for host, found in each:
            if found["error"]:
                hosts_by_error.setdefault(found["error"], []).append(host)
        missing = [f"{', '.join(hosts)}: {error}" for error, hosts in hosts_by_error.items()]
        images = [found["digests"] for _, found in each]
        if missing:
            yield Finding("data", ok=False, says=f"{what}: {'; '.join(missing)}")
        elif any(one != images[0] for one in images):
            says = f"{what}: the machines have different images"
            yield Finding("data", ok=False, says=says, fix="copy the same files to every machine")
        else:
            yield Finding("data", ok=True, says=f"{what}, {digests_shown(images[0])}")


def _gpus(nodes: Sequence[Report], *, needed: bool) -> Iterator[Finding]:
    for node in nodes:
        promised, usable, there = node["resources"]["GPU"], node["gpus"]["torch"], node["gpus"]["there"]
        if needed and promised > len(usable):
            says = f"{_name(node)}: Ray counts {promised:g} GPUs, NVIDIA's driver {there}, torch can use {len(usable)}"
            fix = "install a CUDA build of torch and NVIDIA's driver there, or start Ray with --num-gpus=0"
            yield Finding("gpu", ok=False, says=says, fix=fix)
        elif usable:
            yield Finding("gpu", ok=True, says=f"{_name(node)}: {len(usable)}, {', '.join(sorted(set(usable)))}")


def _room(nodes: Sequence[Report], resources: Resources) -> Finding:
    asked, there = per_trial(resources), [node["resources"] for node in nodes]
    text = ", ".join(f"{least:g} {kind}" for kind, least in asked.items() if least)
    if fit := fitting(asked, there):
        return Finding("resources", ok=True, says=f"a trial requests {text}; {fit} run at a time")
    largest = ", ".join(f"{max(machine[kind] for machine in there):g} {kind}" for kind in asked)
    fix = "lower resources.cpus_per_trial or resources.gpus_per_trial (--set resources.gpus_per_trial=0)"
    return Finding(
        "resources", ok=False, says=f"a trial requests {text}, but the largest machine has {largest}", fix=fix
    )


def _name(node: Report) -> str:
    return f"{node['host']} ({node['address']})"


def packages() -> list[str]:
    """Return the packages whose versions a probe reports."""
    return sorted(required().keys() - {PYTHON})
