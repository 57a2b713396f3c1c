import pytest
import requests
from docker.errors import APIError

from domain.errors import DockerSilent, SwarmFailed
from drivers.docker_client import docker_errors

TOKEN = "SWMTKN-1-49nj1cmql0jkz5s954yi3oex3nedyz0fb0xx14ie39trti4wxv-8vxv8rssmk743ojnwacrr2e7c"


def refusal(text: str) -> APIError:
    response = requests.Response()
    response.status_code = 400
    response.url = "https://10.64.0.11:2376/v1.44/swarm/join"
    return APIError("400 Client Error", response=response, explanation=text)


def test_a_refusal_names_the_engine_and_what_was_asked() -> None:
    with (
        pytest.raises(SwarmFailed, match=r"Docker on 10\.64\.0\.11 refused to join demo-2: no such luck"),
        docker_errors(SwarmFailed, "join demo-2"),
    ):
        raise refusal("no such luck")


def test_a_join_token_never_gets_into_an_error_nor_its_causes() -> None:
    with pytest.raises(SwarmFailed) as caught, docker_errors(SwarmFailed, "join demo-2"):
        raise refusal(f"invalid join token {TOKEN}, sorry")
    assert "SWMTKN-1" not in caught.value.detail
    assert caught.value.detail.endswith("sorry")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_silent_engine_is_named_with_the_innermost_reason() -> None:
    request = requests.Request("GET", "https://10.64.0.11:2376/v1.44/info").prepare()
    error = requests.ConnectionError(OSError("no route to host"), request=request)
    with (
        pytest.raises(DockerSilent, match=r"10\.64\.0\.11 did not answer when asked to join demo-2: no route to host"),
        docker_errors(SwarmFailed, "join demo-2"),
    ):
        raise error
