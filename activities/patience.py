"""How long steps wait for a host that does not answer, and what they say of the host in the end."""

from datetime import datetime, timedelta

from temporalio import activity

from domain.errors import DiskFull, HostUnreachable, ImageUnavailable, NodeNotStarted

UNREACHABLE_FOR = timedelta(minutes=1)
"""A host that has not answered for so long is given up by a step, however long the step itself may take."""

UNREACHABLE_AGAIN_FOR = timedelta(seconds=10)
"""What later steps of an operation give such a host, so that an undo does not wait a minute at each."""

_REMEMBERED_FOR = timedelta(hours=1)

_OF_HOSTS = (HostUnreachable, DiskFull, ImageUnavailable, NodeNotStarted)


class Patience:
    """Remembers since when each step finds its host silent, and which workflow runs have given one up."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], datetime] = {}
        self._given_up: dict[str, datetime] = {}

    def ends(self, info: activity.Info, error: BaseException, *, took_s: float) -> bool:
        """Return whether the step has tried for long enough to reach a host, now that an attempt ended with `error`.

        An attempt that took long reached it, and was cut: from there on it counts anew.
        """
        if not isinstance(error, HostUnreachable):
            self.forget(info)
            return False
        if took_s >= UNREACHABLE_FOR.total_seconds():
            self.forget(info)
        since = self._since.setdefault(_key(info), info.started_time)
        run = str(info.workflow_run_id)
        patience = UNREACHABLE_AGAIN_FOR if run in self._given_up else UNREACHABLE_FOR
        if info.started_time - since < patience:
            return False
        self.forget(info)
        kept = {known: at for known, at in self._given_up.items() if info.started_time - at < _REMEMBERED_FOR}
        self._given_up = kept | {run: info.started_time}
        return True

    def forget(self, info: activity.Info) -> None:
        """Begin anew for the step: it got through, or ends."""
        self._since.pop(_key(info), None)


def with_host(error: BaseException, host: str | None) -> BaseException:
    """Return the error of a step on a host such that it names the host, where only that tells people where to look."""
    if host is None or not isinstance(error, _OF_HOSTS) or host in error.detail:
        return error
    return type(error)(f"{host}: {error.detail}", field=error.field, remedy=error.remedy)


def _key(info: activity.Info) -> tuple[str, str]:
    return str(info.workflow_run_id), info.activity_id
