"""Taking a service down whose clusters have nodes on other hosts too."""

from pathlib import Path

import pytest

from domain.errors import HostInUse, Unavailable
from domain.host_input import AskedHost
from store.host_admin import HostAdmin
from worker import down
from worker.settings import Settings
from worker.wiring import open_service

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAMzgkVsZb1aKsJFfMEzMRSvfBLBPBFM7R5TeJm8f9N8"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home with a host `rack1`; what would be done to this machine is left out."""

    async def nothing(*_: object, **__: object) -> None:
        return None

    monkeypatch.setattr(down, "_clear_host", nothing)
    monkeypatch.setattr(down, "release_ports", lambda _: None)
    settings = Settings(home=tmp_path / "home")
    service = open_service(settings)
    asked = AskedHost(name="rack1", address="192.0.2.1", host_key=KEY)
    HostAdmin(service.engine).accept_add(asked, root="/var/lib/carina/abcd")
    service.engine.dispose()
    return settings


async def test_down_leaves_other_hosts_alone_and_says_so(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    await down.take_down(settings, purge=False, force=False)
    assert "nodes on rack1 (192.0.2.1) go on running." in capsys.readouterr().out
    assert settings.home.exists()


async def test_a_purge_that_would_forget_hosts_has_to_be_forced(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(HostInUse, match=r"rack1 \(192\.0\.2\.1\)"):
        await down.take_down(settings, purge=True, force=False)
    assert settings.home.exists()
    await down.take_down(settings, purge=True, force=True)
    assert "nobody's now" in capsys.readouterr().out
    assert not settings.home.exists()


async def test_a_purge_does_not_take_a_database_that_does_not_answer_for_one_without_hosts(settings: Settings) -> None:
    silent = settings.model_copy(update={"database_url": "postgresql+psycopg://nobody@127.0.0.1:1/none"})
    with pytest.raises(Unavailable, match="can't be asked for other hosts"):
        await down.take_down(silent, purge=True, force=False)
    await down.take_down(silent, purge=False, force=False)
    assert settings.home.exists()


async def test_a_purge_leaves_what_another_control_plane_has_on_this_machine(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    node = settings.home / "wxyz" / "pool" / "nodes" / "wxyz-web-1" / "stamp.json"
    node.parent.mkdir(parents=True)
    node.touch()
    (settings.home / "host" / "state").mkdir(parents=True)
    await down.take_down(settings, purge=True, force=True)
    assert f"Left {settings.home}/wxyz," in capsys.readouterr().out
    assert [path for path in settings.home.rglob("*") if path.is_file()] == [node]
    assert not (settings.home / "host").exists()


async def test_a_purge_leaves_what_is_mounted_in_the_home(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = settings.home / "host" / "pool"
    disk.mkdir(parents=True)
    (disk / "theirs").touch()
    monkeypatch.setattr(down, "_is_mounted", disk.is_relative_to)
    await down.take_down(settings, purge=True, force=True)
    assert (disk / "theirs").exists()
    assert not (settings.home / "instance.json").exists()


def test_mounts_are_known_by_the_place_of_a_mount_and_those_above_it() -> None:
    assert down._is_mounted(Path("/proc"))
    assert not down._is_mounted(Path("/proc/self/fd"))
