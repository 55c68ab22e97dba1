"""Properties of the compose file that can be checked without an engine; `make docker-test` checks the others."""

from typing import Any

import pytest
import yaml

from tests.docker.engine import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
RAY = ["head", "worker", "gpu-worker"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_rights_that_it_does_not_need(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] == "${CONVNN_UID:-10001}:${CONVNN_GID:-10001}"
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert {"healthcheck", "restart"} <= service.keys()


def test_secrets_are_files_that_git_ignores() -> None:
    assert {secret["file"].partition("/")[0] for secret in COMPOSE["secrets"].values()} == {"${SECRETS:-secrets}"}
    assert "/docker/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", ())}
    assert used == COMPOSE["secrets"].keys()


def test_head_and_workers_mount_the_same_folders() -> None:
    volumes = [SERVICES[name]["volumes"] for name in RAY]
    assert volumes[0] == volumes[1] == volumes[2]
    shared = [volume for volume in volumes[0] if ":" in volume]
    assert {volume.rpartition(":")[2] for volume in shared} == {"/sweeps", "/data", "/cache"}


@pytest.mark.parametrize("name", RAY)
def test_the_logs_that_carry_answers_are_not_in_memory(name: str) -> None:
    assert "/tmp" in SERVICES[name]["volumes"]  # noqa: S108 - an anonymous volume of the container
    assert not any(place.startswith("/tmp") for place in SERVICES[name]["tmpfs"])  # noqa: S108


@pytest.mark.parametrize("name", RAY)
def test_ray_requires_a_token(name: str) -> None:
    environment = SERVICES[name]["environment"]
    assert environment["RAY_AUTH_MODE"] == "token"
    assert environment["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray_token"  # noqa: S105 - its path
    assert "ray_token" in SERVICES[name]["secrets"]


def test_mlflow_answers_to_the_name_of_its_service() -> None:
    hosts = next(word for word in SERVICES["mlflow"]["command"] if word.startswith("--allowed-hosts="))
    assert SERVICES["head"]["environment"]["MLFLOW_TRACKING_URI"].removeprefix("http://") in hosts.partition("=")[
        2
    ].split(",")


def test_only_mlflow_reaches_postgresql() -> None:
    assert SERVICES["postgres"]["networks"] == ["database"]
    assert COMPOSE["networks"]["database"] == {"internal": True}
    assert [name for name, service in SERVICES.items() if "database" in service.get("networks", ())] == [
        "postgres",
        "mlflow",
    ]
