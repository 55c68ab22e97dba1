"""Image data sets: found, decoded once per node, checked, split. Loading needs no torch; batches do.

Errors: everything a user can mend (a missing, truncated or corrupt file, a full disk, no network) is a `DataError`
that names the file and says what to do.
"""

from convnn.data.cache import Dataset, Images, load_dataset
from convnn.data.errors import DataError
from convnn.data.facts import DATASETS, DatasetFacts
from convnn.data.splits import limited, stratified_split

__all__ = [
    "DATASETS",
    "DataError",
    "Dataset",
    "DatasetFacts",
    "Images",
    "limited",
    "load_dataset",
    "stratified_split",
]
