"""``makemessages`` for this tree: which languages, which files, and both short names of gettext.

A module that needs the lazy form as ``_`` (labels of models and forms) calls the immediate one ``_g``
(sentences made during a request); xgettext has to be told of it, or these strings stay English.
"""

from django.core.management.base import CommandParser
from django.core.management.commands import makemessages

SHORT_NAMES = ("_g",)  # besides `_`, which xgettext knows
IGNORED = ("var/*", "tests/*", "bench/*", ".venv/*", "staticfiles/*")


class Command(makemessages.Command):
    """Writes locale/ru/LC_MESSAGES/django.po; takes every option of Django's own command."""

    xgettext_options = [
        *makemessages.Command.xgettext_options,
        *(f"--keyword={name}" for name in SHORT_NAMES),
    ]

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        # one entry per line and no places: a moved line of code, another gettext, change nothing here
        parser.set_defaults(
            locale=["ru"], no_wrap=True, no_location=True, no_obsolete=True, ignore_patterns=[*IGNORED]
        )
