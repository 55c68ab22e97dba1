import torch
from hypothesis import given
from hypothesis import strategies as st

from convnn.candidates import CandidateRule, along, own_tokens, spread


def test_strided_candidates_are_every_stride_th_token_along_each_axis() -> None:
    found = CandidateRule("strided", k=1, stride=2).indices((5, 4), padding=1)
    grid = torch.arange(42).view(7, 6)[1:-1, 1:-1]
    assert torch.equal(found, grid[::2, ::2].flatten())  # type: ignore[arg-type]


def test_a_lattice_reaches_from_corner_to_corner_of_the_map() -> None:
    found = CandidateRule("lattice", k=1, side=3).indices((5, 9), padding=1)
    grid = torch.arange(77).view(7, 11)[1:-1, 1:-1]
    assert torch.equal(found, grid[::2, ::4].flatten())  # type: ignore[arg-type]


@given(st.integers(1, 300), st.integers(1, 300))
def test_spread_positions_increase_from_first_to_last_without_repetition(length: int, count: int) -> None:
    count = min(length, count)
    places = spread(length, count).tolist()
    assert places[0] == 0
    assert count == 1 or places[-1] == length - 1
    assert len(set(places)) == count
    assert places == sorted(places)


def test_even_candidates_are_rounded_as_in_the_published_runs() -> None:
    other = [r for r in range(1, 198) if not torch.equal(along(197, r), spread(197, r))]
    assert other == [83, 85, 92, 162, 165, 169, 171, 173, 175, 183]  # of ViT's 197 tokens
    for r in other:
        assert (along(197, r) - spread(197, r)).abs().max() == 1


def test_own_tokens_are_the_middle_of_the_padded_map() -> None:
    padded = torch.arange(7 * 9).view(7, 9)
    assert torch.equal(own_tokens((3, 5), 2), padded[2:-2, 2:-2].flatten())
    assert torch.equal(own_tokens((4,), 3), torch.arange(3, 7))
