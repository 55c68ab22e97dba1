"""What autocast asks for on a device, for code that runs outside it; the meta device has no autocast."""

from contextlib import AbstractContextManager, nullcontext

import torch


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """The dtype of products on `device` under the current autocast; `None` outside autocast."""
    if device.type == "meta" or not torch.is_autocast_enabled(device.type):
        return None
    return torch.get_autocast_dtype(device.type)


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """A block in which products have their operands' dtype."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)
