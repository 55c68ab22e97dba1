"""SweepSpec: a space, and how to search it, judge it, stop it, run it and record it. Read from one YAML file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from yaml.nodes import MappingNode, Node, SequenceNode

from search_spaces import presets
from search_spaces.constraints import LONGEST_RULE, Constraint, read_constraints
from search_spaces.domains import Choice, IntRange, as_written
from search_spaces.feasibility import Obstacle
from search_spaces.nodes import Branches, Group, Leaf, SpaceNode, resolve
from search_spaces.reading.document import (
    Place,
    Problem,
    SpecError,
    compose,
    dumped,
    nearest,
    override,
    value_of,
    written,
)
from search_spaces.reading.reader import Reader
from search_spaces.space import Decided, Space
from search_spaces.trial import Config, Rule, Training, TrialConfig

Metric = Literal["val/accuracy", "val/loss", "test/accuracy", "test/loss"]


class Holdout(Config):
    """A stratified part of the training images decides; the test images are not opened."""

    protocol: Literal["holdout"] = "holdout"
    fraction: Annotated[float, Field(gt=0, lt=1, description="Share of the training images held out.")] = 0.1
    seed: Annotated[int, Field(ge=0, lt=2**31, description="Draws the held-out images, the same for every trial.")] = 0


class Paper(Config):
    """As published: train on all training images, test after every epoch, the last epoch counts."""

    protocol: Literal["paper"]


class Objective(Config):
    """What is searched for; by default the accuracy of the images that decide."""

    metric: Annotated[Metric | None, Field(description="null: val/accuracy, or test/accuracy with protocol paper.")] = (
        None
    )
    goal: Annotated[Literal["maximize", "minimize"] | None, Field(description="null: what suits the metric.")] = None


class Tpe(Config):
    """Optuna's tree-structured Parzen estimator: multivariate, and grouped by branch."""

    sampler: Literal["tpe"]
    trials: Annotated[int, Field(ge=1, le=1_000_000, description="Configurations to train.")]
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0


class RandomSearch(Config):
    """Independent draws."""

    sampler: Literal["random"]
    trials: Annotated[int, Field(ge=1, le=1_000_000, description="Configurations to train.")]
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0


class Grid(Config):
    """Every combination of a space of choices, in file order."""

    sampler: Literal["grid"] = "grid"


class Stopping(Config):
    """What every stopping rule has."""

    max_failed_fraction: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="The sweep ends when, of at least 5 ended trials, more than this share failed; diverged ones "
            "do not count as failed. 1: never.",
        ),
    ] = 0.5


class NoStopping(Stopping):
    """Every trial runs to its last epoch."""

    kind: Literal["none"] = "none"


class Asha(Stopping):
    """Asynchronous successive halving: at rungs of growing epochs only the best 1/reduction_factor go on."""

    kind: Literal["asha"]
    grace_epochs: Annotated[int, Field(ge=1, description="The first rung: no trial stops before.")] = 1
    reduction_factor: Annotated[int, Field(ge=2, le=100)] = 3


class Resources(Config):
    """What one trial gets."""

    gpus_per_trial: Annotated[
        float, Field(ge=0, le=1), Rule("a number, 0 to 1 (0.25 lets four trials share a GPU)")
    ] = 0.0
    gpu_mem_gb: Annotated[
        float | None,
        Field(gt=0, description="Memory of one GPU, in 10^9 bytes; what surely needs more than its share is not run."),
    ] = None
    cpus_per_trial: Annotated[int, Field(ge=1, le=1024, description="Also the trial's threads.")] = 1
    checkpoint_every_s: Annotated[
        float, Field(ge=0, description="Seconds between checkpoints, from which an interrupted trial goes on.")
    ] = 120.0
    max_concurrent: Annotated[
        int | None, Field(ge=1, description="Trials at a time, at most. null: as many as fit.")
    ] = None
    max_trial_hours: Annotated[
        float | None, Field(gt=0, description="Time limit of one trial, over all its attempts. null: none.")
    ] = None
    keep_best: Annotated[
        int, Field(ge=0, description="How many complete trials, the best, keep their last checkpoint.")
    ] = 1
    min_free_gb: Annotated[
        float, Field(ge=0, description="With less room in the sweep's folder, in 10^9 bytes, the sweep pauses.")
    ] = 1.0

    @property
    def trial_mem_gb(self) -> float | None:
        """A trial's share of the memory of its GPU, in 10^9 bytes; `None` where that is not limited."""
        return None if self.gpu_mem_gb is None else self.gpu_mem_gb * self.gpus_per_trial


class Budget(Config):
    """What a sweep may cost, over all its runs, failed attempts included. null: no limit."""

    gpu_hours: Annotated[
        float | None,
        Field(gt=0, description="GPUs held times hours, of all attempts; where resources.gpus_per_trial is above 0."),
    ] = None
    cpu_hours: Annotated[
        float | None,
        Field(gt=0, description="CPUs held times hours, of all attempts; where resources.gpus_per_trial is 0."),
    ] = None
    wall_hours: Annotated[float | None, Field(gt=0, description="Hours of all runs of the sweep together.")] = None
    trials: Annotated[
        int | None,
        Field(ge=1, description="Trials started; unlike at search.trials, the sweep is then unfinished."),
    ] = None


class Tracking(Config):
    """Where the MLflow runs go."""

    uri: Annotated[
        str | None,
        Field(min_length=1, description="null: MLFLOW_TRACKING_URI, else where it was, else a store in its folder."),
    ] = None
    experiment: Annotated[str | None, Field(min_length=1, max_length=500, description="null: the sweep's name.")] = None


class SweepFile(Config):
    """The whole file. Below `space`, any leaf may be a domain and any branch an any_of."""

    name: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"),
        Rule("a name of letters, digits, '.', '_' and '-', at most 100, the first a letter or digit"),
    ]
    space: TrialConfig
    constraints: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=LONGEST_RULE)], ...],
        Field(
            description="Rules that every trial satisfies: comparisons of numbers, fields (k, or model.layer.k) and "
            "+ - * / ( ), as in 4 <= k <= r. A rule about a field that a trial does not have holds."
        ),
    ] = ()
    evaluation: Annotated[Holdout | Paper, Field(discriminator="protocol")] = Holdout()
    objective: Objective = Objective()
    search: Annotated[Tpe | RandomSearch | Grid, Field(discriminator="sampler")] = Grid()
    stopping: Annotated[NoStopping | Asha, Field(discriminator="kind")] = NoStopping()
    resources: Resources = Resources()
    budget: Budget = Budget()
    tracking: Tracking = Tracking()


@dataclass(frozen=True)
class SweepSpec:
    """A file that was read and found right. `text` is the YAML as run, overrides included."""

    name: str
    space: Space
    evaluation: Holdout | Paper
    metric: Metric
    goal: Literal["maximize", "minimize"]
    search: Tpe | RandomSearch | Grid
    stopping: NoStopping | Asha
    resources: Resources
    budget: Budget
    tracking: Tracking
    text: str

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """The rules that every trial satisfies."""
        return self.space.constraints

    def obstacles(self, trial: TrialConfig) -> Iterator[Obstacle]:
        """Everything that keeps `trial` from being run in this sweep: the geometry, then the constraints it breaks.

        `trial` is one as resolved. The canonical form of a trial may differ from it in fields without effect.
        """
        return self.space.obstacles(trial)

    @property
    def experiment(self) -> str:
        """The experiment of MLflow that its runs are in."""
        return self.tracking.experiment or self.name

    def planned(self) -> int | None:
        """The trials that the search comes to; `None` where that is not known beforehand."""
        limits = [getattr(self.search, "trials", None), self.space.distinct()]
        return min((limit for limit in limits if limit is not None), default=None)

    def with_trials(self, trials: int) -> "SweepSpec":
        """The same search with another number of trials.

        Raises:
            ValueError: If it is a grid, which has the trials of its space.
            SpecError: If `trials` is out of range.
        """
        if isinstance(self.search, Grid):
            raise ValueError(  # noqa: TRY004 - of the right type, and of the wrong kind
                f"{self.name} is a grid, which has every trial of its space; give its fields more values under another "
                f"name, or search with sampler: tpe or random, which have a number of trials."
            )
        more = parse_sweep(self.text, overrides=[f"search.trials={trials}"])
        return replace(more, name=self.name, tracking=self.tracking)

    def identity(self) -> dict[str, Any]:
        """What must stay the same for results to belong to one sweep: flat, by path, without defaults of the space.

        It is the same however a file says it: key order (but of what a grid varies), spelling of numbers and defaults
        written out do not matter. Budget, resources, tracking, folders of images, `search.trials` and
        `stopping.max_failed_fraction` may change.
        """
        flat = dict(_said(self.space.root, "space"))
        if self.constraints:
            flat["constraints"] = sorted({rule.normal() for rule in self.constraints})
        domains = [leaf.path for leaf in self.space.domains()]
        if isinstance(self.search, Grid) and len(domains) > 1:
            flat["order of space"] = domains  # a grid goes on at the point whose number it has reached
        flat |= _settings("evaluation", self.evaluation)
        flat |= {"objective.metric": self.metric, "objective.goal": self.goal}
        flat |= _settings("search", self.search) | _settings("stopping", self.stopping)
        flat |= {"resources.gpus_per_trial above 0": self.resources.gpus_per_trial > 0}  # other numbers
        flat |= {"a trial's share of resources.gpu_mem_gb": self.resources.trial_mem_gb}  # other trials can run
        return {path: value for path, value in flat.items() if path not in _MAY_CHANGE}

    def describe(self) -> dict[str, Any]:
        """A summary for people and programs."""
        return {
            "name": self.name,
            "sampler": self.search.sampler,
            "trials": getattr(self.search, "trials", self.space.size()),
            "stopping": self.stopping.kind,
            "protocol": self.evaluation.protocol,
            "objective": {"metric": self.metric, "goal": self.goal},
            "domains": {leaf.path: describe_domain(leaf) for leaf in self.space.domains()},
            "constraints": [rule.text for rule in self.constraints],
            "points": self.space.size(),
        }


_MAY_CHANGE = ("search.trials", "stopping.max_failed_fraction")


def differences(before: SweepSpec, now: SweepSpec) -> list[str]:
    """What keeps two sweeps' results from belonging together, a line for each path: `search.seed: 0 -> 1`.

    What has its default in the space is `(not set)`.
    """
    old, new = before.identity(), now.identity()
    left, right = ({path: written(value) for path, value in tree.items()} for tree in (old, new))
    return [
        f"{path}: {left.get(path, _NOT_SET)} -> {right.get(path, _NOT_SET)}"
        for path in [*new, *(path for path in old if path not in new)]
        if path not in old or path not in new or old[path] != new[path]
    ]


_NOT_SET = "(not set)"


def _said(node: SpaceNode, path: str) -> Iterator[tuple[str, Any]]:
    """What a space says, by path, but for defaults and for where images lie."""
    if isinstance(node, Group):
        for name, child in node.fields.items():
            yield from _said(child, f"{path}.{name}")
    elif isinstance(node, Branches):
        yield path, {"any_of": list(node.options)}
        for label, option in node.options.items():
            yield from _said(option, f"{path}[{label}]")
    elif isinstance(node, Leaf):
        yield path, as_written(node.domain)
    elif not node.is_default and not path.endswith(".root"):  # no other field has that name
        yield path, node.value


def _settings(name: str, settings: Config) -> dict[str, Any]:
    return {f"{name}.{field}": value for field, value in settings.model_dump().items()}


def describe_domain(leaf: Leaf) -> str:
    """A domain in a few words."""
    domain = leaf.domain
    if isinstance(domain, Choice):
        return "one of " + ", ".join(written(value) for value in domain.values)
    low, high = (domain.low, domain.high) if isinstance(domain, IntRange) else (f"{domain.low:g}", f"{domain.high:g}")
    step = f", in steps of {domain.step}" if isinstance(domain, IntRange) and domain.step > 1 else ""
    return f"{low} to {high}{step}" + (", logarithmic" if domain.log else "")


def load_sweep(file: str | Path, overrides: Sequence[str] = ()) -> SweepSpec:
    """Read a sweep from a file, or from the preset of that name.

    Args:
        file: Path of a YAML file, or a preset's name.
        overrides: `path=value` assignments, applied in order.

    Raises:
        SpecError: With every mistake, each with file, line and column.
        FileNotFoundError: If there is neither such a file nor such a preset.
        OSError: If the file cannot be read.
    """
    path = Path(file)
    if not path.is_file() and path.name == str(file) and not path.suffix:
        if str(file) in presets.names():
            path = presets.path(str(file))
        elif not path.exists():
            hint = nearest(str(file), presets.names())
            raise FileNotFoundError(f"{file} is neither a file nor a preset; {hint}")
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}; presets have bare names: {', '.join(presets.names())}.")
    if path.is_dir():
        raise FileNotFoundError(f"{path} is a folder; give the sweep's YAML file.")
    content = path.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].split(b"\n")
        place = Place(str(path), len(before), len(before[-1].decode("utf-8", "replace")) + 1)
        raise SpecError([Problem(place, "", "the file is not text in UTF-8; save it as UTF-8.")]) from error
    base = Path.cwd() if path.parent == presets.FOLDER else path.absolute().parent
    return parse_sweep(text.replace("\r\n", "\n"), str(path), overrides, base)


def parse_sweep(
    text: str, source: str = "sweep.yaml", overrides: Sequence[str] = (), base: Path | None = None
) -> SweepSpec:
    """Read a sweep from YAML text; see `load_sweep`.

    Relative folders of images are relative to `base`, in overrides to the current folder, which is `base` if `None`.
    """
    root = compose(text, source)
    moved = _anchor(root, _DATA_ROOT, base or Path.cwd())
    for assignment in overrides:
        override(root, assignment)
    moved |= _anchor(root, _DATA_ROOT, Path.cwd())
    reader = Reader()
    listed = next((value for key, value in root.value if key.value == "constraints"), None)
    constraints, mistakes = read_constraints(listed)
    fields = [(key, value) for key, value in root.value if key.value != "constraints"]
    tree = reader.read(SweepFile, MappingNode(root.tag, fields, root.start_mark, root.end_mark), varying="space")
    reader.problems += mistakes
    _check_geometry(reader)
    if listed is not None and not mistakes and "space" in reader.whole:
        reader.problems += _unsatisfied(Space(reader.whole["space"], constraints), listed)
    if isinstance(tree, Group):
        rest = {name: resolve(node, _NoChoice()) for name, node in tree.fields.items() if name != "space"}
        settings = SweepFile.model_validate(
            {**rest, "space": {"model": {"name": "vgg11", "layer": {"kind": "conv2d"}}}}
        )
        space = Space(tree.fields["space"], constraints, settings.resources.trial_mem_gb)
        spec = _assemble(settings, space, _as_run(root, overrides) if overrides or moved else text)
        for path, message in _contradictions(spec, settings.objective):
            reader.problems.append(Problem(reader.place(path), path, message))
        if not reader.problems:
            return spec
    raise SpecError(reader.problems)


_DATA_ROOT = ("space", "data", "root")


def _anchor(node: Node, names: tuple[str, ...], base: Path) -> bool:
    """Make the folders at a path absolute, so that they mean the same wherever trials run; whether any was not."""
    if isinstance(node, MappingNode):
        below = {names[0]: names[1:], "any_of": names} if names else {"choice": names}
        moved = [_anchor(value, below[key.value], base) for key, value in node.value if key.value in below]
        return any(moved)
    if isinstance(node, SequenceNode):
        moved = [_anchor(item, names, base) for item in node.value]
        return any(moved)
    folder = value_of(node)
    if names or not isinstance(folder, str) or folder[:1] in ("", "~", "$") or Path(folder).is_absolute():
        return False
    node.value = str(base / folder)
    return True


class _NoChoice:
    def choose(self, path: str, _domain: object) -> None:
        raise AssertionError(path)  # only space may vary


def _check_geometry(reader: Reader) -> None:
    """Add what the geometry says to the problems, also where the mistakes lie outside the model."""
    root = reader.whole.get("space")
    if root is None and "space.model" in reader.whole:
        root = Group({"model": reader.whole["space.model"]})
    for obstacle in Space(root).check() if root else ():
        default = "" if reader.stands(obstacle.path) else " The file does not set it; this is the default."
        reader.problems.append(Problem(reader.place(obstacle.path), obstacle.path, obstacle.message + default))


def _unsatisfied(space: Space, listed: Node) -> Iterator[Problem]:
    for obstacle in space.contradictions():
        number = obstacle.path.rpartition(".")[2]
        node = listed.value[int(number)] if number.isdecimal() else listed
        yield Problem(Place.of(node), obstacle.path, obstacle.message)


def _assemble(file: SweepFile, space: Space, text: str) -> SweepSpec:
    part = "val" if isinstance(file.evaluation, Holdout) else "test"
    metric: Any = file.objective.metric or f"{part}/accuracy"
    return SweepSpec(
        name=file.name,
        space=space,
        evaluation=file.evaluation,
        metric=metric,
        goal=file.objective.goal or ("maximize" if metric.endswith("accuracy") else "minimize"),
        search=file.search,
        stopping=file.stopping,
        resources=file.resources,
        budget=file.budget,
        tracking=file.tracking,
        text=text,
    )


def _contradictions(spec: SweepSpec, objective: Objective) -> list[tuple[str, str]]:
    """Fields that are right alone and wrong together."""
    found = []
    part = "val" if isinstance(spec.evaluation, Holdout) else "test"
    if not spec.metric.startswith(part):
        rule = f"must be {part}/accuracy or {part}/loss with protocol {spec.evaluation.protocol}, got {spec.metric}"
        other = "paper" if part == "val" else "holdout"
        found.append(("objective.metric", f"{rule}; change it, or set evaluation.protocol: {other}."))
    if objective.goal and (objective.goal == "maximize") != spec.metric.endswith("accuracy"):
        found.append(("objective.goal", f"must not be {objective.goal} for {spec.metric}; leave it out."))
    if isinstance(spec.search, Grid) and (continuous := spec.space.continuous()):
        found.extend(
            (path, "is a range, and a grid needs lists; write {choice: [...]}, or search with sampler: tpe or random.")
            for path in continuous
        )
    found += _memory_mistakes(spec)
    found += _budget_mistakes(spec)
    epochs = spec.space.values("training.epochs", Training().epochs)
    if isinstance(spec.stopping, Asha) and spec.stopping.grace_epochs >= max(epochs):
        rule = f"must be below the epochs ({max(epochs)}), or no trial can stop early"
        found.append(("stopping.grace_epochs", f"{rule}; got {spec.stopping.grace_epochs}; lower it, or train longer."))
    if "tf32" in spec.space.values("training.precision", Training().precision) and spec.resources.gpus_per_trial == 0:
        found.append(
            (
                "space.training.precision",
                "is tf32, which needs an NVIDIA GPU; set resources.gpus_per_trial, or use fp32 or bf16.",
            )
        )
    return found


def _memory_mistakes(spec: SweepSpec) -> Iterator[tuple[str, str]]:
    limit = spec.resources.gpu_mem_gb
    if limit is None:
        return
    if not spec.resources.gpus_per_trial:
        yield "resources.gpu_mem_gb", "goes with gpus_per_trial above 0, got 0; set it, or leave gpu_mem_gb out."
    elif spec.space.distinct() == 0:
        trials = (spec.space.resolve(Decided(point)) for point in spec.space.points())
        first = next(reason for trial in trials for reason in spec.obstacles(trial) if "gpu_mem_gb" in reason.message)
        yield "resources.gpu_mem_gb", f"leaves no trial: {first.path} {first.message}"


def _budget_mistakes(spec: SweepSpec) -> Iterator[tuple[str, str]]:
    gpus = spec.resources.gpus_per_trial
    if spec.budget.gpu_hours is not None and not gpus:
        rule = "goes with resources.gpus_per_trial above 0, got 0"
        yield "budget.gpu_hours", f"{rule}; use budget.cpu_hours, or set gpus_per_trial."
    if spec.budget.cpu_hours is not None and gpus:
        rule = f"goes with resources.gpus_per_trial 0, got {gpus:g}"
        yield "budget.cpu_hours", f"{rule}; use budget.gpu_hours."


def _as_run(root: MappingNode, overrides: Sequence[str]) -> str:
    head = "".join(f"# --set {' '.join(assignment.split())}\n" for assignment in overrides)
    return head + dumped(value_of(root))
