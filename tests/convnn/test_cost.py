import copy
import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.tables import cells
from convnn.cost import activation_bytes, defined, measure_cost, operations, parameters
from convnn.layers import ConvNN2d
from convnn.models.vgg import vgg11
from convnn.models.vit import vit_tiny


def test_every_parameter_and_gflops_cell_of_tables_1_to_5_is_reproduced_except_known_misprints() -> None:
    found = list(cells())
    assert len(found) == 176
    assert [cell for cell in found if not cell.as_logged] == []
    slips = [cell for cell in found if not cell.as_printed]
    assert all(cell.slip for cell in slips)
    assert {(cell.table, cell.name) for cell in slips} == {(1, "gflops"), (3, "gflops"), (4, "gflops"), (4, "params_m")}


@pytest.mark.parametrize(
    ("options", "logged"),
    [  # the authors' runs beyond their tables: Figures 4 and 5, and unpublished euclidean variants
        ({"similarity": "euclidean"}, 0.32679929),
        ({"similarity": "euclidean", "position": "similarity", "position_scaling": "std"}, 0.33276716),
        ({"similarity": "euclidean", "candidates": "random", "r": 1024, "when_too_few": "all"}, 0.32573114),
        ({"candidates": "random", "r": 196, "when_too_few": "all"}, 0.31336611),
        ({"candidates": "lattice", "side": 28, "when_too_few": "all"}, 0.32275446),
    ],
)
def test_published_flops_of_other_logged_runs_are_reproduced(options: dict[str, Any], logged: float) -> None:
    with torch.device("meta"):
        model = vgg11(10, 1.0, **options)
    assert operations(model, (1, 3, 32, 32)).published / 1e9 == pytest.approx(logged, abs=0.6e-8)


def test_flops_count_every_product_and_convolution() -> None:  # oracle: written out
    layer = ConvNN2d(5, 7, 9).to("meta")
    tokens, ring = 6 * 8, 8 * 10
    assert operations(layer, (2, 5, 6, 8)).flops == 2 * 2 * (tokens * ring * 5 + tokens * 9 * 5 * 7)


def test_euclidean_distances_cost_what_products_cost() -> None:
    product, distance = (ConvNN2d(5, 7, 9, similarity=s).to("meta") for s in ("cosine", "euclidean"))
    assert operations(product, (2, 5, 6, 8)).flops == operations(distance, (2, 5, 6, 8)).flops


BUILDS = [
    lambda: vgg11(10, 0.5),
    lambda: vgg11(10, 1.0, candidates="random", r=32, when_too_few="all"),
    *(functools.partial(vit_tiny, 10, kind) for kind in ("attention", "convnn", "kvt", "local", "sparse")),
]


@pytest.mark.parametrize("build", BUILDS)
def test_flops_are_those_of_torchs_own_counter_on_any_device(build: Callable[[], nn.Module]) -> None:
    images = (1, 3, 32, 32)
    with torch.device("meta"):
        model = build()
    with defined(model), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.empty(images, device="meta"))
    here = copy.deepcopy(model).to_empty(device="cpu").eval()
    assert operations(here, images) == operations(model, images)
    assert operations(here, images).flops == counter.get_total_flops()


@pytest.mark.parametrize("build", BUILDS)
def test_estimated_activations_of_a_batch_match_the_measured_ones(build: Callable[[], nn.Module]) -> None:
    with torch.device("meta"):
        model = build()
    found = measure_cost(build, batch_size=37).activation_bytes
    assert found == pytest.approx(activation_bytes(model, (37, 3, 32, 32)), rel=1e-6)  # dropout draws fill whole words


def test_the_profilers_count_leaves_out_kernels_and_adds_residuals() -> None:
    with torch.device("meta"):
        convolution, vit = vgg11(10), vit_tiny(10)
    images = (1, 3, 32, 32)
    left_out = sum(2 * m.weight.numel() * side**2 for m, side in _kernels(convolution))
    ours, published = operations(convolution, images)
    assert ours - published == left_out
    additions = (12 * 2 + 1) * 197 * 192  # residuals and positions: the profiler counts them, but they are not products
    ours, published = operations(vit, images)
    assert published - ours == additions


def _kernels(model: nn.Module) -> list[tuple[nn.Conv2d, int]]:
    kernels = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    return list(zip(kernels, [32, 16, 8, 8, 4, 4, 2, 2], strict=True))


class Perceptron(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(11, 7), nn.Linear(7, 5)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(F.relu(self.first(x)))
        return y


def test_activations_are_what_the_backward_pass_needs_counted_once() -> None:
    model = Perceptron().to("meta")  # beside the input, only the hidden layer after relu is kept, by relu and second
    assert activation_bytes(model, (13, 11)) == 13 * 7 * 4


def test_activation_memory_is_the_same_on_the_cpu_and_grows_with_the_batch() -> None:
    def build() -> nn.Module:
        return vgg11(7, 0.5, width=1 / 16, classifier_width=12, k=3)

    one, four = (measure_cost(build, batch_size=b).activation_bytes for b in (1, 4))
    assert one < four <= 4 * one
    model, x, seen = build(), torch.randn(4, 3, 32, 32), {}
    known = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers(), x)}

    def keep(t: Tensor) -> Tensor:
        if t.untyped_storage().data_ptr() not in known:
            seen[t.untyped_storage().data_ptr()] = t
        return t

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        output = model(x)
    del output
    assert sum(t.untyped_storage().nbytes() for t in seen.values()) == pytest.approx(four, rel=0.05)


def test_the_default_path_keeps_far_less_than_the_definition() -> None:
    with torch.device("meta"):
        layer = ConvNN2d(64, 128, 9)
    shape = (32, 64, 16, 16)
    default = activation_bytes(layer, shape)
    with defined(layer):
        assert activation_bytes(layer, shape) > 4 * default
    assert layer.implementation == "default"


def test_measuring_allocates_and_draws_nothing() -> None:
    state = torch.get_rng_state()
    cost = measure_cost(lambda: vgg11(10, 0.5, candidates="random", r=16), batch_size=256)
    assert cost.parameters == 130_015_690
    assert cost.parameters == parameters(vgg11_on_meta())
    assert torch.equal(torch.get_rng_state(), state)


def vgg11_on_meta() -> nn.Module:
    with torch.device("meta"):
        return vgg11(10, 0.5)
