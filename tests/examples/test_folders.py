"""The data set of examples/resnet: images of any size and form in a folder per class."""

import os
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from convnn_resnet.images import Folders, described, shapes
from convnn_resnet.settings import SHAPES
from PIL import Image

from convnn.data import load_dataset
from convnn.data.errors import DataError
from convnn.data.facts import SPLITS, registered_dataset

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "resnet"
CLASSES = ("black", "white")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten black and fifteen white images of different sizes."""
    for name, count, shade in (("black", 10, 0), ("white", 15, 255)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(count):
            size = (20 + 7 * number, 80 - 3 * number)
            Image.new("RGB", size, (shade,) * 3).save(tmp_path / "images" / name / f"{number:02d}.png")
    return tmp_path / "images"


def source(folder: Path) -> Folders:
    return Folders(folder, CLASSES)


def test_images_of_any_size_have_the_label_of_their_folder(folder: Path) -> None:
    for split, counts in (("train", [8, 12]), ("test", [2, 3])):
        pixels, labels = source(folder).read("train" if split == "train" else "test")
        assert pixels.shape == (sum(counts), 32, 32, 3)
        assert np.bincount(labels).tolist() == counts
        assert (pixels == np.where(labels == 0, 0, 255)[:, None, None, None]).all()


def test_every_fifth_image_is_a_test_image_unless_there_are_folders_for_the_splits(folder: Path) -> None:
    files = [path.name for path, _ in source(folder)._files("test")]
    assert files == ["04.png", "09.png", "04.png", "09.png", "14.png"]
    for split in SPLITS:
        shutil.copytree(folder, folder.parent / "parted" / split)
    (folder.parent / "parted" / "test" / "black" / "00.png").unlink()
    parted = source(folder.parent / "parted")
    assert [len(parted.read(split)[1]) for split in SPLITS] == [25, 24]


def test_a_sweep_that_holds_out_needs_no_test_images(folder: Path) -> None:
    shutil.copytree(folder, folder.parent / "parted" / "train")
    parted = source(folder.parent / "parted")
    assert len(parted.read("train")[1]) == 25
    with pytest.raises(DataError, match="parted/test' cannot be read"):
        parted.read("test")


def test_a_class_may_be_called_train(folder: Path) -> None:
    (folder / "white").rename(folder / "train")
    assert len(Folders(folder, ("black", "train")).read("train")[1]) == 20


def saved(mode: str) -> Callable[[Path], None]:
    """Return a function that writes a red image with an invisible half, if the mode has one, else a red or gray one."""

    def save(path: Path) -> None:
        image = Image.new("RGBA", (50, 90), (255, 0, 0, 255))
        if mode in ("RGBA", "P with transparency"):
            image.paste((0, 255, 0, 0), (0, 0, 25, 90))
        kind = "P" if mode.startswith("P") else mode
        image.convert(kind).save(path, "tiff" if mode == "CMYK" else None)

    return save


@pytest.mark.parametrize(
    ("mode", "left", "right"),
    [
        ("RGB", (255, 0, 0), (255, 0, 0)),
        ("L", (76, 76, 76), (76, 76, 76)),
        ("P", (255, 0, 0), (255, 0, 0)),
        ("P with transparency", (255, 255, 255), (255, 0, 0)),
        ("CMYK", (255, 0, 0), (255, 0, 0)),
        ("RGBA", (255, 255, 255), (255, 0, 0)),
    ],
)
def test_each_form_of_image_becomes_rgb_and_transparent_parts_white(
    folder: Path, mode: str, left: tuple[int, ...], right: tuple[int, ...]
) -> None:
    saved(mode)(folder / "black" / "00.png")
    pixels = source(folder).read("train")[0][0]
    assert (tuple(pixels[16, 4]), tuple(pixels[16, 28])) == (left, right)


def test_images_are_cut_to_a_square_at_their_center_without_aliasing_and_upright(folder: Path) -> None:
    wide = np.zeros((64, 192, 3), dtype=np.uint8)
    wide[:, 64:128][:, ::2] = 255  # stripes of one pixel: gray if averaged, black or white if sampled
    Image.fromarray(wide).save(folder / "black" / "00.png")
    seen = source(folder).read("train")[0][0].astype(int)
    assert abs(seen[8:24, 8:24] - 127).max() <= 2
    turned = Image.new("L", (64, 64))
    turned.paste(255, (0, 0, 64, 32))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees to the right
    turned.save(folder / "black" / "00.jpg", exif=exif)
    (folder / "black" / "00.png").unlink()
    seen = source(folder).read("train")[0][0]
    assert (seen[16, 4, 0], seen[16, 28, 0]) == (0, 255)


def test_the_order_does_not_depend_on_the_file_system(folder: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    for path in sorted(folder.rglob("*.png"), reverse=True):
        goal = again / path.relative_to(folder)
        goal.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, goal)
    for split in SPLITS:
        one, other = source(folder).read(split), source(again).read(split)
        assert all(np.array_equal(one[part], other[part]) for part in (0, 1))


def test_hidden_files_are_ignored_and_links_followed(folder: Path, tmp_path: Path) -> None:
    before = source(folder).read("train")
    (folder / ".cache").mkdir()
    (folder / "labels.csv").write_text("beside the folders")
    (folder / "black" / ".DS_Store").write_bytes(b"\x00")
    (folder / "white").rename(tmp_path / "elsewhere")
    (folder / "white").symlink_to(tmp_path / "elsewhere")
    found = source(folder).read("train")
    assert all(np.array_equal(before[part], found[part]) for part in (0, 1))


def test_the_fingerprint_changes_with_a_file(folder: Path) -> None:
    before = source(folder).fingerprint("train")
    assert before == source(folder).fingerprint("train") != source(folder).fingerprint("test")
    os.utime(folder / "black" / "00.png", ns=(0, 0))
    assert source(folder).fingerprint("train") != before


def test_names_that_are_not_text_are_read(folder: Path) -> None:
    shutil.copy(folder / "black" / "00.png", folder / "black" / os.fsdecode(b"a\n\xe9\x1b[2J.png"))
    found = source(folder)
    found.fingerprint("train").encode()
    assert len(found.read("train")[1]) == 21


def cut(path: Path) -> None:
    """Write the first half of an image."""
    Image.effect_noise((60, 40), 50).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


WRONG: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no subfolder": (
        lambda folder: [*map(shutil.rmtree, folder.iterdir())],
        "'{folder}' must have a subfolder for each class (black, white), but there is no 'black', 'white'; give the",
    ),
    "one class": (lambda folder: shutil.rmtree(folder / "white"), "but there is no 'white'; give the right folder as"),
    "another class": (lambda folder: (folder / "gr\x1bay").mkdir(), r"but there is also 'gr\x1bay'; give the right"),
    "damaged image": (
        lambda folder: cut(folder / "black" / "03.png"),
        "must have only images, but '{folder}/black/03.png' cannot be read (",
    ),
    "no image": (
        lambda folder: (folder / "white" / "notes.txt").write_text("x"),
        "'{folder}/white/notes.txt' cannot be read (cannot identify image file",
    ),
    "folder among images": (
        lambda folder: (folder / "white" / "more").mkdir(),
        "must have only images, but '{folder}/white/more' is a folder; the images of a class must be dir",
    ),
    "link to nothing": (
        lambda folder: (folder / "white" / "a.png").symlink_to("nowhere"),
        "'{folder}/white/a.png' is a link to nothing; the images of a class must be",
    ),
    "16 bits": (
        lambda folder: Image.fromarray(np.full((40, 40), 3000, dtype=np.uint16)).save(folder / "black" / "00.png"),
        "must have 8 bits per color, but '{folder}/black/00.png' has more (mode I;16); convert it",
    ),
    "too few images": (
        lambda folder: [*map(Path.unlink, (folder / "black").glob("0[0-5].png"))],
        "each class must have at least 5 images, but '{folder}/black' has fewer; add images, or make two folders",
    ),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_folder_that_cannot_be_used_is_named_with_the_rule_and_the_way_out(folder: Path, mistake: str) -> None:
    make, expected = WRONG[mistake]
    make(folder)
    with pytest.raises(DataError) as refused:
        [source(folder).read(split) for split in SPLITS]
    assert expected.format(folder=folder) in str(refused.value)
    assert str(refused.value).isprintable()


def test_a_folder_is_described_only_if_it_has_two_classes(folder: Path) -> None:
    assert [*described(folder)][-1] == 'CLASSES = ("black", "white")'
    for wrong in (folder / "black", folder / "nowhere"):
        with pytest.raises(DataError, match=f"'{wrong}' (must have at least two subfolders|cannot be read)"):
            list(described(wrong))


def test_the_facts_need_test_images(folder: Path) -> None:
    shutil.copytree(folder, folder.parent / "parted" / "train")
    with pytest.raises(
        DataError, match=r"the number of test images, but '.*parted' has the folder train without test;"
    ):
        list(described(folder.parent / "parted"))
    shutil.copytree(folder, folder.parent / "parted" / "test")
    assert "    train_images=25," in described(folder.parent / "parted")


def test_drawing_without_a_folder_or_into_a_used_one_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "circle").mkdir()
    for arguments, said in (([], "usage: "), ([str(tmp_path)], f"the folder must be new, but '{tmp_path}/circle' alr")):
        monkeypatch.setattr("sys.argv", ["draw_shapes.py", *arguments])
        with pytest.raises(SystemExit, match=said):
            runpy.run_path(str(EXAMPLE / "draw_shapes.py"), run_name="__main__")


def test_the_folder_is_data_root_or_in_the_folder_of_all_data(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVNN_DATA_ROOT", str(tmp_path))
    assert shapes(str(folder)).folder == shapes("$CONVNN_DATA_ROOT/images").folder == folder
    with pytest.raises(DataError, match=f"must be in a folder, but '{tmp_path}/shapes' does not exist; set data.root"):
        shapes(None)
    folder.rename(tmp_path / "shapes")
    assert shapes(None).folder == tmp_path / "shapes"
    with pytest.raises(DataError, match=r"00\.png' is a file; set data\.root to the folder"):
        shapes(str(tmp_path / "shapes" / "black" / "00.png"))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images of `draw_shapes.py`."""
    place = tmp_path_factory.mktemp("drawn")
    runpy.run_path(str(EXAMPLE / "draw_shapes.py"))["main"](place)
    return place


def test_the_facts_of_shapes_are_those_of_the_drawn_images(drawn: Path, tmp_path: Path) -> None:
    settings = (EXAMPLE / "convnn_resnet" / "settings.py").read_text()
    assert [line for line in described(drawn) if line not in settings] == []
    with registered_dataset("shapes", SHAPES):
        data = load_dataset("shapes", str(drawn), tmp_path)
    assert [len(data.splits[split]) for split in SPLITS] == [SHAPES.images(split) for split in SPLITS]
    assert len(set(data.digests.values())) == len(SPLITS)
