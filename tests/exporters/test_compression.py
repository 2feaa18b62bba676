"""Pieces that are put together are what they would be if they had been compressed as one."""

import gzip
import zlib

from hypothesis import given
from hypothesis import strategies as st

from exporters.compression import gzip_of, plain_of, segment

TEXTS = st.lists(st.text(max_size=300) | st.sampled_from(["", "плеер 1\n" * 2000]), max_size=6)


@given(texts=TEXTS)
def test_any_pieces_make_one_gzip_member(texts):
    whole = gzip_of([segment([text]) for text in texts])

    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    unpacked = unpacker.decompress(whole)
    assert unpacked == "".join(texts).encode()
    assert unpacker.eof
    assert unpacker.unused_data == b""


@given(texts=TEXTS)
def test_the_plain_form_is_the_same_text(texts):
    pieces = [segment([text]) for text in texts]

    assert plain_of(pieces) == gzip.decompress(gzip_of(pieces)) == "".join(texts).encode()


def test_a_piece_can_be_used_in_any_place_and_twice():
    one, two = segment(["one\n" * 50]), segment(["two\n" * 50], level=1)

    assert gzip.decompress(gzip_of([two, one, two])) == b"two\n" * 50 + b"one\n" * 50 + b"two\n" * 50


@given(texts=TEXTS)
def test_texts_make_the_piece_that_one_text_makes(texts):
    piece, whole = segment(texts), segment(["".join(texts)])

    assert plain_of([piece]) == plain_of([whole])
    assert (piece.length, piece.crc) == (whole.length, whole.crc)
