"""A kubeconfig file's text with a cluster's entries put in or taken out, and all else in it left as it is.

The text is worked on as YAML's own nodes, never as values: what others wrote keeps its order, its unknown fields and
each scalar exactly as it was spelt. Only comments and layout are lost, as `kubectl config` loses them. The format is
Kubernetes' own (client-go, tools/clientcmd/api/v1).
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, cast

import yaml

from carina_cli.errors import CliError, Missing, NotOurs

LISTS = {"clusters": "cluster", "users": "user", "contexts": "context"}
"""A kubeconfig's lists, and the field that an entry of each has its content in."""

MARK = "carina"
"""The name of the extension by which Carina knows an entry for its own."""

_EMPTY = "apiVersion: v1\nkind: Config\nclusters: []\nusers: []\ncontexts: []\n"


class Broken(CliError):  # noqa: N818 - it reads as what is the matter
    """The text is no kubeconfig."""


class Access(NamedTuple):
    """What leads to a cluster: the name of its entries, the API's address, and who made them.

    `service` is the Carina service's address. The fields from `authority` on are base64 of PEM.
    """

    name: str
    server: str
    service: str
    cluster_id: str
    authority: str
    certificate: str
    key: str


def document(access: Access) -> dict[str, object]:
    """Return a kubeconfig with nothing but these entries."""
    contents = _contents(access)
    lists = {field: [{"name": access.name, inner: contents[field]}] for field, inner in LISTS.items()}
    return {"apiVersion": "v1", "kind": "Config", **lists, "current-context": access.name}


def merged(text: str, access: Access, *, switch: bool, force: bool) -> str:
    """Return the kubeconfig with these entries put in, or renewed in their places; `switch` makes them the current.

    Entries of that name are ours if they lead to the same server or the same service made them: other fields that
    someone gave them stay, such as a context's namespace. Raises `NotOurs` for others, unless forced, and `Broken`
    if the text is no kubeconfig.
    """
    root = _root(text)
    if not force:
        _check_ours(root, access)
    contents = _contents(access)
    for field, inner in LISTS.items():
        entry = _entry(root, field, access.name)
        old = None if entry is None else _field(entry, inner)
        if entry is None:
            _items(root, field).append(_node({"name": access.name, inner: contents[field]}))
        else:
            kept = old if field != "users" else None  # whatever else a user had would compete with the certificate
            _put(entry, inner, _renewed(kept, _node(contents[field])))
    if switch:
        _put(root, "current-context", _node(access.name))
    return _text(root)


def without(text: str, name_or_id: str, *, prefix: str, force: bool) -> tuple[str, str]:
    """Return the kubeconfig without the entries of a cluster, and their name.

    The cluster is named with or without regard to case, `prefix` left out, or by its id. Raises `Missing` if there are
    none, `NotOurs` if Carina did not make them, unless forced, and `Broken` if the text is no kubeconfig.
    """
    root = _root(text)
    names = {name for field in LISTS for name in _names(root, field)}
    asked = f"{prefix}{name_or_id}"
    named = sorted((name for name in names if name.lower() == asked.lower()), key=lambda name: name != asked)
    marked = sorted(name for name in names if name_or_id.lower() == _mark(root, name).get("cluster"))
    name = next(iter(named + marked), None)
    if name is None:
        raise Missing(f"There are no entries of a cluster {name_or_id!r}.")
    if not force and not _mark(root, name):
        raise _not_ours(name, _server(root, name))
    for field in LISTS:
        entries = _items(root, field)
        entries[:] = [entry for entry in entries if _string(entry, "name") != name]
    if _string(root, "current-context") == name:
        _put(root, "current-context", _node(""))
    return _text(root), name


def server_of(text: str) -> str:
    """Return the API's address that a kubeconfig of the credentials names. Raises `Broken` if it names none."""
    root = _root(text)
    for entry in _items(root, "clusters"):
        server = _string(_field(entry, "cluster"), "server")
        if server:
            return server
    raise Broken("The credentials' kubeconfig names no server.")


def _contents(access: Access) -> Mapping[str, object]:
    """Return the content of the entry in each list."""
    mark = {"service": access.service, "cluster": access.cluster_id}
    return {
        "clusters": {
            "server": access.server,
            "certificate-authority-data": access.authority,
            "extensions": [{"name": MARK, "extension": mark}],
        },
        "users": {"client-certificate-data": access.certificate, "client-key-data": access.key},
        "contexts": {"cluster": access.name, "user": access.name},
    }


def _check_ours(root: yaml.MappingNode, access: Access) -> None:
    """Raise `NotOurs` if someone else made entries of that name."""
    if not any(access.name in _names(root, field) for field in LISTS):
        return
    server = _server(root, access.name)
    if server != access.server and _mark(root, access.name).get("service") != access.service:
        raise _not_ours(access.name, server)


def _not_ours(name: str, server: str) -> NotOurs:
    """Return the error of entries that someone else made."""
    detail = f"It leads to {server}." if server else "It leads nowhere."
    return NotOurs(f"There is an entry {name} that is not this cluster's.", detail, "Add --force if it may go.")


def _server(root: yaml.MappingNode, name: str) -> str:
    """Return the address that the cluster's entry leads to, or nothing."""
    return _string(_field(_entry(root, "clusters", name), "cluster"), "server")


def _mark(root: yaml.MappingNode, name: str) -> Mapping[str, str]:
    """Return what Carina wrote into the cluster's entry of that name; nothing if it wrote none."""
    extensions = _field(_field(_entry(root, "clusters", name), "cluster"), "extensions")
    for extension in extensions.value if isinstance(extensions, yaml.SequenceNode) else ():
        if _string(extension, "name") == MARK:
            mark = _field(extension, "extension")
            return {field: _string(mark, field) for field in ("service", "cluster")}
    return {}


def _root(text: str) -> yaml.MappingNode:
    """Return the kubeconfig's nodes; those of an empty text are an empty kubeconfig's. Raises `Broken`."""
    try:
        root = yaml.compose(text, yaml.SafeLoader) or yaml.compose(_EMPTY, yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise Broken(_complaint(error)) from None  # the whole error would show lines, which may be secret
    if not isinstance(root, yaml.MappingNode):
        raise Broken("It is YAML, but no kubeconfig.")
    for field in LISTS:
        _items(root, field)
    return root


def _items(root: yaml.MappingNode, field: str) -> list[yaml.Node]:
    """Return the entries of one of the kubeconfig's lists, to be changed in place; one that lacks is made."""
    held = _field(root, field)
    if held is None or (isinstance(held, yaml.ScalarNode) and held.tag == "tag:yaml.org,2002:null"):
        held = yaml.SequenceNode("tag:yaml.org,2002:seq", [], flow_style=False)
        _put(root, field, held)
    if not isinstance(held, yaml.SequenceNode) or not all(isinstance(entry, yaml.MappingNode) for entry in held.value):
        raise Broken(f"Its {field} are no list of entries.")
    if not held.value:
        held.flow_style = False
    return cast("list[yaml.Node]", held.value)


def _names(root: yaml.MappingNode, field: str) -> Iterable[str]:
    """Return the names of a list's entries."""
    return [_string(entry, "name") for entry in _items(root, field)]


def _entry(root: yaml.MappingNode, field: str, name: str) -> yaml.Node | None:
    """Return the entry of that name."""
    return next((entry for entry in _items(root, field) if _string(entry, "name") == name), None)


def _field(node: yaml.Node | None, name: str) -> yaml.Node | None:
    """Return the value of a mapping's field, or None."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next((value for key, value in pairs if key.value == name), None)


def _string(node: yaml.Node | None, name: str) -> str:
    """Return a field's scalar as it is spelt; empty if there is none."""
    value = _field(node, name)
    return str(value.value) if isinstance(value, yaml.ScalarNode) else ""


def _put(node: yaml.Node, name: str, value: yaml.Node) -> None:
    """Set a mapping's field, in its place if it has one."""
    for at, (key, _) in enumerate(node.value):
        if key.value == name:
            node.value[at] = (key, value)
            return
    node.value.append((_node(name), value))


def _renewed(old: yaml.Node | None, content: yaml.Node) -> yaml.Node:
    """Return a mapping of the new content, and of what the old one had besides and does not contradict it.

    The old one is left alone: an alias may stand for it elsewhere.
    """
    renewed = yaml.MappingNode(content.tag, [], flow_style=False)
    contradicting = {"certificate-authority", "insecure-skip-tls-verify"}
    for key, value in old.value if isinstance(old, yaml.MappingNode) else ():
        if key.value not in contradicting:
            renewed.value.append((key, value))
    for key, value in content.value:
        _put(renewed, key.value, value)
    return renewed


def _node(value: object) -> yaml.Node:
    """Return the nodes of a value."""
    return cast("yaml.Node", yaml.compose(yaml.safe_dump(value, sort_keys=False), yaml.SafeLoader))


def _complaint(error: yaml.YAMLError) -> str:
    """Return what YAML has to complain about, and where."""
    mark = getattr(error, "problem_mark", None)
    where = f" in line {mark.line + 1}" if mark else ""
    return f"It is no YAML: {getattr(error, 'problem', None) or 'a strange character'}{where}."


def _text(root: yaml.MappingNode) -> str:
    """Return the nodes as text; no line is folded, however long."""
    return str(yaml.serialize(root, Dumper=yaml.SafeDumper, width=float("inf"), allow_unicode=True))
