"""DataError: data that cannot be used as it is."""


class DataError(Exception):
    """The message names the file or folder, the problem, and what to do."""
