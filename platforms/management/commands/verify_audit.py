"""``manage.py verify_audit``: read the whole audit and name the first line that is not as it was written."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from platforms import audit_seal, audit_triggers


class Command(BaseCommand):
    help = (
        "Check each chain of the audit from its first line on, its head, the exported heads and the triggers. "
        "Names the first line of each chain that was changed, removed, inserted or cut from the tail; "
        "the exit code is 1 then."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--platform", type=int, help="only the chain of the platform with this number")
        parser.add_argument(
            "--heads", action="append", default=None, metavar="FILE",
            help="exported heads to compare with, from where nobody could change them; may be repeated "
            "(default: AUDIT_HEADS_FILE, where it exists)",
        )  # fmt: skip
        parser.add_argument("--seal", action="store_true", help="seal what waits first")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["seal"]:
            from remosa.lib.clock import utcnow

            audit_seal.seal_all(now=utcnow())
        faults = 0
        chain = audit_seal.chain_name(options["platform"]) if options["platform"] is not None else ""
        for report in audit_seal.verify_all(heads=self._heads(options["heads"]), chain=chain):
            faults += report.finding is not None
            verdict = report.finding.text if report.finding else "whole"
            waits = f", {report.waiting} wait for their seal" if report.waiting else ""
            line = f"{report.chain}: {report.sealed} lines sealed{waits}: {verdict}"
            self.stdout.write(self.style.ERROR(line) if report.finding else line)
            if report.finding and report.finding.line_id:
                self.stdout.write(f"  id {report.finding.line_id}")
        if names := audit_triggers.missing(connection):
            faults += 1
            self.stdout.write(self.style.ERROR(f"triggers are missing: {', '.join(names)}; run migrate"))
        if faults:
            raise CommandError(f"The audit is not whole: {faults} faults.", returncode=1)
        self.stdout.write("The audit is whole.")

    def _heads(self, given: list[str] | None) -> list[audit_seal.ExportedHead]:
        paths = [Path(name) for name in given or []]
        default = Path(settings.AUDIT_HEADS_FILE)
        if given is None and default.is_file():
            paths = [default]
        try:
            return [head for path in paths for head in audit_seal.read_heads(path)]
        except (OSError, ValueError) as exc:
            raise CommandError(str(exc), returncode=1) from exc
