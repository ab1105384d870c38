"""The cluster's certificate authority and what it signs. Everything is created and removed with each cluster."""

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from stablehand_dev.cluster.one_node.layout import Layout

_VALIDITY = dt.timedelta(days=3650)
# Clocks of a machine that was just resumed may lag.
_BACKDATED = dt.timedelta(hours=1)


@dataclass(frozen=True)
class Client:
    """Who a component is to the API server: user name and groups (common name and organisations)."""

    user: str
    groups: tuple[str, ...] = ()


def clients(layout: Layout) -> dict[str, Client]:
    """Return every client of the API server by its file name; the names are those that Kubernetes' own roles expect."""
    return {
        "admin": Client("stablehand-admin", ("system:masters",)),
        "controller-manager": Client("system:kube-controller-manager"),
        "scheduler": Client("system:kube-scheduler"),
        "proxy": Client("system:kube-proxy"),
        "kubelet": Client(f"system:node:{layout.name}", ("system:nodes",)),
        "apiserver-to-kubelet": Client("stablehand-apiserver", ("system:masters",)),
    }


class Authority:
    """A certificate authority whose key never leaves this process: once all is signed, it is no longer needed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stablehand-one-node")])
        # Python 3.13 and later refuse certificates without the two key identifiers (VERIFY_X509_STRICT).
        self._key_identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        certificate = (
            _unsigned(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(sign_certificates=True), critical=True)
            .add_extension(self._key_identifier, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = directory / "ca.crt"
        self.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def sign_client(self, name: str, client: Client) -> None:
        """Write NAME.key and NAME.crt for a client of the API server."""
        subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in client.groups]
        subject.append(x509.NameAttribute(NameOID.COMMON_NAME, client.user))
        self._sign(name, x509.Name(subject), ExtendedKeyUsageOID.CLIENT_AUTH, [])

    def sign_server(self, name: str, names: list[x509.GeneralName]) -> None:
        """Write NAME.key and NAME.crt for a server that is reached under the names given."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._sign(name, subject, ExtendedKeyUsageOID.SERVER_AUTH, names)

    def _sign(self, name: str, subject: x509.Name, usage: x509.ObjectIdentifier, names: list[x509.GeneralName]) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _unsigned(subject, self._name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._key_identifier), critical=False
            )
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        (self._directory / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        _write_key(self._directory / f"{name}.key", key)


def issue(layout: Layout) -> None:
    """Write the authority's certificate, all clients' and servers' keys and certificates, and the key for tokens."""
    authority = Authority(layout.certificates)
    for name, client in clients(layout).items():
        authority.sign_client(name, client)
    dns = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
    addresses = [layout.api_service_address, layout.node_address, ipaddress.IPv4Address("127.0.0.1")]
    authority.sign_server(
        "apiserver",
        [*(x509.DNSName(name) for name in [*dns, "localhost"]), *(x509.IPAddress(address) for address in addresses)],
    )
    authority.sign_server("kubelet-server", [x509.DNSName(layout.name), x509.IPAddress(layout.node_address)])
    # Service accounts' tokens are signed with RSA: every client library verifies that.
    _write_key(layout.certificates / "service-accounts.key", rsa.generate_private_key(65537, 2048))


def _unsigned(subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _VALIDITY)
    )


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not sign_certificates,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
