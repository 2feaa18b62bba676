"""A file that somebody calls a photo becomes a small JPEG, or is refused with a sentence. Pure.

The type is what the bytes are, not what the browser says. The picture is decoded and written anew, so that no
place, no owner's name, and nothing that only looks like a picture comes along. Nothing is decoded before its
size in pixels is known.
"""

import io
import warnings
from dataclasses import dataclass

from django.utils.translation import gettext as _
from PIL import Image, ImageOps

MAX_BYTES = 10_000_000  # of the upload: a phone's photo has 3 to 6 MB
MAX_PIXELS = 50_000_000
SIDE = 1280  # pixels of the longer side that are kept
FORMATS = ("JPEG", "PNG", "WEBP")
QUALITY = 82


class NoPhoto(ValueError):
    """Not a photo that can be kept; the text says what to do."""


@dataclass(frozen=True)
class Taken:
    """The picture as it is kept."""

    content: bytes
    width: int
    height: int


def read_photo(data: bytes) -> Taken:
    """The picture in ``data``, turned upright and at most ``SIDE`` pixels long; raises NoPhoto."""
    if len(data) > MAX_BYTES:
        raise NoPhoto(_("The photo is larger than %(limit)d MB.") % {"limit": MAX_BYTES // 1_000_000})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
                if opened.width * opened.height > MAX_PIXELS:
                    raise NoPhoto(_("The photo has too many pixels. Take it at a lower resolution."))
                opened.draft("RGB", (SIDE, SIDE))  # a JPEG is decoded small at once
                opened.load()
                return _kept(opened)
    except NoPhoto:
        raise
    except (
        OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ):  # fmt: skip
        raise NoPhoto(_("This is no photo. Choose a JPEG, PNG or WebP picture.")) from None


def _kept(opened: Image.Image) -> Taken:
    upright = ImageOps.exif_transpose(opened)
    upright.thumbnail((SIDE, SIDE))
    flat = Image.new("RGB", upright.size, "white")
    with_alpha = upright.convert("RGBA")
    flat.paste(with_alpha, mask=with_alpha.getchannel("A"))
    out = io.BytesIO()
    flat.save(out, "JPEG", quality=QUALITY, optimize=True)
    return Taken(out.getvalue(), flat.width, flat.height)
