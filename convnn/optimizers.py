"""torch's fused optimizers, with gradient clipping in the same pass, and without loading torch's compiler.

torch wraps these methods to exclude them from `torch.compile`, and so loads the compiler, which takes seconds in every
training process. Only models are compiled here, so the unwrapped methods are sufficient.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

_WRAPPED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")

COPIES = "copies"
"""Key of a parameter group: the number of equal copies of each parameter, counted in the norm of all gradients."""


class Clipping(Optimizer):
    """An optimizer that clips gradients and skips a step if they are not finite, without waiting for the device."""

    def clipped_step(self, clip_norm: float | None) -> Tensor:
        """Take a step and return the joint norm of all gradients.

        Args:
            clip_norm: Maximum joint norm; larger gradients are scaled down to it. `None` disables clipping.
        """
        norms: list[Tensor] = []
        for group in self.param_groups:
            gradients = [weight.grad for weight in group["params"] if weight.grad is not None]
            found = list(torch._foreach_norm(gradients)) if gradients else []  # noqa: SLF001
            if found and (copies := group.get(COPIES, 1)) != 1:
                torch._foreach_mul_(found, math.sqrt(copies))
            norms += found
        norm: Tensor = torch.linalg.vector_norm(torch.stack(norms))
        own: Any = self  # torch's fused steps read these attributes
        own.found_inf = (norm - norm).ne_(0).float()  # inf - inf is NaN
        own.grad_scale = None if clip_norm is None else ((norm + 1e-6) / clip_norm).clamp_min_(1).float()
        try:
            self.step()
        finally:
            del own.grad_scale, own.found_inf
        return norm


def _bare(kind: type[Optimizer]) -> Callable[..., Clipping]:
    """Return the optimizer class with clipping."""
    methods: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in _WRAPPED}
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    made: Callable[..., Clipping] = type(kind.__name__, (Clipping, kind), methods)
    return made


AdamW = _bare(torch.optim.AdamW)
SGD = _bare(torch.optim.SGD)
