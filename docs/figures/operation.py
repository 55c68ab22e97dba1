"""Draw docs/figures/operation.svg: the neighbors of one pixel under different rules of the operation.

Run: `python docs/figures/operation.py`. It uses scikit-learn's handwritten digits and no plotting package.
"""

from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from convnn.candidates import CandidateRule
from convnn.patches import coordinates
from convnn.selection import select_neighbors, window_neighbors

SIDE, CELL, GAP, TOP = 8, 18, 26, 44
QUERY = 3 * SIDE + 3
K = 9


def panels(image: Tensor) -> dict[str, tuple[list[int], list[int]]]:
    """Return the candidates and the chosen neighbors, best first, for each rule."""
    features = torch.stack([image, image.roll(1, 0), image.roll(1, 1)], dim=-1).view(
        1, SIDE * SIDE, 3
    )  # a little context
    placed = torch.cat([features, coordinates((SIDE, SIDE), features)[None]], dim=-1)
    torch.manual_seed(3)
    every = torch.arange(SIDE * SIDE)
    rules: dict[str, tuple[Tensor, Tensor | None]] = {
        "all": (features, None),
        "all, with position": (placed, None),
        "random, r = 16": (features, CandidateRule("random", k=K, r=16).indices((SIDE, SIDE))),
        "strided, stride 2": (features, CandidateRule("strided", k=K, stride=2).indices((SIDE, SIDE))),
    }
    found = {}
    for name, (tokens, index) in rules.items():
        candidates = every if index is None else index
        chosen = select_neighbors(tokens[:, [QUERY]], tokens[:, candidates], K, similarity="euclidean")[0, 0]
        found[name] = (candidates.tolist(), candidates[chosen].tolist())
    own = window_neighbors((SIDE, SIDE), 3, 1)[QUERY]
    inner = [(int(i) // (SIDE + 2) - 1) * SIDE + int(i) % (SIDE + 2) - 1 for i in own]
    return {"position only: convolution": (every.tolist(), inner)} | found


def draw(image: Tensor, found: dict[str, tuple[list[int], list[int]]]) -> str:
    """Return the figure as SVG, one panel per rule."""
    size = SIDE * CELL
    width, height = len(found) * (size + GAP) + GAP, size + TOP + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">',
        "<style>text { font: 12px sans-serif }</style>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, (title, (candidates, chosen)) in enumerate(found.items()):
        left = GAP + number * (size + GAP)
        parts.append(f'<text x="{left + size / 2}" y="{TOP - 14}" text-anchor="middle">{title}</text>')
        for token in range(SIDE * SIDE):
            x, y = left + token % SIDE * CELL, TOP + token // SIDE * CELL
            grey = round(255 - 200 * float(image.flatten()[token]))
            opacity = 1 if token in candidates else 0.25
            parts.append(
                f'<rect x="{x}" y="{y}" width="{CELL - 1}" height="{CELL - 1}" '
                f'fill="rgb({grey},{grey},{grey})" stroke="#ccc" stroke-width="0.5" opacity="{opacity}"/>'
            )
            if token in chosen:
                parts.append(
                    f'<rect x="{x}" y="{y}" width="{CELL - 1}" height="{CELL - 1}" fill="#d95f02" opacity="0.8"/>'
                    f'<text x="{x + CELL / 2 - 0.5}" y="{y + CELL / 2 + 4}" text-anchor="middle" '
                    f'fill="white">{chosen.index(token) + 1}</text>'
                )
            if token == QUERY:
                parts.append(
                    f'<rect x="{x}" y="{y}" width="{CELL - 1}" height="{CELL - 1}" fill="none" '
                    f'stroke="#1b9e77" stroke-width="3"/>'
                )
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    """Write the figure beside this script."""
    image = torch.from_numpy(load_digits().images[3]).float() / 16
    Path(__file__).with_suffix(".svg").write_text(draw(image, panels(image)), encoding="utf-8")


if __name__ == "__main__":
    main()
