"""`convnn replay`."""

import sys
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from search_spaces.plurals import plural
from tune_jobs.cli.shared.options import TRIAL_HELP, AsJson, Storage, Sweep, print_json, storage_of
from tune_jobs.errors import UsageError
from tune_jobs.evidence.compared import TOLERANCE, Compared, Pair, first

if TYPE_CHECKING:
    from tune_jobs.evidence.expected import Expectation
    from tune_jobs.evidence.replay import Recorded, Replay

_SAID = {"equal": "equal", "within_tolerance": "within tolerance", "different": "different"}


def replay(
    sweep: Sweep,
    trial: Annotated[str, typer.Argument(metavar="TRIAL", help=TRIAL_HELP)],
    storage: Storage = None,
    *,
    epochs: Annotated[
        int | None, typer.Option(min=1, show_default="all that are recorded", help="Replay only the first epochs.")
    ] = None,
    from_checkpoint: Annotated[
        bool, typer.Option("--from-checkpoint", help="Do not train; evaluate the newest kept checkpoint.")
    ] = False,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Allowed difference: relative for a loss, absolute for an accuracy.")
    ] = TOLERANCE,
    data_root: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Where the images are now. Default: where they were.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a recorded trial again, with the installed code, and compare it epoch by epoch.

    Example: convnn replay quickstart 3. Writes nothing. Exit code 0: the numbers are equal bit for bit, or within the
    tolerance if the setup differs (torch, CPU, threads, code) or uses a GPU. Exit code 6: they are different.
    """
    if from_checkpoint and epochs is not None:
        raise UsageError(
            "--epochs and --from-checkpoint cannot be combined: a checkpoint holds a single epoch; leave one out."
        )
    from tune_jobs.record.folder import find_sweep

    folder = find_sweep(sweep, storage_of(storage))
    from tune_jobs.evidence.replay import recorded_trial
    from tune_jobs.evidence.replay import replay as compare

    recorded = recorded_trial(folder, trial, epochs=epochs, from_checkpoint=from_checkpoint, data_root=data_root)
    lines = _Lines(recorded, sys.stderr if as_json else sys.stdout)
    lines.introduce()
    found = compare(recorded, lines, tolerance=tolerance)
    if as_json:
        print_json(found.as_dict())
    else:
        _conclude(found)
    raise typer.Exit(found.exit_code)


class _Lines:
    """Prints one line per epoch: the recorded objective, the replayed one, and the agreement of all metrics."""

    def __init__(self, recorded: "Recorded", out: TextIO) -> None:
        self._recorded = recorded
        self._metric = recorded.spec.metric
        self._out = out

    def introduce(self) -> None:
        """Print which trial is replayed, and how many of its epochs."""
        recorded, row = self._recorded, self._recorded.history.row
        what = f"trial {row.number} of {recorded.folder.name} ({row.state})"
        if recorded.checkpoint is not None:
            self._say(f"{what}: evaluating {recorded.checkpoint}")
            return
        whole, part = plural(row.epoch, "recorded epoch"), len(recorded.epochs)
        count = whole if part == len(recorded.history.epochs) else f"{part} of {whole}"
        self._say(f"{what}: {count}, {plural(recorded.threads, 'thread')}")

    def begin(self, expected: "Expectation") -> None:
        """Print the agreement to expect."""
        for difference in expected.differences:
            self._say(f"differs: {difference}")
        if expected.assumed:
            self._say(f"not recorded, assumed: {', '.join(expected.assumed)}")
        for note in expected.notes:
            self._say(note)
        if expected.bit_equal:
            self._say("The setup is the same as recorded: the numbers should be equal bit for bit.")

    def take(self, epoch: Compared) -> None:
        """Print one epoch."""
        shown = next((pair for pair in epoch.pairs if pair.metric == self._metric), None) or epoch.pairs[0]
        unlike = first([epoch], epoch.verdict) if epoch.verdict != "equal" else None
        why = "" if unlike is None or unlike is shown else f" ({unlike.metric}: {_values(unlike)})"
        last = self._recorded.epochs[-1].epoch
        self._say(f"epoch {epoch.epoch}/{last}  {shown.metric}: {_values(shown)}  {_SAID[epoch.verdict]}{why}")

    def _say(self, text: str) -> None:
        print(text, file=self._out, flush=True)


def _values(pair: Pair) -> str:
    """Return both values, with enough digits to tell them apart."""
    if pair.replayed is None:
        return f"recorded {_number(pair, pair.recorded)}, now none"
    texts = [_number(pair, value) for value in (pair.recorded, pair.replayed)]
    if texts[0] == texts[1] and pair.verdict != "equal":
        texts = [repr(value) for value in (pair.recorded, pair.replayed)]
    return f"recorded {texts[0]}, now {texts[1]}"


def _number(pair: Pair, value: float) -> str:
    from tune_jobs.results.words import shown

    return shown(value, pair.metric)


def _conclude(found: "Replay") -> None:
    """Print the verdict, the first difference, and possible causes."""
    print()
    if found.ended is not None:
        print(f"The replay ended: {found.ended}")
    epochs = plural(len(found.epochs), "epoch")
    if found.verdict == "equal":
        print(f"Equal bit for bit: {epochs}, every loss and accuracy.")
        return
    unequal, different = found.first_unequal, found.first_different
    assert unequal is not None
    if different is None:
        print(f"Within tolerance ({found.tolerance:g}): {epochs}.")
    else:
        print(f"Different: {_at(different)}.")
    if unequal != different:
        print(f"Not equal bit for bit from {_at(unequal)}.")
    if found.expected.bit_equal:
        print(f"The setup is the same as recorded, so the numbers should be equal: {_advice(found)}")
    elif found.expected.differences:
        print("Differences in the setup: " + "; ".join(map(str, found.expected.differences)))
    elif found.expected.assumed:
        print(f"Possible cause, because it was not recorded: {', '.join(found.expected.assumed)}")


def _advice(found: "Replay") -> str:
    if found.recorded.checkpoint is not None:
        return "the checkpoint or the record has changed since it was written."
    return (
        "replay it again. If the numbers change between replays, suspect this machine. If they stay the same, suspect "
        "the record, or something that is not recorded (your own packages, environment variables)."
    )


def _at(pair: Pair) -> str:
    return f"epoch {pair.epoch}, {pair.metric}: {_values(pair)}"
