"""A certificate authority for tests."""

from __future__ import annotations

import inspect
import ipaddress
import itertools
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_SERIAL = itertools.count(1)


def _pem(key: ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)


class Authority:
    """Issues certificates; ``above`` makes it an intermediate one."""

    def __init__(self, name: str = "test CA", above: Authority | None = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self._above = above
        self.certificate = self._sign(name, self.key, above or self, ca=True)

    @property
    def pem(self) -> bytes:
        """The CA certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def file(self, path: Path) -> Path:
        """Write the CA certificate to ``path``."""
        path.write_bytes(self.pem)
        return path

    def issue(
        self, directory: Path, name: str = "localhost", *, days: float = 2, password: bytes | None = None
    ) -> x509.Certificate:
        """Write ``tls.crt``, with the chain, and ``tls.key`` for ``name`` and 127.0.0.1 into ``directory``."""
        directory.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(name, key, self, days=days)
        chain = b"" if self._above is None else self.pem
        (directory / "tls.key").write_bytes(_pem(key, password))
        (directory / "tls.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + chain)
        return certificate

    def client(self, own: Path | None = None) -> ssl.SSLContext:
        """What a client needs that trusts this CA; ``own`` holds the certificate it shows."""
        context = ssl.create_default_context(cadata=self.pem.decode())
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # what newer Pythons and other strict clients check
        context.set_alpn_protocols(["h2"])
        if own is not None:
            context.load_cert_chain(own / "tls.crt", own / "tls.key")
        return context

    @staticmethod
    def _sign(
        name: str, key: ec.EllipticCurvePrivateKey, issuer: Authority, *, ca: bool = False, days: float = 2
    ) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        above = subject if key is issuer.key else issuer.certificate.subject
        end = datetime.now(UTC) + timedelta(days=days)
        names = [x509.DNSName(name.replace(" ", "-")), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
        use = dict.fromkeys(inspect.signature(x509.KeyUsage).parameters, False)
        use["key_cert_sign" if ca else "digital_signature"] = True
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(above)
            .public_key(key.public_key())
            .serial_number(next(_SERIAL))
            .not_valid_before(min(datetime.now(UTC), end) - timedelta(days=1))
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(**use), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(issuer_key, critical=False)
            .sign(issuer.key, hashes.SHA256())
        )
