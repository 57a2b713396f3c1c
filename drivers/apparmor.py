"""The AppArmor profile of a node, as text in the language of apparmor.d(5). Pure.

A node is root in a user namespace of its own, so the kernel refuses it already what belongs to the host's root. The
profile is the second wall: it holds where the first has a hole. It is tighter than the one that LXC generates for
containers that nest others: a node has no policy namespace to load profiles of its own into, no capability that a node
has no use for, no address family but those of networks that it has, no file system of its own code (FUSE) and none
whose content outlives it, and takes signals and ptrace(2) from LXC and the host's administrator alone.

What has to be open is what Docker, containerd and runc do to start a container: mounts, namespaces, pivot_root(2),
control groups, and the sysctls of a container's own namespaces.
"""

from collections.abc import Collection, Iterator

NAME_PREFIX = "lxc-carina-"
"""How names of profiles begin. The profile that confines lxc-start itself lets it change only to such as begin lxc-."""

_CAPABILITIES = (
    # Of files and processes, as any distribution needs them.
    "chown dac_override dac_read_search fowner fsetid kill lease linux_immutable mknod setfcap setgid setpcap setuid",
    # Of networks: addresses, firewalls, low ports, ping.
    "net_admin net_bind_service net_broadcast net_raw",
    # Of containers: mounts and namespaces, limits, locked memory, tracing inside, priorities, ttys, and the reboot(2)
    # by which a node's own shutdown ends. bpf is for the device rules of containers on cgroup v2.
    "audit_write bpf ipc_lock ipc_owner sys_admin sys_boot sys_chroot sys_nice sys_ptrace sys_resource",
    "sys_tty_config",
)

_NEVER = (
    # Modules, I/O ports and clocks are the host's, and so are security policies and the log of the kernel.
    "mac_admin mac_override sys_module sys_rawio sys_time syslog wake_alarm block_suspend audit_control audit_read",
    # Counters, traces and accounts of the machine show what other nodes do.
    "perfmon checkpoint_restore sys_pacct",
)

_OWN_SYSCTLS = (
    # Each is of one network, IPC or UTS namespace (namespaces(7)); what they set is set for the node alone.
    "net/",
    "fs/mqueue/",
    "kernel/domainname",
    "kernel/hostname",
    "kernel/msg",
    "kernel/sem",
    "kernel/shm",
)

_OWN_SYSFS = (
    # Control groups, and the interfaces of its own network namespace.
    "class/net/",
    "devices/virtual/net/",
    "fs/cgroup/",
    # Not in sysfs at all: so the sysctls above are called when runc opens them by a /proc that is mounted nowhere.
    *_OWN_SYSCTLS,
)

_TEXT = """\
# Made by Carina for one node; written anew with the node, so changes here don't last.
# The language as of AppArmor 3.0: what later versions mediate besides is left as it was then.
abi <abi/3.0>,

# attach_disconnected: files outside every mount the node sees have a path, too, and rules hold for them.
# mediate_deleted: files that are deleted but open keep their path.
profile "{name}" flags=(attach_disconnected,mediate_deleted) {{

  # --- What a node may do at all; all else that AppArmor mediates is refused.

  # Its own files. They are those of its user namespace; what is closed nevertheless comes below.
  file,
{capabilities}
  # Networks of its own kinds: TCP/IP, sockets of the machine, routing and firewalls, raw frames.
  network unix,
  network inet,
  network inet6,
  network netlink,
  network packet,
  # Sockets with names, and D-Bus, where the kernel mediates them: among the node's own processes, and received ones.
  unix (receive),
  unix peer=(label="{name}"),
  dbus,
  # Containers are started by mounts, and end by them.
  mount,
  umount,
  pivot_root,
  # Signals and traces: among its own, and from the host's LXC and administrators.
  signal peer="{name}",
  signal (receive) peer=unconfined,
  signal (receive) peer={{,/usr/bin/}}lxc-{{attach,start,stop}},
  ptrace peer="{name}",
  ptrace (readby),
  ptrace (tracedby) peer=unconfined,
  ptrace (tracedby) peer={{,/usr/bin/}}lxc-{{attach,start,stop}},

  # --- What is refused whoever asks, and not logged.
{never}
  # File systems whose code or content is not the node's, by mount(2). The calls that came after it (fsopen(2),
  # move_mount(2)) tell AppArmor no type; what the kernel itself then lets a user namespace mount is that one's own.
  # FUSE, pinned BPF objects, interpreters for all of the machine,
  deny mount fstype={{fuse,fuse.*,fuseblk}},
  deny mount fstype=bpf,
  deny mount fstype=binfmt_misc,
  # the kernel's own insides,
  deny mount fstype={{configfs,debugfs,efivarfs,pstore,securityfs,tracefs}},
  # and disks, which the kernel would parse.
  deny mount fstype={{btrfs,exfat,ext[234],f2fs,iso9660,ntfs*,squashfs,udf,vfat,xfs}},
  # LXC keeps a /proc and a /sys in which nothing is covered, so that the kernel lets nodes mount more of them.
  deny /dev/.lxc/** rwklx,
  # What acts on the machine, wherever a node mounts a /proc, or on none.
  deny /{{**/,}}sysrq-trigger wklx,
  deny /{{**/,}}kcore wklx,
  deny /proc/{{acpi,asound,bus,irq,scsi}}/** wklx,
  deny /proc/mtrr wklx,
  # What tells of the machine's memory.
  deny /proc/{{kallsyms,kpagecgroup,kpagecount,kpageflags}} rwklx,
  # Memory and ports of the machine as files.
  deny /dev/{{mem,kmem,port}} rwklx,
  # What tells of, or acts on, the insides of the kernel and the firmware.
  deny /sys/kernel/{{debug,security,tracing}}/** rwklx,
  deny /sys/firmware/efi/{{,**}} rwklx,

  # --- /proc/sys is read, and written only where it is the node's own.
{sysctls}
  # --- /sys is read, and written only for control groups and interfaces.
{sysfs}}}
"""


def profile_name(container: str) -> str:
    """Return the name of the profile of a container."""
    return NAME_PREFIX + container


def profile_text(container: str) -> str:
    """Return the profile of a container: for apparmor_parser(8), version 3.0 or newer."""
    return _TEXT.format(
        name=profile_name(container),
        capabilities=_lines("capability", _CAPABILITIES),
        never=_lines("deny capability", _NEVER),
        sysctls=_only("/proc/sys/", _OWN_SYSCTLS),
        sysfs=_only("/sys/", _OWN_SYSFS),
    )


def _lines(rule: str, groups: Collection[str]) -> str:
    return "".join(f"  {rule} {group},\n" for group in groups)


def _only(base: str, open_: Collection[str]) -> str:
    """Return rules that refuse to write anything below `base` but what begins with one of `open_`."""
    return "".join(f"  deny {base}{pattern}*{{,/**}} wklx,\n" for pattern in _others("", open_))


def _others(beginning: str, open_: Collection[str]) -> Iterator[str]:
    """Yield patterns for all that goes on after `beginning` with a letter with which nothing in `open_` does.

    AppArmor has no "all but": a name that differs from all that are open does so at some letter, first of all there.
    """
    if beginning in open_:
        return
    letters = sorted({name[len(beginning)] for name in open_ if name.startswith(beginning)})
    yield f"{beginning}[^{''.join(letters)}]"
    for letter in letters:
        yield from _others(beginning + letter, open_)
