"""The exporters that a preset gives a new client."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from exporters.models import Exporter
from exporters.services import create_exporter
from platforms.models import Platform
from remosa.lib.registry import backend

FIELDS = frozenset({"kind", "name", "interval_s", "timeout_s", "concurrency", "rate_per_s", "jitter_s"})


class ExportersOfAPreset:
    """The port of ``platforms``. Only a CMS without a key, at the address that this installation knows for it."""

    def check(self, rows: Sequence[Mapping[str, Any]]) -> None:
        for row in rows:
            if wrong := set(row) - FIELDS:
                raise ValueError(f"no exporter of a preset has {', '.join(sorted(wrong))}")
            if row["kind"] not in settings.EXPORTERS or backend("EXPORTERS", row["kind"]).secret_fields:
                raise ValueError(f"{row['kind']} is no kind of exporter that works without a key")
            try:
                Exporter(**row, base_url="https://cms.example.org").clean_fields(exclude=["platform"])
            except ValidationError as exc:
                raise ValueError(str(exc.message_dict)) from exc

    def brings(self, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        return [self._sentence(row) for row in rows]

    def _sentence(self, row: Mapping[str, Any]) -> str:
        if not _address(row):
            return _("No exporter “%(name)s”: this installation knows no address of its CMS.") % row
        return _("Exporter “%(name)s”, asked every %(seconds)s s, without devices yet.") % {
            "name": row["name"], "seconds": f"{row.get('interval_s', 30):g}",
        }  # fmt: skip

    def apply(self, platform: Platform, rows: Sequence[Mapping[str, Any]], *, by: Any) -> int:
        known = [row for row in rows if _address(row)]
        for row in known:
            create_exporter(platform=platform, by=by, base_url=_address(row), **row)
        return len(known)


def _address(row: Mapping[str, Any]) -> str:
    return settings.EXPORTER_URLS.get(row["kind"], "")
