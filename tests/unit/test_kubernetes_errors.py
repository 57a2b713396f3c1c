import pytest
from urllib3.exceptions import MaxRetryError, NewConnectionError

from domain.errors import KubernetesFailed, OverlayFailed
from drivers.kubernetes_client import Refused, kubernetes_errors


def test_a_refusal_names_the_api_and_what_was_asked() -> None:
    with (
        pytest.raises(OverlayFailed, match=r"Kubernetes on 10\.64\.0\.10 refused to let demo-2 join: no such luck"),
        kubernetes_errors(OverlayFailed, "let demo-2 join", "10.64.0.10"),
    ):
        raise Refused(403, "no such luck")


def test_a_silent_api_is_named_with_the_innermost_reason_and_without_the_request() -> None:
    reason = NewConnectionError(None, "no route to host")  # type: ignore[arg-type]
    with (
        pytest.raises(KubernetesFailed, match=r"10\.64\.0\.10 did not answer when asked to list its nodes: .*no route"),
        kubernetes_errors(KubernetesFailed, "list its nodes", "10.64.0.10"),
    ):
        raise MaxRetryError(None, "/api/v1/nodes", reason)  # type: ignore[arg-type]


def test_no_cause_is_kept_that_could_tell_a_secret() -> None:
    with pytest.raises(KubernetesFailed) as caught, kubernetes_errors(KubernetesFailed, "x", "10.64.0.10"):
        raise Refused(400, "x" * 10_000)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert len(caught.value.detail) < 1000
