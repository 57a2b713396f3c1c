"""The `carinad release` commands: which versions of Kubernetes clusters can be made of, on this machine."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from drivers.releases import Releases
from worker.logs import configure_logs
from worker.settings import Settings

release = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

HomeOption = Annotated[Path | None, typer.Option("--home", help="The instance's home (CARINA_HOME).")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="What it is a release of: kubernetes.")]
VersionArgument = Annotated[str, typer.Argument(metavar="VERSION", help="Its version, such as 1.35.4.")]
_SHOWN_OF_DIGEST = 12
_MEGABYTE = 1_000_000


@release.command()
def add(
    name: NameArgument,
    version: VersionArgument,
    given: Annotated[
        Path | None,
        typer.Option("--from", metavar="PATH", help="The official server archive, or a directory with the binaries."),
    ] = None,
    build: Annotated[
        bool, typer.Option("--build", help="Build it from the Go modules, whatever else there is.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Add a release: from PATH, else from the official archive, else built from Go modules with pinned sums."""
    from drivers.release_sources import ReleaseSources  # noqa: PLC0415 - it brings in an HTTP client

    if given is not None and build:
        raise typer.BadParameter("give either --from or --build")
    settings = _settings(home)
    sources = ReleaseSources(_releases(settings), settings.cache, settings.release_archives, _tell)
    added = sources.add(name, version, given=given, build=build)
    typer.echo(f"{added.name} {added.version} is there: {added.path} ({added.digest[:_SHOWN_OF_DIGEST]})")


@release.command()
def ls(
    home: HomeOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the list as JSON, with every file and its source.")
    ] = False,
) -> None:
    """List the releases that are there."""
    releases = _releases(_settings(home))
    manifests = [(found, releases.manifest(found)) for found in releases.all()]
    if as_json:
        shown = [asdict(found) | asdict(manifest) | {"path": str(found.path)} for found, manifest in manifests]
        typer.echo(json.dumps(shown, indent=2))
        return
    _row("NAME", "VERSION", "DIGEST", "FILES", "SIZE", "PATH")
    for found, manifest in manifests:
        size = sum(fact.size_bytes for fact in manifest.files.values())
        digest = found.digest[:_SHOWN_OF_DIGEST]
        _row(found.name, found.version, digest, len(manifest.files), f"{size // _MEGABYTE} MB", found.path)


@release.command()
def rm(name: NameArgument, version: VersionArgument, home: HomeOption = None) -> None:
    """Remove a release. Clusters that were made of it, and node images, stay."""
    _releases(_settings(home)).remove(name, version)
    typer.echo(f"{name} {version} is removed.")


@release.command()
def verify(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="What it is a release of.")] = None,
    version: Annotated[str | None, typer.Argument(metavar="VERSION", help="Its version.")] = None,
    home: HomeOption = None,
) -> None:
    """Hash the files of a release, or of all releases, and say which are not as they were added."""
    if name is not None and version is None:
        raise typer.BadParameter("give a version too, or nothing to verify all releases")
    found = _releases(_settings(home)).verify(name, version)
    for label, wrong in found.items():
        typer.echo(f"{label}: {'damaged' if wrong else 'ok'}")
        for line in wrong:
            typer.echo(f"  {line}")
        if wrong:
            typer.echo(f"  Mend it: carinad release rm {label} && carinad release add {label}")
    raise typer.Exit(1 if any(found.values()) else 0)


def _settings(home: Path | None) -> Settings:
    settings = Settings() if home is None else Settings(home=home)
    configure_logs("warning")  # what is done is told in words
    return settings


def _releases(settings: Settings) -> Releases:
    return Releases(settings.home / "releases")


def _row(*cells: object) -> None:
    widths = (12, 10, 14, 7, 10, 0)
    typer.echo("".join(str(cell).ljust(width) for cell, width in zip(cells, widths, strict=True)))


def _tell(line: str) -> None:
    typer.echo(line, err=True)
