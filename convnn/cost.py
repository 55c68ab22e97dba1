"""The cost of a model: parameters, FLOPs and activation memory.

Every number is derived from the model itself. A FLOP is one multiplication or one addition of a matrix product or
convolution. "Published" FLOPs are those that the authors' profiler counted for their models.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import singledispatch
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, shape_wrapper

from convnn.attention import ConvNNAttention, KVTAttention, LocalAttention, SelfAttention, SparseAttention
from convnn.geometry import IMAGE_SIDE, padded_tokens, patched
from convnn.layers import ConvNN, HybridBranch
from convnn.models.vit import Block, ViT


@dataclass(frozen=True)
class Cost:
    """A model's cost.

    Attributes:
        parameters: Number of parameters, trainable or not.
        flops: FLOPs of one image's forward pass: twice the multiplications of every convolution and matrix product
            in the definition, even if the faster path computes something else.
        flops_published: FLOPs as the authors' profiler counts them; see `operations`.
        activation_bytes: Bytes that a training step of `batch_size` images keeps from its forward pass for its
            backward pass, in float32, without weights.
        batch_size: Batch size of that step.
    """

    parameters: int
    flops: int
    flops_published: int
    activation_bytes: int
    batch_size: int


def measure_cost(build: Callable[[], nn.Module], *, batch_size: int = 256, image_side: int = IMAGE_SIDE) -> Cost:
    """Build a model and measure its cost. Its weights are never written, so they take no memory.

    A few images are passed on the CPU: the meta device would load torch's compiler, which takes longer. The memory of a
    step grows by the same amount with each image.

    Args:
        build: Builds the model, which takes images `(B, 3, image_side, image_side)`.
        batch_size: Batch size for the activation memory.
        image_side: Side of the images, before the model resizes them.
    """
    model = unwritten(build)
    image = (3, image_side, image_side)
    counted = operations(model, (1, *image))
    two, three = (activation_bytes(model, (images, *image)) for images in (2, 3))
    return Cost(
        parameters=parameters(model),
        flops=counted.flops,
        flops_published=counted.published,
        activation_bytes=two + (three - two) * (batch_size - 2),
        batch_size=batch_size,
    )


def unwritten(build: Callable[[], nn.Module]) -> nn.Module:
    """Return a model on the CPU with uninitialized weights; no random number is drawn."""
    with torch.device("meta"):
        model = build()
    # Module.to_empty would use the meta device and so load torch's compiler.
    model._apply(lambda weight: torch.empty(weight.shape, dtype=weight.dtype))  # noqa: SLF001
    return model.eval()


def parameters(model: nn.Module) -> int:
    """Return the number of parameters of the model."""
    return sum(weight.numel() for weight in model.parameters())


class Operations(NamedTuple):
    """FLOPs of a forward pass: those of the definition, and those that the authors' profiler counts."""

    flops: int
    published: int


def operations(model: nn.Module, shape: tuple[int, ...]) -> Operations:
    """Count the FLOPs of a forward pass over an input of this shape.

    torch.profiler counts matrix products, Conv2d with numeric padding, and elementwise multiplications and additions
    (the size of their first operand). It counts neither Conv1d nor Conv2d with padding="same". The published numbers
    therefore omit the convolutions of both branches in VGG and ConvNN's convolution in ViT. The authors' layers compute
    some things differently from ours: every token of the padded map is a query, masks are multiplied in, and so on. The
    rules below count what their layers did.
    """
    published = 0

    def count(module: nn.Module, inputs: tuple[Any, ...], _: object) -> None:
        nonlocal published
        published += _published(module, inputs[0])

    uncounted = {m.conv for m in model.modules() if isinstance(m, HybridBranch)}
    handles = [m.register_forward_hook(count) for m in model.modules() if m not in uncounted]
    counter = _Counter()
    try:
        with defined(model), torch.random.fork_rng(devices=[]), torch.no_grad(), counter:
            model(_input(model, shape))
    finally:
        for handle in handles:
            handle.remove()
    return Operations(counter.flops, published)


class _Counter(TorchDispatchMode):
    """Add up FLOPs by torch's own rules. Unlike torch's `FlopCounterMode`, it does not load torch's compiler."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(
        self, function: OpOverload, _: object, args: tuple[object, ...] = (), kwargs: dict[str, object] | None = None
    ) -> object:
        result: object = function(*args, **(kwargs or {}))
        if (rule := _RULES.get(function.overloadpacket)) is not None:
            self.flops += rule(*args, **(kwargs or {}), out_val=result)
        return result


def _distance_flops(query: torch.Size, key: torch.Size, *_: object, **__: object) -> int:
    """Count distances like a matrix product of the same shape, because torch's counter has no rule for them."""
    products: int = 2 * math.prod(query) * key[-2]
    return products


_RULES = flop_registry | {torch.ops.aten._cdist_forward: shape_wrapper(_distance_flops)}  # noqa: SLF001


def activation_bytes(model: nn.Module, shape: tuple[int, ...]) -> int:
    """Return the bytes that the forward pass of a training step keeps, for an input of this shape.

    Each tensor saved for the backward pass counts once, even if several operations need it. Parameters, buffers and
    the input do not count.
    """
    x = _input(model, shape)
    known = {_storage(t) for t in (*model.parameters(), *model.buffers(), x)}
    kept: dict[int, Tensor] = {}  # holds the tensors, so that no two of them share an address

    def keep(saved: Tensor) -> Tensor:
        if _storage(saved) not in known:
            kept.setdefault(_storage(saved), saved)
        return saved

    was_training = model.training
    model.train()
    with torch.random.fork_rng(devices=[]), torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        output = model(x)
    model.train(was_training)
    total = sum(saved.untyped_storage().nbytes() for saved in kept.values())
    del output
    return total


def _storage(tensor: Tensor) -> int:
    identity: int = tensor.untyped_storage()._cdata  # noqa: SLF001 - meta tensors have no address
    return identity


def _input(model: nn.Module, shape: tuple[int, ...]) -> Tensor:
    return torch.ones(shape, device=next(model.parameters()).device)


@contextmanager
def defined(model: nn.Module) -> Iterator[None]:
    """Make the model's ConvNN layers use the definition in `convnn.naive`."""
    layers = [m for m in model.modules() if isinstance(m, ConvNN | ConvNNAttention)]
    before = [layer.implementation for layer in layers]
    for layer in layers:
        layer.implementation = "naive"
    try:
        yield
    finally:
        for layer, implementation in zip(layers, before, strict=True):
            layer.implementation = implementation


@singledispatch
def _published(module: nn.Module, x: Tensor) -> int:  # noqa: ARG001
    """Return the FLOPs that the profiler counts for one module itself, without its submodules."""
    return 0


@_published.register
def _(module: nn.Linear, x: Tensor) -> int:
    return 2 * x.numel() * module.out_features


@_published.register
def _(module: nn.Conv2d, x: Tensor) -> int:
    places = x.numel() // x.shape[1] // (module.stride[0] * module.stride[1])  # for padding that keeps the map's size
    return 2 * places * module.weight.numel()


@_published.register
def _(module: ConvNN, x: Tensor) -> int:
    shape = patched(tuple(x.shape[2:]), module.patch)
    tokens, found = padded_tokens(shape, module.padding), module.rule.count(shape, module.padding)
    total = 2 * tokens * found * module.compared_channels
    if module.similarity == "euclidean":
        total += tokens * found + tokens  # 2 q.k, and the sum of the squares
    if module.position in ("similarity", "both"):
        total += tokens * module.compared_channels  # half of each
    if module.rule.kind == "lattice" and found < tokens:
        total += 2 * found  # y * width + x
    if module.rho == "softmax":
        total += tokens * module.k * module.conv_channels
    return len(x) * total


@_published.register
def _(module: SelfAttention, x: Tensor) -> int:
    return 4 * len(x) * x.shape[1] ** 2 * module.heads * module.head_dim


@_published.register
def _(module: KVTAttention, x: Tensor) -> int:
    scaled = len(x) * module.heads * x.shape[1] ** 2
    return 4 * scaled * module.head_dim + scaled


@_published.register
def _(module: SparseAttention, x: Tensor) -> int:
    masked = len(x) * module.heads * x.shape[1] ** 2
    return 4 * masked * module.head_dim + 4 * masked


@_published.register
def _(module: LocalAttention, x: Tensor) -> int:
    # each window of queries has the keys of three windows; a rotation is four products and a sum
    windows = -(-x.shape[1] // module.window)
    queries, keys = windows * module.window, 3 * windows * module.window
    heads, d = len(x) * module.heads, module.head_dim
    products = 2 * (2 * queries * 3 * module.window * d)
    rotations = 5 * (queries + keys) * d if module.rotary else 0
    angles = 3 * module.window if module.rotary else 0
    return heads * (products + rotations + queries * d) + angles + keys


@_published.register
def _(module: ConvNNAttention, x: Tensor) -> int:
    found = module.rule.count((x.shape[1],))
    weighed = module.k if module.rho == "softmax" else 0
    return x.numel() * (2 * found + weighed)


@_published.register
def _(module: Block, x: Tensor) -> int:  # noqa: ARG001
    return 2 * x.numel()


@_published.register
def _(module: ViT, x: Tensor) -> int:
    return len(x) * module.positions.numel()
