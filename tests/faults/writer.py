"""Writes epochs to a ledger as fast as possible, and acknowledges each on standard output."""

import os
import sys
from pathlib import Path

from search_spaces import TrialConfig
from tune_jobs.record.ledger import Ledger

METRICS = {"train/loss": 0.1, "val/accuracy": 0.2, "epoch_s": 0.3}


def main(path: str) -> None:
    """Write a new attempt's epochs until killed."""
    ledger = Ledger(Path(path), create=True)
    ledger.interrupt_running()
    if not ledger.trials():
        config = TrialConfig.model_validate({"model": {"name": "vgg11", "layer": {"kind": "conv2d"}}})
        ledger.add_trial({}, config, "key")
    attempt = ledger.start_attempt("key")
    epoch = 0
    while True:
        epoch += 1
        ledger.add_epoch("key", attempt, epoch, METRICS)
        os.write(1, f"{attempt} {epoch}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1])
