"""`convnn init`."""

import contextlib
import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from search_spaces.schema import EDITOR_LINE, FILE, json_schema
from tune_jobs.errors import UsageError
from tune_jobs.system.gpus import has_gpu
from tune_jobs.system.json_text import json_text

Kind = TypeVar("Kind", bound=StrEnum)


class Model(StrEnum):
    """The models of the paper."""

    vgg = "vgg"
    vit = "vit"


class Images(StrEnum):
    """The data sets."""

    digits = "digits"
    cifar10 = "cifar10"
    cifar100 = "cifar100"


class Vary(StrEnum):
    """What a sweep varies."""

    mix = "mix"
    neighbors = "neighbors"
    candidates = "candidates"


_VARIES = {
    Vary.mix: "the share of ConvNN (lambda), and k",
    Vary.neighbors: "k, similarity and aggregation",
    Vary.candidates: "which tokens are candidates for neighbors",
}
_MODELS = {Model.vgg: "VGG-11, a convolutional network", Model.vit: "ViT-Tiny, a transformer"}
_IMAGES = {
    Images.digits: "1,797 handwritten digits, already installed",
    Images.cifar10: "60,000 photos in 10 classes",
    Images.cifar100: "60,000 photos in 100 classes",
}

_LAYER = {
    (Model.vgg, Vary.mix): """\
    layer:
      kind: hybrid                          # a convolution and ConvNN, mixed
      lambda: {uniform: [0.1, 0.9]}         # the share of ConvNN
      k: {int: [3, 12]}                     # neighbors
      candidates: {kind: random, r: 64, when_too_few: all}   # 64 random tokens
""",
    (Model.vgg, Vary.neighbors): """\
    layer:
      kind: convnn                          # ConvNN alone; `hybrid` mixes it with a convolution
      k: {int: [3, 12]}                     # neighbors
      similarity: {choice: [cosine, euclidean]}
      aggregation: {choice: [standard, depthwise_separable]}
      candidates: {kind: random, r: 64, when_too_few: all}   # 64 random tokens
""",
    (Model.vgg, Vary.candidates): """\
    layer:
      kind: hybrid                          # a convolution and ConvNN, mixed
      lambda: 0.5                           # the share of ConvNN
      k: 9                                  # neighbors
      candidates:
        any_of:                             # each kind has its own fields
          - {kind: all}
          - {kind: random, r: {int: [16, 256], log: true}, when_too_few: all}
          - {kind: strided, stride: {choice: [2, 4]}, when_too_few: all}
""",
    (Model.vit, Vary.mix): """\
    attention:
      kind: hybrid                          # attention and ConvNN, mixed
      lambda: {uniform: [0.1, 0.9]}         # the share of ConvNN
      k: {int: [4, 32], log: true}          # neighbors
      aggregation: depthwise
""",
    (Model.vit, Vary.neighbors): """\
    attention:
      kind: convnn                          # ConvNN alone; `hybrid` mixes it with attention
      k: {int: [4, 32], log: true}          # neighbors
      similarity: {choice: [dot, cosine]}
      aggregation: {choice: [depthwise, standard]}
""",
    (Model.vit, Vary.candidates): """\
    attention:
      kind: convnn                          # ConvNN alone; `hybrid` mixes it with attention
      k: 9                                  # neighbors
      aggregation: depthwise
      candidates:
        any_of:                             # each kind has its own fields
          - {kind: all}
          - {kind: random, r: {int: [32, 160], log: true}}
          - {kind: strided, stride: {choice: [2, 3, 4]}}
""",
}


def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write, as in mine.yaml.")],
    model: Annotated[Model | None, typer.Option(help="The network.")] = None,
    data: Annotated[Images | None, typer.Option(help="The images.")] = None,
    vary: Annotated[Vary | None, typer.Option(help="What to vary.")] = None,
    *,
    gpu: Annotated[
        float | None, typer.Option(min=0, max=1, help="A trial's share of a GPU; 0 trains on the CPU.")
    ] = None,
) -> None:
    """Write a first sweep file with comments, after four questions. Example: convnn init mine.yaml."""
    if file.exists():
        raise UsageError(f"{file} already exists and is not overwritten; give another file.")
    if not sys.stdin.isatty() and None in (model, data, vary, gpu):
        choices = (
            f"--{name} ({', '.join(kind)})" for name, kind in (("model", Model), ("data", Images), ("vary", Vary))
        )
        raise UsageError(f"no terminal is available for questions; add {', '.join(choices)} and --gpu (0 to 1).")
    model = model or _asked("Which network?", Model, _MODELS)
    data = data or _asked("Which images?", Images, _IMAGES)
    vary = vary or _asked("What should vary?", Vary, _VARIES)
    gpu = _asked_gpu() if gpu is None else gpu
    text = _text(file, model, data, vary, gpu)
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(text)
    except FileExistsError:
        raise UsageError(f"{file} already exists and is not overwritten; give another file.") from None
    schema = file.with_name(FILE)
    with contextlib.suppress(FileExistsError), schema.open("x", encoding="utf-8") as new:
        new.write(f"{json_text(json_schema())}\n")
    print(f"Wrote {file}. Editors use {schema} to complete and check it. Next:")
    print(f"  convnn validate {file}\n  convnn plan {file}\n  convnn run {file} --smoke")


def _asked(question: str, kind: type[Kind], meanings: dict[Kind, str]) -> Kind:
    words = list(kind)
    print(question)
    for number, word in enumerate(words, 1):
        print(f"  {number}  {word}: {meanings[word]}")
    while True:
        answer = typer.prompt("Number", default="1").strip()
        for number, word in enumerate(words, 1):
            if answer in (str(number), word.value):
                return word
        print(f"Enter a number from 1 to {len(words)}.")


def _asked_gpu() -> float:
    usual = 0.25 if has_gpu() else 0.0
    share: float = typer.prompt("A trial's share of a GPU, 0 for the CPU", default=usual, type=float)
    if not 0 <= share <= 1:
        raise UsageError(f"a trial's share of a GPU must be 0 to 1, got {share:g}; start again.")
    return share


def _text(file: Path, model: Model, data: Images, vary: Vary, gpu: float) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]", "-", file.stem).lstrip("._-")[:100] or "sweep"
    small, epochs = data is Images.digits, 20 if data is Images.digits else 60
    narrow = ""
    if small and model is Model.vgg:
        narrow = (
            "    width: 0.125                            # share of the published channels\n    classifier_width: 128\n"
        )
    if small and model is Model.vit:
        narrow = "    depth: 2                                # instead of 12 blocks\n    mlp_width: 192\n"
    where = "" if small else "   # in CONVNN_DATA_ROOT or ~/data; downloaded if missing"
    return f"""\
# {_VARIES[vary][0].upper()}{_VARIES[vary][1:]}, in {_MODELS[model]}.
#
#   convnn validate {file}         report all mistakes
#   convnn plan {file}             show what it will do and cost
#   convnn run {file} --smoke      test it in minutes
#   convnn run {file}              run it, or resume it
#
# Any value below `space` may be fixed, or {{choice: [...]}}, {{int: [low, high]}}, {{uniform: [low, high]}} or
# {{log_uniform: [low, high]}}. Other fields have the values of the published runs; `convnn schema` describes them all.
{EDITOR_LINE}
name: {name}
space:
  data: {{name: {data.value}}}{where}
  model:
    name: {"vgg11" if model is Model.vgg else "vit_tiny"}
{narrow}{_LAYER[model, vary]}  training:
    lr: {{log_uniform: [1.0e-4, 3.0e-3]}}     # learning rate
    epochs: {epochs}
    batch_size: {32 if small else 256}
    schedule: cosine
    seed: 0                                 # {{choice: [0, 1, 2]}} shows the effect of chance
evaluation: {{protocol: holdout, fraction: 0.1}}   # a tenth of the training images; the test images are not used
search: {{sampler: tpe, trials: 24, seed: 0}}
stopping: {{kind: none}}                      # or auto, which stops trials early where that is safe
resources: {{gpus_per_trial: {gpu:g}, cpus_per_trial: {1 if gpu == 0 else 2}}}
# budget: {{wall_hours: 8}}                   # also gpu_hours, cpu_hours, trials
"""
