"""Each fault of a data set is reported in one clear line for the right property."""

from dataclasses import dataclass

import numpy as np
import pytest

from convnn.data.facts import DatasetFacts, Split, registered_dataset
from convnn.data.parquet import Arrays
from convnn.plugins import DATASETS
from tests.tune_jobs.conformance.faults import faults
from tune_jobs.conformance.kinds import Subject


@dataclass(frozen=True)
class Images:
    """A source of 16 images per split, with one fault."""

    fault: str

    def fingerprint(self, split: Split) -> str:
        return f"{self.fault} {split}"

    def read(self, split: Split) -> Arrays:
        if self.fault == "missing":
            raise FileNotFoundError(2, "No such file or directory", "images.bin")
        rng = np.random.default_rng(None if self.fault == "seedless" else 0 if self.fault == "twice" else len(split))
        count = 15 if self.fault == "fewer" else 16
        labels = np.arange(count, dtype=np.int64) % (3 if self.fault == "beyond" else 2)
        return rng.integers(0, 128 if self.fault == "dark" else 256, (count, 32, 32, 3), dtype=np.uint8), labels * (
            self.fault != "one class"
        )


DATA_FAULTS = {
    "fewer": (
        "its splits have the declared number of images",
        "the shape (15, 32, 32, 3), not (16, 32, 32, 3)",
    ),
    "beyond": ("its labels are valid classes", "the train split has labels [2]; they must be 0 to 1"),
    "one class": ("its labels are valid classes", "the train split has no image of the classes [1]"),
    "seedless": ("its digests are the same at each read", "the train split differs at each read"),
    "dark": ("its mean and std are those of the training images", " in the train split, but the facts declare (0.5"),
    "twice": ("its digests are the same at each read", "the train and test splits have the same images"),
    "missing": ("its splits have the declared number of images", "No such file or directory"),
}


@pytest.mark.parametrize("fault", DATA_FAULTS)
def test_a_fault_of_a_data_set_is_reported_in_one_line(fault: str) -> None:
    facts = DatasetFacts(2, 16, 16, (0.5, 0.5, 0.5), (0.29, 0.29, 0.29), config_version=1)
    name = f"faulty-{fault.replace(' ', '-')}"
    found = faults(
        Subject(DATASETS, name, None, facts, "convnn.data.facts"),
        registered_dataset(name, facts, lambda _: Images(fault)),
    )
    broken, said = DATA_FAULTS[fault]
    assert said in found[broken]
    assert fault == "missing" or len(found) == 1
