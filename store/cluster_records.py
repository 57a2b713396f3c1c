"""What activities record of a cluster beside its nodes: overlay networks, images, secrets, what it can do."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import delete
from sqlmodel import Session, col, select

from domain.clusters import Capability, Condition
from domain.errors import NotFound
from domain.images import ImageState
from domain.overlays import OverlayState
from store.cluster_health import say
from store.columns import now
from store.image_acceptance import rows_of
from store.queries import find_cluster
from store.tables import OverlayRow, SecretRow


def find_overlay(session: Session, cluster_id: str, name: str) -> OverlayRow:
    """Return an overlay network of the cluster; raise `NotFound`."""
    row = session.get(OverlayRow, (cluster_id, name))
    if row is None:
        raise NotFound(f"The cluster {cluster_id} has no overlay network {name!r}.")
    return row


def overlay_names(session: Session, cluster_id: str) -> list[str]:
    """Return the names of the overlay networks that are to be there: not those going, nor those that failed."""
    find_cluster(session, cluster_id)
    return list(
        session.exec(
            select(OverlayRow.name)
            .where(
                col(OverlayRow.cluster_id) == cluster_id,
                col(OverlayRow.state).in_([OverlayState.PENDING, OverlayState.ACTIVE]),
            )
            .order_by(col(OverlayRow.name))
        )
    )


def mark_overlay(session: Session, cluster_id: str, name: str, *, verified: bool) -> None:
    """Record that an overlay network is there, and, if `verified`, that it was proved just now."""
    row = find_overlay(session, cluster_id, name)
    row.state = OverlayState.ACTIVE
    row.error = None
    if verified:
        row.verified_at = now()


def forget_overlay(session: Session, cluster_id: str, name: str) -> None:
    """Drop the row of an overlay network."""
    session.exec(delete(OverlayRow).where(col(OverlayRow.cluster_id) == cluster_id, col(OverlayRow.name) == name))


def image_digests(session: Session, cluster_id: str) -> list[str]:
    """Return the digests of the archives that are on every node, oldest first; raise `NotFound` for the cluster."""
    find_cluster(session, cluster_id)
    return [row.digest for row in rows_of(session, cluster_id) if row.state == ImageState.ACTIVE]


def put_secret(session: Session, cluster_id: str, name: str, sealed: bytes) -> bool:
    """Keep a sealed secret unless one of that name is kept; raise `NotFound` for the cluster."""
    cluster = find_cluster(session, cluster_id, lock=True)
    if session.get(SecretRow, (cluster_id, name)) is not None:
        return False
    session.add(SecretRow(cluster_id=cluster_id, name=name, tenant_id=cluster.tenant_id, sealed=sealed))
    return True


def sealed_secret(session: Session, cluster_id: str, name: str) -> bytes | None:
    """Return a sealed secret, or None."""
    row = session.get(SecretRow, (cluster_id, name))
    return None if row is None else row.sealed


def discard_secrets(session: Session, cluster_id: str) -> None:
    """Drop all of the cluster's sealed secrets."""
    session.exec(delete(SecretRow).where(col(SecretRow.cluster_id) == cluster_id))


def set_conditions(session: Session, cluster_id: str, conditions: Sequence[Condition]) -> None:
    """Replace the cluster's conditions, and the health that follows from them; raise `NotFound`."""
    say(find_cluster(session, cluster_id, lock=True), conditions)


def set_capabilities(session: Session, cluster_id: str, capabilities: Sequence[Capability]) -> None:
    """Record what the cluster was just now found to do, beside what was known by other names; raise `NotFound`."""
    cluster = find_cluster(session, cluster_id, lock=True)
    moment = now()
    found = [{**asdict(capability), "verified_at": moment.isoformat()} for capability in capabilities]
    known = {item["name"]: item for item in (*cluster.capabilities, *found)}
    cluster.capabilities = [known[name] for name in sorted(known)]
    cluster.updated_at = moment
