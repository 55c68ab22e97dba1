"""The command line of the GPU benchmark."""

import argparse
import contextlib
import datetime as dt
import itertools
import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import torch

import benchmarks.gpu
from benchmarks.gpu.cases import FULL, ORDER, SMALL, Size
from benchmarks.gpu.layers import layers
from benchmarks.gpu.rows import LayerRow, Report, Row
from benchmarks.gpu.running import Deadline, run_all
from benchmarks.gpu.text import document, markdown
from benchmarks.layers import machine

if TYPE_CHECKING:
    from convnn.precision import Precision


def where(device: str) -> str:
    """Return hardware, versions and commit."""
    text = machine(device).replace(", float32", "")
    if device == "cuda":
        card = torch.cuda.get_device_properties(0)
        text += f", CUDA {torch.version.cuda}, {card.total_memory / 1e9:.0f} GB, {card.multi_processor_count} SMs"
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        asked = ["git", "describe", "--always", "--dirty"]
        done = subprocess.run(  # noqa: S603 - fixed arguments
            asked, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
        text += f", commit {done.stdout.strip()}"
    return text


class Parser(argparse.ArgumentParser):
    """A parser that reports a mistake on one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def _positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    def read(text: str) -> float:
        with contextlib.suppress(ValueError):
            if (value := kind(text)) > 0:
                return value
        raise argparse.ArgumentTypeError(f"must be {'a whole' if kind is int else 'a'} number above 0, got {text!r}")

    return read


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; exit with 2 if it is invalid."""
    parser = Parser(
        prog="benchmarks.gpu", description=benchmarks.gpu.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--steps", type=_positive(int), default=20, help="timed steps per case; fewer for slow cases")
    parser.add_argument("--only", default="", metavar="TEXT", help="run only cases and layers whose name contains this")
    parser.add_argument(
        "--minutes", type=_positive(float), default=8.0, help="time limit; cases not started by then are not run"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object to stdout, and the text to stderr")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the text to this new file")
    asked = parser.parse_args(arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch prints many warnings if a driver is missing
        if asked.device == "cuda" and not torch.cuda.is_available():
            parser.error("torch finds no NVIDIA GPU here; --device cpu tests the program on small models.")
    if asked.out is not None and asked.out.exists():
        parser.error(f"{asked.out} already exists and will not be overwritten; give another file.")
    if asked.out is not None and not asked.out.absolute().parent.is_dir():
        parser.error(f"{asked.out.absolute().parent} is not a folder; create it first.")
    return asked


def planned(device: str, only: str, size: Size, command: str) -> Report:
    """Return a report with all planned rows, without numbers."""
    precisions = ("fp32", "tf32", "bf16") if device == "cuda" else ("fp32", "bf16")
    cases = [Row(model.name, precision) for model, precision in ORDER if precision in precisions]
    of_layers: tuple[Precision, ...] = ("bf16", "fp32") if device == "cuda" else ("fp32",)
    kinds = itertools.product(layers(size), of_layers, size.layer_batches)
    single = [LayerRow(layer.name, batch, precision) for layer, precision, batch in kinds]
    return Report(
        date=dt.datetime.now().astimezone().date().isoformat(),
        machine=where(device),
        command=command,
        device=device,
        batch=size.batch,
        cases=[row for row in cases if only in str(row)],
        layers=[row for row in single if only in str(row)],
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; fail if a case failed."""
    asked = parse(arguments)
    size = FULL if asked.device == "cuda" else SMALL
    given = sys.argv[1:] if arguments is None else arguments
    report = planned(asked.device, asked.only, size, " ".join(["python -m benchmarks.gpu", *given]))
    code = 0
    try:
        run_all(report, size, asked.steps, Deadline(asked.minutes))
    except KeyboardInterrupt:
        code = 130
    text = markdown(report)
    print(text, file=sys.stderr if asked.json else sys.stdout, flush=True)
    if asked.json:
        print(json.dumps(document(report)))
    if asked.out is not None:
        with asked.out.open("x", encoding="utf-8") as file:
            file.write(text)
    failed = any(row.status.startswith("failed") for row in report.rows())
    return code or int(failed)


if __name__ == "__main__":
    sys.exit(main())
