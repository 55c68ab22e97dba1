"""Properties of data sets."""

import tempfile
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from convnn.data import Dataset, load_dataset
from convnn.data.colors import mean_and_std
from convnn.data.errors import DataError
from convnn.data.facts import SPLITS, DatasetFacts, Split
from search_spaces import parse_sweep
from search_spaces.schema import json_schema
from tune_jobs.conformance.kinds import Subject, loads_light, loads_light_maker
from tune_jobs.conformance.outcome import Broken, Property, require

SIDE = 32
NEAR = 0.01
"""Maximum difference of a declared mean or standard deviation from that of the training images."""


@dataclass(frozen=True)
class Opened:
    """A data set that is read once."""

    subject: Subject
    root: str | None

    @property
    def facts(self) -> DatasetFacts:
        """The declared facts."""
        facts: DatasetFacts = self.subject.found
        return facts

    @cached_property
    def data(self) -> Dataset:
        """The images."""
        return self.again()

    def again(self) -> Dataset:
        """Read the images again, without a cache."""
        with tempfile.TemporaryDirectory(prefix="convnn-check-") as cache:
            try:
                return load_dataset(self.subject.name, self.root, Path(cache))
            except DataError as error:
                raise Broken(str(error)) from error


def properties(subject: Subject, root: str | None = None) -> list[Property]:
    """Return the properties of a data set.

    Args:
        subject: The data set.
        root: The folder of its files, such as `data.root`.
    """
    opened = Opened(subject, root)
    source = opened.facts.source
    return [
        loads_light(subject.module),
        *([] if source is None else [loads_light_maker(source)]),
        ("a sweep file can use it", partial(_named, subject)),
        ("its splits have the declared number of images", partial(_splits, opened)),
        ("its labels are valid classes", partial(_labels, opened)),
        ("its mean and std are those of the training images", partial(_colors, opened)),
        ("its digests are the same at each read", partial(_digests, opened)),
    ]


def _named(subject: Subject) -> str:
    names = json_schema()["$defs"]["Data"]["properties"]["name"]["anyOf"][0]["enum"]
    require(subject.name in names, f"the schema lists {', '.join(names)}")
    parse_sweep(f"name: x\nspace: {{data: {{name: {subject.name}}}, model: {{layer: {{kind: conv2d}}}}}}")
    return ""


def _splits(opened: Opened) -> str:
    for split in SPLITS:
        images = opened.data.splits[split]
        wanted = (opened.facts.images(split), SIDE, SIDE, 3)
        require(images.pixels.shape == wanted, f"the {split} split has the shape {images.pixels.shape}, not {wanted}")
        require(
            len(images.labels) == wanted[0], f"the {split} split has {len(images.labels)} labels for {wanted[0]} images"
        )
    return ", ".join(f"{opened.facts.images(split):,} {split}" for split in SPLITS)


def _labels(opened: Opened) -> str:
    classes = set(range(opened.facts.classes))
    for split in SPLITS:
        found = {int(label) for label in opened.data.splits[split].labels}
        beyond = sorted(found - classes)
        require(not beyond, f"the {split} split has labels {beyond[:5]}; they must be 0 to {opened.facts.classes - 1}")
        missing = sorted(classes - found)
        require(not missing, f"the {split} split has no image of the classes {missing[:5]}")
    return f"{opened.facts.classes} classes"


def _colors(opened: Opened) -> str:
    facts, found = opened.facts, mean_and_std(opened.data.train.pixels)
    for name, declared, measured in zip(("mean", "std"), (facts.mean, facts.std), found, strict=True):
        said = ", ".join(f"{each:.3f}" for each in measured)
        near = all(abs(one - other) <= NEAR for one, other in zip(declared, measured, strict=True))
        require(near, f"{name} is ({said}) in the train split, but the facts declare {declared}; correct the facts")
    return ""


def _digests(opened: Opened) -> str:
    again = opened.again()
    for split in SPLITS:
        first, other = (data.splits[split].digest for data in (opened.data, again))
        require(first == other, f"the {split} split differs at each read; use a fixed seed")
    apart: tuple[Split, Split] = ("train", "test")
    require(again.digests[apart[0]] != again.digests[apart[1]], "the train and test splits have the same images")
    return ", ".join(f"{split} {again.digests[split][:12]}" for split in SPLITS)
