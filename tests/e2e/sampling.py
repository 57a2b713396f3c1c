"""What processes of an instance show of themselves on the machine: their command lines and environments."""

import json
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from installation import Installation
from machine import claim_file

PAUSE_S = 0.002
UIDS_PER_NODE = 65536


class ProcessSampler:
    """Samples, as fast as it can, the processes of an instance: the service, all that it starts, and its nodes'.

    Of the hosts of a rack all processes are sampled.
    """

    def __init__(self, installation: Installation) -> None:
        self._ancestors = {installation.service_pid(), *(host.init for host in installation.rack or ())}
        claim = json.loads(claim_file(installation).read_text())
        self._uids = range(claim["uid_first"], claim["uid_first"] + claim["uid_ranges"] * UIDS_PER_NODE)
        self._own = {os.getpid(), os.getppid()}
        self._seen: set[bytes] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> bytes:
        """End the sampling, and return all that was seen."""
        self._ended.set()
        self._thread.join()
        return b"\n".join(sorted(self._seen))

    def _sample(self) -> None:
        while not self._ended.wait(PAUSE_S):
            for pid in self._processes():
                for name in ("cmdline", "environ"):
                    try:
                        self._seen.add(Path(f"/proc/{pid}/{name}").read_bytes())
                    except OSError:
                        continue  # it has ended, or is ending

    def _processes(self) -> list[int]:
        parents: dict[int, int] = {}
        chosen = set(self._ancestors)
        for entry in (path.name for path in Path("/proc").iterdir()):
            if entry.isdecimal() and int(entry) not in self._own:
                try:
                    stat = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
                    uid = Path(f"/proc/{entry}").stat().st_uid
                except OSError:
                    continue
                parents[int(entry)] = int(stat[1])
                if uid in self._uids:
                    chosen.add(int(entry))
        return [pid for pid in parents if self._descends(pid, parents, chosen)]

    def _descends(self, pid: int, parents: dict[int, int], chosen: set[int]) -> bool:
        while pid not in chosen:
            if pid not in parents:
                return False
            pid = parents[pid]
        return True
