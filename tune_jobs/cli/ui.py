"""`convnn ui`."""

import contextlib
import os
import sys
import webbrowser
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from search_spaces.plurals import plural
from tune_jobs.cli.shared.options import AsJson, Storage, print_json, storage_of
from tune_jobs.errors import UsageError
from tune_jobs.record.folder import SweepFolder, find_sweep, sweep_folders

if TYPE_CHECKING:
    from tune_jobs.tracking.base import Tracked

SSH_CONNECTION = 4
"""Number of words in that variable: the client's address and port, the server's address and port."""


def ui(
    sweeps: Annotated[
        list[str] | None, typer.Argument(metavar="[SWEEP...]", help="The sweeps to open. Default: all.")
    ] = None,
    storage: Storage = None,
    *,
    address: Annotated[
        str | None,
        typer.Option("--address", metavar="URL", help="Not supported: fetch a cluster's sweep first (convnn fetch)."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, show_default="5000, or another free port", help="The port to serve on."),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address; do not open a browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare sweeps in MLflow's web pages, on this machine only, until Ctrl-C. Example: convnn ui quickstart.

    Results that MLflow is missing are first imported from the sweep's folder; nothing is deleted. Several sweeps are
    shown in one table.
    """
    if address:
        names = " ".join(sweeps or ["SWEEP"])
        raise UsageError(
            f"ui shows this machine's sweeps only; fetch the sweep first: convnn fetch {names} --address {address}, "
            f"then: convnn ui {names}"
        )
    place = storage_of(storage)
    folders = [find_sweep(name, place) for name in dict.fromkeys(sweeps or [])] or sweep_folders(place)
    if not folders:
        raise UsageError(f"there is no sweep in {place} yet. To create one: convnn run quickstart")
    from tune_jobs.driver.sync import bring_in
    from tune_jobs.tracking.mlflow.store import use_store

    _say(f"importing missing results of {plural(len(folders), 'sweep')} into MLflow ...")
    places = bring_in(folders, _say)
    uri = _one_of(places, folders, named=bool(sweeps))
    shown = [folder for folder in folders if folder.name in places and places[folder.name].uri == uri]
    overview, opens = not sweeps and len(shown) > 1, not (no_browser or as_json)
    if not uri.startswith("sqlite:"):
        _open(_page(uri, shown, overview=overview), shown, opens=opens, as_json=as_json)
        return
    from tune_jobs.system.signals import handled_signals
    from tune_jobs.tracking.mlflow.server import serving

    with contextlib.suppress(KeyboardInterrupt), handled_signals(), contextlib.closing(use_store(uri, shown[0])):
        _say(f"starting MLflow on {uri} ...")
        with serving(uri, port) as server:
            server.wait_until_it_answers(lambda seconds: _say(f"starting MLflow ... {seconds:.0f} s"))
            _open(_page(server.url, shown, overview=overview), shown, opens=opens, as_json=as_json)
            if (tunnel := _tunnel(server.url, os.environ)) is not None:
                _say(tunnel)
            _say("Press Ctrl-C to stop.")
            server.wait()


def _one_of(places: "Mapping[str, Tracked]", folders: Sequence[SweepFolder], *, named: bool) -> str:
    """Return the tracker to open, out of those that the sweeps use.

    Raises:
        UsageError: If the choice is not clear.
    """
    from tune_jobs.tracking.address import default_store, sqlite_file

    uris = sorted({place.uri for place in places.values()})
    if len(uris) == 1:
        return uris[0]
    there = "".join(f"\n  {name}: {place.uri}" for name, place in places.items())
    if not uris:
        raise UsageError("MLflow has no results of these sweeps yet; run one of them, or: convnn sync SWEEP")
    usual = [uri for uri in uris if sqlite_file(uri) == default_store(folders[0])]
    if named or not usual:
        raise UsageError(f"MLflow shows one tracker at a time; name sweeps of one of them:{there}")
    _say(f"Sweeps of other trackers are not shown here; name one to open it:{there}")
    return usual[0]


def _page(server: str, shown: Sequence[SweepFolder], *, overview: bool) -> str:
    """Return the address of the page with the trials of one or more sweeps, or with the list of all experiments."""
    from tune_jobs.driver.sync import experiment_of, recorded_place
    from tune_jobs.tracking.mlflow.views import LOCAL_SERVER, comparison_page, overview_page

    if overview:
        return overview_page(server)
    if len(shown) == 1:
        place = recorded_place(shown[0])
        return ((place.page if place else None) or overview_page(server)).replace(LOCAL_SERVER, server, 1)
    found = [experiment for folder in shown if (experiment := experiment_of(folder)) is not None]
    return comparison_page(server, [number for number, _, _ in found], *found[0][1:])


def _open(page: str, shown: Sequence[SweepFolder], *, opens: bool, as_json: bool) -> None:
    if as_json:
        print_json({"page": page, "sweeps": [folder.name for folder in shown]})
        sys.stdout.flush()
    else:
        print(page, flush=True)
    if opens and not (_has_screen() and webbrowser.open(page)):
        _say("No browser was found; open this address in one.")


def _has_screen() -> bool:
    """Whether a browser can open a window; a browser inside the terminal is not wanted."""
    return sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))


def _tunnel(url: str, environment: Mapping[str, str]) -> str | None:
    """Return the SSH command that forwards the pages to the user's own machine; `None` without an SSH connection."""
    port, come = url.rpartition(":")[2], environment.get("SSH_CONNECTION", "").split()
    if len(come) != SSH_CONNECTION:
        return None
    return f"On your own machine, first run: ssh -L {port}:127.0.0.1:{port} {come[2]}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
