from domain.overlays import Overlay
from drivers.kubernetes_namespaces import policies

CLOSED = Overlay("shop", "", 1500, services=("web:80", "api:8443"))


def test_a_namespace_is_closed_but_to_itself_to_dns_and_for_what_it_exposes() -> None:
    found = policies(CLOSED)
    assert found["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert found["same-namespace"]["ingress"] == [{"from": [{"podSelector": {}}]}]
    assert found["same-namespace"]["egress"] == [{"to": [{"podSelector": {}}]}]
    assert {port["port"] for rule in found["dns"]["egress"] for port in rule["ports"]} == {53}
    assert found["expose-web"]["podSelector"] == {"matchLabels": {"app": "web"}}
    assert found["expose-web"]["ingress"] == [{"ports": [{"port": 80, "protocol": "TCP"}]}]
    assert set(found) == {"default-deny", "same-namespace", "dns", "expose-web", "expose-api"}
