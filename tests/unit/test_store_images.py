"""Images that were loaded into clusters: which nodes are to have, and since when."""

import pytest

from domain.errors import ClusterBusy, Conflict, ErrorRecord, NotFound
from domain.images import ImageState
from domain.operations import OperationKind, OperationState
from store.views import Accepted, ImageView
from tests.unit.store_stages import StoreFixture

ERROR = ErrorRecord("image-load-failed", "A node did not take the image", "it broke", "mend it")


def _digest(letter: str) -> str:
    return f"sha256:{letter * 64}"


def _accept(store: StoreFixture, cluster_id: str, letter: str) -> tuple[Accepted, ImageView]:
    return store.repository.accept_image(
        cluster_id, digest=_digest(letter), names=[f"{letter}:1"], size_bytes=5_000_000_000
    )


def _load(store: StoreFixture, cluster_id: str, letter: str) -> None:
    accepted, _ = _accept(store, cluster_id, letter)
    store.records.complete_operation(store.begin(accepted))


def test_nodes_are_to_have_what_was_loaded_oldest_first(store: StoreFixture) -> None:
    store.ready_host()
    cluster = store.active(node_count=1)
    assert store.records.image_digests(cluster.id) == []
    for letter in ("c", "a", "b"):
        _load(store, cluster.id, letter)
    assert store.records.image_digests(cluster.id) == [_digest("c"), _digest("a"), _digest("b")]
    assert [image.names for image in store.repository.images(cluster.id)] == [("c:1",), ("a:1",), ("b:1",)]


def test_an_image_is_not_for_new_nodes_until_all_nodes_have_it(store: StoreFixture) -> None:
    store.ready_host()
    cluster = store.active(node_count=1)
    store.repository.check_image_acceptable(cluster.id)
    accepted, image = _accept(store, cluster.id, "a")
    assert (image.state, image.size_bytes, image.error) == (ImageState.PENDING, 5_000_000_000, None)
    operation = accepted.operation
    assert (operation.kind, operation.params) == (OperationKind.LOAD_IMAGE, {"digest": _digest("a")})
    assert store.records.image_digests(cluster.id) == []
    with pytest.raises(ClusterBusy, match=operation.id):
        store.repository.check_image_acceptable(cluster.id)
    store.records.fail_operation(store.begin(accepted), ERROR, cancelled=False)
    (failed,) = store.repository.images(cluster.id)
    assert (failed.state, failed.error) == (ImageState.ERROR, ERROR)
    assert store.records.image_digests(cluster.id) == []
    assert store.repository.cluster(cluster.id).error is None
    again, image = _accept(store, cluster.id, "a")
    assert (image.state, image.error, image.created_at) == (ImageState.PENDING, None, failed.created_at)
    store.records.complete_operation(store.begin(again))
    assert store.records.image_digests(cluster.id) == [_digest("a")]


def test_an_image_that_is_loaded_is_not_forgotten_meanwhile(store: StoreFixture) -> None:
    store.ready_host()
    cluster = store.active(node_count=1)
    _load(store, cluster.id, "a")
    accepted, _ = _accept(store, cluster.id, "b")
    with pytest.raises(ClusterBusy, match=accepted.operation.id):
        store.repository.forget_image(cluster.id, _digest("b"))
    assert store.repository.forget_image(cluster.id, _digest("a")).state is ImageState.ACTIVE
    with pytest.raises(NotFound):
        store.repository.forget_image(cluster.id, _digest("a"))
    store.records.complete_operation(store.begin(accepted))
    assert store.records.image_digests(cluster.id) == [_digest("b")]


def test_images_go_with_their_cluster(store: StoreFixture) -> None:
    store.ready_host()
    cluster, other = store.active(node_count=1), store.active("other", 1)
    _load(store, cluster.id, "a")
    _load(store, other.id, "a")
    accepted, _ = _accept(store, cluster.id, "b")
    store.begin(accepted)
    deletion = store.repository.accept_delete(cluster.id, force=True)
    store.records.complete_operation(store.begin(deletion))
    assert store.repository.operation(accepted.operation.id).state is OperationState.CANCELLED
    for read in (store.repository.images, store.records.image_digests):
        with pytest.raises(NotFound):
            read(cluster.id)
    assert store.records.image_digests(other.id) == [_digest("a")]


def test_only_an_active_cluster_takes_images(store: StoreFixture) -> None:
    accepted = store.create()
    with pytest.raises(ClusterBusy):
        _accept(store, accepted.cluster.id, "a")
    store.records.fail_operation(store.begin(accepted), ERROR, cancelled=False)
    with pytest.raises(Conflict, match="error"):
        _accept(store, accepted.cluster.id, "a")
