"""Published ports over HTTP: asked for, listed with where they are reached, withdrawn; refused with the reason."""

from typing import Any

import pytest
from api_testbed import MISSING, Testbed, problem

WEB = {"host_port": 80, "node_port": 30080}


async def published_cluster(bed: Testbed, name: str = "demo", node_count: int = 2) -> dict[str, Any]:
    """Return an active cluster on hosts that publish ports, and on no other."""
    (local,) = (await bed.get("/hosts?name=machine"))["hosts"]
    await bed.http.post(f"/hosts/{local['id']}/tasks", json={"type": "cordon"})
    if not (await bed.get("/hosts?name=rack1"))["hosts"]:
        await bed.ready_host("rack1", number=1)
        await bed.ready_host("rack2", number=2)
    return await bed.active(name, node_count)


async def publish(bed: Testbed, cluster: dict[str, Any], **fields: object) -> dict[str, Any]:
    response = await bed.http.post(f"/clusters/{cluster['id']}/publications", json={**WEB, **fields})
    assert response.status_code == 202, response.text
    bed.complete(response.headers["Location"].removeprefix("/operations/"))
    return dict(response.json())


async def test_a_port_is_published_on_every_host_of_the_cluster(bed: Testbed) -> None:
    cluster = await published_cluster(bed)
    response = await bed.http.post(f"/clusters/{cluster['id']}/publications", json=WEB)
    assert response.status_code == 202
    port = response.json()
    assert (port["host_port"], port["node_port"], port["protocol"]) == (80, 30080, "tcp")
    assert port["addresses"] == ["192.0.2.1:80", "192.0.2.2:80"]
    await bed.launcher.settle()
    started = bed.starter.started[-1]
    assert (started.kind, started.params) == ("publish", {"host_port": 80, "node_port": 30080, "protocol": "tcp"})
    assert response.headers["Location"] == f"/operations/{started.id}"
    assert await bed.get(f"/clusters/{cluster['id']}/publications") == {"publications": [port], "links": []}
    busy = await bed.http.post(f"/clusters/{cluster['id']}/publications", json={**WEB, "host_port": 81})
    assert (problem(busy, 409)["code"], started.id in problem(busy, 409)["detail"]) == ("cluster-busy", True)


async def test_a_port_is_withdrawn_and_free_again(bed: Testbed) -> None:
    cluster = await published_cluster(bed)
    await publish(bed, cluster, protocol="udp")
    path = f"/clusters/{cluster['id']}/publications"
    assert problem(await bed.http.delete(f"{path}/80/tcp"), 404)["code"] == "not-found"
    response = await bed.http.delete(f"{path}/80/udp")
    assert (response.status_code, response.json()["host_port"]) == (202, 80)
    assert len((await bed.get(path))["publications"]) == 1
    bed.complete(response.headers["Location"].removeprefix("/operations/"))
    assert (await bed.get(path))["publications"] == []
    await publish(bed, cluster, protocol="udp")


async def test_a_port_that_another_cluster_has_is_refused_by_its_name(bed: Testbed) -> None:
    first, second = await published_cluster(bed, "first"), await published_cluster(bed, "second")
    await publish(bed, first)
    before = bed.rows()
    error = problem(await bed.http.post(f"/clusters/{second['id']}/publications", json=WEB), 409)
    assert (error["code"], error["field"], "'first'" in error["detail"]) == ("port-taken", "host_port", True)
    other = problem(await bed.http.post(f"/clusters/{first['id']}/publications", json={**WEB, "node_port": 1}), 409)
    assert (other["code"], "30080" in other["detail"]) == ("port-taken", True)
    assert problem(await bed.http.delete(f"/clusters/{second['id']}/publications/80/tcp"), 404)
    assert bed.rows() == before
    await publish(bed, second, protocol="udp")


async def test_the_ssh_port_of_a_host_stays_its_own(bed: Testbed) -> None:
    cluster = await published_cluster(bed)
    await bed.add_host("rack3", port=2222)
    error = problem(
        await bed.http.post(f"/clusters/{cluster['id']}/publications", json={**WEB, "host_port": 2222}), 409
    )
    assert (error["code"], "rack3" in error["detail"]) == ("port-taken", True)
    await publish(bed, cluster, host_port=2200)
    body = {"name": "rack4", "address": "rack4", "port": 2200}
    assert problem(await bed.http.post("/hosts", json=body), 409)["field"] == "port"


async def test_a_cluster_whose_nodes_can_be_reached_publishes_nothing(bed: Testbed) -> None:
    cluster = await bed.active()
    before = bed.rows()
    error = problem(await bed.http.post(f"/clusters/{cluster['id']}/publications", json=WEB), 409)
    assert (error["code"], "publish no ports" in error["detail"]) == ("conflict", True)
    assert bed.rows() == before
    assert (await bed.get(f"/clusters/{cluster['id']}/publications"))["publications"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"host_port": 0}, "host_port"),
        ({"host_port": 22}, "host_port"),
        ({"host_port": 20000}, "host_port"),
        ({"host_port": 24999}, "host_port"),
        ({"host_port": 51820}, "host_port"),
        ({"host_port": 65536}, "host_port"),
        ({"host_port": 10**400}, "host_port"),
        ({"host_port": -80}, "host_port"),
        ({"host_port": "80"}, "host_port"),
        ({"host_port": True}, "host_port"),
        ({"host_port": 80.5}, "host_port"),
        ({"node_port": 0}, "node_port"),
        ({"node_port": None}, "node_port"),
        ({"protocol": "sctp"}, "protocol"),
        ({"protocol": None}, "protocol"),
        ({"port": 1}, "port"),
    ],
)
async def test_a_wrong_port_is_refused_by_its_field(bed: Testbed, body: dict[str, Any], field: str) -> None:
    cluster = await published_cluster(bed, node_count=1)
    before = bed.rows()
    response = await bed.http.post(f"/clusters/{cluster['id']}/publications", json={**WEB, **body})
    assert problem(response, 400)["field"] == field
    assert bed.rows() == before


async def test_published_ports_come_in_pages_by_port_and_protocol(bed: Testbed) -> None:
    cluster = await published_cluster(bed, node_count=1)
    for port, protocol in ((443, "tcp"), (53, "udp"), (53, "tcp"), (8080, "tcp")):
        await publish(bed, cluster, host_port=port, protocol=protocol)
    found, href = [], f"/clusters/{cluster['id']}/publications?limit=1"
    while href:
        page = await bed.get(href)
        found += [(port["host_port"], port["protocol"]) for port in page["publications"]]
        href = page["links"][0]["href"] if page["links"] else ""
    assert found == [(53, "tcp"), (53, "udp"), (443, "tcp"), (8080, "tcp")]
    for marker in ("x", "80", "80/sctp", "0/tcp", "99999999/tcp"):
        answer = await bed.http.get(f"/clusters/{cluster['id']}/publications", params={"marker": marker})
        assert problem(answer, 400)["field"] == "marker"


@pytest.mark.parametrize(
    "path", ["0/tcp", "080/tcp", "x/tcp", "99999999999/tcp", "80/sctp", "80/TCP", "-1/tcp", "80/%00"]
)
async def test_what_names_no_port_is_not_found(bed: Testbed, path: str) -> None:
    cluster = await bed.active()
    assert problem(await bed.http.delete(f"/clusters/{cluster['id']}/publications/{path}"), 404)["code"] == "not-found"


async def test_another_clusters_ports_are_not_found(bed: Testbed) -> None:
    for method, path, body in (("GET", "", None), ("POST", "", WEB), ("DELETE", "/80/tcp", None)):
        response = await bed.http.request(method, f"/clusters/{MISSING}/publications{path}", json=body)
        assert problem(response, 404)["code"] == "not-found"


async def test_the_ports_of_a_deleted_cluster_are_free(bed: Testbed) -> None:
    first, second = await published_cluster(bed, "first"), await published_cluster(bed, "second")
    await publish(bed, first)
    deletion = await bed.http.delete(f"/clusters/{first['id']}")
    bed.complete(deletion.headers["Location"].removeprefix("/operations/"))
    await publish(bed, second)
