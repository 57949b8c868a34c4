"""The certificate a server shows, and the key that proves it: from a directory, or made on the spot."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

# cryptography is imported where it is used: loading it costs more than the rest of this room, for a server that may
# never speak TLS.

CERTIFICATE_FILE = "tls.crt"
KEY_FILE = "tls.key"
"""Names that a Kubernetes Secret of type ``kubernetes.io/tls`` has when it is mounted."""

SELF_SIGNED_DAYS = 3650
SELF_SIGNED_NAMES = ("signalbox-epp", "localhost")


class TlsError(Exception):
    """A certificate, key or CA file cannot be used; the message names the file and the fix."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate, the chain to its CA, and its private key, all PEM."""

    certificate: bytes
    key: bytes
    expires: datetime
    """When the certificate ends, in UTC."""
    origin: str
    """Where it comes from, for logs."""

    @contextmanager
    def as_file(self) -> Iterator[str]:
        """Key and chain in one file, which OpenSSL wants a path of; it is gone when the block ends.

        In memory where the system can: a container may have no disk to write to, and a key belongs on none.
        """
        content = self.key + b"\n" + self.certificate
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("tls", os.MFD_CLOEXEC)
            path = f"/proc/self/fd/{descriptor}"
        else:
            descriptor, path = tempfile.mkstemp()  # readable by nobody else
        try:
            with open(descriptor, "wb", closefd=False) as file:
                file.write(content)
            yield path
        finally:
            os.close(descriptor)
            if not path.startswith("/proc/"):
                os.unlink(path)


def read_pair(directory: Path) -> KeyPair:
    """Read ``tls.crt`` and ``tls.key`` of ``directory``.

    Raises:
        TlsError: one is missing, unreadable, not PEM or locked by a password, or the two do not belong together.
    """
    from cryptography import x509

    certificate = read_file(directory / CERTIFICATE_FILE)
    key = read_file(directory / KEY_FILE)
    try:
        leaf = x509.load_pem_x509_certificates(certificate)[0]
    except ValueError as error:
        raise TlsError(
            f"{directory / CERTIFICATE_FILE}: no certificate in PEM ({_first_line(error)}); put the server's"
            " certificate there, then its chain"
        ) from error
    if leaf.public_key() != _private_key(directory / KEY_FILE, key).public_key():
        raise TlsError(
            f"{directory / KEY_FILE}: not the key of {CERTIFICATE_FILE}; put both files of one pair there"
            " (the certificate's own first, then its chain)"
        )
    return KeyPair(certificate, key, leaf.not_valid_after_utc, str(directory))


def read_file(path: Path) -> bytes:
    """Return the file's content. Raises `TlsError` that says why it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsError(f"{path}: {error.strerror}; put the file there and make it readable") from error


def self_signed(now: datetime | None = None) -> KeyPair:
    """Make a P-256 key and a certificate that nobody vouches for, valid from an hour before ``now`` for ten years.

    For clients that do not check whom they talk to, as gateways do by default with an endpoint picker.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, SELF_SIGNED_NAMES[0])])
    start = (now or datetime.now(UTC)) - timedelta(hours=1)  # clocks differ
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(dns) for dns in SELF_SIGNED_NAMES]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return KeyPair(
        certificate.public_bytes(serialization.Encoding.PEM), pem, certificate.not_valid_after_utc, "self-signed"
    )


def _private_key(path: Path, pem: bytes) -> PrivateKeyTypes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise TlsError(f"{path}: the key is locked by a password; store it without one") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TlsError(
            f"{path}: no private key in PEM ({_first_line(error)}); put the key of {CERTIFICATE_FILE} there"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")
