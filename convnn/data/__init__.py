"""Image data sets: found, decoded once per node, checked and split. Loading needs no torch; batches do.

Errors: everything that a user can fix (a missing, truncated or corrupt file, a full disk, no network) is a `DataError`
that names the file and says what to do.
Names are loaded on first use, so the facts about a data set need not even numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convnn.data.cache import Dataset, Images, load_dataset
    from convnn.data.errors import DataError
    from convnn.data.facts import DATASETS, DatasetFacts, Split, register_dataset
    from convnn.data.splits import limited, stratified_split

__all__ = [
    "DATASETS",
    "DataError",
    "Dataset",
    "DatasetFacts",
    "Images",
    "Split",
    "limited",
    "load_dataset",
    "register_dataset",
    "stratified_split",
]

_HOMES = {
    "DATASETS": "facts",
    "DataError": "errors",
    "Dataset": "cache",
    "DatasetFacts": "facts",
    "Images": "cache",
    "Split": "facts",
    "limited": "splits",
    "load_dataset": "cache",
    "register_dataset": "facts",
    "stratified_split": "splits",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'convnn.data' has no attribute {name!r}; it has {', '.join(__all__)}.")
    return getattr(import_module(f"convnn.data.{_HOMES[name]}"), name)
