"""TLS: what is served, what is renewed, who is turned away."""

from __future__ import annotations

import asyncio
import os
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.wire.authority import Authority

from signalbox.wire import GrpcServer, ServerTls, TlsError
from signalbox.wire.certificates import self_signed
from signalbox.wire.frames import PREFACE, ping, settings

OPAQUE = b"a token."


@asynccontextmanager
async def listening(tls: ServerTls) -> AsyncIterator[int]:
    """A server without services; gives its port."""
    async with GrpcServer({}) as server:
        await server.start("127.0.0.1", 0, tls.context)
        yield server.port


class Client:
    """One TLS connection that speaks HTTP/2."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.tls: ssl.SSLObject = writer.get_extra_info("ssl_object")

    @property
    def shown(self) -> x509.Certificate:
        """The server's certificate."""
        der = self.tls.getpeercert(binary_form=True)
        assert der is not None
        return x509.load_der_x509_certificate(der)

    async def greet(self) -> None:
        """Send the preface and read the server's, which a server that refuses our certificate never sends."""
        self._writer.write(PREFACE + settings(()))
        assert (await self._reader.readexactly(9))[3] == 4

    async def ping(self) -> None:
        """Show that the server still answers."""
        self._writer.write(ping(OPAQUE))
        await self._reader.readuntil(OPAQUE)

    async def close(self) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ssl.SSLError:  # the alert of a server that turned us away
            pass


@asynccontextmanager
async def client(port: int, context: ssl.SSLContext, name: str = "localhost") -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    connection = Client(reader, writer)
    try:
        yield connection
    finally:
        await connection.close()


async def shown(port: int, context: ssl.SSLContext) -> x509.Certificate:
    """The certificate of a server that takes us."""
    async with client(port, context) as connection:
        await connection.greet()
        return connection.shown


async def turned_away(port: int, context: ssl.SSLContext) -> bool:
    """Whether the server ends the connection instead of greeting us. In TLS 1.3 the handshake succeeds either way."""
    try:
        async with client(port, context) as connection:
            await connection.greet()
    except (ssl.SSLError, asyncio.IncompleteReadError, ConnectionError):
        return True
    return False


def trusting_nobody() -> ssl.SSLContext:
    """As gateways are by default: any certificate will do."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    return tmp_path / "certificates"


# ---- self-signed


async def test_without_files_the_server_signs_its_own_certificate() -> None:
    async with listening(ServerTls()) as port, client(port, trusting_nobody()) as connection:
        await connection.greet()
        certificate = connection.shown
        assert (connection.tls.version(), connection.tls.selected_alpn_protocol()) == ("TLSv1.3", "h2")
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    certificate.verify_directly_issued_by(certificate)


async def test_a_client_can_pin_the_self_signed_certificate() -> None:
    tls = ServerTls()
    async with listening(tls) as port:
        pinned = (await shown(port, trusting_nobody())).public_bytes(serialization.Encoding.PEM)
        context = ssl.create_default_context(cadata=pinned.decode())
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        assert await shown(port, context)
    assert tls.origin == "self-signed"
    assert not tls.files
    assert not tls.reload()


def test_a_self_signed_certificate_bears_with_clocks_that_differ_and_lasts_ten_years() -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    pair = self_signed(now)
    start = x509.load_pem_x509_certificate(pair.certificate).not_valid_before_utc
    assert start == now - timedelta(hours=1)
    assert pair.expires == start + timedelta(days=3650)


@pytest.mark.parametrize("in_memory", [True, False])
def test_no_key_is_left_behind(in_memory: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if not in_memory:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    open_files = len(os.listdir("/dev/fd"))
    pair = self_signed()
    with pair.as_file() as path:
        content = Path(path).read_bytes()
        on_disk = [file.name for file in tmp_path.iterdir()]
        assert (os.stat(path).st_mode & 0o077 == 0) or in_memory
    assert content == pair.key + b"\n" + pair.certificate
    assert on_disk == ([] if in_memory and hasattr(os, "memfd_create") else [Path(path).name])
    assert not list(tmp_path.iterdir())
    assert len(os.listdir("/dev/fd")) == open_files


# ---- versions


async def test_tls_1_2_is_the_oldest_version() -> None:
    old = trusting_nobody()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with listening(ServerTls()) as port, client(port, old) as connection:
        await connection.greet()
        assert connection.tls.version() == "TLSv1.2"
    hello = b"\x03\x02" + bytes(32) + b"\x00" + b"\x00\x02\xc0\x09" + b"\x01\x00"  # TLS 1.1, one cipher suite
    incoming = ssl.MemoryBIO()
    incoming.write(b"\x16\x03\x01" + (len(hello) + 4).to_bytes(2, "big"))
    incoming.write(b"\x01" + len(hello).to_bytes(3, "big") + hello)
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
        ServerTls().context.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True).do_handshake()


def handshake(server: ssl.SSLContext, context: ssl.SSLContext, session: ssl.SSLSession | None) -> ssl.SSLObject:
    """Connect in memory, offering to resume ``session``; return the client's end."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    end = context.wrap_bio(down, up, session=session)
    other = server.wrap_bio(up, down, server_side=True)
    for step in (end, other, end, other, end):
        try:
            step.do_handshake()
        except ssl.SSLWantReadError:
            pass
    other.write(b"what makes the client read all that the server sent")
    end.read()
    return end


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_is_resumed_so_that_every_connection_is_checked_anew(version: ssl.TLSVersion) -> None:
    server = ServerTls().context
    context = trusting_nobody()
    context.minimum_version = context.maximum_version = version
    first = handshake(server, context, None)
    assert not handshake(server, context, first.session).session_reused


# ---- certificates from a directory


async def test_a_certificate_from_a_directory_with_its_chain(authority: Authority, certificates: Path) -> None:
    certificate = Authority("intermediate", above=authority).issue(certificates)
    tls = ServerTls(certificates)
    async with listening(tls) as port:
        assert await shown(port, authority.client()) == certificate
    assert tls.origin == str(certificates)
    assert tls.expires == certificate.not_valid_after_utc
    assert tls.files == (certificates, certificates / "tls.crt", certificates / "tls.key")


async def test_new_connections_get_the_new_certificate_and_old_ones_live_on(
    authority: Authority, certificates: Path
) -> None:
    first = authority.issue(certificates)
    tls = ServerTls(certificates)
    async with listening(tls) as port, client(port, authority.client()) as old:
        await old.greet()
        assert not tls.reload(), "nothing has changed"
        second = authority.issue(certificates)
        assert tls.reload()
        await old.ping()
        assert old.shown == first
        assert await shown(port, authority.client()) == second
        async with client(port, authority.client(), name="127.0.0.1") as nameless:  # sends no server name
            assert nameless.shown == second


def remove_certificate(directory: Path) -> None:
    (directory / "tls.crt").unlink()


def remove_key(directory: Path) -> None:
    (directory / "tls.key").unlink()


def empty_certificate(directory: Path) -> None:
    (directory / "tls.crt").write_bytes(b"")


def cut_certificate(directory: Path) -> None:
    (directory / "tls.crt").write_bytes((directory / "tls.crt").read_bytes()[:200])


def key_without_pem(directory: Path) -> None:
    (directory / "tls.key").write_bytes(b"\x00\x01")


def key_of_another(directory: Path) -> None:
    other = directory.parent / "other"
    Authority().issue(other)
    (other / "tls.key").rename(directory / "tls.key")


def locked_key(directory: Path) -> None:
    Authority().issue(directory, password=b"secret")


SPOILERS: list[tuple[Callable[[Path], None], str]] = [
    (remove_certificate, "tls.crt: No such file or directory; put the file there"),
    (remove_key, "tls.key: No such file or directory; put the file there"),
    (empty_certificate, "tls.crt: no certificate in PEM"),
    (cut_certificate, "tls.crt: no certificate in PEM"),
    (key_without_pem, "tls.key: no private key in PEM"),
    (key_of_another, "tls.key: not the key of tls.crt; put both files of one pair there"),
    (locked_key, "tls.key: the key is locked by a password; store it without one"),
]


@pytest.mark.parametrize(("spoil", "problem"), SPOILERS)
async def test_a_pair_that_cannot_be_used_is_named_and_the_last_good_one_stays(
    spoil: Callable[[Path], None], problem: str, authority: Authority, certificates: Path
) -> None:
    good = authority.issue(certificates)
    tls = ServerTls(certificates)
    spoil(certificates)
    with pytest.raises(TlsError) as at_start:
        ServerTls(certificates)
    with pytest.raises(TlsError) as at_reload:
        tls.reload()
    assert str(at_start.value) == str(at_reload.value)
    assert str(at_start.value).startswith(f"{certificates}/{problem}")
    async with listening(tls) as port:
        assert await shown(port, authority.client()) == good
        mended = authority.issue(certificates)
        assert tls.reload()
        assert await shown(port, authority.client()) == mended


# ---- client certificates


async def test_only_clients_of_the_ca_are_let_in(authority: Authority, certificates: Path, tmp_path: Path) -> None:
    authority.issue(certificates)
    authority.issue(tmp_path / "ours", "gateway")
    Authority("another CA").issue(tmp_path / "theirs", "gateway")
    tls = ServerTls(certificates, authority.file(tmp_path / "ca.crt"))
    async with listening(tls) as port:
        assert await shown(port, authority.client(tmp_path / "ours"))
        assert await turned_away(port, authority.client())
        assert await turned_away(port, authority.client(tmp_path / "theirs"))


async def test_a_client_whose_certificate_has_expired_is_turned_away(authority: Authority, tmp_path: Path) -> None:
    authority.issue(tmp_path / "server")
    authority.issue(tmp_path / "client", "gateway", days=-0.5)
    async with listening(ServerTls(tmp_path / "server", authority.file(tmp_path / "ca.crt"))) as port:
        assert await turned_away(port, authority.client(tmp_path / "client"))


async def test_the_ca_is_renewed_too_also_beside_a_self_signed_certificate(
    authority: Authority, tmp_path: Path
) -> None:
    successor = Authority("the next CA")
    authority.issue(tmp_path / "old", "gateway")
    successor.issue(tmp_path / "new", "gateway")
    ca = authority.file(tmp_path / "ca.crt")
    tls = ServerTls(client_ca=ca)
    assert tls.files == (ca,)
    old, new = trusting_nobody(), trusting_nobody()
    old.load_cert_chain(tmp_path / "old" / "tls.crt", tmp_path / "old" / "tls.key")
    new.load_cert_chain(tmp_path / "new" / "tls.crt", tmp_path / "new" / "tls.key")
    async with listening(tls) as port, client(port, old) as long_lived:
        await long_lived.greet()
        assert await turned_away(port, new)
        ca.write_bytes(b"-----BEGIN NOTHING-----")
        with pytest.raises(TlsError, match=r"ca\.crt: no CA certificate in PEM"):
            tls.reload()
        assert await turned_away(port, new)
        successor.file(ca)
        assert tls.reload()
        assert await shown(port, new)
        assert await turned_away(port, old)
        await long_lived.ping()


@pytest.mark.parametrize(("content", "problem"), [(None, "No such file"), (b"", "no CA"), (b"\xff", "no CA")])
def test_a_ca_file_that_cannot_be_used(content: bytes | None, problem: str, tmp_path: Path) -> None:
    ca = tmp_path / "ca.crt"
    if content is not None:
        ca.write_bytes(content)
    with pytest.raises(TlsError, match=rf"ca\.crt: {problem}"):
        ServerTls(client_ca=ca)
