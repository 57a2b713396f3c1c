"""What `carinad doctor` says."""

from dataclasses import asdict
from typing import Any

import typer

from domain.hosts import CheckState, Host, HostReport
from domain.instance import Instance
from worker.home import Home
from worker.settings import Settings

_MARKS = {CheckState.OK: "ok      ", CheckState.DEGRADED: "degraded", CheckState.MISSING: "MISSING "}
_PROBE_INSTANCE = "zdoc"


class Examination:
    """A host's report, as it is printed."""

    def __init__(self, report: HostReport) -> None:
        self.report = report

    @property
    def fit(self) -> bool:
        """Whether nothing required is missing."""
        return self.report.fit

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {
            "fit": self.fit,
            "capabilities": sorted(self.report.capabilities),
            "mtu": self.report.mtu,
            "cgroup_version": self.report.cgroup_version,
            "address": self.report.address,
            "total": asdict(self.report.total),
            "free": asdict(self.report.free),
            "checks": [asdict(check) for check in self.report.checks],
        }


async def examine(settings: Settings) -> Examination:
    """Measure this machine. Changes nothing that lasts, and makes no home where there is none."""
    from drivers.shell import shell_of  # noqa: PLC0415 - drivers take a while to import
    from worker.wiring import hosts_driver  # noqa: PLC0415

    identity = Home(settings.home).identity() if (settings.home / "instance.json").exists() else None
    instance = identity.instance if identity else Instance(_PROBE_INSTANCE)
    host = Host(id="", name="local", address="local", root=str(settings.home / "host"))
    return Examination(await hosts_driver(settings, instance, shell_of).measure(host))


def print_report(examination: Examination) -> None:
    """Print a line a check, with what it means and what mends it where it is not well."""
    for check in examination.report.checks:
        typer.echo(f"{_MARKS[check.state]}  {check.name}: {check.detail}")
        if check.state is not CheckState.OK:
            if check.meaning:
                typer.echo(f"          {check.meaning}")
            if check.remedy:
                typer.echo(f"          -> {check.remedy}")
    missing = len(examination.report.missing)
    typer.echo(
        "This machine can be a host." if not missing else f"This machine can't be a host yet: {missing} missing."
    )
