"""kubeconfig files: who asks which API server, and with what certificate.

https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/ describes them.
"""

from base64 import b64encode

from domain.secrets import Access

_TEXT = """\
apiVersion: v1
kind: Config
clusters:
- name: "{cluster}"
  cluster:
    server: {server}
    certificate-authority-data: {ca}
users:
- name: "{user}"
  user:
    client-certificate-data: {cert}
    client-key-data: {key}
contexts:
- name: "{cluster}"
  context:
    cluster: "{cluster}"
    user: "{user}"
current-context: "{cluster}"
"""


def kubeconfig(cluster: str, user: str, server: str, access: Access) -> bytes:
    """Return the file for one cluster and one user, the certificates inside. `server` is https://address:port."""
    return _TEXT.format(
        cluster=cluster,
        user=user,
        server=server,
        ca=_data(access.ca_pem),
        cert=_data(access.client.cert_pem),
        key=_data(access.client.key_pem),
    ).encode()


def _data(pem: bytes) -> str:
    return b64encode(pem).decode("ascii")
