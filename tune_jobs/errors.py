"""What a person can fix; each message gives the rule, the value received and the way out.

SweepError              exit code 1
    UsageError          2: the command line or the file is wrong
    LedgerError         1: the sweep's record cannot be used, or is in use
    ClusterError        4: Ray cannot be started, or the cluster cannot be reached
        RayError        4: Ray itself does not work
    TrackerError        4: MLflow cannot be reached, or refuses
"""


class SweepError(Exception):
    """Any of the errors below."""

    exit_code = 1


class UsageError(SweepError):
    """The command line or the file is wrong."""

    exit_code = 2


class LedgerError(SweepError):
    """A sweep folder that cannot be used."""


class ClusterError(SweepError):
    """Ray cannot be started, or the cluster cannot be reached."""

    exit_code = 4


class RayError(ClusterError):
    """Ray itself does not work; its logs may say why."""


class TrackerError(SweepError):
    """MLflow cannot be reached, or refuses."""

    exit_code = 4
