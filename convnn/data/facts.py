"""What is known of every data set before a file is opened."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DatasetFacts:
    """Classes, images in each split, and the per-channel mean and deviation that normalise pixels in [0, 1]."""

    classes: int
    train_images: int
    test_images: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


DATASETS = {
    # scikit-learn's digits are grey: one mean and one deviation, measured over its training images.
    "digits": DatasetFacts(10, 1442, 355, (0.3052, 0.3052, 0.3052), (0.3760, 0.3760, 0.3760)),
    # The constants of the published runs.
    "cifar10": DatasetFacts(10, 50_000, 10_000, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": DatasetFacts(100, 50_000, 10_000, (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
}
