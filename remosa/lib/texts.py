"""Texts from outside."""

import re

NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """``text`` as any database takes it: zero characters and halves of characters become U+FFFD."""
    return NOT_STORABLE.sub("\ufffd", text)
