"""The page of exit codes, from the program's own table."""

from generate.text import prose, table
from tune_jobs.errors import ExitCode


def exit_codes_page() -> str:
    """Return the page: one table of all exit codes."""
    rows = [(f"`{code.value}`", prose(code.meaning), prose(code.detail)) for code in ExitCode]
    return "\n".join(
        [
            "# Exit codes\n",
            "Use these codes to react to the result of a command in a script.",
            "Every `convnn` command ends with one of them. Errors go to standard error.\n",
            table(("Code", "Meaning", "Detail"), rows),
        ]
    )
