"""Time and memory of `validate` and `plan` on sweep files of the largest allowed size.

Run: `python -m benchmarks.sizes`; a few minutes on two cores. Each command runs as a user runs it, including Python's
start. The benchmark ends if a command prints a traceback or is ended by a signal.
"""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from search_spaces.reading.document import LARGEST_FILE

HEAD = "name: large\nsearch: {sampler: random, trials: 9}\n"
CONV = "model: {layer: {kind: conv2d}}"
KNN = "space: {model: {layer: {kind: convnn, k: {int: [1, 9]}}}, training: {lr: {uniform: [0.1, 1]}}}\n"
ANSWERED = (0, 2)


def _filled(before: str, items: Iterator[str], after: str, separator: str = ",") -> str:
    """Return a file of the largest allowed size."""
    left, found = LARGEST_FILE - len(HEAD) - len(before) - len(after), []
    for item in items:
        left -= len(item.encode()) + len(separator)
        if left < 0:
            break
        found.append(item)
    return HEAD + before + separator.join(found) + after


def _numbers(text: str) -> Iterator[str]:
    return (text.format(n) for n in itertools.count(1))


def _choice(field: str, items: Iterator[str]) -> str:
    return _filled(f"space: {{{CONV}, {field}: {{choice: [", items, "]}}}")


def _rules(rules: list[str], space: str = KNN) -> str:
    return HEAD + space + "constraints:\n" + "".join(f"  - {rule}\n" for rule in rules)


FILES: dict[str, Callable[[], str]] = {
    "typical": lambda: HEAD + KNN,
    "choice of seeds": lambda: _filled(f"space: {{{CONV}, training: {{seed: {{choice: [", _numbers("{}"), "]}}}"),
    "choice of seeds, one per line": lambda: _filled(
        f"space:\n  {CONV}\n  training:\n    seed:\n      choice:\n      - ", _numbers("{}"), "\n", "\n      - "
    ),
    "choice of learning rates": lambda: _filled(
        f"space: {{{CONV}, training: {{lr: {{choice: [", _numbers("1.{}e-7"), "]}}}"
    ),
    "choice of k": lambda: _filled("space: {model: {layer: {kind: convnn, k: {choice: [", _numbers("{}"), "]}}}}"),
    "choice of folders": lambda: _filled(f"space: {{{CONV}, data: {{root: {{choice: [", _numbers("/a{}"), "]}}}"),
    "choice of one folder": lambda: HEAD + f"space: {{{CONV}, data: {{root: {{choice: [/{'a' * 10**6}]}}}}}}",
    "choice of equal values": lambda: _filled(f"space: {{{CONV}, training: {{seed: {{choice: [", _numbers("1"), "]}}}"),
    "choice of wrong values": lambda: _filled(
        f"space: {{{CONV}, training: {{lr: {{choice: [", _numbers("fast"), "]}}}"
    ),
    "a list for a field": lambda: _filled(f"space: {{{CONV}, training: {{seed: [", _numbers("{}"), "]}}"),
    "a list for a range": lambda: _filled(f"space: {{{CONV}, training: {{lr: {{uniform: [", _numbers("{}"), "]}}}"),
    "another tool's list": lambda: _filled(f"space: {{{CONV}, training: {{seed: {{values: [", _numbers("{}"), "]}}}"),
    "any_of of equal options": lambda: _filled(
        "space: {model: {layer: {any_of: [", _numbers("{{kind: conv2d}}"), "]}}}"
    ),
    "any_of of options": lambda: _filled(
        "space: {model: {layer: {any_of: [", _numbers("{{kind: convnn, k: {{choice: [1, 2, 3]}}}}"), "]}}}"
    ),
    "any_of of empty options": lambda: _filled("space: {model: {layer: {any_of: [", _numbers("{{}}"), "]}}}"),
    "unknown keys": lambda: _filled("", _numbers("sapce{}: 1"), "\n", "\n"),
    "unknown fields": lambda: _filled("space: {model: {layer: {kind: convnn, ", _numbers("kk{}: 1"), "}}}"),
    "unknown fields without a kind": lambda: _filled("space: {model: {layer: {", _numbers("kk{}: 1"), "}}}"),
    "a key of a million letters": lambda: HEAD + "a" * 10**6 + ": 1\n",
    "a name of a million letters": lambda: f"name: {'a b ' * 250_000}\n",
    "a million digits and a letter": lambda: HEAD + f"space: {{{CONV}, training: {{seed: {'1' * 10**6}x}}}}",
    "lists in lists": lambda: HEAD + "space: " + "[" * 10**6,
    "mappings in mappings": lambda: HEAD + "space: " + "{a: " * 250_000,
    "lists in lists, on one line": lambda: HEAD + "space:\n  " + "- " * 500_000,
    "unclosed list at the end": lambda: _filled(
        f"space: {{{CONV}, training: {{seed: {{choice: [", _numbers("{}"), "\n"
    ),
    "aliases that expand to billions": lambda: "\n".join(
        ["a: &a [1]", *(f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in itertools.pairwise("abcdefghijklm"))]
    ),
    "aliases to a long text": lambda: _filled(
        f"x: &x {'a' * 500_000}\nspace: {{{CONV}, data: {{root: {{choice: [", _numbers("*x"), "]}}}"
    ),
    "anchors": lambda: _filled(f"space: {{{CONV}, training: {{seed: {{choice: [", _numbers("&a{0} {0}"), "]}}}"),
    "merges": lambda: _filled("a: &a {b: 1}\nspace: {<<: [", _numbers("*a"), "]}"),
    "comments": lambda: _filled(KNN, _numbers("# {}"), "\n", "\n"),
    "1,000 rules that hold": lambda: _rules([f"k + {n} > {n}" for n in range(1000)]),
    "1,000 rules, the last never": lambda: _rules([*(f"k + {n} > {n}" for n in range(999)), "k > 9"]),
    "1,000 rules that rarely hold": lambda: _rules([*(f"k + {n} > {n}" for n in range(999)), "lr * 1000 > 999"]),
    "1,000 long rules": lambda: _rules([f"{'k + ' * 100}{n} > {n}" for n in range(1000)]),
    "1,000 long rules that never hold": lambda: _rules([f"{'k + ' * 100}{n} < {n}" for n in range(1000)]),
    "1,000 rules over a small space": lambda: _rules(
        [f"k + {n} > {n}" for n in range(1000)],
        "space: {model: {layer: {kind: convnn, k: {int: [1, 9]}}}, training: {seed: {int: [0, 1999]}}}\n",
    ),
    "1,000 rules over an any_of": lambda: _rules(
        [*(f"k + {n} > {n}" for n in range(999)), "k > 3"],
        "space: {model: {layer: {any_of: [" + ", ".join(["{kind: convnn, k: {choice: [1, 2, 3]}}"] * 200) + "]}}}\n",
    ),
    "20,000 points": lambda: (
        HEAD + "space: {model: {layer: {kind: convnn, k: {int: [1, 10]}}}, training: {seed: {int: [0, 1999]}}}\n"
    ),
    "a million rules": lambda: _filled(KNN + "constraints: [", _numbers("k<{}"), "]"),
    "misspelt rules": lambda: _filled(KNN + "constraints: [", _numbers("kk{}<1"), "]"),
    "6 MB": lambda: HEAD + f"space: {{{CONV}, training: {{seed: {{choice: [{','.join(map(str, range(900_000)))}]}}}}}}",
    "100 MB": lambda: HEAD + "#" * 10**8,
}


def measured(command: str, file: Path) -> tuple[int, float, float, float, str]:
    """Run a command; return its exit code, seconds, CPU seconds, megabytes and last line."""
    began = time.perf_counter()
    program = [sys.executable, "-c", "from tune_jobs.cli import main; main()", command, str(file)]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # noqa: S603 - this program
    assert process.stdout is not None
    said = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    last = (said.strip().splitlines() or [""])[-1]
    cpu_s = usage.ru_utime + usage.ru_stime
    return os.waitstatus_to_exitcode(status), seconds, cpu_s, usage.ru_maxrss / 1000, last


def main() -> None:
    """Print one line per file and command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="Files to test; default: all.")
    names = parser.parse_args().names or FILES
    with tempfile.TemporaryDirectory() as place:
        for name in names:
            file = Path(place) / "large.yaml"
            file.write_text(FILES[name](), encoding="utf-8")
            for command in ("validate", "plan"):
                code, seconds, cpu_s, megabytes, last = measured(command, file)
                if code not in ANSWERED or "Traceback" in last:
                    sys.exit(f"{name}: {command} ended with {code}: {last}")
                took = f"{seconds:6.2f} s, {cpu_s:6.2f} s CPU, {megabytes:6.0f} MB"
                print(f"{name:34} {command:8} {took}  {last[:60]}", flush=True)


if __name__ == "__main__":
    main()
