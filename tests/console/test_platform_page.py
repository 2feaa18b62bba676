"""The page of a client and the page of all clients: what they show, and to whom."""

import io
import json
import uuid
from collections.abc import Callable
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse
from openpyxl import load_workbook

from platforms import ledger, quotas, tokens
from platforms.ledger import Direction, Tariff
from platforms.models import Platform, User
from platforms.services import set_role
from remosa.lib.clock import utcnow
from tests.console.world import World
from tests.factories import make_exporter, make_gateway, make_platform, make_user

Pages = Callable[[User], Client]


def page_of(platform: Platform) -> str:
    return reverse("admin:platforms_platform_change", args=[platform.pk])


def statement_of(platform: Platform) -> str:
    return reverse("admin:platforms_platform_statement", args=[platform.pk])


def send(platform: Platform, units: int = 1, *, gateway: str = "zqmodem") -> None:
    ledger.charge(
        platform=platform, direction=Direction.OUT, subject_id=uuid.uuid4(), units=units, at=utcnow(),
        tariff=Tariff(1, gateway, Decimal("1.75"), "RUB"), purpose="command",
    )  # fmt: skip


def test_the_page_shows_month_tokens_and_health(northern: World, alice: User, browser_of: Pages) -> None:
    send(northern.platform, 7)
    tokens.issue(name="zqtoken", scopes=["scrape"], by=alice, platform=northern.platform)

    answer = browser_of(alice).get(page_of(northern.platform))

    page, chart = answer.content.decode(), json.loads(answer.context["month"].chart)
    assert sum(count or 0 for count in chart["datasets"][0]["data"]) == 7
    assert len(chart["labels"]) in (28, 29, 30, 31)
    for text in ("zqtoken", "by the end of the month", "Health", "Evaluation", "SMS by day"):
        assert text in page
    assert northern.gateway.name in page


def test_a_viewer_sees_no_tokens_and_no_statement(
    northern: World, bob: User, alice: User, browser_of: Pages
) -> None:
    tokens.issue(name="zqtoken", scopes=["scrape"], by=alice, platform=northern.platform)
    send(northern.platform)
    client = browser_of(bob)

    page = client.get(page_of(northern.platform)).content.decode()

    assert "zqtoken" not in page
    assert "SMS by day" in page
    assert "/statement/" not in page
    assert client.get(statement_of(northern.platform)).status_code == 403


def test_a_user_of_one_device_sees_limits_and_nothing_else(
    northern: World, uma: User, browser_of: Pages
) -> None:
    page = browser_of(uma).get(page_of(northern.platform)).content.decode()

    assert "SMS by day" not in page
    assert northern.exporter.name not in page


def test_limits_are_the_operators(north: Platform, alice: User, root: User, browser_of: Pages) -> None:
    admins, operators = (
        browser_of(person).get(page_of(north)).context["adminform"].form.fields for person in (alice, root)
    )

    fixed = {"name", "is_active", "device_limit", "sms_limit", "sms_price_out", "sms_price_in", "currency"}
    assert fixed <= set(operators)
    assert not fixed & set(admins)
    assert "sms_people_share_ratio" in admins


@pytest.mark.parametrize("who", ["alice", "root"])
def test_the_statement_comes_as_a_workbook(
    who: str, north: Platform, browser_of: Pages, alice: User, root: User
) -> None:
    send(north, 3), send(north, 4)

    answer = browser_of({"alice": alice, "root": root}[who]).get(statement_of(north))

    book = load_workbook(io.BytesIO(answer.content))
    sums = list(book.worksheets[0].values)
    assert sums[1][3:8] == (2, 7, 0, 1.75, 12.25)
    assert ("cost" in sums[0]) is (who == "root")
    assert book.worksheets[1].max_row == 3


def test_the_statement_of_a_month_as_csv(north: Platform, alice: User, browser_of: Pages) -> None:
    send(north, 3)
    client = browser_of(alice)

    this = client.get(statement_of(north), {"as": "csv"}).content.decode()
    other = client.get(statement_of(north), {"as": "csv", "month": "2020-01"}).content.decode()

    assert "zqmodem" in this
    assert "zqmodem" not in other


@pytest.mark.parametrize("query", [{"month": "2020-13"}, {"month": "x"}, {"as": "exe"}])
def test_what_is_no_statement_leads_back(
    query: dict[str, str], north: Platform, alice: User, browser_of: Pages
) -> None:
    answer = browser_of(alice).get(statement_of(north), query, follow=True)

    assert "There is no such statement" in answer.content.decode()


def test_a_foreign_statement_is_missing(north: Platform, charlie: User, browser_of: Pages) -> None:
    assert browser_of(charlie).get(statement_of(north)).status_code == 404


# --- all clients -----------------------------------------------------------------------------------

CLIENTS = "/admin/clients/"


def test_each_client_is_a_row_those_in_need_first(
    northern: World, southern: World, root: User, browser_of: Pages
) -> None:
    quotas.spend(platform=southern.platform, kind=quotas.SMS, units=5, at=utcnow())
    make_exporter(southern.platform, name="zq silent")

    answer = browser_of(root).get(CLIENTS)

    page = answer.content.decode()
    rows = answer.context["rows"]
    assert {row["client"].platform for row in rows} == {northern.platform, southern.platform}
    needs = [row["client"].counts["needs_you"] for row in rows]
    assert needs == sorted(needs, reverse=True)
    assert "zq silent" in page
    assert "not asked yet" in page


@pytest.mark.parametrize("order", ["need", "name", "offline", "sms", "nonsense"])
def test_clients_can_be_ordered_and_searched(
    order: str, north: Platform, south: Platform, root: User, browser_of: Pages
) -> None:
    client = browser_of(root)

    assert client.get(CLIENTS, {"order": order}).status_code == 200
    found = client.get(CLIENTS, {"q": "NOR", "order": order}).context["rows"]
    assert [row["client"].platform for row in found] == [north]


def test_somebody_in_two_platforms_sees_these_two(
    northern: World, southern: World, alice: User, root: User, browser_of: Pages
) -> None:
    third = make_platform("zqthird")
    set_role(user=alice, platform=third, role="viewer")

    page = browser_of(alice).get(CLIENTS).content.decode()

    assert "zqthird" in page
    assert "zqsouth" not in page


def test_somebody_in_one_platform_is_led_home(north: Platform, alice: User, browser_of: Pages) -> None:
    client = browser_of(alice)

    answer = client.get(CLIENTS)

    assert (answer.status_code, answer.url) == (302, "/admin/")  # type: ignore[attr-defined]
    assert CLIENTS not in client.get("/admin/").content.decode()


def test_the_number_of_queries_does_not_grow_with_the_clients(
    root: User, browser_of: Pages, django_assert_max_num_queries: Callable
) -> None:
    def grow(count: int) -> None:
        for _number in range(count):
            platform = make_platform()
            make_exporter(platform), make_gateway(platform)

    client = browser_of(root)
    grow(2)
    client.get(CLIENTS)
    with django_assert_max_num_queries(40) as few:
        client.get(CLIENTS)
    grow(10)
    with django_assert_max_num_queries(len(few.captured_queries)):
        client.get(CLIENTS)


# --- the ledger ----------------------------------------------------------------------------------


def test_the_ledger_shows_a_client_its_price_and_the_operator_the_cost(
    northern: World, southern: World, alice: User, root: User, browser_of: Pages
) -> None:
    Platform.objects.filter(pk=northern.platform.pk).update(sms_price_out=Decimal("4.50"))
    northern.platform.refresh_from_db()
    send(northern.platform, 2, gateway="zqmodem")
    send(southern.platform, 3, gateway="zqaway")
    url = reverse("admin:platforms_ledgerentry_changelist")
    row = northern.platform.ledger.get(gateway_name="zqmodem")
    own, entry = (
        browser_of(alice).get(path).content.decode()
        for path in (url, reverse("admin:platforms_ledgerentry_change", args=[row.pk]))
    )

    operators = browser_of(root).get(url).content.decode()

    for page in (own, entry):
        assert "9 RUB" in page
        assert "3.5 RUB" not in page
        assert "zqaway" not in page
    assert all(text in operators for text in ("9 RUB", "3.5 RUB", "zqaway"))


@pytest.mark.parametrize("role", ["manager", "viewer", "user"])
def test_the_ledger_is_for_admins(north: Platform, role: str, browser_of: Pages) -> None:
    person = make_user("x", platform=north, role=role)

    assert browser_of(person).get(reverse("admin:platforms_ledgerentry_changelist")).status_code == 403


def test_nobody_writes_in_the_ledger(northern: World, root: User, browser_of: Pages) -> None:
    send(northern.platform)
    row, client = northern.platform.ledger.first(), browser_of(root)

    assert client.get(reverse("admin:platforms_ledgerentry_add")).status_code == 403
    client.post(reverse("admin:platforms_ledgerentry_change", args=[row.pk]), {"units": 99})
    client.post(reverse("admin:platforms_ledgerentry_delete", args=[row.pk]), {"post": "yes"})
    assert northern.platform.ledger.get(pk=row.pk).units == 1
