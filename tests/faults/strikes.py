"""What a soak does to a cluster and its driver, and when: drawn in advance, so that a seed gives the same again."""

import random
from dataclasses import dataclass
from typing import Literal

Kind = Literal["kill", "drain", "join", "driver"]
"""Of a node: SIGKILL, notice and then SIGKILL, and its return. Of the driver: SIGKILL."""

NODES = (1, 2, 3)
"""The nodes that come and go, all there at first. A fourth, the head, stays."""

TRIALS_AT_LEAST = 10
"""So that every kind of strike has its turn."""

WAIT_S = 4.0
"""A strike comes at a random moment within this after the trial that it follows: a short trial's length."""

UNTIL = 0.8
"""The last strike follows at most this share of the trials: some have to be left, or it comes too late."""

_DRIVER_KILLS = ((0.15, 0.4), (0.45, 0.7))
"""The driver is killed once within each of these shares of the trials."""


@dataclass(frozen=True)
class Strike:
    """One thing that happens."""

    after: int
    """How many trials have ended by then."""

    wait_s: float
    """How long after that; and how long after its notice a drained node is killed."""

    kind: Kind
    node: int
    """One of NODES; 0 for the driver."""


def draw(seed: int, trials: int) -> list[Strike]:
    """The strikes of a soak, in order: two of the driver, about one of a node per five trials, each kind at least once.

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
