"""torch's optimizers without its compiler, which they would load: seconds in every process that trains.

torch wraps these methods to keep `torch.compile` out of them. Only models are compiled here, so what is wrapped does.
"""

import inspect
from typing import Any, TypeVar

import torch
from torch.optim import Optimizer

_Kind = TypeVar("_Kind", bound=Optimizer)

_WRAPPED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")


def _bare(kind: type[_Kind]) -> type[_Kind]:
    """The same optimizer, to the bit."""
    methods: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in _WRAPPED}
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), methods)


AdamW = _bare(torch.optim.AdamW)
SGD = _bare(torch.optim.SGD)
