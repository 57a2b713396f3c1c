import asyncio
import gzip
from collections.abc import AsyncIterator

import httpx
import pytest
from api_testbed import HEADERS, MISSING, Testbed, problem
from sqlalchemy import text
from structlog.testing import capture_logs

PATHS = [
    ("GET", "/cluster_types"),
    ("GET", "/clusters"),
    ("POST", "/clusters"),
    ("GET", f"/clusters/{MISSING}"),
    ("DELETE", f"/clusters/{MISSING}"),
    ("POST", f"/clusters/{MISSING}/tasks"),
    ("GET", f"/clusters/{MISSING}/nodes"),
    ("GET", f"/clusters/{MISSING}/operations"),
    ("GET", f"/clusters/{MISSING}/overlays"),
    ("POST", f"/clusters/{MISSING}/overlays"),
    ("DELETE", f"/clusters/{MISSING}/overlays/carina"),
    ("GET", f"/clusters/{MISSING}/credentials/zip"),
    ("GET", f"/clusters/{MISSING}/images"),
    ("POST", f"/clusters/{MISSING}/images"),
    ("DELETE", f"/clusters/{MISSING}/images/sha256:{'0' * 64}"),
    ("GET", f"/clusters/{MISSING}/publications"),
    ("POST", f"/clusters/{MISSING}/publications"),
    ("DELETE", f"/clusters/{MISSING}/publications/80/tcp"),
    ("GET", "/hosts"),
    ("POST", "/hosts"),
    ("POST", "/hosts/preview"),
    ("GET", f"/hosts/{MISSING}"),
    ("DELETE", f"/hosts/{MISSING}"),
    ("GET", f"/hosts/{MISSING}/report"),
    ("GET", f"/hosts/{MISSING}/nodes"),
    ("POST", f"/hosts/{MISSING}/tasks"),
    ("GET", f"/operations/{MISSING}"),
    ("GET", "/no/such/path"),
]


@pytest.mark.parametrize("token", ["", "wrong", "a-token-of-the-test", "a-token-of-the-testsx", "\xe9"])
async def test_a_wrong_token_is_refused(bed: Testbed, token: str) -> None:
    headers = {**HEADERS, "X-Auth-Token": token}
    bed.http.headers = httpx.Headers({key: value.encode("latin-1") for key, value in headers.items()})
    assert problem(await bed.http.get("/clusters"), 401)["code"] == "unauthorized"


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_nothing_is_read_or_answered_without_a_token(bed: Testbed, method: str, path: str) -> None:
    bed.http.headers.pop("X-Auth-Token")
    before = bed.rows()
    response = await bed.http.request(method, path, content=b"{malformed" if method == "POST" else None)
    assert problem(response, 401)["code"] == "unauthorized"
    assert response.headers["WWW-Authenticate"]
    assert bed.rows() == before


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/docs", "/openapi.json"])
async def test_these_are_open_to_anyone(bed: Testbed, path: str) -> None:
    bed.http.headers = httpx.Headers()
    assert (await bed.http.get(path)).status_code == 200


@pytest.mark.parametrize("version", ["rax:container 2.0", "rax:container 1.1", "1.0", "", "rax:container", "latest"])
@pytest.mark.parametrize(("method", "path"), [("GET", "/clusters"), ("POST", "/clusters")])
async def test_another_version_is_refused_naming_those_served(
    bed: Testbed, version: str, method: str, path: str
) -> None:
    before = bed.rows()
    body = {"name": "demo", "cluster_type_id": 22}
    error = problem(await bed.http.request(method, path, json=body, headers={"API-Version": version}), 406)
    assert error["code"] == "make-coe-api.microverion-unsupported"
    assert (error["min_version"], error["max_version"]) == ("1.0", "1.0")
    assert bed.rows() == before


@pytest.mark.parametrize("version", [None, "rax:container 1.0", "RAX:Container  1.0", " rax:container 1.0 "])
async def test_this_version_or_none_is_served(bed: Testbed, version: str | None) -> None:
    bed.http.headers.pop("API-Version")
    headers = {} if version is None else {"API-Version": version}
    assert (await bed.http.get("/clusters", headers=headers)).status_code == 200


@pytest.mark.parametrize("path", ["/nothing", "/clusters/", "/v1/clusters", "//clusters", "/docs/oauth2-redirect"])
async def test_an_unknown_path_is_a_404_in_the_contracts_words(bed: Testbed, path: str) -> None:
    assert problem(await bed.http.get(f"http://carina.test{path}"), 404)["code"] == "not-found"


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/clusters"), ("PATCH", f"/clusters/{MISSING}"), ("POST", "/cluster_types")]
)
async def test_a_wrong_method_is_a_405_naming_the_right_ones(bed: Testbed, method: str, path: str) -> None:
    response = await bed.http.request(method, path)
    assert problem(response, 405)["code"] == "method-not-allowed"
    assert response.headers["Allow"]


async def test_a_body_too_large_is_refused_by_its_announced_length(bed: Testbed) -> None:
    before = bed.rows()
    response = await bed.http.post("/clusters", content=b" " * (64 * 1024 + 1))
    assert problem(response, 413)["code"] == "body-too-large"
    assert bed.rows() == before


async def test_a_body_too_large_is_refused_as_it_comes(bed: Testbed) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(65):
            yield b" " * 1024

    before = bed.rows()
    response = await bed.http.post("/clusters", content=chunks())
    assert problem(response, 413)["code"] == "body-too-large"
    assert bed.rows() == before


async def test_a_body_of_the_greatest_size_is_read(bed: Testbed) -> None:
    body = b'{"name": "demo", "cluster_type_id": 22}'
    assert (await bed.http.post("/clusters", content=body.ljust(64 * 1024))).status_code == 202


@pytest.mark.parametrize("offered", ["abc-123", "req.1:2_3", "0" * 128])
async def test_a_plain_request_id_is_kept(bed: Testbed, offered: str) -> None:
    response = await bed.http.get("/clusters", headers={"X-Request-Id": offered})
    assert response.headers["X-Request-Id"] == offered


@pytest.mark.parametrize("offered", ["", "a b", "x" * 129, "<script>", 'a"b', "-dash"])
async def test_another_request_id_is_replaced(bed: Testbed, offered: str) -> None:
    first = await bed.http.get("/clusters", headers={"X-Request-Id": offered})
    second = await bed.http.get("/healthz")
    assert first.headers["X-Request-Id"] not in {offered, second.headers["X-Request-Id"]}


async def test_an_unforeseen_error_is_logged_and_not_shown(bed: Testbed, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("the inner workings")

    monkeypatch.setattr("store.repository.Repository.clusters", broken)
    with capture_logs() as logs:
        response = await bed.http.get("/clusters")
    error = problem(response, 500)
    assert error["code"] == "internal"
    assert "inner workings" not in response.text
    assert any(entry["event"] == "http.failed" and entry["log_level"] == "error" for entry in logs)


async def test_a_database_that_is_gone_is_a_503(bed: Testbed) -> None:
    with bed.engine.begin() as connection:
        connection.execute(text("DROP TABLE idempotency_keys"))
        connection.execute(text("ALTER TABLE operations RENAME TO moved"))
    response = await bed.http.get("/clusters")
    assert problem(response, 503)["code"] == "unavailable"
    assert "SELECT" not in response.text


async def test_head_answers_as_get_without_a_body(bed: Testbed) -> None:
    cluster = await bed.create()
    for path in ("/clusters", f"/clusters/{cluster['id']}", "/healthz", "/docs"):
        head, get = await bed.http.head(path), await bed.http.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Type"] == get.headers["Content-Type"]
    assert (await bed.http.head(f"/clusters/{MISSING}")).status_code == 404


async def test_long_lists_are_compressed_for_those_who_ask(bed: Testbed) -> None:
    for number in range(4):
        await bed.create(f"c{number}")
    async with bed.http.stream("GET", "/clusters", headers={"Accept-Encoding": "gzip"}) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        raw = b"".join([chunk async for chunk in response.aiter_raw()])
    assert b'"clusters"' in gzip.decompress(raw)


async def test_tokens_do_not_reach_the_log(bed: Testbed) -> None:
    with capture_logs() as logs:
        await bed.http.get("/clusters")
        await bed.http.get("/clusters", headers={"X-Auth-Token": "a-wrong-secret"})
    assert [entry["status"] for entry in logs if entry["event"] == "http.request"] == [200, 401]
    assert HEADERS["X-Auth-Token"] not in str(logs)
    assert "a-wrong-secret" not in str(logs)


async def test_requests_at_once_do_not_mix(bed: Testbed) -> None:
    responses = await asyncio.gather(
        *(
            bed.http.post(
                "/clusters", json={"name": "same", "cluster_type_id": 22}, headers={"X-Request-Id": f"request-{number}"}
            )
            for number in range(8)
        )
    )
    assert sorted(response.status_code for response in responses) == [202] + [409] * 7
    for number, response in enumerate(responses):
        assert response.headers["X-Request-Id"] == f"request-{number}"
