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
from signalbox.wire.header_rules import Field, RequestHead, request_head

_CACHED_HEADS = 128
_CACHED_BLOCK_BYTES = 2048

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


class HeaderDecoder:
    """Decodes the blocks of one connection in the order they came."""

    __slots__ = ("_cache", "_decoder", "_self_contained")

    def __init__(self, max_list_bytes: int) -> None:
        self._decoder = Decoder(max_header_list_size=max_list_bytes)
        self._cache: dict[bytes, RequestHead] = {}
        self._self_contained = False

    @property
    def self_contained(self) -> bool:
        """True once a block's meaning depends on its bytes alone; stays so, since the table may not grow again."""
        return self._self_contained

    def settings_acknowledged(self) -> None:
        """From the next block on the peer must have shrunk its dynamic table to nothing."""
        self._decoder.max_allowed_table_size = 0

    def fields(self, stream_id: int, block: bytes) -> list[Field]:
        """Decode one block.

        Raises `ConnectionFault` COMPRESSION_ERROR for bytes that are not HPACK. A list over the limit leaves the
        library's table undefined: `ConnectionFault`, or `StreamFault` once there is no table to harm.
        """
        decoder = self._decoder
        try:
            fields: list[Field] = decoder.decode(block, raw=True)
        except OversizedHeaderListError:
            reason = f"header list over {decoder.max_header_list_size} bytes"
            if self._self_contained:
                raise StreamFault(stream_id, ErrorCode.ENHANCE_YOUR_CALM, reason) from None
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, reason) from None
        except (HPACKError, IndexError, TypeError, ValueError) as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, f"header block: {error}") from None
        if decoder.max_allowed_table_size == 0 and decoder.header_table_size == 0:
            self._self_contained = True
        return fields

    def request(self, stream_id: int, block: bytes) -> RequestHead:
        """Decode and check a request's block; raises what `fields` and `request_head` raise."""
        head = self._cache.get(block)
        if head is not None:
            return head
        stateless = self._self_contained
        head = request_head(self.fields(stream_id, block))
        if stateless and len(block) <= _CACHED_BLOCK_BYTES:
            if len(self._cache) >= _CACHED_HEADS:
                self._cache.clear()
            self._cache[block] = head
        return head
