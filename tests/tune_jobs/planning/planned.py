"""A small sweep for tests of plans."""

from search_spaces import SweepSpec, parse_sweep

LAYER = """
      kind: hybrid
      lambda: {choice: [0, 0.25, 0.5, 1]}
      k: {choice: [4, 9, 16]}
      padding: {choice: [0, 1]}
"""


def spec(
    rest: str = "",
    layer: str = LAYER,
    training: str = "epochs: 27",
    data: str = "{name: digits}",
    classifier: int = 32,
) -> SweepSpec:
    return parse_sweep(f"""
name: planned
space:
  data: {data}
  model:
    width: 0.125
    classifier_width: {classifier}
    layer:{layer}
  training: {{{training}}}
{rest}
""")
