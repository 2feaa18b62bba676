"""Pieces of text that are deflated once and put together often. Pure.

``/metrics`` consists of families that change once per round and of ages that change with every
scrape; the page of a platform interleaves the families of several exporters. Each piece is kept as
deflate blocks that end on a byte and refer to nothing before them (RFC 1951), so that any sequence
of pieces is one deflate stream, and its CRC-32 follows from theirs (zlib's ``crc32_combine``).
Nothing is compressed or read again for a scrape.
"""

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # deflate, no name, no time, any system
LAST_BLOCK = b"\x03\x00"  # an empty final block
LEVEL = 6
POLYNOMIAL = 0xEDB88320  # CRC-32, reflected
ONE = 1 << 31  # the polynomial x^0 in that notation


@dataclass(frozen=True, slots=True)
class Segment:
    """Deflated text: ``length`` and ``crc`` are those of the plain bytes (UTF-8)."""

    deflated: bytes
    length: int
    crc: int


def segment(texts: Iterable[str], *, level: int = LEVEL) -> Segment:
    """Deflate texts as one piece, without ever holding all of them."""
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    deflated, length, crc = [], 0, 0
    for text in texts:
        plain = text.encode()
        deflated.append(packer.compress(plain))
        length, crc = length + len(plain), zlib.crc32(plain, crc)
    return Segment(b"".join([*deflated, packer.flush(zlib.Z_FULL_FLUSH)]), length, crc)


def gzip_of(segments: Sequence[Segment]) -> bytes:
    """All pieces, one after another, as one gzip member (RFC 1952)."""
    crc, length = 0, 0
    for piece in segments:
        crc = _multiply(_shift(piece.length), crc) ^ piece.crc
        length += piece.length
    tail = struct.pack("<LL", crc, length & 0xFFFFFFFF)
    return b"".join([GZIP_HEAD, *(piece.deflated for piece in segments), LAST_BLOCK, tail])


def plain_of(segments: Sequence[Segment]) -> bytes:
    """All pieces, one after another, for a client that does not speak gzip."""
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    stream = b"".join([*(piece.deflated for piece in segments), LAST_BLOCK])
    return unpacker.decompress(stream)


@lru_cache(maxsize=4096)
def _shift(length: int) -> int:
    """What appending ``length`` bytes multiplies a CRC by: x^(8 * length) modulo the polynomial."""
    product, power = ONE, 1 << 23  # x^0 and x^8
    while length:
        if length & 1:
            product = _multiply(power, product)
        power = _multiply(power, power)
        length >>= 1
    return product


def _multiply(left: int, right: int) -> int:
    """The product of two polynomials modulo CRC-32's; bit 31 is x^0."""
    product = 0
    for position in range(31, -1, -1):
        if left >> position & 1:
            product ^= right
        right = (right >> 1) ^ POLYNOMIAL if right & 1 else right >> 1
    return product
