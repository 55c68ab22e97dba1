"""A real TensorBoard compares a sweep's trials from its event files."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.system.browser import Browser
from tests.tune_jobs.servers import free_port, wait_until_served
from tests.tune_jobs.shipping import recorded
from tune_jobs.results.columns import Column
from tune_jobs.tracking.tensorboard.files import FOLDER, EventFiles


@contextlib.contextmanager
def board(folder: Path, log: Path) -> Iterator[str]:
    """Start TensorBoard with these event files, and yield its address."""
    port = free_port()
    options = ["--logdir", str(folder), "--host", "127.0.0.1", "--port", str(port), "--load_fast", "false"]
    with log.open("wb") as out:
        command = [sys.executable, "-m", "tensorboard.main", *options]
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        address = f"http://127.0.0.1:{port}/"
        wait_until_served(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def test_tensorboard_compares_trials(window: Browser, tmp_path: Path) -> None:
    with recorded(tmp_path) as sweep:
        sweep.attempt([1, 2, 3], "complete")
        sweep.attempt([1, 2], "stopped", trial="b")
        files = EventFiles(sweep.ledger, sweep.folder.path / FOLDER, [Column("lambda", "lambda"), Column("lr", "lr")])
        for changed in files.changed() or ():
            files.write(*changed)
        with board(sweep.folder.path / FOLDER, tmp_path / "log") as address:
            window.open(f"{address}#scalars")
            window.sees("001 λ0.25 lr1e-4", "002 λ0.25 lr1e-4", "val")
            window.picture("tensorboard-scalars")
            window.open(f"{address}#hparams")
            window.sees("matching session groups: 2", "002 λ0.25 lr1e-4", "0.25000", "0.12000")
            window.picture("tensorboard-hparams")
