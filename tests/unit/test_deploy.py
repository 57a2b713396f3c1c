"""The composition and the units for production fit the code: settings, files, versions, values said twice."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from worker import temporal_server
from worker.settings import Settings
from workflows.names import SEARCH_ATTRIBUTES

ROOT = Path(__file__).parents[2]
SETTINGS = {f"CARINA_{name.upper()}" for name in Settings.model_fields}
SERVICES = {
    "postgres", "temporal-schema", "temporal", "temporal-namespace", "temporal-ui", "api", "worker",
}  # fmt: skip
PUBLIC_IMAGES = {"postgres", "temporalio/admin-tools", "temporalio/server", "temporalio/ui"}


@pytest.fixture(scope="module")
def composition() -> Mapping[str, Any]:
    found: Mapping[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def services(composition: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = composition["services"]
    return found


def instructions() -> Iterator[list[str]]:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if line and not line.startswith("#"):
            yield line.split()


def test_the_services_are_those_that_the_page_names(services: Mapping[str, Any]) -> None:
    assert set(services) == SERVICES
    page = (ROOT / "docs" / "how-to" / "production.md").read_text(encoding="utf-8")
    for name in SERVICES:
        assert f"`{name}`" in page


def test_images_are_pinned(services: Mapping[str, Any]) -> None:
    for name, service in services.items():
        image, _, tag = service["image"].partition(":")
        assert re.match(r"\d+\.\d+", tag), f"{name}: {service['image']}"
        assert image in PUBLIC_IMAGES or "build" in service
    for words in instructions():
        if words[0] == "FROM":
            assert words[1] in {"base", "build"} or re.search(r":\d+\.\d+", words[1]), words


def test_services_wait_for_services_that_are_there(services: Mapping[str, Any]) -> None:
    for service in services.values():
        for other, condition in service.get("depends_on", {}).items():
            wanted = condition["condition"]
            assert (wanted == "service_healthy") == ("healthcheck" in services[other])
            assert (wanted == "service_completed_successfully") == (services[other]["restart"] == "on-failure")


def test_settings_exist_and_hold_no_password(services: Mapping[str, Any]) -> None:
    for name in ("api", "worker"):
        environment = services[name]["environment"]
        assert set(environment) <= SETTINGS
        assert re.search(r"//carina@[^:]+:5432/carina\?passfile=", environment["CARINA_DATABASE_URL"])
    unit = (ROOT / "deploy" / "systemd" / "carina-worker.env").read_text(encoding="utf-8")
    assert set(re.findall(r"^(\w+)=", unit, re.MULTILINE)) <= SETTINGS


def test_only_the_worker_has_power_over_the_machine(services: Mapping[str, Any]) -> None:
    privileged = {name for name, service in services.items() if service.get("privileged")}
    assert privileged == {"worker"}
    assert services["worker"]["profiles"], "it does not start unasked"
    assert services["api"]["cap_drop"] == ["ALL"]
    assert services["api"]["read_only"] is True


def test_ports_are_open_to_the_machine_itself_only(services: Mapping[str, Any]) -> None:
    for service in services.values():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:")


def test_files_that_are_mounted_exist(composition: Mapping[str, Any], services: Mapping[str, Any]) -> None:
    prepare = (ROOT / "deploy" / "prepare.sh").read_text(encoding="utf-8")
    for service in services.values():
        for mount in service.get("volumes", ()):
            if isinstance(mount, str) and mount.startswith("./"):
                assert (ROOT / mount.split(":")[0]).is_file()
        for secret in service.get("secrets", ()):
            assert secret in composition["secrets"]
    for name, secret in composition["secrets"].items():
        assert secret["file"] == f"${{CARINA_HOME:-/var/lib/carina}}/passwords/{name}"
        assert f" {name}" in prepare


def test_what_the_images_copy_exists_and_is_sent() -> None:
    sent = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()}
    for words in instructions():
        if words[0] == "COPY" and not words[1].startswith("--from"):
            for source in words[1:-1]:
                assert (ROOT / source).exists()
                assert source in sent


def test_the_images_have_the_packages_of_a_host() -> None:
    from drivers.requirements import (  # noqa: PLC0415
        COMMANDS,
        COMMANDS_TO_BUILD,
        COMMANDS_WITH_APPARMOR,
        COMMANDS_WITH_MODULES,
    )

    tables = (COMMANDS, COMMANDS_TO_BUILD, COMMANDS_WITH_APPARMOR, COMMANDS_WITH_MODULES)
    needed = {package for table in tables for package in table.values()}
    install = next(words for words in instructions() if "apt-get" in words)
    assert needed <= set(install)


def test_values_said_twice_are_the_same() -> None:
    namespace = (ROOT / "deploy" / "temporal" / "namespace.sh").read_text(encoding="utf-8")
    assert f"for name in {' '.join(SEARCH_ATTRIBUTES)}; do" in namespace
    tuned = yaml.safe_load((ROOT / "deploy" / "temporal" / "dynamicconfig.yaml").read_text(encoding="utf-8"))
    assert {key: entries[0]["value"] for key, entries in tuned.items()} == {
        f"history.{queue}ProcessorMaxPollRPS": temporal_server._POLLS_PER_SECOND for queue in ("transfer", "timer")
    }
    versions = {
        re.search(r"^uv_version=(.*)$", (ROOT / "scripts" / name).read_text(encoding="utf-8"), re.MULTILINE)[1]  # type: ignore[index]
        for name in ("setup.sh", "install.sh")
    }
    assert len(versions) == 1
    api_user = next(words for words in instructions() if "useradd" in words)
    assert f"api_user={api_user[api_user.index('--uid') + 1]}" in (ROOT / "deploy" / "prepare.sh").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize("script", sorted(ROOT.glob("deploy/**/*.sh")), ids=lambda path: path.name)
def test_scripts_are_whole(script: Path) -> None:
    shell = script.read_text(encoding="utf-8").splitlines()[0].split("/")[-1].split()[-1]
    subprocess.run([shell, "-n", str(script)], check=True)
    assert script.stat().st_mode & 0o111
