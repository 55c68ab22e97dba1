"""The precision of training, the dtype under autocast, and matrix products that neither autocast nor TF32 rounds.

The meta device has no autocast.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import Tensor, nn

Precision = Literal["fp32", "tf32", "bf16"]


def set_precision(precision: Precision, device: torch.device) -> None:
    """Set the precision of float32 products and convolutions in this process.

    Raises:
        ValueError: If the device does not support the precision.
    """
    if precision == "tf32" and device.type != "cuda":
        raise ValueError("training.precision tf32 needs an NVIDIA GPU, but this trial runs on the CPU; use fp32.")
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"


def to_device(model: nn.Module, precision: Precision, device: torch.device) -> nn.Module:
    """Move the model to the device. On GPUs, with less than fp32, it uses the channels-last memory format.

    cuDNN has fast bf16 kernels only for that format: VGG-11 trained 3 times as fast (benchmarks/results).
    """
    model = model.to(device)
    if device.type == "cuda" and precision != "fp32":
        model.to(memory_format=torch.channels_last)
    return model


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which products use bfloat16, if that is the precision."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """Return the dtype of products on `device` under the current autocast; `None` outside autocast."""
    if device.type == "meta" or not torch.is_autocast_enabled(device.type):
        return None
    return torch.get_autocast_dtype(device.type)


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which products have the dtype of their operands."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def full_products(left: Tensor, right: Tensor, out: Tensor | None = None) -> Tensor:
    """Compute `torch.bmm(left, right, out=out)` in the full precision of the operands' dtype, also in TF32 training.

    TF32 keeps 10 bits of a float32 mantissa: enough for training, but not to decide which of many similar tokens is
    nearest. Not differentiable. Call it outside autocast; see `without_autocast`.
    """
    if torch.compiler.is_compiling():  # a graph cannot change the precision around one product
        out = left.new_empty(*left.shape[:-1], right.shape[-1]) if out is None else out
        torch.ops.convnn.full_products(left, right, out)
        return out
    return _full_products(left, right, out)


def _full_products(left: Tensor, right: Tensor, out: Tensor | None) -> Tensor:
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
