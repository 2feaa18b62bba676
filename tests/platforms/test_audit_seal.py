"""The audit is sealed in order, and whatever is done to a sealed line afterwards is found and named."""

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, models, transaction
from django.db.models import F

from platforms import audit, audit_seal, audit_triggers
from platforms.checks import the_audit_is_append_only
from platforms.models import AuditEvent, AuditHead, Platform
from tests.factories import NOW
from tests.together import together

pytestmark = [pytest.mark.django_db, pytest.mark.databases]


@pytest.fixture(autouse=True)
def heads_file(settings: Any, tmp_path: Path) -> Path:
    settings.AUDIT_HEADS_FILE = str(tmp_path / "heads.jsonl")
    return tmp_path / "heads.jsonl"


def write(platform: Platform | None, count: int = 1) -> list[AuditEvent]:
    """Lines with something in every column."""
    cause = uuid.UUID(int=7)
    facts = audit.RequestFacts(request_id="request-1", address="2001:db8::7")
    token = audit.current_request.set(facts)
    try:
        return [
            audit.record(
                actor=audit.Actor("person", "41", "Алиса"), verb="thing.done", target=platform, platform=platform,
                before={"b": 1.0, "a": [1, {"x": None}], "ж": "é"}, after={"n": 1e22, "m": 0.1, "t": True},
                reason="because", cause_id=cause, at=NOW + timedelta(seconds=number),
            )
            for number in range(count)
        ]  # fmt: skip
    finally:
        audit.current_request.reset(token)


@contextmanager
def intruder() -> Iterator[None]:
    """Somebody who may do anything to the tables, but does not know the key. Undone at the end."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            for statement in audit_triggers.drop_statements(connection.vendor):
                cursor.execute(statement)
        yield
        transaction.set_rollback(True)


def finding(platform: Platform | None, **options: Any) -> audit_seal.Finding | None:
    chain = audit_seal.chain_name(platform.pk if platform else None)
    (report,) = audit_seal.verify_all(chain=chain, **options)
    return report.finding


def numbered(platform: Platform, number: int) -> models.QuerySet[AuditEvent]:
    return AuditEvent.objects.filter(platform=platform, seal_number=number)


@pytest.fixture
def sealed(north: Platform) -> Platform:
    """North with eight sealed lines (its making is the first)."""
    write(north, 7)
    audit_seal.seal_all(now=NOW)
    return north


# --- sealing -------------------------------------------------------------------------------------


def test_each_platform_and_what_has_none_is_a_chain_of_its_own(north: Platform, south: Platform) -> None:
    write(north, 2), write(south), write(None, 3)

    sealed = audit_seal.seal_all(now=NOW)

    counts = dict(AuditHead.objects.values_list("chain", "number"))
    assert sealed == AuditEvent.objects.count() == sum(counts.values())
    assert counts == {f"platform:{north.pk}": 3, f"platform:{south.pk}": 2, "global": 3}
    assert [report.finding for report in audit_seal.verify_all()] == [None] * 3


def test_sealing_goes_on_where_it_stopped(sealed: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_seal, "AT_ONCE", 2)
    write(sealed, 5)

    assert audit_seal.seal_all(now=NOW + timedelta(minutes=1)) == 5
    assert audit_seal.seal_all(now=NOW + timedelta(minutes=2)) == 0
    assert finding(sealed) is None
    numbers = AuditEvent.objects.filter(platform=sealed).order_by("seal_number")
    assert list(numbers.values_list("seal_number", flat=True)) == list(range(1, 14))


@pytest.mark.django_db(transaction=True)
def test_sealers_side_by_side_make_one_chain(north: Platform) -> None:
    write(north, 40)

    results = together(4, lambda _number: audit_seal.seal_chain(north.pk, now=NOW))

    assert sum(result for result in results if isinstance(result, int)) == 41, results
    assert finding(north) is None
    assert AuditHead.objects.get().number == 41


def test_a_line_is_sealed_without_the_transaction_that_wrote_it(north: Platform) -> None:
    (line,) = write(north)

    assert (line.seal_number, line.seal) == (None, "")
    assert audit_seal.is_signed(AuditEvent.objects.get(pk=line.pk))


# --- any byte --------------------------------------------------------------------------------------


def other(value: Any) -> Iterator[Any]:
    """Values that differ from ``value`` by as little as a value can: for a text, each of its characters."""
    if isinstance(value, str):
        for place, letter in enumerate(value):
            yield value[:place] + chr(ord(letter) ^ 1) + value[place + 1 :]
        yield value + "x"
        yield value[:-1]
    elif isinstance(value, bool) or value is None:
        yield "x"
    elif isinstance(value, int | float):
        yield value + 1
    elif isinstance(value, uuid.UUID):
        for bit in range(128):
            yield uuid.UUID(int=value.int ^ (1 << bit))
    elif isinstance(value, dict):
        text = json.dumps(value)
        for place in range(len(text)):
            try:
                changed = json.loads(text[:place] + chr(ord(text[place]) ^ 1) + text[place + 1 :])
            except ValueError:
                continue
            if changed != value and isinstance(changed, dict):
                yield changed
    else:
        yield value + timedelta(microseconds=1)


def changes_of(column: models.Field, line: AuditEvent, south: Platform) -> Iterator[Any]:
    value = getattr(line, column.attname)
    if column.name == "platform":
        yield from (south.pk, None)
    elif column.name == "address":
        yield from ("2001:db8::6", "192.0.2.1", None)
    elif column.primary_key:
        yield uuid.UUID(int=value.int ^ 1)
    else:
        limit = getattr(column, "max_length", None)
        yield from (item for item in other(value) if limit is None or len(str(item)) <= limit)
        if column.null and value is not None:
            yield None


def test_any_byte_of_any_column_that_is_changed_is_found(
    sealed: Platform, south: Platform, figure: Callable[[str, str], None]
) -> None:
    line, asked = numbered(sealed, 4).get(), 0
    unfound = []

    for column in AuditEvent._meta.concrete_fields:
        tried = 0
        for value in changes_of(column, line, south):
            with intruder():
                try:
                    with transaction.atomic():
                        numbered(sealed, 4).update(**{column.attname: value})
                except DatabaseError:  # the database itself refuses it: a number taken, a letter it has not
                    continue
                found = finding(sealed)
            asked, tried = asked + 1, tried + 1
            if found is None or found.number not in (4, 5):
                unfound.append((column.name, value, found))
        assert tried, column.name

    figure(
        "audit",
        f"{asked} changes in {len(AuditEvent._meta.concrete_fields)} columns, {len(unfound)} not found",
    )
    assert unfound == []
    assert finding(sealed) is None


# --- removed, inserted, cut ------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 4, 7])
def test_a_removed_line_is_named(sealed: Platform, number: int) -> None:
    with intruder():
        numbered(sealed, number).delete()
        found = finding(sealed)

    assert found is not None
    assert (found.fault, found.number) == ("removed", number)


def test_a_removed_line_whose_number_was_closed_up_is_found(sealed: Platform) -> None:
    with intruder():
        numbered(sealed, 4).delete()
        for number in range(5, 9):
            numbered(sealed, number).update(seal_number=number - 1)
        found = finding(sealed)

    assert found is not None
    assert found.number == 4


@pytest.mark.parametrize("count", [1, 3, 8])
def test_a_cut_tail_is_named(sealed: Platform, count: int) -> None:
    with intruder():
        AuditEvent.objects.filter(platform=sealed, seal_number__gt=8 - count).delete()
        found = finding(sealed)

    assert found is not None
    assert (found.fault, found.number) == ("cut", 9 - count)


def test_a_cut_tail_with_an_old_head_is_known_by_the_exported_head(north: Platform, heads_file: Path) -> None:
    write(north, 3)
    audit_seal.seal_all(now=NOW)
    old = AuditHead.objects.get(platform=north)
    write(north, 3)
    audit_seal.seal_all(now=NOW + timedelta(hours=1))
    heads = audit_seal.read_heads(heads_file)

    with intruder():
        AuditEvent.objects.filter(platform=north, seal_number__gt=old.number).delete()
        AuditHead.objects.filter(platform=north).update(
            number=old.number, seal=old.seal, signature=old.signature, sealed_at=old.sealed_at
        )
        inside, outside = finding(north), finding(north, heads=heads)

    assert inside is None  # that is why heads are exported
    assert outside is not None
    assert (outside.fault, outside.number) == ("cut", old.number + 1)


def test_an_old_head_put_back_over_a_whole_chain_is_found(sealed: Platform) -> None:
    old = AuditHead.objects.get(platform=sealed)
    write(sealed)
    audit_seal.seal_all(now=NOW)

    with intruder():
        AuditHead.objects.filter(platform=sealed).update(
            number=old.number, seal=old.seal, signature=old.signature, sealed_at=old.sealed_at
        )
        found = finding(sealed)

    assert found is not None
    assert found.fault == "head"


@pytest.mark.parametrize(
    "change", [{"number": 9}, {"seal": "x"}, {"sealed_at": NOW + timedelta(1)}, {"signature": "x"}]
)
def test_a_changed_head_is_found(sealed: Platform, change: dict[str, Any]) -> None:
    with intruder():
        AuditHead.objects.filter(platform=sealed).update(**change)
        found = finding(sealed)

    assert found is not None
    assert found.fault == "head"


def test_a_removed_head_is_found_and_not_made_anew(sealed: Platform) -> None:
    with intruder():
        AuditHead.objects.filter(platform=sealed).delete()
        write(sealed)
        sealed_now = audit_seal.seal_all(now=NOW)
        found = finding(sealed)

    assert sealed_now == 0
    assert found is not None
    assert found.fault == "head"


def forged(platform: Platform, **columns: Any) -> AuditEvent:
    """A line that somebody wrote into the table by hand, from a real one."""
    line = AuditEvent.objects.filter(platform=platform).order_by("-at")[0]
    line.pk, line.actor_label = uuid.uuid4(), "Mallory"
    for name, value in columns.items():
        setattr(line, name, value)
    line.save(force_insert=True)
    return line


def test_an_inserted_line_that_waits_for_its_seal_is_named_and_never_sealed(sealed: Platform) -> None:
    line = forged(sealed, seal_number=None, seal="", seal_previous="", sealed_at=None)

    audit_seal.seal_all(now=NOW)

    found = finding(sealed)
    line.refresh_from_db()
    assert line.seal_number is None
    assert found is not None
    assert (found.fault, found.line_id) == ("inserted", str(line.pk))


def test_a_line_put_in_between_is_named(sealed: Platform) -> None:
    with intruder():
        for number in range(8, 3, -1):
            numbered(sealed, number).update(seal_number=number + 1)
        line = forged(sealed, seal_number=4, seal_previous=numbered(sealed, 3).get().seal)
        found = finding(sealed)

    assert found is not None
    assert (found.fault, found.number, found.line_id) == ("inserted", 4, str(line.pk))


def test_a_line_put_behind_the_tail_is_named(sealed: Platform) -> None:
    with intruder():
        last = numbered(sealed, 8).get()
        line = forged(sealed, seal_number=9, seal_previous=last.seal)
        found = finding(sealed)

    assert found is not None
    assert found.line_id == str(line.pk)


def test_two_lines_that_change_places_are_found(sealed: Platform) -> None:
    with intruder():
        numbered(sealed, 3).update(seal_number=99)
        numbered(sealed, 4).update(seal_number=3)
        numbered(sealed, 99).update(seal_number=4)
        found = finding(sealed)

    assert found is not None
    assert found.number in (3, 4)


def test_a_line_of_another_chain_does_not_fit(sealed: Platform, south: Platform) -> None:
    write(south, 5)
    audit_seal.seal_all(now=NOW)

    with intruder():
        numbered(sealed, 4).delete()
        numbered(south, 4).update(platform=sealed)
        found = finding(sealed)

    assert found is not None
    assert found.number == 4


# --- keys ------------------------------------------------------------------------------------------


def test_a_new_key_seals_and_the_old_one_still_proves(sealed: Platform, settings: Any) -> None:
    old = settings.AUDIT_KEYS
    settings.AUDIT_KEYS = ["a new key of forty characters, at least!", *old]
    write(sealed, 2)
    audit_seal.seal_all(now=NOW)

    assert finding(sealed) is None
    names = {seal.partition(":")[0] for seal in AuditEvent.objects.values_list("seal", flat=True)}
    assert len(names) == 2


def test_without_its_key_no_line_is_proven(sealed: Platform, settings: Any) -> None:
    settings.AUDIT_KEYS = ["another key of forty characters, at least"]

    found = finding(sealed)

    assert found is not None
    assert found.number == 1


@pytest.mark.parametrize("keys", [[], ["short"]])
def test_a_weak_key_is_a_configuration_error(north: Platform, settings: Any, keys: list[str]) -> None:
    settings.AUDIT_KEYS = keys

    with pytest.raises(ImproperlyConfigured, match="AUDIT_KEYS"):
        write(north)


# --- append-only -----------------------------------------------------------------------------------


def refused(work: Callable[[], Any]) -> bool:
    try:
        with transaction.atomic():
            work()
    except DatabaseError as exc:
        return "append-only" in str(exc)
    return False


def test_the_database_refuses_to_change_or_remove_a_line(sealed: Platform) -> None:
    (line,) = write(sealed)
    rows = AuditEvent.objects.filter(platform=sealed)

    assert refused(lambda: rows.filter(seal_number=3).update(reason="x"))
    assert refused(lambda: rows.filter(seal_number=3).update(seal_number=F("seal_number")))
    assert refused(lambda: rows.filter(pk=line.pk).update(reason="x"))
    assert refused(lambda: rows.filter(pk=line.pk).update(signature="x", seal_number=9))
    assert refused(lambda: rows.filter(pk=line.pk).delete())
    assert refused(lambda: rows.filter(seal_number=3).delete())
    assert refused(lambda: AuditHead.objects.all().delete())
    assert refused(lambda: AuditHead.objects.update(number=1))
    assert finding(sealed) is None


@pytest.mark.parametrize("column", [column.column for column in AuditEvent._meta.concrete_fields])
def test_no_column_of_a_sealed_line_can_be_written(sealed: Platform, column: str) -> None:
    def write_column() -> None:
        with connection.cursor() as cursor:
            table = AuditEvent._meta.db_table
            cursor.execute(f'UPDATE "{table}" SET "{column}" = "{column}" WHERE seal_number = 3')  # noqa: S608

    assert refused(write_column)


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="only PostgreSQL truncates")
@pytest.mark.django_db(transaction=True)  # within one, PostgreSQL refuses for a reason of its own
def test_the_database_refuses_to_truncate(sealed: Platform) -> None:
    def truncate() -> None:
        with connection.cursor() as cursor:
            cursor.execute(f'TRUNCATE "{AuditEvent._meta.db_table}" CASCADE')

    assert refused(truncate)


def test_a_missing_trigger_is_warned_of_and_put_back_after_migrate(north: Platform) -> None:
    with connection.cursor() as cursor:
        cursor.execute(audit_triggers.drop_statements(connection.vendor)[0])

    (warning,) = the_audit_is_append_only(None, databases=["default"])
    call_command("migrate", verbosity=0)

    assert warning.id == "platforms.W001"
    assert "audit_line_stays" in warning.msg
    assert the_audit_is_append_only(None, databases=["default"]) == []


@pytest.mark.django_db(transaction=True)
def test_triggers_survive_a_rebuild_of_the_table(north: Platform) -> None:
    old = AuditEvent._meta.get_field("reason")
    new = models.CharField(max_length=301, blank=True)
    new.set_attributes_from_name("reason")
    new.model = AuditEvent
    with connection.schema_editor() as editor:
        editor.alter_field(AuditEvent, old, new)
    lost = audit_triggers.missing(connection)
    with connection.schema_editor() as editor:
        editor.alter_field(AuditEvent, new, old)

    call_command("migrate", verbosity=0)

    assert bool(lost) is (connection.vendor == "sqlite")
    assert audit_triggers.missing(connection) == []
    assert refused(lambda: AuditEvent.objects.all().delete())


# --- the command -----------------------------------------------------------------------------------


def verify(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("verify_audit", *arguments, stdout=out, no_color=True)
    except CommandError as exc:
        return exc.returncode, f"{out.getvalue()}{exc}"
    return 0, out.getvalue()


def test_the_command_says_that_the_audit_is_whole(sealed: Platform) -> None:
    write(sealed)

    code, text = verify()

    assert code == 0
    assert f"platform:{sealed.pk}: 8 lines sealed, 1 wait for their seal: whole" in text


def test_the_command_names_the_first_wrong_line(sealed: Platform) -> None:
    line = numbered(sealed, 5).get()
    with intruder():
        numbered(sealed, 5).update(actor_label="Mallory")
        numbered(sealed, 7).update(actor_label="Mallory")
        code, text = verify("--platform", str(sealed.pk))

    assert code == 1
    assert "line 5 was changed" in text
    assert str(line.pk) in text
    assert "line 7" not in text
    assert "triggers are missing" in text


def test_heads_are_exported_every_quarter_of_an_hour(north: Platform, heads_file: Path) -> None:
    for number in range(4):
        write(north)
        audit_seal.seal_all(now=NOW + timedelta(minutes=10 * number))

    heads = audit_seal.read_heads(heads_file)

    assert [head.number for head in heads] == [2, 4]
    assert verify()[0] == 0


def test_an_exported_head_that_was_changed_is_refused(sealed: Platform, heads_file: Path) -> None:
    text = heads_file.read_text()
    heads_file.write_text(text.replace('"number": 8', '"number": 7'))

    code, said = verify("--heads", str(heads_file))

    assert code == 1
    assert "was changed" in said
