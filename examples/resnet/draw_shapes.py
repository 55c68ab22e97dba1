"""Draw a folder of images for the data set `shapes`: circles, squares and triangles, 100 of each, of different sizes.

python examples/resnet/draw_shapes.py ~/data/shapes
"""

import math
import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw

CORNERS = {"circle": 60, "square": 4, "triangle": 3}
EACH = 100


def drawn(corners: int, draws: random.Random) -> Image.Image:
    """Return a shape in a random place, size, direction and color."""
    size = (draws.randint(40, 160), draws.randint(40, 160))
    back, front = (tuple(draws.randint(*shades) for _ in range(3)) for shades in ((0, 130), (90, 255)))
    image = Image.new("RGB", size, back)
    radius = min(size) * draws.uniform(0.2, 0.35)
    middle = [side / 2 + draws.uniform(-0.15, 0.15) * min(size) for side in size]
    turned = draws.uniform(0, 2 * math.pi)
    angles = [turned + 2 * math.pi * number / corners for number in range(corners)]
    ImageDraw.Draw(image).polygon(
        [(middle[0] + radius * math.cos(angle), middle[1] + radius * math.sin(angle)) for angle in angles], fill=front
    )
    return image


def main(folder: Path) -> None:
    """Write the images."""
    draws = random.Random(0)
    for name, corners in CORNERS.items():
        (folder / name).mkdir(parents=True)
        for number in range(EACH):
            drawn(corners, draws).save(folder / name / f"{number:03d}.png")


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and one folder
        sys.exit("usage: python draw_shapes.py FOLDER")
    try:
        main(Path(sys.argv[1]).expanduser())
    except FileExistsError as error:
        sys.exit(
            f"the folder must be new, but {error.filename!r} already exists; use its images, or give another folder."
        )
    except OSError as error:
        sys.exit(f"{error.filename!r} cannot be written ({error.strerror}); give another folder.")
