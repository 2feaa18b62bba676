"""Reading bodies: JSON in UTF-8, of bounded size and depth, with nothing in it that a database refuses."""

import json
import re
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from django.conf import settings
from django.http import UnreadablePostError
from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.renderers import JSONRenderer

from platforms.api.errors import TooLarge

MAX_DEPTH = 12  # objects and lists within one another
MAX_INTEGER = 2**63 - 1  # what a column holds
UNFIT = re.compile("[\x00\ud800-\udfff]")  # NUL, and halves of characters


class JSONParser(BaseParser):
    """``application/json``; every way to be wrong is a 400 or a 413, found before any view works."""

    media_type = "application/json"
    renderer_class = JSONRenderer  # the browsable API fills its form with it

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        try:
            raw = stream.read(limit + 1)
        except UnreadablePostError as exc:
            raise ParseError(_("The body ended too early.")) from exc
        if len(raw) > limit:
            raise TooLarge(_("The body is larger than %(limit)s bytes.") % {"limit": limit})
        return read_json(raw)


ENVELOPE = 100_000  # bytes of a multipart body besides the file


def bounded_multipart(max_bytes: int) -> type[MultiPartParser]:
    """Takes a file of at most ``max_bytes``; a larger body is refused by its announced length, before it is read."""

    class BoundedMultiPartParser(MultiPartParser):
        def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
            length = parser_context["request"].META.get("CONTENT_LENGTH") or "0"
            if not length.isdigit() or int(length) > max_bytes + ENVELOPE:
                raise TooLarge(_("The body is larger than %(limit)s bytes.") % {"limit": max_bytes})
            return super().parse(stream, media_type, parser_context)

    return BoundedMultiPartParser


def read_json(raw: bytes) -> Any:
    """The value that ``raw`` is; ParseError with a sentence for whatever it should not be."""
    try:
        value = json.loads(raw.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError as exc:
        raise ParseError(_("The body is not UTF-8.")) from exc
    except RecursionError as exc:
        raise ParseError(_("The JSON is nested too deeply.")) from exc
    except ValueError as exc:
        raise ParseError(_("The body is not JSON: %(why)s") % {"why": str(exc)[:200]}) from exc
    _check(value)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def _check(value: Any) -> None:
    """Walk without recursion: depth, text, size of numbers."""
    waiting = [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise ParseError(_("The JSON is nested too deeply."))
        if isinstance(item, str) and UNFIT.search(item):
            raise ParseError(_("A text has characters that cannot be stored (NUL, or half of a character)."))
        if isinstance(item, int | float) and abs(item) > MAX_INTEGER:
            raise ParseError(_("A number is too large."))
        if isinstance(item, dict):
            waiting += [(part, depth + 1) for pair in item.items() for part in pair]
        elif isinstance(item, list):
            waiting += [(part, depth + 1) for part in item]
