"""TLS for a server whose certificate changes while it runs."""

from __future__ import annotations

import ssl
from datetime import datetime
from pathlib import Path

from signalbox.wire.certificates import (
    CERTIFICATE_FILE,
    KEY_FILE,
    KeyPair,
    TlsError,
    read_file,
    read_pair,
    self_signed,
)


class ServerTls:
    """TLS 1.2 or newer with ALPN ``h2``; optionally only for clients with a certificate of our CA.

    ``certificates`` is a directory with ``tls.crt`` and ``tls.key``; without one the server signs its own.
    ``client_ca`` is a PEM file of CAs; with it, a client without a certificate from one of them is turned away.

    Raises:
        TlsError: a file is missing or cannot be used; the message names it and the fix.
    """

    def __init__(self, certificates: Path | None = None, client_ca: Path | None = None) -> None:
        self._directory = certificates
        self._client_ca = client_ca
        self._made = self_signed() if certificates is None else None
        self._pair, self._authorities = self._read()
        self._current = _context(self._pair, self._authorities, client_ca)
        self.context = _context(self._pair, self._authorities, client_ca)
        """What to listen with. It hands every handshake to the newest certificate; connections keep theirs."""
        self.context.sni_callback = self._choose

    @property
    def expires(self) -> datetime:
        """When the certificate in force ends, in UTC."""
        return self._pair.expires

    @property
    def origin(self) -> str:
        """Where the certificate in force comes from: a directory, or ``self-signed``."""
        return self._pair.origin

    @property
    def files(self) -> tuple[Path, ...]:
        """What to watch; after a change under one of these call `reload`."""
        watched = [] if self._client_ca is None else [self._client_ca]
        if self._directory is not None:
            watched += [self._directory, self._directory / CERTIFICATE_FILE, self._directory / KEY_FILE]
        return tuple(watched)

    def reload(self) -> bool:
        """Read the files again and return whether anything is new; new connections then get it.

        Raises:
            TlsError: the files cannot be used. What was in force before stays in force.
        """
        pair, authorities = self._read()
        if (pair, authorities) == (self._pair, self._authorities):
            return False
        self._current = _context(pair, authorities, self._client_ca)
        self._pair, self._authorities = pair, authorities
        return True

    def _read(self) -> tuple[KeyPair, bytes | None]:
        pair = self._made
        if pair is None:
            assert self._directory is not None  # else we have made one
            pair = read_pair(self._directory)
        return pair, None if self._client_ca is None else read_file(self._client_ca)

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        # OpenSSL asks this in each handshake, whether the client names a server or not.
        connection.context = self._current


def _context(pair: KeyPair, authorities: bytes | None, client_ca: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    # A resumed session skips the client's certificate, so one ticket would outlive the CA that it was given under.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    try:
        with pair.as_file() as path:
            context.load_cert_chain(path)
    except ssl.SSLError as error:
        raise TlsError(f"{pair.origin}: TLS cannot use this pair ({error.reason}); make a new one") from error
    if authorities is not None:
        try:
            context.load_verify_locations(cadata=authorities.decode("ascii"))
        except (ssl.SSLError, ValueError) as error:
            raise TlsError(f"{client_ca}: no CA certificate in PEM; put the CA of the clients there") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context
