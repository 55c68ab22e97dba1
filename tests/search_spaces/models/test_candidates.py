from typing import Any, get_args

import pytest

from convnn.geometry import CANDIDATE_KINDS, WhenTooFew
from search_spaces.base import Infeasible
from search_spaces.models.candidates import (
    AllCandidates,
    Candidates,
    EvenCandidates,
    LatticeCandidates,
    RandomCandidates,
    StridedCandidates,
    TokenGrid,
    canonical_neighbors,
    convnn_infeasibilities,
)
from search_spaces.models.vgg import ConvNNLayer
from search_spaces.reading.fields import literal_of
from tests.search_spaces.models.agree import words

KINDS = get_args(get_args(Candidates)[0])
MAP, LARGE = (4, 4), (8, 8)


def layer(candidates: Any = None, **options: Any) -> ConvNNLayer:
    return ConvNNLayer(kind="convnn", candidates=candidates or AllCandidates(), **options)


def reasons(chosen: ConvNNLayer, padding: int | None = 0) -> list[Infeasible]:
    grids = [TokenGrid("small", MAP), TokenGrid("large", LARGE)]
    return list(convnn_infeasibilities(chosen, "here", grids, padding))


def test_candidate_kinds_are_those_of_the_layers() -> None:
    assert [literal_of(kind, "kind") for kind in KINDS] == list(CANDIDATE_KINDS)
    for kind in KINDS[1:]:
        assert words(kind, "when_too_few")["when_too_few"] == list(get_args(WhenTooFew))


@pytest.mark.parametrize(
    ("candidates", "padding", "expected"),
    [
        (RandomCandidates(kind="random", r=64), 0, (True, False)),
        (RandomCandidates(kind="random", r=64), 1, (False, False)),  # draws include the ring
        (RandomCandidates(kind="random", r=16), 0, (False, True)),
        (StridedCandidates(kind="strided", stride=1), 0, (True, True)),
        (StridedCandidates(kind="strided", stride=1), 1, (False, True)),
        (StridedCandidates(kind="strided", stride=2), 0, (False, True)),
        (StridedCandidates(kind="strided", stride=3), 0, (False, False)),  # 2 x 2 of the small map, fewer than k
        (LatticeCandidates(kind="lattice", side=8), 0, (True, False)),
        (LatticeCandidates(kind="lattice", side=8), 1, (False, False)),
        (LatticeCandidates(kind="lattice", side=9), 1, (True, False)),
        (LatticeCandidates(kind="lattice", side=4), 0, (False, True)),
        (EvenCandidates(kind="even", r=64), 0, (True, False)),
        (EvenCandidates(kind="even", r=16), 0, (False, True)),
    ],
    ids=str,
)
def test_coverage_and_sufficiency_of_candidates(candidates: Any, padding: int, expected: tuple[bool, bool]) -> None:
    k = 4 if candidates.kind == "strided" and candidates.stride == 2 else 5
    assert candidates.coverage(k, [MAP, LARGE], padding) == expected


def test_candidates_that_cover_every_map_become_all() -> None:
    everything = layer(LatticeCandidates(kind="lattice", side=9, when_too_few="all"))
    assert canonical_neighbors(everything, [MAP, LARGE], 1) == layer()
    enough = layer(RandomCandidates(kind="random", r=12, when_too_few="all"))
    assert canonical_neighbors(enough, [MAP, LARGE], 0) == layer(RandomCandidates(kind="random", r=12))
    some = layer(RandomCandidates(kind="random", r=17, when_too_few="all"))
    assert canonical_neighbors(some, [MAP, LARGE], 0) == some


def test_a_token_that_is_its_only_neighbor_compares_nothing() -> None:
    chosen = layer(RandomCandidates(kind="random", r=9), k=1, similarity="dot", rho="softmax", self_score=1.0)
    assert canonical_neighbors(chosen, [MAP], 0) == layer(k=1)


def test_the_first_map_that_is_too_small_is_named_once_per_field() -> None:
    found = reasons(layer(RandomCandidates(kind="random", r=20), k=18), 0)
    assert [(reason.path, reason.got) for reason in found] == [("here.candidates.r", "20"), ("here.k", "18")]
    assert found[0].rule == "must be at most 16 for small (4 x 4 tokens, ring 0: 16 candidates)"
    assert found[1].way_out == "use a smaller k, more candidates or a wider padding"
    assert reasons(layer(k=17), None)[0].way_out == "use a smaller k, more candidates"


def test_self_score_needs_softmax_and_self_first() -> None:
    (reason,) = reasons(layer(self_score=1.0, k=4))
    assert (reason.path, reason.got) == ("here.self_score", "1.0")
    assert not reasons(layer(self_score=1.0, k=4, rho="softmax"))


def test_options_of_candidates_are_arguments_of_a_layer() -> None:
    assert AllCandidates().arguments() == {"candidates": "all"}
    assert StridedCandidates(kind="strided", stride=2).arguments() == {
        "candidates": "strided",
        "stride": 2,
        "when_too_few": "error",
    }
