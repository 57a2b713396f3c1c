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
