"""`python -m tests.faults`: inject faults into real sweeps, each at least once, and print the result of each."""

import argparse
import os
import secrets
import signal
import sys
import time

from tests.faults.bench import Bench, Case, say
from tests.faults.catalog import FAULTS, chosen, do_all
from tests.faults.scratch import close_scratch, open_scratch
from tests.faults.table import as_json, lines, table


def main() -> int:
    """Return the exit code: 1 if anything was lost, duplicated or not survived."""
    options = _options()
    if options.list:
        print("\n".join(fault.name for fault in FAULTS))
        return 0
    # A background shell ignores SIGINT, `nohup` ignores SIGHUP, and child processes inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if os.geteuid():
        print("tests.faults mounts small disks, so it must run as root.", file=sys.stderr)
        return 1
    try:
        faults = chosen(options.only)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    scratch = open_scratch("faults")
    seed = options.seed if options.seed is not None else secrets.randbelow(10**6) if options.long else 0
    say(f"the seed of the random moments is {seed}")
    began = time.monotonic()
    cases: list[Case] = []
    whole = True
    for repeat in range(options.repeat):
        bench = Bench(scratch, seed=seed, long=options.long, repeat=repeat)
        done = do_all(faults, bench, options.jobs)
        cases += done.values()
        whole = len(done) == len(faults)
        if not whole:
            break
    found = lines(cases)
    print(as_json(found) if options.json else table(found))
    for line in found:
        for failure in [*line.lost, *line.duplicated, *line.failures]:
            say(f"{line.name}: {failure}")
    return close_scratch(scratch, passed=whole and all(line.passed for line in found), began=began)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "--seed", type=int, help="seed of the random moments; with --long, the default is a new one, which is printed"
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="run only faults whose name contains NAME"
    )
    parser.add_argument("--long", action="store_true", help="inject each fault often, in separate sweeps")
    parser.add_argument(
        "--repeat", type=int, default=1, help="repeat everything this many times, each time at other moments"
    )
    parser.add_argument("--jobs", type=int, default=4, help="number of sweeps at a time")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--list", action="store_true", help="print the names of the faults")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
