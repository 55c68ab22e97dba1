"""The exit codes, from the table of the program."""

from generate.text import prose, table
from tune_jobs.errors import ExitCode


def exit_codes_page() -> str:
    """All of them in a table."""
    rows = [(f"`{code.value}`", prose(code.meaning), prose(code.detail)) for code in ExitCode]
    return "\n".join(
        [
            "# Exit codes\n",
            "Every command of `convnn` ends with one of these. Errors go to standard error.\n",
            table(("Code", "Meaning", "Detail"), rows),
        ]
    )
