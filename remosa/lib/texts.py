"""Texts from outside."""


def storable(text: str) -> str:
    """``text`` as any database takes it: no zero characters, no halves of characters."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
