"""The command line `convnn`: one file per command, which parses, calls one function and prints.

Heavy packages are imported inside the commands that need them, so that the other commands start fast.
"""

from tune_jobs.cli.program import main

__all__ = ["main"]
