"""Processes of this machine."""

import os


def lives(pid: int) -> bool:
    """Whether there is a process of this number; it may be another one than it was."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
