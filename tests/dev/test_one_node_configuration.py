from __future__ import annotations

import ipaddress
import ssl
import tarfile
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from stablehand_dev.cluster.one_node import certificates, configuration, pause_image, teardown
from stablehand_dev.cluster.one_node.components import Programs, components
from stablehand_dev.cluster.one_node.layout import Layout
from stablehand_dev.errors import DevelopmentError


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(name="test", number=2, run=tmp_path / "run", state=tmp_path / "state")


def test_two_clusters_share_no_address():
    layouts = [Layout(number=number) for number in range(64)]
    networks = [network for layout in layouts for network in (layout.pods, layout.link, layout.services)]

    assert not any(a.overlaps(b) for i, a in enumerate(networks) for b in networks[i + 1 :])


def test_every_address_is_from_the_range_for_benchmarks():
    layout = Layout()

    assert [str(layout.pods), str(layout.services), str(layout.node_address)] == [
        "198.18.0.0/24",
        "198.19.0.0/24",
        "198.18.1.2",
    ]
    assert layout.api_service_address in ipaddress.IPv4Network("198.18.0.0/15")


def test_certificates_are_good_for_a_strict_client(layout: Layout):
    certificates.issue(layout)

    server = x509.load_pem_x509_certificate((layout.certificates / "apiserver.crt").read_bytes())
    addresses = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert layout.api_service_address in addresses.get_values_for_type(x509.IPAddress)
    assert layout.node_address in addresses.get_values_for_type(x509.IPAddress)
    # What VERIFY_X509_STRICT asks for (the default from Python 3.13 on), beside the signature itself.
    assert server.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    authority = x509.load_pem_x509_certificate((layout.certificates / "ca.crt").read_bytes())
    assert authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    server.verify_directly_issued_by(authority)


def test_keys_are_for_root_alone_and_fit_their_certificates(layout: Layout):
    certificates.issue(layout)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for name in certificates.clients(layout):
        key = layout.certificates / f"{name}.key"
        assert key.stat().st_mode & 0o077 == 0
        context.load_cert_chain(layout.certificates / f"{name}.crt", key)


def test_the_administrators_kubeconfig_leads_to_the_node(layout: Layout):
    certificates.issue(layout)
    configuration.write(layout, Path("/tree"))

    written = yaml.safe_load(layout.kubeconfig.read_text(encoding="utf-8"))

    assert written["clusters"][0]["cluster"]["server"] == "https://198.18.9.2:6443"
    assert layout.kubeconfig.stat().st_mode & 0o077 == 0


def test_no_component_keeps_anything_outside_its_cluster(layout: Layout):
    programs = Programs(Path("/bin/kubernetes"), Path("/bin/etcd"), Path("/bin/tree"), Path("/bin/pause"))
    ours = (str(layout.run), str(layout.state), "/bin/")

    for component in components(layout, programs):
        for argument in component.command[1:]:
            value = argument.partition("=")[2]
            if value.startswith("/") and not argument.startswith("PATH="):
                assert value.startswith(ours), f"{component.name}: {argument}"


def test_the_pause_image_is_the_same_bytes_every_time(tmp_path: Path):
    program = tmp_path / "pause"
    program.write_bytes(b"a program")
    for name in ("one.tar", "two.tar"):
        pause_image.write(tmp_path / name, program, "amd64")

    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as archive:
        assert sorted(archive.getnames()) == ["config.json", "layer.tar", "manifest.json"]


def test_nothing_is_found_where_no_cluster_was(layout: Layout):
    assert teardown.remains(layout) == []


def test_directories_are_not_removed_through_a_mount(layout: Layout, monkeypatch: pytest.MonkeyPatch):
    layout.run.mkdir()
    (layout.run / "precious").touch()
    monkeypatch.setattr(teardown, "_mounts", lambda: [layout.run / "precious"])

    with pytest.raises(DevelopmentError, match="is mounted there"):
        teardown._remove_directories(layout)

    assert (layout.run / "precious").exists()
