"""DataError: data that cannot be used as it is."""


class DataError(Exception):
    """The message names the file or folder, what is wrong with it, and what to do."""
