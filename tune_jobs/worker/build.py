"""Builds the parts of an attempt from its configuration: the model, the recipe, the images."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from convnn.data import Dataset, limited, stratified_split
from search_spaces.models import ModelConfig
from search_spaces.settings import Holdout, Paper
from search_spaces.trial import Training

if TYPE_CHECKING:
    from torch import nn

    from convnn.data.batches import Batches
    from convnn.training import Recipe


@dataclass(frozen=True)
class Parts:
    """The images of one attempt, by role; `None` where the protocol has no such role."""

    train: "Batches"
    val: "Batches | None"
    test: "Batches | None"


def build_model(model: ModelConfig, classes: int) -> "nn.Module":
    """Build the model that the configuration describes."""
    from convnn.saved import made

    module: nn.Module = made(model.factory(classes).as_plain())()
    return module


def build_recipe(training: Training) -> "Recipe":
    """Build the training recipe that the configuration describes."""
    from convnn.training import Recipe

    return Recipe(**training.model_dump())


def build_parts(data: Dataset, limit: int | None, evaluation: Holdout | Paper, device: str) -> Parts:
    """Choose the images: `holdout` opens no test split, `paper` trains on the whole training split."""
    from convnn.data.batches import Batches

    pool = limited(data.train.labels, limit)
    if isinstance(evaluation, Paper):
        test = limited(data.test.labels, limit)
        return Parts(Batches(data.train, pool, data.facts, device), None, Batches(data.test, test, data.facts, device))
    train, val = stratified_split(data.train.labels[pool], evaluation.fraction, evaluation.seed)
    return Parts(
        Batches(data.train, pool[train], data.facts, device), Batches(data.train, pool[val], data.facts, device), None
    )
