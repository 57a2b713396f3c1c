"""TLS to a cluster's nodes, with a client's key that is never on a disk."""

import os
import ssl

from domain.secrets import Access


def netloc(host: str, port: int) -> str:
    """Return host and port as they stand in a URL (RFC 3986, 3.2): an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def tls_context(access: Access) -> ssl.SSLContext:
    """Return a context that trusts the cluster's authority alone and shows the client's certificate.

    Python takes certificates from files only. A private key on a disk outlives a crash, so the file is one in memory
    that has no name (memfd_create(2)).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=access.ca_pem.decode())
    descriptor = os.memfd_create("client")
    try:
        os.write(descriptor, access.client.cert_pem + access.client.key_pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context
