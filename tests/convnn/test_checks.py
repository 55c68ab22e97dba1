from collections.abc import Callable

import pytest
import torch

from convnn.checks import require_count, require_input, require_one_of, require_rate, require_share


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (
            lambda: require_one_of("rho", "sum", ("constant", "softmax")),
            "rho must be one of constant, softmax, got",
        ),
        (lambda: require_count("k", 0), "k must be an integer, at least 1, got k=0"),
        (lambda: require_count("k", True), "k must be an integer, at least 1, got k=True"),
        (
            lambda: require_count("padding", 1.5, least=0),
            "padding must be an integer, at least 0, got padding=1.5",
        ),
        (lambda: require_share("lam", 1.01), "lam must be 0 to 1, got lam=1.01"),
        (lambda: require_rate("dropout", 1.0), "dropout must be at least 0 and less than 1, got dropout=1.0"),
    ],
)
def test_an_invalid_option_is_rejected_with_its_name_and_value(check: Callable[[], None], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check()


def test_the_ends_of_a_range_are_accepted() -> None:
    require_one_of("rho", "softmax", ("constant", "softmax"))
    require_count("k", 1)
    require_count("padding", 0, least=0)
    require_share("lam", 1.0)
    require_rate("dropout", 0.0)


def test_an_input_must_have_the_axes_channels_and_dtype_of_the_layer() -> None:
    like = torch.zeros(1)
    require_input(torch.zeros(2, 3, 5, 7), "(B, C, H, W)", 3, 1, like)
    with pytest.raises(ValueError, match=r"the input must be \(B, C, H, W\) with C = 3, got shape \(2, 4, 5, 7\)"):
        require_input(torch.zeros(2, 4, 5, 7), "(B, C, H, W)", 3, 1, like)
    with pytest.raises(ValueError, match="at least one token"):
        require_input(torch.zeros(2, 3, 0), "(B, C, L)", 3, 1, like)
    half = torch.zeros(2, 3, 5, dtype=torch.float16)
    with pytest.raises(TypeError, match=r"dtype torch\.float32, got torch\.float16"):
        require_input(half, "(B, C, L)", 3, 1, like)
    with torch.autocast("cpu"):
        require_input(half, "(B, C, L)", 3, 1, like)
