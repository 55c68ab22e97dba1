"""In every Python process of the test run, including Ray's workers, refuse and log connections beyond this machine.

It is on PYTHONPATH (see conftest.py), so Python imports it at start.
"""

import gc
import os
import socket
import sys
import traceback

LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0", "::ffff:127.")  # noqa: S104 - compared, never bound


def _guard(event: str, args: tuple[object, ...]) -> None:
    if event == "socket.connect":
        connection, address = args
        if not isinstance(address, tuple) or getattr(connection, "type", None) == socket.SOCK_DGRAM:
            return  # a Unix socket, or a datagram socket, whose connect() only queries the routing table
        host = str(address[0])
    elif event == "socket.getaddrinfo":
        host = "" if args[0] is None else str(args[0])
        if host in ("", socket.gethostname()):
            return
    else:
        return
    if not host.startswith(LOOPBACK):
        log = os.environ.get("CONVNN_TEST_CONNECTIONS")
        if log and not os.environ.get("CONVNN_TEST_EXPECTS_OFFLINE"):
            with open(log, "a") as file:  # noqa: PTH123 - as few imports as possible at start
                file.write(f"{sys.argv} {event} {host}\n{''.join(traceback.format_stack(limit=8))}\n")
        raise ConnectionRefusedError(f"tests may only connect to loopback, this was to {host}")


sys.addaudithook(_guard)
gc.set_threshold(
    50_000, 20, 20
)  # garbage collection takes a fifth of the import time, and these processes mostly import
