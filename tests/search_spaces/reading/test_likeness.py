import pytest

from search_spaces.reading.likeness import nearest

PRESETS = ["quickstart", "table1-cifar10", "table1-cifar100", "table2-cifar10"]


def test_a_word_is_matched_by_similarity_case_and_initials() -> None:
    assert nearest("optimiser", ["optimizer", "lr"]) == "did you mean 'optimizer'?"
    assert nearest("SGD", ["adamw", "sgd"]) == "did you mean 'sgd'?"
    assert nearest("learning_rate", ["epochs", "lr"]) == "did you mean 'lr'?"
    assert nearest("wd", ["epochs", "weight_decay"]) == "did you mean 'weight_decay'?"
    assert nearest("zzz", ["epochs", "lr"]) == "valid names are epochs, lr."


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("table1", "did you mean 'table1-cifar10' or 'table1-cifar100'?"),
        ("tabel2", "did you mean 'table2-cifar10'?"),
        ("table", "did you mean 'table1-cifar10', 'table1-cifar100' or 'table2-cifar10'?"),
        ("quick", "did you mean 'quickstart'?"),
        ("t", "valid names are quickstart, table1-cifar10, table1-cifar100, table2-cifar10."),
    ],
)
def test_a_prefix_suggests_every_name_that_starts_with_it(word: str, message: str) -> None:
    assert nearest(word, PRESETS) == message
