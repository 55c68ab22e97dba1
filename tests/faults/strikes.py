"""The faults of a soak and their times, drawn in advance, so that the same seed gives the same faults."""

import random
from dataclasses import dataclass
from typing import Literal

Kind = Literal["kill", "drain", "join", "driver"]
"""For a node: SIGKILL; notice, then SIGKILL; its return. For the driver: SIGKILL."""

NODES = (1, 2, 3)
"""The nodes that leave and return; all run at first. The fourth node, the head, stays."""

TRIALS_AT_LEAST = 10
"""Enough for every kind of strike."""

WAIT_S = 4.0
"""A strike comes at most this long after the trial that it follows: the length of a short trial."""

UNTIL = 0.8
"""The last strike follows at most this share of the trials, so that the sweep is still running."""

_DRIVER_KILLS = ((0.15, 0.4), (0.45, 0.7))
"""The driver is killed once in each of these ranges, as shares of the trials."""


@dataclass(frozen=True)
class Strike:
    """One fault."""

    after: int
    """The number of trials that have ended before it."""

    wait_s: float
    """The seconds after that; a drained node is also killed this long after its notice."""

    kind: Kind
    node: int
    """One of NODES; 0 for the driver."""


def draw(seed: int, trials: int) -> list[Strike]:
    """Draw the strikes of a soak, in order: two of the driver, and about one of a node per five trials, of every kind.

    Raises:
        ValueError: If there are too few trials.
    """
    if trials < TRIALS_AT_LEAST:
        raise ValueError(f"trials must be at least {TRIALS_AT_LEAST}, got {trials}.")
    rng = random.Random(seed)
    strikes: list[Strike] = []
    while {"kill", "drain", "join"} - {strike.kind for strike in strikes}:
        strikes = _draw_once(rng, trials)
    return strikes


def _draw_once(rng: random.Random, trials: int) -> list[Strike]:
    moments = [(rng.randint(1, int(UNTIL * trials)), False) for _ in range(max(6, trials // 5))]
    moments += [(rng.randint(int(low * trials) + 1, int(high * trials)), True) for low, high in _DRIVER_KILLS]
    there, strikes = set(NODES), []
    for after, is_driver in sorted(moments):
        node = 0 if is_driver else rng.choice(NODES)
        kind: Kind = "driver" if is_driver else rng.choice(("kill", "drain")) if node in there else "join"
        there ^= {node} - {0}
        strikes.append(Strike(after, rng.uniform(0, WAIT_S), kind, node))
    return strikes
