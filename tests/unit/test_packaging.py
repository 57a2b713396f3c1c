"""What is built from the sources has all that it needs, and the client needs nothing of the service."""

import ast
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OFFLINE = "from hatchling.build import build_wheel; print(build_wheel({!r}))"


def build(project: Path, target: Path) -> zipfile.ZipFile:
    """Build a project's wheel with what is installed here: nothing is fetched."""
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE.format(str(target))], cwd=project, capture_output=True, text=True, check=True
    )
    return zipfile.ZipFile(target / done.stdout.split()[-1])


def test_the_services_wheel_has_every_file_of_its_packages(tmp_path: Path) -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = config["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    tracked = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", *packages],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    with build(ROOT, tmp_path) as wheel:
        missing = set(tracked) - set(wheel.namelist())
    assert not missing
    for needed in ("drivers/scripts/", "drivers/image_root/", "store/migrations/versions/"):
        assert any(name.startswith(needed) for name in tracked)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client's packages, unpacked from its wheel, and nothing else."""
    target = tmp_path_factory.mktemp("client")
    with build(ROOT / "cli", target) as wheel:
        wheel.extractall(target / "unpacked")
    return target / "unpacked"


def test_the_client_imports_nothing_but_what_it_declares(client: Path) -> None:
    declared = {
        "carina_cli",
        "httpx",
        "rich",
        "typer",
        "yaml",
        "click",
        "httpcore",
    }  # the last two are typer's and httpx's own
    for source in client.glob("carina_cli/**/*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            else:
                continue
            roots = {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names)
            assert roots <= declared, f"{source.name} imports {roots - declared}"


def test_the_client_runs_without_any_package_of_the_service(client: Path) -> None:
    hide = """
import sys
service = {"activities", "api", "domain", "drivers", "store", "worker", "workflows", "temporalio", "pydantic"}
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in service:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hidden())
from carina_cli.main import main
sys.argv = ["carina", "--help"]
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", hide],
        cwd=client,
        env={"PYTHONPATH": str(client)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Create, use and delete clusters" in done.stdout
