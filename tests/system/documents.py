"""The code blocks of the documents, and how each command in them is tested.

A command that is missing here fails `test_docs.py`; so does an entry that no document has any more. To add a command,
copy it from the document (without its comment, with continued lines joined by one space) into COMMANDS, with one of

`AS_IS`                      run the command unchanged
`Instead("...")`             run this instead: the same command, smaller, or with a check of its result
`Elsewhere("...", "file", "text")`  this target or test runs it; `file` must contain `text`
`NotRun("...")`              nothing runs it, for this reason
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.convnn.data.shards import REAL

ROOT = Path(__file__).parents[2]
SHELL = ("", "sh", "bash", "shell", "console")
CLUSTERS = "tests/faults/ray_cluster.py"


@dataclass(frozen=True)
class Instead:
    """Run this instead."""

    command: str


@dataclass(frozen=True)
class Elsewhere:
    """Not run here: `by` runs it, with what `file` contains."""

    by: str
    file: str
    text: str


@dataclass(frozen=True)
class NotRun:
    """No test runs it, so a mistake in it would not be found."""

    why: str


AS_IS = "as it is"
How = str | Instead | Elsewhere | NotRun


def _compose(text: str) -> Elsewhere:
    return Elsewhere("make docker-test", "tests/docker/containers.py", text)


def _cluster(text: str, file: str = "tests/system/test_cluster.py") -> Elsewhere:
    return Elsewhere("make test-system", file, text)


def _compared(text: str) -> Elsewhere:
    return Elsewhere("make test", "tests/tune_jobs/cli/test_compare.py", text)


def _exported(text: str) -> Elsewhere:
    return Elsewhere("make test", "tests/tune_jobs/cli/test_export.py", text)


def _notified(text: str) -> Elsewhere:
    return Elsewhere("make test", "tests/tune_jobs/cli/shared/test_notifying.py", text)


def _slurm(text: str) -> Elsewhere:
    return Elsewhere("make test-system", "tests/system/test_slurm.py", text)


FEW = "--set search.trials=1 --set space.data.limit=200"
SMALLER = f"{FEW} --set space.training.epochs=2 --set stopping.grace_epochs=1"

_REGISTRY = NotRun("it needs an image registry")
_KUBERNETES = NotRun("it needs Kubernetes with KubeRay; tests/docker/test_rayjob.py checks the manifest's fields")

ENOUGH = "convnn simulate --where model.name=vit_tiny --where data.name=cifar10 --epochs 100 --budgets 86"

CIFAR10 = f"""\
export CONVNN_DATA_ROOT=${{CONVNN_DATA_ROOT:-{REAL if REAL.exists() else "$PWD/noise"}}}
test -e "$CONVNN_DATA_ROOT" || python -c "from tests.convnn.data.shards import write_noise; write_noise('noise')"
"""
"""CIFAR-10 where CONVNN_DATA_ROOT names it or where it is beside the checkout; otherwise noise in its form."""

COMMANDS: dict[str, How] = {
    "make quickstart": Instead(f"sed 's/run quickstart/& {SMALLER}/' Makefile | make --file=- quickstart"),
    "make test": Elsewhere("CI", ".ci/run", "make test\n"),
    ". .venv/bin/activate": AS_IS,
    "convnn init mine.yaml": Instead("convnn init mine.yaml --model vgg --data digits --vary mix --gpu 0"),
    "convnn validate mine.yaml": AS_IS,
    "convnn plan mine.yaml --measure": Instead(  # one model to measure instead of three
        "convnn plan mine.yaml --measure --set space.model.layer.lambda=0.5 --set space.model.layer.k=4"
    ),
    "convnn run mine.yaml": Instead(f"convnn run mine.yaml {FEW} --set space.training.epochs=1"),
    "convnn show mine": AS_IS,
    "convnn report mine": AS_IS,
    "convnn best mine --yaml": AS_IS,
    "make install": AS_IS,
    "pip install --no-build-isolation -e examples/resnet": Instead(". tests/system/own_environment.sh examples/resnet"),
    "convnn check-plugin resnet": AS_IS,
    "python examples/resnet/draw_shapes.py ~/data/shapes": AS_IS,
    "convnn check-plugin shapes --data ~/data/shapes": AS_IS,
    "convnn validate examples/resnet/shapes.yaml": AS_IS,
    "convnn plan examples/resnet/shapes.yaml": AS_IS,
    "convnn run examples/resnet/shapes.yaml": Instead(
        "convnn run examples/resnet/shapes.yaml --set search.sampler=random --set search.trials=3 "
        "--set space.training.epochs=1"
    ),
    "convnn show resnet-shapes": Instead("convnn show resnet-shapes | grep 'stage1.lambda.*stage3.lambda'"),
    "convnn report resnet-shapes": Instead('grep "stage1.lambda" "$(convnn report resnet-shapes)" > found.txt'),
    "convnn validate examples/resnet/lambda_by_stage.yaml": AS_IS,
    "convnn run examples/resnet/lambda_by_stage.yaml --smoke": Instead(
        f"{CIFAR10}convnn run examples/resnet/lambda_by_stage.yaml --smoke"
    ),
    "convnn resume resnet-shapes": Instead(
        "echo '# changed' >> examples/resnet/convnn_resnet/model.py; ! convnn resume resnet-shapes 2> refused.txt; "
        "grep 'convnn-resnet 1.0: changed convnn_resnet/model.py' refused.txt"
    ),
    "convnn resume resnet-shapes --accept-code": AS_IS,
    "python -m convnn_resnet.images ~/data/shapes": Instead(
        "python -m convnn_resnet.images ~/data/shapes | grep --quiet 'train_images=240'"
    ),
    "pip install -e my-kinds": Elsewhere("make test", "tests/installing.py", '"-m", "pip", "install"'),
    "convnn check-plugin grouped": Elsewhere(
        "make test", "tests/tune_jobs/conformance/test_plugin.py", 'invoke("check-plugin", "stripes"'
    ),
    "convnn resume mine --accept-code": Elsewhere(
        "make test", "tests/tune_jobs/driver/test_plugins.py", "open_ledger(folder, spec, accept_code=True)"
    ),
    "convnn show quickstart": AS_IS,
    "convnn show quickstart 1": AS_IS,
    "convnn report quickstart --csv": AS_IS,
    "convnn simulate figure5-cifar10": Instead("convnn simulate figure5-cifar10 --repeats 2"),
    "convnn simulate --where model.name=vit_tiny --where data.name=cifar100 --epochs 100 --repeats 50": Instead(
        "convnn simulate --where model.name=vit_tiny --where data.name=cifar100 --epochs 100 --repeats 2"
    ),
    'convnn validate vit-convnn --set "stopping={kind: asha, grace_epochs: 10, reduction_factor: 3}"': AS_IS,
    f"{ENOUGH} --rules none+enough:1/0.8": Instead(f"{ENOUGH} --repeats 1 --rules none+enough:1/0.8"),
    "convnn resume SWEEP --set stopping.enough=null": Elsewhere(
        "make test", "tests/tune_jobs/driver/test_enough.py", 'alter("stopping.enough=null")'
    ),
    "convnn simulate quickstart --from quickstart --budgets 2,4": Elsewhere(
        "make test", "tests/tune_jobs/cli/shared/test_outputs.py", '["simulate", "--from"'
    ),
    "convnn replay quickstart 1": Elsewhere(
        "make test", "tests/tune_jobs/evidence/test_replay.py", "run(original, trial)"
    ),
    "convnn replay hybrid 3 --epochs 5": Elsewhere(
        "make test", "tests/tune_jobs/evidence/test_replay.py", 'run(folder, 1, "--epochs", 1)'
    ),
    "convnn replay hybrid 3 --from-checkpoint": Elsewhere(
        "make test", "tests/tune_jobs/evidence/test_replay.py", 'run(original, trial, "--from-checkpoint")'
    ),
    "convnn plan table1-cifar10 --resolve 0.5": AS_IS,
    "export CONVNN_NOTIFY=https://hooks.example/services/1234": _notified('"CONVNN_NOTIFY", f" {hook.address}'),
    "convnn run study.yaml": _notified('"CONVNN_NOTIFY", f" {hook.address}'),
    "convnn run study.yaml --notify \"sh -c 'mail -s sweep me@lab.example'\"": _notified('"--notify", hook.address'),
    "convnn resume quickstart --set tracking.tensorboard=true": Elsewhere(
        "make test", "tests/tune_jobs/cli/test_sync.py", '"tracking.tensorboard=true"'
    ),
    "tensorboard --logdir ~/convnn-sweeps/quickstart/tensorboard": Elsewhere(
        "make test-system", "tests/system/test_tensorboard.py", "tensorboard.main"
    ),
    "convnn export quickstart --csv trials.csv": _exported('f"--{kind}"'),
    "convnn export quickstart --parquet trials.parquet": _exported('f"--{kind}"'),
    "convnn export quickstart --parquet epochs.parquet --epochs": _exported('("--epochs",)'),
    "convnn export quickstart --optuna quickstart.log": _exported('"--optuna"'),
    "optuna-dashboard quickstart.log": Elsewhere(
        "make test-system", "tests/system/test_optuna_dashboard.py", "optuna_dashboard._cli"
    ),
    "convnn export quickstart champion model.pt": Elsewhere(
        "make test", "tests/tune_jobs/evidence/test_champion.py", '"export", searched.name, "champion"'
    ),
    "convnn confirm quickstart": Elsewhere(
        "make test-system", "tests/system/test_confirm.py", '"confirm", "searched", "--margin"'
    ),
    "convnn confirm mine --top 2": Elsewhere(
        "make test-system", "tests/system/test_confirm.py", '"confirm", "searched", "--margin"'
    ),
    ".venv/bin/pytest tests/convnn/test_golden.py tests/convnn/test_attention.py": Elsewhere(
        "make test", "Makefile", "$(BIN)/pytest --numprocesses 3"
    ),
    ".venv/bin/python -m benchmarks.tables": Elsewhere(
        "make test", "tests/convnn/test_cost.py", "from benchmarks.tables import cells"
    ),
    "convnn run table1-cifar10 --set name=two-epochs --set space.training.epochs=2 --set search.repeats=3": NotRun(
        "it takes hours here"
    ),
    "convnn compare two-epochs": _compared('invoke("compare", "whole", storage'),
    "convnn run table1-cifar100 --set search.repeats=3": NotRun("it takes days here"),
    "convnn compare table1-cifar100 --log": _compared('invoke("compare", "logged", "--log"'),
    "convnn compare table1-cifar10": _compared('invoke("compare", "whole", storage'),
    "convnn compare table1-cifar10 --html comparison.html --csv comparison.csv": _compared('"--html", page, "--csv"'),
    "convnn compare table1-cifar10 --log": _compared('invoke("compare", "logged", "--log"'),
    "convnn compare fp32 bf16": _compared('invoke("compare", "whole", "seven"'),
    "export RAY_AUTH_MODE=token CONVNN_STORAGE=/shared/sweeps": AS_IS,
    "ray get-auth-token --generate": Instead(
        'token=$(ray get-auth-token --generate); test ${#token} -ge 32; test "$token" = "$(cat ~/.ray/auth_token)"'
    ),
    "ray start --head --dashboard-host=0.0.0.0": _cluster('"--head"', CLUSTERS),
    "ray start --address=head:6379": _cluster('f"--address={self.address}"', CLUSTERS),
    "convnn doctor hybrid.yaml": _cluster('laptop("doctor"', "tests/system/test_doctor.py"),
    "convnn submit hybrid.yaml": _cluster('laptop.start("submit"'),
    "convnn status hybrid --watch": _cluster('"status", "first", "--watch"'),
    "convnn logs -f hybrid": _cluster('laptop("logs", "-f"'),
    "convnn logs hybrid 3": _cluster('("logs", "first", trial["trial"])'),
    "convnn list": _cluster('("list", "--json")'),
    "convnn show hybrid": _cluster('laptop.json("show"'),
    "convnn best hybrid --yaml": _cluster('("best", "first", "--yaml")'),
    "convnn report hybrid": _cluster('laptop("report"'),
    "convnn stop hybrid": _cluster('laptop("stop"'),
    "convnn resume hybrid --set budget.gpu_hours=48": _cluster('laptop("resume", "first", "--set"'),
    "convnn retry hybrid --failed": _cluster('"retry", "more", "--failed"', "tests/system/test_cluster_submission.py"),
    "convnn extend hybrid --trials +20": _cluster(
        '"extend", "more", "--trials"', "tests/system/test_cluster_submission.py"
    ),
    'convnn exclude hybrid 3 --why "wrong images"': _cluster('laptop("exclude", "first", 2, "--why"'),
    "convnn fetch hybrid": _cluster('laptop("fetch"'),
    "export CONVNN_STORAGE=/shared/sweeps": _slurm("self.storage"),
    "sbatch hybrid.sh": _slurm("job.submit()"),
    "convnn status hybrid": _slurm('"status"'),
    "convnn logs hybrid 1": _slurm('"logs"'),
    "mkdir -p ~/convnn-sweeps ~/data": AS_IS,
    "make image": _compose('make("image"'),
    "make up WORKERS=4": _compose('make("up", WORKERS='),
    "make down": _compose('make("down"'),
    "make down DOWN_FLAGS=--volumes": _compose('make("down", DOWN_FLAGS="--volumes"'),
    "convnn submit quickstart --address http://127.0.0.1:8265": _compose('"submit"'),
    "convnn status hybrid-cifar10 --address http://127.0.0.1:8265": _KUBERNETES,
}
"""By command, as it is in a document."""

PREFIXES: dict[str, How] = {
    "make image DOCKER_BUILD_FLAGS=": _compose("DOCKER_BUILD_FLAGS"),
    "docker run --rm ": _compose('docker("run", "--rm"'),
    "docker compose --file docker/compose.yaml exec head convnn ": _compose('"exec", "-T", "head", "convnn"'),
    "export RAY_AUTH_MODE=token": _compose("RAY_AUTH_TOKEN_PATH"),
    "export CONVNN_ADDRESS=": _cluster("CONVNN_ADDRESS", "tests/system/clusters.py"),
    "export RAY_AUTH_TOKEN=$(kubectl ": _KUBERNETES,
    "docker tag ": _REGISTRY,
    "docker push ": _REGISTRY,
    "docker image inspect ": _REGISTRY,
    "kubectl ": _KUBERNETES,
    "cluster=$(kubectl ": _KUBERNETES,
}
"""By the beginning of a command, if all such commands are alike."""

PROGRAMS: dict[str, Elsewhere] = {
    "docs/how-to/python.md": Elsewhere("make test", "tests/tune_jobs/test_python_page.py", '"how-to" / "python.md"'),
}
"""By document, if another test runs all its Python blocks."""


@dataclass(frozen=True)
class Block:
    """One fenced block: the document, its first line, its language and its text."""

    document: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def documents() -> list[str]:
    """Return README.md and the pages in docs/; decision records have no commands."""
    pages = [page.relative_to(ROOT) for page in (ROOT / "docs").rglob("*.md") if page.parent.name != "adr"]
    return ["README.md", *sorted(map(str, pages))]


def blocks(document: str, *languages: str) -> list[Block]:
    """Return a document's blocks in these languages; all blocks if none is given."""
    found = re.finditer(r"^```(.*?)\n(.*?)^```$", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL)
    text = (ROOT / document).read_text()
    made = [Block(document, text[: m.start()].count("\n") + 1, m[1].strip(), m[2]) for m in found]
    return [block for block in made if not languages or block.language in languages]


def commands(block: Block) -> Iterator[str]:
    """Yield the commands of a block: continued lines joined, comments and prompts removed."""
    for line in re.sub(r"\s*\\\n\s*", " ", block.text).splitlines():
        command = re.sub(r"(^|\s+)#\s.*$", "", line.removeprefix("$ ")).strip()
        if command:
            yield command


def how(command: str) -> How | None:
    """Return how a command is tested, if it is listed."""
    if command in COMMANDS:
        return COMMANDS[command]
    return next((way for start, way in PREFIXES.items() if command.startswith(start)), None)


def script(block: Block) -> str:
    """Return the shell script for a block; empty if all its commands are run elsewhere."""
    lines = []
    for command in commands(block):
        way = how(command)
        if way == AS_IS:
            lines.append(command)
        elif isinstance(way, Instead):
            lines.append(way.command)
    return "\n".join(lines)
