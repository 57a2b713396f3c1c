"""Confirming a host's key: nobody is let in, nor told anything, before somebody has said that the host is the host."""

import sys
from collections.abc import Callable
from typing import TypeVar

import typer

from carina_cli.errors import ApiError, NotOurs, UsageMistake
from carina_cli.host_keys import fingerprint, is_fingerprint, read_key
from carina_cli.host_shapes import NewHost
from carina_cli.output import complain

UNCONFIRMED = "host-key-unconfirmed"
_ON_THE_HOST = "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"
_Answer = TypeVar("_Answer")


def confirmed(ask: Callable[[NewHost], _Answer], wanted: NewHost, given: str | None, *, yes: bool) -> _Answer:
    """Ask the service with the host's key: the one `given`, or the one that the host presents, once it is confirmed.

    Raises `UsageMistake` where nobody can confirm it, `NotOurs` if it has not the fingerprint that was given.
    """
    if given is not None and not is_fingerprint(given):
        return ask({**wanted, "host_key": read_key(given)})
    try:
        return ask(wanted)
    except ApiError as error:
        if error.code != UNCONFIRMED or not error.host_key:
            raise
        presented = error.host_key
    _confirm(wanted, presented, given, yes=yes)
    return ask({**wanted, "host_key": presented})


def _confirm(wanted: NewHost, presented: str, expected: str | None, *, yes: bool) -> None:
    found = fingerprint(presented)
    says = f"{wanted['address']} presents the host key {found} ({presented.split(maxsplit=1)[0]})."
    if expected is not None:
        if found != expected:
            raise NotOurs("The host presents another key than expected.", f"{says}\nExpected was {expected}.")
        return
    if yes:
        complain([says])
        return
    if not sys.stdin.isatty():
        raise UsageMistake(
            "Nobody has confirmed the host's key, and there is no terminal to ask at.",
            says,
            f"Compare it with '{_ON_THE_HOST}' on the host; then add --host-key {found}, or --yes.",
        )
    complain([says, f"On the host, '{_ON_THE_HOST}' says its own."])
    typer.confirm("Is it the same?", abort=True, err=True)
