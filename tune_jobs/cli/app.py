"""The `convnn` program: its commands, and how errors are shown."""

import contextlib
import os
import signal
import sys
import traceback
from importlib.metadata import version
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from convnn.data.errors import DataError
from search_spaces import SpecError
from tune_jobs.cli import (
    best,
    compare,
    confirm,
    doctor,
    exclude,
    export,
    extend,
    fetch,
    init,
    logs,
    plan,
    presets,
    replay,
    report,
    resume,
    retry,
    rm,
    run,
    schema,
    show,
    simulate,
    status,
    stop,
    submit,
    sync,
    train,
    ui,
    validate,
)
from tune_jobs.cli.list import list_sweeps
from tune_jobs.errors import ExitCode, SweepError, exit_codes
from tune_jobs.system.files import is_full
from tune_jobs.system.garbage import collect_rarely
from tune_jobs.system.visible import visible_streams


class _Commands(TyperGroup):
    """Turns mistakes that users can fix into a message and an exit code, without a traceback.

    Control characters are made visible in all output.
    """

    def main(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - typer's own signature
        with visible_streams():
            return super().main(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - click's own signature
        try:
            return super().invoke(ctx)
        except SpecError as error:
            _fail(str(error), ExitCode.USAGE)
        except SweepError as error:
            _fail(f"convnn: {error}", error.exit_code)
        except FileNotFoundError as error:
            _fail(f"convnn: {_plainly(error)}", ExitCode.USAGE)
        except BrokenPipeError:  # the reader is gone, as in `convnn show SWEEP | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(128 + signal.SIGPIPE) from None
        except DataError as error:
            _fail(f"convnn: {error}", ExitCode.FAILED)
        except OSError as error:
            _fail(f"convnn: {_plainly(error)}", ExitCode.FAILED)
        except typer.BadParameter as error:
            error.message = _with_value(error)
            raise
        except KeyboardInterrupt:
            _fail("convnn: interrupted", ExitCode.INTERRUPT)


def _plainly(error: OSError) -> str:
    """Return the system's message about a file, without its error number, and the way out; our own as it is."""
    if error.filename is None or error.strerror is None:
        return str(error)
    way_out = "free space there" if is_full(error) else "check the path and the folder's permissions"
    return f"{error.filename} cannot be used: {error.strerror}; {way_out}."


def _with_value(error: typer.BadParameter) -> str:
    """Return typer's message about an option's value, with the value, which typer leaves out."""
    cause = error.__cause__
    if not isinstance(cause, ValidationError):
        return error.message
    first = cause.errors()[0]
    rule = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return rule if repr(first["input"]) in rule else f"{rule}, got {first['input']}"


def _fail(message: str, code: int) -> None:
    print(message, file=sys.stderr)
    raise typer.Exit(code)


app = typer.Typer(
    cls=_Commands,
    name="convnn",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for function in (
    init.init,
    validate.validate,
    plan.plan,
    simulate.simulate,
    run.run,
    submit.submit,
    status.status,
    logs.logs,
    stop.stop,
    resume.resume,
    retry.retry,
    extend.extend,
    exclude.exclude,
    sync.sync,
    train.train,
    replay.replay,
):
    app.command()(function)
app.command("list")(list_sweeps)
app.command()(best.best)
app.command()(confirm.confirm)
app.command()(show.show)
app.command()(ui.ui)
app.command()(report.report)
app.command()(compare.compare)
app.command()(export.export)
app.command()(fetch.fetch)
app.command()(rm.rm)
app.command()(doctor.doctor)
app.add_typer(presets.app, name="presets")
app.command()(schema.schema)


def _version(asked: bool) -> None:
    if asked:
        print(f"convnn {version('convnn-sweeps')}")
        raise typer.Exit


@app.callback(
    help="Hyperparameter sweeps over convolutional nearest neighbors (ConvNN).\n\nStart with: convnn run quickstart\n\n"
    f"Exit codes: {exit_codes()}"
)
def _root(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Options of the program itself."""


def main() -> None:
    """Run the program.

    The process exits without Python's cleanup: unloading Ray, MLflow and torch takes more than a second, and Ray waits
    a minute for processes that have died.
    """
    collect_rarely()
    code = 1
    with visible_streams():
        try:
            app()
        except SystemExit as end:
            if end.code is None or isinstance(end.code, int):
                code = end.code or 0
            else:
                print(end.code, file=sys.stderr)
        except BaseException:  # noqa: BLE001 - as Python itself would
            traceback.print_exc()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)  # Python reports the failed write
