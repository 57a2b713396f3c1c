"""What node images are made of, and what their digests cover."""

import dataclasses
import io
import tarfile

import pytest

from drivers.image_recipe import BASE, KUBERNETES, SWARM, Layer, image_script

LAYERS = (BASE, SWARM, KUBERNETES)
UNITS = "etc/systemd/system"


def overlay(layer: Layer) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(layer.overlay())) as tar:
        return {member.name: member for member in tar}


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_digest_is_the_same_each_time_and_follows_what_the_image_is_made_of(layer: Layer) -> None:
    assert layer.digest("base") == layer.digest("base")
    others = (
        dataclasses.replace(layer, packages=(*layer.packages, "curl")),
        dataclasses.replace(layer, links={**layer.links, "etc/new": "old"}),
        dataclasses.replace(layer, empty=(*layer.empty, "etc/new")),
        dataclasses.replace(layer, scripts=(*layer.scripts, "image_cache")),
    )
    digests = {layer.digest("base"), layer.digest("other base"), layer.digest("base", "release")}
    digests |= {other.digest("base") for other in others}
    assert len(digests) == 3 + len(others)


def test_no_two_layers_have_one_digest() -> None:
    assert len({layer.digest() for layer in LAYERS}) == len(LAYERS)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_a_unit_that_is_started_is_in_the_layer(layer: Layer) -> None:
    members = overlay(layer)
    wanted = [name for name in members if name.startswith(UNITS) and ".wants/" in name]
    assert bool(wanted) == (layer is not BASE)
    for name in wanted:
        assert f"{UNITS}/{name.rpartition('/')[2]}" in members, name


def test_every_kubernetes_unit_is_started_and_only_where_its_settings_are() -> None:
    members = overlay(KUBERNETES)
    started = {name.rpartition("/")[2] for name in members if ".wants/" in name}
    assert {name.rpartition("/")[2] for name in members if name.startswith(UNITS) and ".wants/" not in name} == started
    with tarfile.open(fileobj=io.BytesIO(KUBERNETES.overlay())) as tar:
        for unit in started - {"containerd.service", "carina-journal.service"}:
            text = tar.extractfile(f"{UNITS}/{unit}").read().decode()
            assert "ConditionPathExists=/etc/kubernetes/" in text, unit


@pytest.mark.parametrize("layer", [SWARM, KUBERNETES], ids=lambda layer: layer.name)
def test_a_kinds_script_has_every_function_that_it_calls(layer: Layer) -> None:
    script = image_script(layer)
    for name in ("make_base", "make_kind", "furnish", "stock", "forget", "from_cache", "to_cache"):
        assert script.count(f"\n{name}() {{") == 1, name
