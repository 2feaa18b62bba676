"""A client's table: what it adds, what it leaves alone, what is wrong with it; all of it or nothing."""

import random

import pytest
from django_q.conf import Conf

from devices.models import Device, Onboarding, PowerLink, Site
from devices.services import (
    create_device,
    find_device,
    remove_device,
    start_onboarding,
    store_onboarding,
    table_of,
)
from devices.services.onboarding import LEASE, run_onboarding, sweep_onboardings
from devices.states import ONBOARDING, OnboardingState
from devices.tables import TableError, write_csv, write_xlsx
from platforms.models import AuditEvent, Platform, Usage, User
from remosa.lib.clock import utcnow
from remosa.lib.lifecycle import IllegalMove
from tests.factories import make_device, make_link, make_site, make_socket

HEAD = ["Площадка", "Плеер", "MAC", "Розетка", "Модель", "Телефон", "Линия"]
GOOD = [
    ["Кафе", "Касса", "02-00-00-00-00-01", "Щит", "D410", "8 900 000-00-01", "1"],
    ["Кафе", "Зал", "0200.0000.0002", "Щит", "", "", "2"],
    ["Аптека", "Витрина", "020000000003", "", "", "", ""],
    ["Аптека", "", "", "Запасная", "D210", "+79000000002", ""],
]


@pytest.fixture(autouse=True)
def queue_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conf, "SYNC", True)


def upload(platform: Platform, by: User, rows: list[list[str]], *, head: list[str] = HEAD) -> Onboarding:
    """Upload and check."""
    content = write_csv([head, *rows])
    row = start_onboarding(platform=platform, filename="t.csv", content=content, by=by, now=utcnow())
    run_onboarding(row.pk)
    row.refresh_from_db()
    return row


def bring_in(platform: Platform, by: User, rows: list[list[str]]) -> Onboarding:
    """Upload, check, store."""
    row = upload(platform, by, rows)
    store_onboarding(row, by=by, now=utcnow())
    run_onboarding(row.pk)
    row.refresh_from_db()
    return row


def state_of(platform: Platform) -> tuple[list, list, list, int]:
    """Everything that a table could change."""
    return (
        list(Device.objects.of(platform).order_by("pk").values()),
        list(Site.objects.of(platform).order_by("pk").values()),
        list(PowerLink.objects.of(platform).order_by("pk").values()),
        sum(Usage.objects.filter(platform=platform, kind="devices").values_list("used", flat=True)),
    )


def errors_of(row: Onboarding) -> list[tuple[int, str]]:
    return [(number, column) for number, column, _text in row.report["errors"]]


@pytest.mark.django_db(transaction=True)
@pytest.mark.databases
def test_one_table_brings_in_sites_players_sockets_and_what_powers_what(north: Platform, alice: User) -> None:
    row = bring_in(north, alice, GOOD)

    assert row.state == OnboardingState.STORED
    assert row.report["counts"] | {"notes": 0} == {
        "rows": 4, "sites": 2, "players": 3, "sockets": 2, "links": 2, "placed": 0, "errors": 0, "notes": 0,
    }  # fmt: skip
    hall = Device.objects.get(mac="02:00:00:00:00:02")
    link = hall.power_links.get(valid_to=None)
    assert (hall.name, hall.site.name) == ("Зал", "Кафе")
    assert (link.socket.name, link.socket.msisdn, link.line) == ("Щит", "+79000000001", 2)
    assert Device.objects.get(msisdn="+79000000002").site.name == "Аптека"
    assert Usage.objects.get(platform=north, kind="devices").used == 5
    assert bytes(row.content) == b""


@pytest.mark.django_db(transaction=True)
def test_each_device_has_its_line_in_the_audit(north: Platform, alice: User) -> None:
    row = bring_in(north, alice, GOOD)

    lines = AuditEvent.objects.filter(platform=north, cause_id=row.pk)
    assert sorted(lines.values_list("verb", flat=True)) == ["device.created"] * 5 + ["onboarding.stored"]
    hall = Device.objects.get(mac="02:00:00:00:00:02")
    assert lines.get(target_id=str(hall.pk)).after["line"] == 2


@pytest.mark.django_db(transaction=True)
def test_the_check_stores_nothing(north: Platform, alice: User) -> None:
    before = state_of(north)

    row = upload(north, alice, GOOD)

    assert row.state == OnboardingState.CHECKED
    assert (row.done, row.total) == (4, 4)
    assert state_of(north) == before


@pytest.mark.django_db(transaction=True)
def test_the_same_table_a_second_time_changes_nothing(north: Platform, alice: User) -> None:
    bring_in(north, alice, GOOD)
    before = state_of(north)

    again = upload(north, alice, GOOD)

    assert again.report["does_nothing"]
    with pytest.raises(IllegalMove):
        store_onboarding(again, by=alice, now=utcnow())
    assert state_of(north) == before


@pytest.mark.django_db(transaction=True)
def test_what_is_taken_out_brings_nothing_new_when_it_is_brought_in(north: Platform, alice: User) -> None:
    bring_in(north, alice, GOOD)
    rows = list(table_of(Device.objects.of(north)))

    for content in (write_csv(rows), write_xlsx(rows, title="x")):
        row = start_onboarding(platform=north, filename="t", content=content, by=alice, now=utcnow())
        run_onboarding(row.pk)
        row.refresh_from_db()
        assert row.report["errors"] == []
        assert row.report["does_nothing"]


@pytest.mark.django_db(transaction=True)
def test_a_table_taken_out_brings_the_same_into_an_empty_platform(
    north: Platform, south: Platform, alice: User, charlie: User
) -> None:
    bring_in(north, alice, GOOD)
    rows = list(table_of(Device.objects.of(north)))
    for device in Device.objects.of(north):
        remove_device(device, by=alice)  # its numbers are free again

    row = start_onboarding(platform=south, filename="t", content=write_csv(rows), by=charlie, now=utcnow())
    run_onboarding(row.pk)
    row.refresh_from_db()
    store_onboarding(row, by=charlie, now=utcnow())
    run_onboarding(row.pk)

    assert list(table_of(Device.objects.of(south)))[1:] == rows[1:]


BAD = {
    "no MAC": (["", "Касса", "", "", "", "", ""], (2, "mac")),
    "a MAC that is none": (["", "Касса", "02:00:00:00:00:0G", "", "", "", ""], (2, "mac")),
    "a group address": (["", "Касса", "01:00:00:00:00:01", "", "", "", ""], (2, "mac")),
    "a number that is none": (["", "", "", "Щит", "D210", "112", ""], (2, "phone")),
    "a socket without a number": (["", "", "", "Щит", "D210", "", ""], (2, "phone")),
    "a socket without a model": (["", "", "", "Щит", "", "+79000000001", ""], (2, "model")),
    "a model that there is not": (["", "", "", "Щит", "D999", "+79000000001", ""], (2, "model")),
    "an output that the model has not": (["", "", "", "Щит", "D210", "+79000000001", "2"], (2, "line")),
    "an output that is no number": (["", "", "", "Щит", "D410", "+79000000001", "²"], (2, "line")),
    "an output of nothing": (["", "Касса", "020000000001", "", "", "", "2"], (2, "line")),
    "nothing at all": (["Кафе", "", "", "", "", "", ""], (2, "")),
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("cells", "expected"), BAD.values(), ids=BAD)
def test_a_wrong_cell_is_named_by_row_and_column(
    north: Platform, alice: User, cells: list[str], expected: tuple[int, str]
) -> None:
    row = upload(north, alice, [cells])

    assert errors_of(row) == [expected]


CONFLICTS = {
    "one player on two outputs": [GOOD[0], ["Кафе", "Касса", "020000000001", "Щит", "", "", "2"]],
    "one player on two sites": [GOOD[2], ["Кафе", "Витрина", "020000000003", "", "", "", ""]],
    "one number, two names": [GOOD[0], ["Кафе", "", "", "Другой", "D410", "+79000000001", ""]],
    "one name, two numbers": [GOOD[0], ["Кафе", "", "", "Щит", "D410", "+79000000009", ""]],
    "one socket, two models": [GOOD[0], ["Кафе", "", "", "Щит", "D210", "+79000000001", ""]],
}  # fmt: skip


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("rows", CONFLICTS.values(), ids=CONFLICTS)
def test_rows_that_contradict_each_other_are_errors_of_the_later_one(
    north: Platform, alice: User, rows: list[list[str]]
) -> None:
    assert {number for number, _column in errors_of(upload(north, alice, rows))} == {3}


@pytest.mark.django_db(transaction=True)
def test_with_one_error_nothing_is_stored(north: Platform, alice: User) -> None:
    row = upload(north, alice, [*GOOD, BAD["no MAC"][0]])

    with pytest.raises(IllegalMove):
        store_onboarding(row, by=alice, now=utcnow())
    assert not Device.objects.of(north).exists()


@pytest.mark.django_db(transaction=True)
def test_a_number_of_another_client_is_refused_without_saying_whose(
    north: Platform, south: Platform, alice: User
) -> None:
    make_socket(south, name="secret place", msisdn="+79000000001")

    row = upload(north, alice, GOOD)

    assert errors_of(row) == [(2, "phone")]
    assert "secret" not in str(row.report)
    assert "south" not in str(row.report)


@pytest.mark.django_db(transaction=True)
def test_what_is_known_stays_as_it_is_and_the_table_says_so(north: Platform, alice: User) -> None:
    here = make_site(north, "Склад")
    socket = make_socket(north, name="Старая", model="D410", msisdn="+79000000001", site=here)
    player = make_device(north, name="Старое имя", mac="02:00:00:00:00:01", site=here)
    make_link(player, socket, line=2)

    row = upload(north, alice, GOOD[:1])

    assert row.report["errors"] == []
    assert {column for _row, column, _text in row.report["notes"]} == {"site", "player", "socket"}
    assert row.report["counts"]["links"] == 0


@pytest.mark.django_db(transaction=True)
def test_the_table_fills_in_what_was_empty(north: Platform, alice: User) -> None:
    socket = make_socket(north, name="Щит", model="D410", msisdn="+79000000001")
    player = make_device(north, name="Касса", mac="02:00:00:00:00:01")

    bring_in(north, alice, GOOD[:1])

    player.refresh_from_db()
    assert player.site.name == "Кафе"
    assert player.power_links.get(valid_to=None).socket == socket
    assert Device.objects.of(north).count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_device_out_of_service_is_not_brought_back_by_a_table(north: Platform, alice: User) -> None:
    gone = make_device(north, name="Касса", mac="02:00:00:00:00:01")
    remove_device(gone, by=alice)

    row = bring_in(north, alice, GOOD[:1])

    assert [(number, column) for number, column, _text in row.report["notes"]] == [(2, "mac")]
    gone.refresh_from_db()
    assert not gone.is_active
    assert find_device(north, gone.mac).pk != gone.pk


@pytest.mark.django_db(transaction=True)
def test_the_device_limit_holds_for_the_table_as_a_whole(north: Platform, alice: User) -> None:
    Platform.objects.filter(pk=north.pk).update(device_limit=4)
    assert errors_of(upload(north, alice, GOOD)) == [(0, "")]

    Platform.objects.filter(pk=north.pk).update(device_limit=5)
    row = upload(north, alice, GOOD)
    create_device(platform=north, name="quicker", mac="02:00:00:00:00:77")  # takes the last place
    store_onboarding(row, by=alice, now=utcnow())
    run_onboarding(row.pk)

    row.refresh_from_db()
    assert row.state == OnboardingState.CHECKED
    assert errors_of(row) == [(0, "")]
    assert Device.objects.of(north).count() == 1


@pytest.mark.django_db(transaction=True)
def test_an_abandoned_table_is_taken_up_by_the_sweep(north: Platform, alice: User) -> None:
    row = upload(north, alice, GOOD)
    now = utcnow()
    Onboarding.objects.filter(pk=row.pk).update(state=OnboardingState.STORING, lease_until=now + LEASE)

    assert sweep_onboardings(now=now) == 0  # somebody has it
    Onboarding.objects.filter(pk=row.pk).update(lease_until=now - LEASE)
    assert sweep_onboardings(now=now) == 1
    assert sweep_onboardings(now=now) == 0
    row.refresh_from_db()
    assert row.state == OnboardingState.STORED
    assert Device.objects.of(north).count() == 5


@pytest.mark.django_db(transaction=True)
def test_a_table_that_cannot_be_worked_through_is_given_up(north: Platform, alice: User) -> None:
    row = upload(north, alice, GOOD)
    Onboarding.objects.filter(pk=row.pk).update(state=OnboardingState.STORING, lease_until=None, attempts=3)

    run_onboarding(row.pk)

    row.refresh_from_db()
    assert row.state == OnboardingState.FAILED
    assert not Device.objects.of(north).exists()


@pytest.mark.django_db(transaction=True)
def test_what_is_no_table_is_not_taken(north: Platform, alice: User) -> None:
    for content in (b"PK\x03\x04 broken", b"colour;size\nred;1\n", b""):
        row = start_onboarding(platform=north, filename="t", content=content, by=alice, now=utcnow())
        run_onboarding(row.pk)
        row.refresh_from_db()
        assert row.state == OnboardingState.REFUSED
        assert row.report["errors"][0][2]


@pytest.mark.django_db(transaction=True)
def test_a_platform_has_few_tables_that_wait(north: Platform, alice: User) -> None:
    for _ in range(5):
        upload(north, alice, GOOD)

    with pytest.raises(TableError):
        upload(north, alice, GOOD)


def test_the_table_of_moves_has_a_row_for_every_state() -> None:
    ONBOARDING.check(OnboardingState.values)


def fuzz(platform: Platform, by: User, count: int) -> int:
    """Damaged tables: none is stored in part; how many were tried."""
    dice = random.Random(64)
    pieces = [
        "",
        "Щит",
        "D410",
        "D210",
        "+79000000001",
        "8900",
        "2",
        "9",
        "=1",
        "02:00:00:00:00:0",
        "\x00",
        "'",
        "ё" * 400,
    ]
    for number in range(count):
        rows = [[cell if dice.random() < 0.8 else dice.choice(pieces) for cell in row] for row in GOOD]
        dice.shuffle(rows)
        content = bytearray(write_csv([HEAD, *rows]) if number % 4 else write_xlsx([HEAD, *rows], title="x"))
        if number % 3 == 0:
            content[dice.randrange(len(content))] = dice.randrange(256)
        row = start_onboarding(platform=platform, filename="t", content=bytes(content), by=by, now=utcnow())
        run_onboarding(row.pk)
        row.refresh_from_db()
        assert row.state in (OnboardingState.CHECKED, OnboardingState.REFUSED)
        have = Device.objects.of(platform).count()
        try:
            store_onboarding(row, by=by, now=utcnow())
        except IllegalMove:
            wanted = 0
        else:
            run_onboarding(row.pk)
            row.refresh_from_db()
            assert row.state == OnboardingState.STORED
            wanted = row.report["counts"]["players"] + row.report["counts"]["sockets"]
        assert Device.objects.of(platform).count() == have + wanted
        PowerLink.objects.of(platform).delete()
        Device.objects.of(platform).delete()
        Onboarding.objects.all().delete()
    return count


@pytest.mark.django_db(transaction=True)
def test_damaged_tables_are_stored_as_a_whole_or_not_at_all(north: Platform, alice: User, figure) -> None:
    figure("onboarding", f"{fuzz(north, alice, 16)} damaged tables, 0 stored in part")


@pytest.mark.soak
@pytest.mark.django_db(transaction=True)
def test_very_many_damaged_tables(north: Platform, alice: User, figure) -> None:
    figure("onboarding", f"{fuzz(north, alice, 5000)} damaged tables, 0 stored in part")


@pytest.mark.django_db(transaction=True)
def test_many_rows_show_their_progress(
    north: Platform, alice: User, monkeypatch: pytest.MonkeyPatch, figure, is_soak: bool
) -> None:
    count = 2000 if is_soak else 400
    Platform.objects.filter(pk=north.pk).update(device_limit=5000)
    rows = [
        [f"Site {n // 2 % 40}", f"Player {n}", f"02:00:00:01:{n >> 8:02x}:{n & 255:02x}", f"Socket {n // 2}", "D410",
         f"+7900{n // 2:07d}", str(n % 2 + 1)]
        for n in range(count)
    ]  # fmt: skip
    seen: list[int] = []
    update = type(Onboarding.objects.all()).update

    def watched(self, **values):
        if self.model is Onboarding and "done" in values:
            seen.append(values["done"])
        return update(self, **values)

    monkeypatch.setattr(type(Onboarding.objects.all()), "update", watched)
    row = bring_in(north, alice, rows)

    assert row.state == OnboardingState.STORED
    assert Device.objects.of(north).count() == count * 3 // 2
    assert len(set(seen)) >= count // 100
    assert max(seen) == count
    figure("onboarding", f"{count} rows, {len(set(seen))} steps of progress")
