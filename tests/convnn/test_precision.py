import torch

from convnn.precision import autocast_dtype, full_products, without_autocast

CPU, META = torch.device("cpu"), torch.device("meta")


def test_the_dtype_of_products_is_that_of_autocast_and_none_without_it() -> None:
    assert autocast_dtype(CPU) is None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert autocast_dtype(CPU) == torch.bfloat16
        assert autocast_dtype(META) is None
        with without_autocast(CPU), without_autocast(META):
            assert autocast_dtype(CPU) is None


def test_full_products_are_those_of_bmm_and_leave_the_precision_as_it_was() -> None:
    left, right = torch.randn(2, 3, 5), torch.randn(2, 5, 7)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        found = full_products(left, right, torch.empty(2, 3, 7))
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
    assert torch.equal(found, left @ right)
