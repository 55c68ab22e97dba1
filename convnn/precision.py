"""What autocast asks for on a device, and products that neither it nor TF32 rounds; the meta device has no autocast."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """The dtype of products on `device` under the current autocast; `None` outside autocast."""
    if device.type == "meta" or not torch.is_autocast_enabled(device.type):
        return None
    return torch.get_autocast_dtype(device.type)


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """A block in which products have their operands' dtype."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def full_products(left: Tensor, right: Tensor, out: Tensor) -> Tensor:
    """`torch.bmm(left, right, out=out)` with all digits of the operands' dtype, also where training is in TF32.

    TF32 keeps 10 bits of a float32 number: enough to train, not enough to say which of many similar tokens is nearest.
    Not differentiable. Outside autocast alone; see `without_autocast`.
    """
    if torch.compiler.is_compiling():  # a graph has no place for what holds only around one product
        torch.ops.convnn.full_products(left, right, out)
        return out
    return _full_products(left, right, out)


def _full_products(left: Tensor, right: Tensor, out: Tensor) -> Tensor:
    before = torch.get_float32_matmul_precision()
    if before == "highest":
        return torch.bmm(left, right, out=out)
    torch.set_float32_matmul_precision("highest")
    try:
        return torch.bmm(left, right, out=out)
    finally:
        torch.set_float32_matmul_precision(before)


@torch.library.custom_op("convnn::full_products", mutates_args=("out",))
def _operator(left: Tensor, right: Tensor, out: Tensor) -> None:
    _full_products(left, right, out)
