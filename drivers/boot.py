"""What brings a host back after a reboot by itself: a script, the state beside it, and a unit of systemd that runs it.

The script needs nothing of Carina but what stands in `root/state`: it mounts the storage pool, makes the clusters'
networks anew and starts all nodes, and it may be run at any time. It runs once at boot; nothing stays running. Hosts
without systemd are prepared anew once the service sees that they came back without what they carried.
"""

import shlex

from domain.hosts import Host
from domain.instance import Instance
from drivers.fabric import fabric_script
from drivers.image_recipe import part
from drivers.shell import Shell

_TIMEOUT_S = 60.0
_BRING_UP_TIMEOUT_S = 600.0
_STOP_TIMEOUT_S = 60

_SCOPE = "root=$1 prefix=$2\n"

_UNIT = """\
[Unit]
Description=Nodes of Carina {prefix}: storage, networks, containers
ConditionPathExists={script}
RequiresMountsFor={root} {root}/pool
Wants=network-online.target
After=network-online.target local-fs.target systemd-sysctl.service systemd-modules-load.service lxcfs.service
# These set the firewall up, and some flush it first.
After=nftables.service netfilter-persistent.service ufw.service firewalld.service docker.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/bash {script} start
ExecStop=/bin/bash {script} stop
TimeoutStartSec={start_s}
TimeoutStopSec={stop_s}
# Nodes have control groups of their own; whatever else this started may not end them.
KillMode=process

[Install]
WantedBy=multi-user.target
"""


async def ensure_boot(shell: Shell, instance: Instance, host: Host) -> list[str]:
    """Keep on the host what brings it back after a reboot, and return the paths of what was not there like that yet.

    The storage pool has to be mounted. On a host that runs systemd there is a unit, enabled and active: it also stops
    nodes cleanly when the host goes down. Raises `CommandFailed`.
    """
    result = await shell.run(
        fabric_script("boot_ensure", _SCOPE),
        args=(host.root, instance.prefix, unit_name(instance), unit_text(instance, host).rstrip("\n")),
        stdin=boot_script(instance, host).encode(),
        timeout_s=_TIMEOUT_S,
        what="Keeping what brings the host back after a reboot",
    )
    return result.text.splitlines()


async def remove_boot(shell: Shell, instance: Instance, host: Host) -> None:
    """Remove what `ensure_boot` made. Nodes that run go on; nothing there is no error. Raises `CommandFailed`."""
    await shell.run(
        fabric_script("boot_remove", _SCOPE),
        args=(host.root, instance.prefix, unit_name(instance)),
        timeout_s=_TIMEOUT_S,
        what="Removing what brings the host back after a reboot",
    )


def boot_script(instance: Instance, host: Host) -> str:
    """Return the script that is run at boot."""
    scope = f"root={shlex.quote(host.root)} prefix={shlex.quote(instance.prefix)}\n"
    return fabric_script("boot", scope + part("pool_kept"))


def unit_name(instance: Instance) -> str:
    """Return the name of the instance's unit."""
    return f"carina-{instance.prefix}.service"


def unit_text(instance: Instance, host: Host) -> str:
    """Return the unit that runs the script at boot; see systemd.unit(5) and systemd.service(5)."""
    root = host.root.replace("%", "%%")
    return _UNIT.format(
        prefix=instance.prefix,
        root=root,
        script=f"{root}/state/boot.sh",
        start_s=round(_BRING_UP_TIMEOUT_S),
        stop_s=_STOP_TIMEOUT_S,
    )
