"""Field sections on the wire (RFC 7541): decoding with the ``hpack`` library and a cache, encoding as plain literals.

We announce SETTINGS_HEADER_TABLE_SIZE 0. Once the peer has acknowledged that and shrunk its table, a block means the
same whenever it comes: the decoder has no state left that could change it. From then on, and only then, equal bytes
share one decoded and checked head. Before, every block goes through the library.
"""

from __future__ import annotations

from collections.abc import Iterable

from hpack import Decoder, HPACKError, OversizedHeaderListError
from hpack.hpack import encode_integer

from signalbox.wire.errors import ConnectionFault, ErrorCode, StreamFault
from signalbox.wire.header_rules import Field, RequestHead, list_size, request_head
from signalbox.wire.limits import KIB

_CACHED_HEADS = 16
"""Per connection. A gateway sends one or two heads again and again."""
_CACHED_LIST_BYTES = 2048
"""Size of a list that is kept: a head of 12 KiB costs several times that as objects."""
_OBJECTS = 8
"""What a list of the shortest fields costs as objects, in multiples of its size (`list_size`)."""
_FREE_BYTES = 8 * KIB
_LARGE_LIST_BYTES = 4096
_TABLE_SIZE_UPDATES = 2
"""An encoder that follows RFC 7541 section 4.2 names the smallest size it passed through and the last."""

TABLE_SIZE_ZERO = b"\x20"
"""Dynamic table size update to 0 (RFC 7541 section 6.3)."""


def encode_fields(fields: Iterable[Field]) -> bytes:
    """Return a block of literals without indexing and without Huffman coding (RFC 7541 section 6.2.2)."""
    block = bytearray()
    for name, value in fields:
        block += b"\x00"
        for text in (name, value):
            block += encode_integer(len(text), 7)
            block += text
    return bytes(block)


def _too_many_updates(block: bytes) -> bool:
    """Whether a block begins with more table size updates than any encoder needs: 32 KiB of them cost 20 ms."""
    at = updates = 0
    while at < len(block) and block[at] & 0xE0 == 0x20:
        updates += 1
        if updates > _TABLE_SIZE_UPDATES:
            return True
        if block[at] & 0x1F == 0x1F:
            at += 1
            while at < len(block) and block[at] & 0x80:
                at += 1
        at += 1
    return False


class HeaderDecoder:
    """Decodes the blocks of one connection in the order they came."""

    __slots__ = ("_cache", "_cached_bytes", "_decoder", "_last", "_last_head", "_self_contained", "large_bytes")

    def __init__(self, max_list_bytes: int) -> None:
        self._decoder = Decoder(max_header_list_size=max_list_bytes)
        self._cache: dict[bytes, RequestHead] = {}
        self._last = b""
        self._last_head: RequestHead | None = None
        self._self_contained = False
        self._cached_bytes = 0
        self.large_bytes = 0
        """Bytes of the header lists over 4 KiB so far, for whoever makes the peer pay for them."""

    @property
    def self_contained(self) -> bool:
        """True once a block's meaning depends on its bytes alone; stays so, since the table may not grow again."""
        return self._self_contained

    @property
    def cached_bytes(self) -> int:
        """What the heads kept to be found again cost, beyond the 8 KiB that each connection has for them."""
        return max(0, self._cached_bytes - _FREE_BYTES)

    def settings_acknowledged(self) -> None:
        """From the next block on the peer must have shrunk its dynamic table to nothing."""
        self._decoder.max_allowed_table_size = 0

    def fields(self, stream_id: int, block: bytes) -> list[Field]:
        """Decode one block.

        Raises `ConnectionFault` COMPRESSION_ERROR for bytes that are not HPACK. A list over the limit leaves the
        library's table undefined: `ConnectionFault`, or `StreamFault` once there is no table to harm.
        """
        decoder = self._decoder
        if _too_many_updates(block):
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, "a header block with more than 2 table size updates")
        try:
            fields: list[Field] = decoder.decode(block, raw=True)
        except OversizedHeaderListError:
            self.large_bytes += decoder.max_header_list_size
            reason = f"header list over {decoder.max_header_list_size} bytes"
            if self._self_contained:
                raise StreamFault(stream_id, ErrorCode.ENHANCE_YOUR_CALM, reason) from None
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, reason) from None
        except (HPACKError, IndexError, TypeError, ValueError) as error:
            # The library's words are not for the peer: they hold addresses of objects.
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, "a header block is not HPACK") from error
        if decoder.max_allowed_table_size == 0 and decoder.header_table_size == 0:
            self._self_contained = True
        size = list_size(fields)
        if size > _LARGE_LIST_BYTES:
            self.large_bytes += size
        return fields

    def request(self, stream_id: int, block: bytes) -> RequestHead:
        """Decode and check a request's block; raises what `fields` and `request_head` raise."""
        last = self._last_head
        if last is not None and block == self._last:
            return last  # found without hashing it
        head = self._cache.get(block)
        if head is not None:
            self._last, self._last_head = block, head
            return head
        stateless = self._self_contained
        head = request_head(self.fields(stream_id, block))
        if stateless and head.size <= _CACHED_LIST_BYTES and len(block) <= _CACHED_LIST_BYTES:
            if len(self._cache) >= _CACHED_HEADS:
                self.forget()
            self._cache[block] = head
            self._cached_bytes += len(block) + _OBJECTS * head.size
        return head

    def forget(self) -> None:
        """Keep no heads; the next of each kind is decoded again."""
        self._cache.clear()
        self._cached_bytes = 0
        self._last, self._last_head = b"", None
