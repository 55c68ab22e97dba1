"""Opens the images of a sweep, and checks that they are the ones that the sweep started with."""

from collections.abc import Callable, Iterator

from convnn.data import DataError, Dataset, load_dataset
from search_spaces import SweepSpec
from search_spaces.trial import Data
from tune_jobs.errors import UsageError
from tune_jobs.record.ledger import Ledger


def open_images(spec: SweepSpec, ledger: Ledger, say: Callable[[str], None]) -> dict[str, str]:
    """Open every data set that trials will open, so that missing images are found before the first trial.

    Returns:
        The digest of each split: `cifar10.train` and so on.

    Raises:
        DataError: If the images cannot be read.
        UsageError: If the images differ from those that the sweep started with.
    """
    found: dict[str, str] = {}
    begun = bool(ledger.trials())
    for data in spec.space.data_sets():
        opened = load_dataset(data.name, data.root, splits=spec.evaluation.opens)
        if begun:
            _require_same(spec.name, data, opened, ledger, say)
        for split, digest in opened.digests.items():
            name = f"{data.name}.{split}"
            ledger.meta.set_digest(name, digest)
            found[name] = digest
    return found


def _require_same(sweep: str, data: Data, opened: Dataset, ledger: Ledger, say: Callable[[str], None]) -> None:
    for name, now, before in compared_images(data, opened, ledger, say):
        if now != before:
            raise UsageError(
                f"the images of {name} in {data.root or 'the default folder'} differ from those that the sweep {sweep} "
                f"started with (digest {now[:12]}, was {before[:12]}); results would mix. Use the original images "
                f"with --set space.data.root=..., or run its file under another name: convnn run FILE --set name=..."
            )


def compared_images(
    data: Data, opened: Dataset, ledger: Ledger, say: Callable[[str], None]
) -> Iterator[tuple[str, str, str]]:
    """Yield for each split its name, its digest now, and the digest that the sweep started with."""
    recorded = {split: ledger.meta.digest(f"{data.name}.{split}") for split in opened.splits}
    for split, digest in opened.digests.items():
        if before := recorded[split]:
            yield f"{data.name} ({split})", digest, before
    joint = ledger.meta.digest(data.name)
    if joint is None or all(recorded.values()):
        return
    try:  # version 0.1.0 recorded one digest for both splits together
        now = load_dataset(data.name, data.root).joint_digest()
    except DataError as error:
        say(
            f"the images of {data.name} cannot be compared with those that the sweep started with: its record has one "
            f"digest for both splits together, and not both can be read now ({error})"
        )
    else:
        yield data.name, now, joint
