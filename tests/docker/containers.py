"""The image and the compose file on a real Docker engine: `make docker-test`.

It needs an engine with BuildKit and compose v2, and 20 GB of disk. PostgreSQL is the image that POSTGRES_IMAGE names,
or a stand-in made of Debian's packages; DOCKER_BUILD_FLAGS are those of `make image`. Its containers, volumes and
networks are removed afterwards; the images stay.
"""

import contextlib
import json
import os
import shlex
import socket
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.docker.engine import GUARDED, ROOT, docker, inspect, make, run
from tests.tune_jobs.program import CONVNN, convnn_json
from tests.tune_jobs.servers import free_port
from tune_jobs.tracking.mlflow.inventory import PARENT_TAG

PROJECT = "convnn-docker-test"
IMAGE = PROJECT
POSTGRES = f"{PROJECT}-postgres"
SMALL = (  # one trial at a time, so that TPE's proposals are reproducible; of six trials, TPE proposes four
    *("--set", "resources.max_concurrent=1", "--set", "search.trials=6"),
    *("--set", "space.training.epochs=6", "--set", "stopping.grace_epochs=1"),
)
TINY = ("--set", "space.training.epochs=2", "--set", "stopping.grace_epochs=1")
DIFFERENT = ("at", "time", "started", "ended", "seconds", "epoch_s", "images_per_s", "host")
"""What differs between two runs of one sweep: times, and the name of the machine."""

AGAIN_S = 180


@pytest.fixture(scope="session")
def image() -> dict[str, Any]:
    """Build the image with `make image`; return the engine's description of it."""
    make("image", IMAGE=IMAGE)
    found: dict[str, Any] = inspect("image", IMAGE)
    print(f"\n{IMAGE}: {found['Size'] / 1e9:.2f} GB, {found['Id']}")
    return found


@dataclass(frozen=True)
class Cluster:
    """The running services of the compose file."""

    settings: Path
    secrets: Path
    sweeps: Path
    mlflow: str
    ray: str
    token: str

    def compose(self, *arguments: object, expect: int = 0) -> str:
        """Run a `docker compose` command on it."""
        options = ("--file", ROOT / "docker" / "compose.yaml", "--env-file", self.settings)
        return docker("compose", *options, *arguments, expect=expect)

    def convnn(self, *arguments: object) -> str:
        """Run a `convnn` command in the container of Ray's head."""
        return self.compose("exec", "-T", "head", "convnn", *arguments)

    def state(self, kind: str) -> list[dict[str, Any]]:
        """Return Ray's nodes or actors."""
        content = json.loads(answer(f"{self.ray}/api/v0/{kind}", token=self.token)[1])
        found: list[dict[str, Any]] = content["data"]["result"]["result"]
        return found

    def containers(self) -> dict[str, dict[str, Any]]:
        """Return the output of `docker inspect` for each container, by name."""
        return {name: inspect("container", name) for name in self.compose("ps", "--quiet").split()}


@pytest.fixture(scope="session")
def cluster(image: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Start everything as `make up` does: two workers, with separate ports, secrets and a folder for sweeps."""
    assert image
    if "POSTGRES_IMAGE" not in os.environ:
        build_postgres()
    place = tmp_path_factory.mktemp("compose")
    settings, secrets, sweeps = place / "settings.env", place / "secrets", place / "sweeps of ours"
    mlflow_port, ray_port = free_port(), free_port()
    ours = {"IMAGE": IMAGE, "SETTINGS": settings, "SECRETS": secrets, "COMPOSE_PROJECT_NAME": PROJECT}
    ours |= {
        "POSTGRES_IMAGE": os.environ.get("POSTGRES_IMAGE", POSTGRES),
        "CONVNN_SWEEPS": os.path.relpath(sweeps, ROOT),
    }
    try:
        make("up", WORKERS=2, MLFLOW_PORT=mlflow_port, RAY_PORT=ray_port, **ours)
        token = (secrets / "ray_token").read_text()
        mlflow, ray = (f"http://127.0.0.1:{port}" for port in (mlflow_port, ray_port))
        yield Cluster(settings, secrets, sweeps, mlflow, ray, token)
    finally:
        if settings.exists():
            print(docker("compose", "--project-name", PROJECT, "logs", "--no-color", "--tail", "20"))
            make("down", DOWN_FLAGS="--volumes", **ours)


def build_postgres() -> None:
    """Build a stand-in for PostgreSQL's image."""
    folder = ROOT / "tests" / "docker"
    flags = shlex.split(os.environ.get("DOCKER_BUILD_FLAGS", ""))
    docker("build", "--file", folder / "postgres.Dockerfile", "--tag", POSTGRES, *flags, folder)


@pytest.fixture
def sweeps() -> Iterator[str]:
    """A volume for the sweeps of one test."""
    name = f"{PROJECT}-sweeps"
    docker("volume", "create", name)
    yield name
    docker("volume", "rm", "--force", name)


def answer(url: str, body: object = None, token: str | None = None, host: str | None = None) -> tuple[int, bytes]:
    """Return the status and the content of an answer."""
    headers = {"Content-Type": "application/json"}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    headers |= {"Host": host} if host else {}
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=30) as found:  # noqa: S310
            return found.status, found.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def numbers(trial: Any) -> Any:
    """Return the part of a trial that must be equal: everything else."""
    if isinstance(trial, dict):
        return {key: numbers(value) for key, value in trial.items() if key not in DIFFERENT}
    return [numbers(value) for value in trial] if isinstance(trial, list) else trial


def test_the_image_is_labelled(image: dict[str, Any]) -> None:
    labels = image["Config"]["Labels"]
    revision = labels["org.opencontainers.image.revision"]
    run("git", "cat-file", "-e", f"{revision.removesuffix('-dirty')}^{{commit}}")
    assert labels["org.opencontainers.image.version"] == docker_python(
        "from importlib.metadata import version; print(version('convnn-sweeps'))"
    )
    assert f"CONVNN_IMAGE={IMAGE}:{revision}" in image["Config"]["Env"]


def docker_python(code: str, *options: str) -> str:
    """Return the output of a line of Python in the image."""
    return docker("run", "--rm", *GUARDED, *options, IMAGE, "python", "-c", code)


@pytest.mark.usefixtures("image")
def test_the_image_does_not_run_as_root() -> None:
    assert docker_python("import os; print(os.getuid(), os.getgid())") == "10001 10001"
    assert not docker(
        "run", "--rm", "--user", "0", IMAGE, "find", "/", "-xdev", "-perm", "/6000", "-type", "f", "-path", "/opt/*"
    )


@pytest.mark.usefixtures("image")
def test_any_user_may_run_it_on_a_read_only_root() -> None:
    code = "import getpass, pathlib; pathlib.Path('~/file').expanduser().touch(); print(getpass.getuser())"
    assert docker_python(code, "--user", "54321:54321") == "convnn"


@pytest.mark.usefixtures("image")
@pytest.mark.parametrize("program", [("convnn", "--help"), ("ray", "--version"), ("mlflow", "--version")])
def test_its_programs_can_be_run(program: tuple[str, str]) -> None:
    assert docker("run", "--rm", *GUARDED, "--network", "none", IMAGE, *program)


@pytest.mark.usefixtures("image")
def test_it_has_the_locked_packages_without_development_tools() -> None:
    code = 'from importlib.metadata import distributions as d; print(*(f"{x.name.lower()}=={x.version}" for x in d()))'
    inside = {line.replace("_", "-").replace(".", "-") for line in docker_python(code).split()}
    locked = {
        line.split(" ")[0].replace("_", "-").replace(".", "-")
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if "==" in line
    }
    plain = {line.partition("+")[0] for line in inside}  # a CPU build has a version like 2.15.0+cpu
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    itself = f"{ours['name']}=={ours['version']}".replace(".", "-")
    assert plain - locked == {itself}
    names = {line.partition("==")[0] for line in inside}
    assert {"torch", "ray", "mlflow", "psycopg2-binary"} <= names
    assert not names & {"pytest", "mypy", "ruff", "import-linter", "selenium", "hypothesis", "pip"}


@pytest.mark.usefixtures("image")
def test_no_build_secret_is_in_it() -> None:
    script = "ls /run/secrets /etc/pip.conf /root/.config/pip /root/.cache /opt/venv/pip.conf 2>/dev/null; true"
    assert not docker("run", "--rm", "--user", "0", IMAGE, "sh", "-c", script)
    assert "://" not in docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", IMAGE)


@pytest.mark.usefixtures("image")
def test_a_sweep_has_the_same_numbers_inside_and_outside(tmp_path: Path, sweeps: str) -> None:
    def inside(*arguments: str) -> Any:
        options = ("--hostname", "inside", "--env", "OMP_NUM_THREADS=1", "--volume", f"{sweeps}:/sweeps")
        return json.loads(docker("run", "--rm", *GUARDED, *options, IMAGE, "convnn", *arguments, "--json"))

    found = inside("run", "quickstart", *SMALL)
    run(CONVNN, "run", "quickstart", *SMALL, CONVNN_STORAGE=str(tmp_path))
    assert len(found["trials"]) == 6
    epochs = 0
    for row in found["trials"]:
        here = convnn_json("show", "quickstart", row["trial"], storage=tmp_path)
        there = inside("show", "quickstart", str(row["trial"]))
        assert numbers(there) == numbers(here)
        assert {attempt["host"] for attempt in there["attempts"]} == {"inside"}
        assert {attempt["host"] for attempt in here["attempts"]} == {socket.gethostname()}
        epochs += len(here["epoch_metrics"])
    print(f"\n{len(found['trials'])} trials, {epochs} epochs: every number is equal, bit for bit")


@pytest.mark.usefixtures("image")
def test_a_sweep_records_its_image(sweeps: str) -> None:
    command = ("run", "--rm", *GUARDED, "--volume", f"{sweeps}:/sweeps", "--env", "CONVNN_IMAGE_DIGEST=sha256:0", IMAGE)
    docker(*command, "convnn", "run", "quickstart", *TINY, "--set", "search.trials=1")
    start = json.loads(docker(*command, "cat", "/sweeps/quickstart/manifest.json"))["starts"][0]
    assert (
        start["image"]
        == next(e for e in inspect("image", IMAGE)["Config"]["Env"] if e.startswith("CONVNN_IMAGE=")).partition("=")[2]
    )
    assert start["image_digest"] == "sha256:0"


def test_services_are_confined(cluster: Cluster) -> None:
    containers = cluster.containers()
    assert len(containers) == 5  # PostgreSQL, MLflow, a head and two workers
    for found in containers.values():
        host = found["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert not host["Privileged"]
        assert found["Config"]["User"].partition(":")[0] not in ("", "0", "root")
        published = [port for ports in host["PortBindings"].values() for port in ports]
        assert all(port["HostIp"] == "127.0.0.1" for port in published)


def test_docker_inspect_shows_no_secret(cluster: Cluster) -> None:
    told = json.dumps(cluster.containers())
    for path in cluster.secrets.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.read_text().strip() not in told


def test_ray_accepts_jobs_only_with_the_token(cluster: Cluster) -> None:
    url = f"{cluster.ray}/api/jobs/"
    assert answer(url)[0] == 401
    assert answer(url, token="0" * 64)[0] == 403
    assert answer(url, token=cluster.token)[0] == 200


def test_mlflow_answers_only_to_its_names(cluster: Cluster) -> None:
    url, body = f"{cluster.mlflow}/api/2.0/mlflow/experiments/search", {"max_results": 1}
    for host in (None, "mlflow:5000", f"localhost:{cluster.mlflow.rpartition(':')[2]}"):
        assert answer(url, body, host=host)[0] == 200
    assert answer(url, body, host="elsewhere.example")[0] == 403


def test_workers_cannot_reach_postgresql(cluster: Cluster) -> None:
    code = "import socket; socket.create_connection(('postgres', 5432), timeout=3)"
    assert "gaierror" in cluster.compose(
        "exec", "-T", "worker", "python", "-c", f"try:\n {code}\nexcept OSError as e: print(type(e))"
    )


def test_a_submitted_sweep_is_in_mlflow(cluster: Cluster) -> None:
    sweep = ("quickstart", *TINY, "--set", "search.trials=6")
    token = str(cluster.secrets / "ray_token")
    print(run(CONVNN, "submit", *sweep, "--address", cluster.ray, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=token))
    found = json.loads(cluster.convnn("show", "quickstart", "--json"))
    assert len(found["trials"]) == 6
    assert all(row["state"] in ("complete", "stopped") for row in found["trials"])
    assert len({actor["node_id"] for actor in cluster.state("actors")}) >= 2  # both workers had some

    api = f"{cluster.mlflow}/api/2.0/mlflow"
    experiment = json.loads(answer(f"{api}/experiments/get-by-name?experiment_name=quickstart")[1])["experiment"]
    runs = json.loads(answer(f"{api}/runs/search", {"experiment_ids": [experiment["experiment_id"]]})[1])["runs"]
    tags = [{tag["key"]: tag["value"] for tag in run["data"]["tags"]} for run in runs]
    assert {tag["run_key"] for tag in tags} == {PARENT_TAG, *(row["run_key"] for row in found["trials"])}
    assert {tag["image_digest"] for tag in tags} == {inspect("image", IMAGE)["Id"]}

    parent = next(run for run, tag in zip(runs, tags, strict=True) if tag["run_key"] == PARENT_TAG)["info"]
    listed = json.loads(answer(f"{api}/artifacts/list?run_id={parent['run_id']}")[1])["files"]
    name = next(file["path"] for file in listed if not file["is_dir"])
    status, content = answer(f"{cluster.mlflow}/get-artifact?path={name}&run_uuid={parent['run_id']}")
    assert status == 200
    assert content


@pytest.mark.parametrize("service", ["head", "worker"])
def test_ray_s_logs_are_on_the_disk(cluster: Cluster, service: str) -> None:
    code = "print(*(line.split()[2] for line in open('/proc/mounts') if line.split()[1] == '/tmp'))"
    assert cluster.compose("exec", "-T", service, "python", "-c", code) not in ("", "tmpfs")
    assert cluster.compose("exec", "-T", service, "ls", "/tmp/ray/session_latest/logs")  # noqa: S108 - inside


def test_a_sweep_whose_drivers_container_was_removed_is_not_running(cluster: Cluster) -> None:
    long = ("quickstart", "--set", "name=cut", "--set", "space.training.epochs=5000", "--set", "search.trials=1")
    cluster.compose("exec", "--detach", "head", "convnn", "run", *long, "--address", "auto")
    sweep = cluster.sweeps / "cut"
    note = sweep / "driver.json"
    deadline = time.monotonic() + AGAIN_S
    while not any(sweep.glob("trials/*")):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert json.loads(note.read_text())["host"] == "head"
    assert json.loads(cluster.convnn("status", "cut", "--json"))["running"]
    cluster.compose("kill", "head")
    cluster.compose("up", "--detach", "--wait", "--no-deps", "--force-recreate", "head")
    assert note.exists()
    assert not json.loads(cluster.convnn("status", "cut", "--json"))["running"]


def test_a_restarted_head_finds_its_workers(cluster: Cluster) -> None:
    cluster.compose("restart", "head")
    deadline = time.monotonic() + AGAIN_S
    alive = 0
    while alive < 3 and time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError, KeyError):
            alive = sum(node["state"] == "ALIVE" for node in cluster.state("nodes"))
        time.sleep(1)
    assert alive == 3
