"""images load, ls, rm: container images that a cluster's nodes have without a registry."""

from typing import TYPE_CHECKING, Annotated

import typer

from carina_cli.commands.changes import say_accepted
from carina_cli.config import DEFAULT_ENDPOINT
from carina_cli.errors import CliError, Missing, UsageMistake
from carina_cli.groups import group
from carina_cli.options import (
    DEFAULT_TIMEOUT_S,
    ClusterArgument,
    EndpointOption,
    OutputOption,
    TimeoutOption,
    WaitOption,
    connect,
)
from carina_cli.output import Format, age, print_json, print_lines, print_table, size, took
from carina_cli.shapes import Image
from carina_cli.waiting import follow

if TYPE_CHECKING:
    from carina_cli.client import Client

SHOWN_DIGITS = 12
"""How much of a digest people see: enough to tell images apart, and taken back by `rm`."""

SHORTEST_DIGITS = 6

images = group()


def complete_image(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the names of the cluster's images that begin so; none where the service can't be asked."""
    try:
        with connect(ctx.params.get("endpoint") or DEFAULT_ENDPOINT) as client:
            found = client.images(client.find(ctx.params.get("cluster") or "")["id"])
    except CliError:
        return []
    return [name for image in found for name in image["names"] or [_digits(image)] if name.startswith(incomplete)]


@images.command("ls")
def list_images(
    cluster: ClusterArgument, *, endpoint: EndpointOption = DEFAULT_ENDPOINT, output: OutputOption = Format.TABLE
) -> None:
    """List the images that were loaded into a cluster. 'carina images CLUSTER' does too."""
    with connect(endpoint) as client:
        found = client.images(client.find(cluster)["id"])
    if output is Format.JSON:
        print_json({"images": found, "links": []})
        return
    print_table(
        ["NAME", "DIGEST", "SIZE", "STATE", "AGE", "ERROR"],
        [
            [
                ", ".join(image["names"]),
                _digits(image)[:SHOWN_DIGITS],
                size(image["size_bytes"]),
                image["state"],
                age(image["created_at"]),
                (image["error"] or {}).get("code"),
            ]
            for image in found
        ],
    )


@images.command("load")
def load_image(
    cluster: ClusterArgument,
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="An image's archive, as 'docker save' or an OCI tool writes it; - for standard input."
        ),
    ],
    *,
    wait: WaitOption = True,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_S,
    endpoint: EndpointOption = DEFAULT_ENDPOINT,
    output: OutputOption = Format.TABLE,
) -> None:
    """Put an image on every node of a cluster, and on nodes to come.

    For example: docker save web:1 | carina images load demo -
    """
    from carina_cli import transfer  # noqa: PLC0415 - for this command only

    with transfer.opened(source) as archive, connect(endpoint) as client:
        found = client.find(cluster)
        with transfer.meter(archive.total_bytes) as count:
            image, operation_id = client.load_image(found["id"], count(archive.parts))
        label = _label(image)
        if operation_id is None:
            say_accepted(output, image, f"{label} is on {found['name']} already", None)
            return
        if not wait:
            say_accepted(output, image, f"{label} is being loaded on {found['name']}", operation_id)
            return
        heading = f"Loading {label} on {found['name']}"
        operation = follow(client, operation_id, heading=heading, timeout_s=timeout)
        image = _latest(client, found["id"], image)
    if output is Format.JSON:
        print_json(image)
    else:
        about = f"{size(image['size_bytes'])}, in {took(operation)}"
        print_lines([f"{label} is on every node of {found['name']}: {about}"])


@images.command("rm")
def remove_image(
    cluster: ClusterArgument,
    image: Annotated[
        str,
        typer.Argument(
            metavar="IMAGE", help="Its name, or its digest or the beginning of it.", autocompletion=complete_image
        ),
    ],
    *,
    endpoint: EndpointOption = DEFAULT_ENDPOINT,
    output: OutputOption = Format.TABLE,
) -> None:
    """Forget an image: nodes to come won't get it. Nodes that have it keep it."""
    with connect(endpoint) as client:
        found = client.find(cluster)
        chosen = _chosen(client.images(found["id"]), image)
        removed = client.remove_image(found["id"], chosen["digest"])
    if output is Format.JSON:
        print_json(removed)
    else:
        print_lines([f"{_label(chosen)} is forgotten; the nodes of {found['name']} that have it keep it"])


def _chosen(found: list[Image], wanted: str) -> Image:
    """Return the image of that name or digest. Raises `Missing` and, if it could be several, `UsageMistake`."""
    named = [image for image in found if _plain(wanted) in map(_plain, image["names"])]
    digits = wanted.lower().removeprefix("sha256:")
    begun = [image for image in found if len(digits) >= SHORTEST_DIGITS and _digits(image).startswith(digits)]
    possible = named or begun
    if not possible:
        raise Missing(f"There is no image {wanted!r}.", remedy="'carina images ls CLUSTER' lists those that there are.")
    if len(possible) > 1:
        which = "\n".join(f"{image['digest']} {', '.join(image['names'])}" for image in possible)
        raise UsageMistake(f"{wanted!r} could be several images.", which, "Give the digest.")
    return possible[0]


def _plain(name: str) -> str:
    """Return an image's name as Docker shortens it: without Docker's own registry, with a tag."""
    short = name.removeprefix("docker.io/").removeprefix("library/")
    return short if ":" in short.rpartition("/")[2] or "@" in short else f"{short}:latest"


def _label(image: Image) -> str:
    """Return what an image is called in a sentence."""
    return ", ".join(image["names"]) or f"Image {_digits(image)[:SHOWN_DIGITS]}"


def _digits(image: Image) -> str:
    """Return the digits of an image's digest."""
    return image["digest"].removeprefix("sha256:")


def _latest(client: "Client", cluster_id: str, image: Image) -> Image:
    """Return the image as it is now, or as it was accepted if someone removed it meanwhile."""
    return next((now for now in client.images(cluster_id) if now["digest"] == image["digest"]), image)
