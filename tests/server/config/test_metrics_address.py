from __future__ import annotations

import pytest

from stablehand_server.config import metrics_address
from stablehand_server.config.metrics_address import Address, DefaultAddress

KUBERNETES = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
IPV6_ONLY = {"KUBERNETES_SERVICE_HOST": "fd00:10::1"}


ORIGINAL = metrics_address.default


def default(environ=None, pid=4711, files=()):
    return ORIGINAL(environ or {}, pid, lambda path: path in files)


def test_outside_of_a_container_it_is_loopback():
    assert default() == ("127.0.0.1", 9464)


@pytest.mark.parametrize(
    "mark", [{"environ": KUBERNETES}, {"pid": 1}, {"files": {"/.dockerenv"}}, {"files": {"/run/.containerenv"}}]
)
def test_in_a_container_it_is_every_address(mark):
    assert default(**mark) == ("0.0.0.0", 9464)


def test_in_a_cluster_of_ipv6_it_is_every_address_of_both_versions():
    assert default(IPV6_ONLY) == ("::", 9464)
    assert str(default(IPV6_ONLY)) == "[::]:9464"


def test_the_default_is_distinguished_from_the_same_address_named_by_the_user(monkeypatch):
    monkeypatch.setattr(metrics_address, "default", default)

    assert isinstance(metrics_address.parse("auto"), DefaultAddress)
    assert not isinstance(metrics_address.parse("127.0.0.1:9464"), DefaultAddress)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9000", ("127.0.0.1", 9000)),
        ("127.0.0.1", ("127.0.0.1", 9464)),
        ("tcp://127.0.0.1:9000", ("127.0.0.1", 9000)),
        ("9000", ("127.0.0.1", 9000)),
        (" 9464 ", ("127.0.0.1", 9464)),
        (":9000", ("0.0.0.0", 9000)),
        ("localhost", ("localhost", 9464)),
        ("localhost:", ("localhost", 9464)),
        ("LOCALHOST:9000", ("localhost", 9000)),
        ("metrics.example:9000", ("metrics.example", 9000)),
        ("[::]:9000", ("::", 9000)),
        ("[::1]", ("::1", 9464)),
        ("::1", ("::1", 9464)),
        ("none", None),
        ("OFF", None),
        ("", None),
    ],
)
def test_what_people_write_is_understood(monkeypatch, text, address):
    monkeypatch.setattr(metrics_address, "default", default)
    found = metrics_address.parse(text)

    assert found == address
    assert found is None or isinstance(found, Address)


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "65536",
        "localhost:many",
        "127.0.0.1:99999",
        "127.0.0.1:-1",
        "127.0.0.1:²",
        "unix:/tmp/socket",
        "fd://3",
        "http://localhost:9464",
        "[::1",
        "[nonsense]:9464",
        "[::1]9464",
        "1:2:3",
        "two words:9464",
    ],
)
def test_what_is_no_address_is_refused_with_a_sentence(text):
    with pytest.raises(ValueError, match="is no address: HOST:PORT is needed, or none"):
        metrics_address.parse(text)
