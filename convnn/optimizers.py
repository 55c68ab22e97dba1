"""torch's fused optimizers, with the clipping of gradients in the same pass over them, and without torch's compiler.

torch wraps these methods to keep `torch.compile` out of them, and so loads it: seconds in every process that trains.
Only models are compiled here, so what is wrapped does.
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
"""Of a group of parameters: how many equal ones each stands for, which the norm of all gradients counts."""


class Clipping(Optimizer):
    """Takes steps with clipped gradients, or none where they are not finite. Nothing waits for the device."""

    def clipped_step(self, clip_norm: float | None) -> Tensor:
        """A step; the joint norm of all gradients.

        Args:
            clip_norm: To which gradients of a larger joint norm are scaled down; not at all if `None`.
        """
        norms: list[Tensor] = []
        for group in self.param_groups:
            gradients = [weight.grad for weight in group["params"] if weight.grad is not None]
            found = list(torch._foreach_norm(gradients)) if gradients else []  # noqa: SLF001
            if found and (copies := group.get(COPIES, 1)) != 1:
                torch._foreach_mul_(found, math.sqrt(copies))
            norms += found
        norm: Tensor = torch.linalg.vector_norm(torch.stack(norms))
        own: Any = self  # torch's fused steps look for these
        own.found_inf = (norm - norm).ne_(0).float()  # inf - inf is not a number
        own.grad_scale = None if clip_norm is None else ((norm + 1e-6) / clip_norm).clamp_min_(1).float()
        try:
            self.step()
        finally:
            del own.grad_scale, own.found_inf
        return norm


def _bare(kind: type[Optimizer]) -> Callable[..., Clipping]:
    """The same optimizer, which clips."""
    methods: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in _WRAPPED}
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    made: Callable[..., Clipping] = type(kind.__name__, (Clipping, kind), methods)
    return made


AdamW = _bare(torch.optim.AdamW)
SGD = _bare(torch.optim.SGD)
