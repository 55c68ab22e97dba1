"""The memory that a trial needs at least, in closed form and without torch.

Parameters are exact. Of the activations that a training step keeps, only those are counted that no implementation can
do without, so that a trial said not to fit does not fit; `convnn plan` has the layers' own number.
"""

from convnn.data.facts import DATASETS
from convnn.geometry import POOLED_SIDE, Stage, convnn_channels, vit_tokens
from search_spaces.feasibility import Obstacle, layers, share
from search_spaces.trial import (
    VGG11,
    Attention,
    ConvNNAttention,
    ConvNNLayer,
    HybridAttention,
    HybridLayer,
    LocalAttention,
    TrialConfig,
    ViTTiny,
)

OPTIMIZER_BYTES = {"adamw": 16, "sgd": 12}
"""Per parameter in float32: weight, gradient and the optimizer's own."""


def parameters(model: VGG11 | ViTTiny, classes: int) -> int:
    """The parameters of a model."""
    return _vit(model, classes) if isinstance(model, ViTTiny) else _vgg(model, classes)


def least_memory_gb(trial: TrialConfig) -> float:
    """What a training step of `trial` needs at least, in 10^9 bytes."""
    model, training = trial.model, trial.training
    kept = _kept_by_vit(model) if isinstance(model, ViTTiny) else _kept_by_vgg(model)
    number = 2 if training.precision == "bf16" else 4
    weights = parameters(model, DATASETS[trial.data.name].classes) * OPTIMIZER_BYTES[training.optimizer]
    batch = min(training.batch_size, trial.data.limit or training.batch_size)
    return (weights + number * batch * kept) / 1e9


def memory_obstacle(trial: TrialConfig, limit_gb: float | None) -> Obstacle | None:
    """Why `trial` does not fit into `limit_gb`, if it surely does not."""
    if limit_gb is None or (least := least_memory_gb(trial)) <= limit_gb:
        return None
    rule = f"needs at least {least:.2f} GB in batches of {trial.training.batch_size}, and a trial has {limit_gb:g} GB"
    way = "take a smaller batch or model, or a larger share of the GPU"
    return Obstacle("training.batch_size", f"{rule} (resources.gpu_mem_gb); {way}.")


def _vgg(model: VGG11, classes: int) -> int:
    hidden, last = model.classifier_width, layers(model)[-1].out_channels
    classifier = last * POOLED_SIDE**2 * hidden + hidden + hidden**2 + hidden + hidden * classes + classes
    return classifier + sum(_vgg_layer(model, stage) for stage in layers(model))


def _vgg_layer(model: VGG11, stage: Stage) -> int:
    layer, inputs, outputs = model.layer, stage.in_channels, stage.out_channels
    ours = convnn_channels(outputs, share(layer))
    total = outputs**2 + outputs + 2 * outputs  # the joining 1x1 convolution and batch norm
    total += (outputs - ours) * (inputs * getattr(layer, "kernel_size", 0) ** 2 + 1)
    if ours and isinstance(layer, ConvNNLayer | HybridLayer):
        total += _convnn(layer, inputs * layer.patch**2, ours * layer.patch**2)
    return total


def _convnn(layer: ConvNNLayer | HybridLayer, channels: int, outputs: int) -> int:
    compared = channels + 2 * (layer.position != "none")
    valued = channels + 2 * (layer.position == "both")
    inner = outputs if layer.aggregation == "depthwise" else valued
    projected = layer.projections == "linear"
    total = 2 * compared * channels if projected else 0
    total += valued * inner if projected or inner != valued else 0
    if layer.aggregation == "depthwise_separable":
        return total + inner * layer.k + inner * outputs + outputs
    spread = 1 if layer.aggregation == "depthwise" else inner
    return total + outputs * spread * layer.k + outputs


def _vit(model: ViTTiny, classes: int) -> int:
    dim = model.dim
    patches = 3 * model.patch_size**2 * dim + dim + 2 * dim + dim  # with their norm, and the class token
    block = 4 * dim + 2 * dim * model.mlp_width + model.mlp_width + dim + _attention(model.attention, dim, model.heads)
    return patches + model.depth * block + dim * classes + classes


def _attention(attention: Attention, dim: int, heads: int) -> int:
    if isinstance(attention, LocalAttention):
        return 4 * dim * heads * (attention.head_dim or dim // heads)
    if not isinstance(attention, ConvNNAttention | HybridAttention):
        return 4 * dim**2
    spread = {"standard": dim * attention.k, "depthwise": attention.k, "depthwise_separable": attention.k + dim}
    convnn = 3 * dim**2 + dim * spread[attention.aggregation]
    if isinstance(attention, ConvNNAttention):
        return convnn + dim**2
    ours = convnn_channels(dim, attention.lam)
    other = 3 * dim**2 + dim * (dim - ours) if ours < dim else 0
    return (convnn + dim * ours if ours else 0) + other + dim**2 + dim  # and the joining 1x1 convolution


def _kept_by_vgg(model: VGG11) -> int:
    """Numbers per image: what batch norm and the next layer read, of every layer."""
    return sum(2 * stage.out_channels * stage.side**2 for stage in layers(model))


def _kept_by_vit(model: ViTTiny) -> int:
    """Numbers per image: what both norms, the perceptron's layers and its activation read, of every block."""
    tokens = vit_tokens(model.image_size, model.patch_size)
    return int(model.depth * tokens * (3 * model.dim + 2 * model.mlp_width))
