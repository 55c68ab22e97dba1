"""Check what a sweep needs on this machine: versions, a folder, images, a GPU, a tracker."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from convnn.data import Split
from tune_jobs.doctor.finding import Finding, digests_shown
from tune_jobs.doctor.tracker import check_tracker
from tune_jobs.system.cpus import usable_cpus
from tune_jobs.system.memory import lacking, usable_memory_gb
from tune_jobs.system.packages import shown, versions_here, wrong_versions
from tune_jobs.system.scratch import LONGEST_FOR_SOCKETS, place_of_sockets

LEAST_FREE_GB = 1.0


def check_here(
    storage: Path,
    tracker: str | None,
    data: Sequence[tuple[str, str | None, Sequence[Split]]],
    *,
    cpus: int = 1,
    gpu: bool = False,
    memory_gb: float = 0.0,
    at_once: int = 1,
) -> list[Finding]:
    """Check what a sweep needs on this machine.

    Args:
        storage: The folder of sweeps.
        tracker: MLflow's tracking URI; `None` for the store beside the sweeps.
        data: Data sets as name, root, and the splits that the sweep reads.
        cpus: CPUs that a trial requests.
        gpu: Whether trials request a GPU.
        memory_gb: Memory of this machine that the largest trial needs; 0 if unknown.
        at_once: Trials that run at a time.
    """
    return [
        _check_versions(),
        check_folder(storage),
        *(_check_data(name, root, splits) for name, root, splits in data),
        _check_cpus(cpus),
        *([_check_memory(memory_gb, at_once)] if memory_gb else []),
        _check_sockets(),
        _check_gpu(needed=gpu),
        check_tracker(tracker) if tracker else Finding("tracker", ok=True, says="an MLflow store beside the sweeps"),
    ]


def _check_versions() -> Finding:
    here = versions_here()
    wrong = list(wrong_versions(here))
    if wrong:
        return Finding("versions", ok=False, says="; ".join(wrong), fix="make install, or: pip install convnn-sweeps")
    return Finding("versions", ok=True, says=shown(here))


def check_folder(storage: Path) -> Finding:
    """Check that a folder of this machine can hold sweeps, and that there is space."""
    place = next(parent for parent in (storage, *storage.parents) if parent.exists())
    if not place.is_dir():
        return Finding("storage", ok=False, says=f"{place} is a file", fix="choose another with --storage")
    try:
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        fix = f"chmod u+w {place}, or choose another with --storage"
        return Finding("storage", ok=False, says=f"{place} is not writable: {error.strerror}", fix=fix)
    free = shutil.disk_usage(place).free / 1e9
    if free < LEAST_FREE_GB:
        return Finding("storage", ok=False, says=f"{storage} has {free:.2f} GB free", fix="free space there")
    return Finding("storage", ok=True, says=f"{storage} is writable, {free:.0f} GB free")


def _check_data(name: str, root: str | None, splits: Sequence[Split]) -> Finding:
    from convnn.data import DataError, load_dataset

    try:
        digests = load_dataset(name, root, splits=splits).digests
    except DataError as error:
        return Finding("data", ok=False, says=str(error))
    return Finding("data", ok=True, says=f"{name} in {root or 'the default folder'}, {digests_shown(digests)}")


def _check_cpus(asked: int) -> Finding:
    usable = usable_cpus()
    if asked <= usable.count:
        return Finding("cpus", ok=True, says=f"{usable} can be used")
    says = f"a trial requests {asked}, but only {usable} can be used"
    return Finding("cpus", ok=False, says=says, fix="lower resources.cpus_per_trial")


def _check_memory(needed_gb: float, at_once: int) -> Finding:
    usable = usable_memory_gb()
    if said := lacking(needed_gb, at_once, usable):
        return Finding("memory", ok=False, says=said, fix="lower training.batch_size, or resources.max_concurrent")
    there = "" if usable is None else f", of {usable:.3g} GB"
    return Finding("memory", ok=True, says=f"at most {needed_gb:.3g} GB for each of {at_once} trials at a time{there}")


def _check_sockets() -> Finding:
    """Check that Ray can create its sockets, whatever TMPDIR is."""
    place = place_of_sockets()
    try:
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        fix = f"set RAY_TMPDIR to a folder whose path has at most {LONGEST_FOR_SOCKETS} characters"
        return Finding("sockets", ok=False, says=f"Ray cannot create its sockets in {place}: {error.strerror}", fix=fix)
    return Finding("sockets", ok=True, says=f"Ray creates its sockets in {place}")


def _check_gpu(*, needed: bool) -> Finding:
    import torch

    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    if names:
        return Finding("gpu", ok=True, says=f"{len(names)}: {', '.join(sorted(set(names)))}")
    driver = "nvidia-smi finds a GPU, but torch does not" if shutil.which("nvidia-smi") else "no GPU was found"
    if not needed:
        return Finding("gpu", ok=True, says=f"{driver}; trials run on the CPU")
    fix = "set resources.gpus_per_trial: 0, or install NVIDIA's driver and a CUDA build of torch"
    return Finding("gpu", ok=False, says=f"resources.gpus_per_trial requests a GPU; {driver}", fix=fix)
