"""Random configurations and random spaces, as the plain data of a YAML file, for hypothesis."""

from itertools import pairwise
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from convnn.geometry import VGG11_STAGES, range_name

Data = st.SearchStrategy[Any]


def _ranges(cuts: set[int]) -> list[str]:
    """Return the ranges of layers between the cuts."""
    ends = [0, *sorted(cuts), len(VGG11_STAGES)]
    return [range_name(VGG11_STAGES[low:high]) for low, high in pairwise(ends)]


RANGES = st.sets(st.integers(1, len(VGG11_STAGES) - 1), max_size=2).map(_ranges)
"""Ranges that together name each layer of VGG-11 once."""

fixed = settings(deadline=None, derandomize=True)
"""The same examples in every run."""

LAMBDAS = st.sampled_from([0, 0.1, 0.125, 0.25, 0.5, 0.75, 1.0])
WIDTHS = st.sampled_from([1 / 64, 1 / 32, 0.05, 1 / 16])


def plain(values: Data, *_ranges: str) -> Data:
    """A leaf with a value."""
    return values


def domains(values: Data, *ranges: str) -> Data:
    """A leaf with a value, a choice, or one of the named ranges."""

    def span(kind: str) -> Data:
        pairs = st.lists(values, min_size=2, max_size=2, unique=True).map(sorted)
        return pairs.filter(lambda pair: pair[0] > 0 or kind != "log_uniform").map(lambda pair: {kind: pair})

    choice = st.lists(values, min_size=1, max_size=3, unique=True).map(lambda listed: {"choice": listed})
    return st.one_of(values, choice, *map(span, ranges))


def one(options: Data) -> Data:
    """A fixed branch."""
    return options


def branches(options: Data) -> Data:
    """A branch that may be an any_of, possibly nested."""
    several = st.lists(options, min_size=1, max_size=3).map(lambda listed: {"any_of": listed})
    return st.one_of(options, several, st.lists(several, min_size=1, max_size=2).map(lambda listed: {"any_of": listed}))


def models(
    leaf: Any = plain, branch: Any = one, reals: tuple[str, ...] = ("uniform", "log_uniform"), only: str = ""
) -> Data:
    """The model of a trial: every part that affects the geometry, and a few others.

    `only` restricts it to VGG-11 with this field: `layer`, or `layers` by depth.
    """
    lenient = {"when_too_few": leaf(st.sampled_from(["error", "all"]))}
    tokens = leaf(st.integers(1, 300) | st.integers(1, 24), "int")
    drawn, even = (
        st.fixed_dictionaries({"kind": st.just(kind), "r": tokens}, optional=lenient) for kind in ("random", "even")
    )
    strided = st.fixed_dictionaries(
        {"kind": st.just("strided"), "stride": leaf(st.integers(1, 4), "int")}, optional=lenient
    )
    lattice = st.fixed_dictionaries(
        {"kind": st.just("lattice"), "side": leaf(st.integers(1, 9), "int")}, optional=lenient
    )
    everything = st.just({"kind": "all"})
    neighbors: dict[str, Data] = {
        "k": leaf(st.integers(1, 30), "int"),
        "similarity": leaf(st.sampled_from(["cosine", "dot", "euclidean"])),
        "rho": leaf(st.sampled_from(["constant", "softmax"])),
        "aggregation": leaf(st.sampled_from(["standard", "depthwise", "depthwise_separable"])),
        "self_first": leaf(st.booleans()),
        "self_score": leaf(st.sampled_from([None, None, None, 1.0])),
    }
    attention = st.one_of(
        st.just({"kind": "attention"}),
        st.fixed_dictionaries({"kind": st.just("kvt"), "k": leaf(st.integers(1, 30), "int")}),
        st.fixed_dictionaries(
            {"kind": st.just("local")},
            optional={"window": leaf(st.integers(1, 9), "int"), "rotary": leaf(st.booleans())}
            | {"head_dim": leaf(st.sampled_from([None, 3, 4]))},
        ),
        st.fixed_dictionaries({"kind": st.just("sparse"), "context": leaf(st.sampled_from([1, 3, 9]))}),
        st.fixed_dictionaries(
            {"kind": st.just("convnn")},
            optional={**neighbors, "candidates": branch(st.one_of(everything, drawn, even, strided))},
        ),
        st.fixed_dictionaries(
            {"kind": st.just("hybrid"), "lambda": leaf(LAMBDAS, *reals)},
            optional={**neighbors, "candidates": branch(st.one_of(everything, drawn, even, strided))},
        ),
    )
    small = {"depth": st.just(1), "dim": leaf(st.sampled_from([6, 8])), "mlp_width": st.just(4)}
    vit = st.fixed_dictionaries(
        {"name": st.just("vit_tiny"), "attention": branch(attention), **small}
        | {"image_size": leaf(st.sampled_from([32, 36, 48]))},
        optional={"heads": leaf(st.sampled_from([1, 2, 4])), "patch_size": leaf(st.sampled_from([8, 12, 16]))},
    )
    neighbors |= {
        "padding": leaf(st.integers(0, 3), "int"),
        "position": leaf(st.sampled_from(["none", "similarity", "both"])),
        "position_scaling": leaf(st.sampled_from(["none", "std"])),
        "patch": leaf(st.sampled_from([1, 1, 1, 2, 3, 4]), "int"),
        "projections": leaf(st.sampled_from(["identity", "linear"])),
        "candidates": branch(st.one_of(everything, drawn, even, strided, lattice)),
    }
    kernel = {"kernel_size": leaf(st.sampled_from([1, 2, 3, 5]))}
    layer = st.one_of(
        st.fixed_dictionaries({"kind": st.just("conv2d")}, optional=kernel),
        st.fixed_dictionaries({"kind": st.just("convnn")}, optional=neighbors),
        st.fixed_dictionaries(
            {"kind": st.just("hybrid"), "lambda": leaf(LAMBDAS, *reals)}, optional={**neighbors, **kernel}
        ),
    )
    by_depth = RANGES.flatmap(lambda names: st.fixed_dictionaries({name: branch(layer) for name in names}))
    vgg, vgg_by_depth = (
        st.fixed_dictionaries(
            {"name": st.just("vgg11"), "classifier_width": st.just(4), **layers} | {"width": leaf(WIDTHS, *reals)},
            optional={"dropout": leaf(st.sampled_from([0, 0.1, 0.5]), "uniform")},
        )
        for layers in ({"layer": branch(layer)}, {"layers": branch(by_depth)})
    )
    found: dict[str, Data] = {"layer": vgg, "layers": vgg_by_depth, "": st.one_of(vgg, vgg, vgg_by_depth, vit)}
    return found[only]


def trials(leaf: Any = plain, branch: Any = one) -> Data:
    """A trial, or a space of trials."""
    training = st.fixed_dictionaries(
        {},
        optional={
            "lr": leaf(st.sampled_from([1e-5, 1e-4, 0.3, 1]), "uniform", "log_uniform"),
            "epochs": leaf(st.integers(1, 9), "int"),
            "optimizer": leaf(st.sampled_from(["adamw", "sgd"])),
            "weight_decay": leaf(st.sampled_from([0, 0.01, 1]), "uniform"),
            "clip_norm": leaf(st.sampled_from([None, 1, 2.5])),
            "compile": leaf(st.booleans()),
            "seed": leaf(st.integers(0, 5), "int"),
        },
    )
    data = st.fixed_dictionaries(
        {},
        optional={
            "name": leaf(st.sampled_from(["digits", "cifar10"])),
            "root": leaf(st.sampled_from([None, "a", "b"])),
            "limit": leaf(st.sampled_from([None, 64, 1000])),
        },
    )
    whole = st.fixed_dictionaries(
        {"model": branch(models(leaf, branch))}, optional={"training": branch(training), "data": branch(data)}
    )
    found: Data = branch(whole)
    return found


def spaces() -> Data:
    """A space of trials with domains and any_ofs everywhere."""
    return trials(domains, branches)
