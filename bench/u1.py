"""U1: the console's list of devices, as a manager, at 10,000 and 50,000 devices on PostgreSQL.

The peer is the page that a plain unfold ``ModelAdmin`` gives of the same table, unscoped, with the same
number of columns and rows per page and a count that stops at a cap. The goal wants time <= 1.5 x the
peer's, and as many queries for 50,000 devices as for 10,000.
"""

import itertools
from collections.abc import Callable
from typing import Any

from bench.harness import Goal, Outcome, alternate, exponent, log, postgres, project_on

GOAL = Goal(bound=1.5, at_most=True)
SIZES = (10_000, 50_000)
PAGES = ("", "?p=20", "?state__exact=offline", "?q=hall+77")
REPEATS = 5
CAP = 10_000


def run() -> Outcome:
    with postgres() as url, project_on(url):
        return _measure()


def _measure() -> Outcome:
    from django.test import override_settings

    from platforms.models import Platform, User

    manager, superadmin, platform = _people(User)
    ours, peer = _ours(manager), _peer(superadmin)
    details: dict[str, float | str] = {}
    worst, queries, medians = 0.0, {}, {}
    with override_settings(ALLOWED_HOSTS=["*"]):
        made = 0
        for size in SIZES:
            log(f"U1: {size} devices")
            _fill(Platform.objects.get(pk=platform.pk), made, size)
            made = size
            queries[size] = [_queries(ours, page) for page in PAGES]
            first = alternate(lambda: ours(""), lambda: peer(""), repeats=REPEATS)
            medians[size] = first[0]
            details[f"list_ms_{size}"] = first[0] * 1000
            details[f"peer_ms_{size}"] = first[1] * 1000
            worst = max(worst, first[0] / first[1])
            for page in PAGES[1:]:
                own, other = alternate(
                    lambda page=page: ours(page), lambda page=page: peer(page), repeats=3, warm_up=1
                )
                details[f"ratio_{page}_{size}"] = own / other
                worst = max(worst, own / other)
    details["queries"] = ", ".join(map(str, queries[SIZES[-1]]))
    details["exponent"] = exponent(medians[SIZES[0]], medians[SIZES[1]], growth=SIZES[1] / SIZES[0])
    few, many = queries[SIZES[0]], queries[SIZES[1]]
    return Outcome(worst, details, broken="" if few == many else f"queries grow: {few} -> {many}")


def _people(User: Any) -> tuple[Any, Any, Any]:
    from platforms.services import create_platform, set_role

    platform = create_platform(name="bench", device_limit=1_000_000)
    create_platform(name="another")
    manager = User.objects.create_user("manager", email="m@example.org", password=None)
    set_role(user=manager, platform=platform, role="manager")
    superadmin = User.objects.create_superuser("root", email="r@example.org", password=None)
    return manager, superadmin, platform


def _fill(platform: Any, have: int, size: int) -> None:
    """Grow the platform to ``size`` devices: players on sockets (one in ten), a twentieth offline."""
    from datetime import timedelta

    from django.db import connection

    from devices.models import Device, DeviceModel, PowerLink, Site
    from remosa.lib.clock import utcnow

    now, model = utcnow(), DeviceModel.objects.first()
    sites = Site.objects.bulk_create(
        [Site(platform=platform, name=f"site {n}") for n in range(have, have + 200)]
    )
    rows = []
    for n in range(have, size):
        is_socket = n % 10 == 0
        rows.append(
            Device(
                platform=platform, site=sites[n % 200], name=f"hall {n % 500:03d} device {n:06d}",
                kind="socket" if is_socket else "player", model=model if is_socket else None,
                mac="" if is_socket else f"02:00:00:{n >> 16 & 255:02x}:{n >> 8 & 255:02x}:{n & 255:02x}",
                msisdn=f"+7900{n:07d}" if is_socket else "",
                state="unknown" if is_socket else ("offline" if n % 20 == 1 else "online"),
                state_since=now - timedelta(hours=n % 50), noted_at=None if is_socket else now,
            )
        )  # fmt: skip
    made = Device.objects.bulk_create(rows, batch_size=2_000)
    tens = [made[start : start + 10] for start in range(0, len(made), 10)]
    links = itertools.chain.from_iterable(
        (PowerLink(device=device, socket=ten[0], line=1) for device in ten[1:]) for ten in tens
    )
    PowerLink.objects.bulk_create(links, batch_size=2_000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _ours(manager: Any) -> Callable[[str], Any]:
    from django.test import Client

    client = Client()
    client.force_login(manager, backend="platforms.authentication.UsernameOrEmailBackend")

    def get(query: str) -> Any:
        answer = client.get(f"/admin/devices/device/{query}")
        if answer.status_code != 200:
            raise RuntimeError(f"the list answered {answer.status_code}")
        return answer

    return get


def _peer(superadmin: Any) -> Callable[[str], Any]:
    """A plain unfold list of the same table at ``/peer/``, behind the same middleware."""
    import sys
    from types import ModuleType

    from django.core.paginator import Paginator
    from django.test import Client, override_settings
    from django.urls import include, path
    from django.utils.functional import cached_property
    from unfold.admin import ModelAdmin
    from unfold.sites import UnfoldAdminSite

    from devices.models import Device

    class Capped(Paginator):
        @cached_property
        def count(self) -> int:
            return self.object_list.order_by().values("pk")[: CAP + 1].count()

    class PlainAdmin(ModelAdmin):
        list_display = ("name", "state", "noted_at", "kind", "site", "is_active")
        list_filter = ("kind", "state", "site", "model", "is_active")
        list_select_related = ("site", "model")
        list_filter_submit = True
        search_fields = ("name", "mac", "external_id", "msisdn", "site__name")
        ordering = ("name",)
        list_per_page = 50
        show_full_result_count = False
        paginator = Capped

    site = UnfoldAdminSite(name="peer")
    site.register(Device, PlainAdmin)
    module = ModuleType("bench_peer_urls")
    module.urlpatterns = [path("peer/", site.urls), path("", include("remosa.urls"))]  # type: ignore[attr-defined]
    sys.modules["bench_peer_urls"] = module
    client = Client()
    client.force_login(superadmin, backend="platforms.authentication.UsernameOrEmailBackend")

    def get(query: str) -> Any:
        with override_settings(ROOT_URLCONF="bench_peer_urls"):
            answer = client.get(f"/peer/devices/device/{query}")
        if answer.status_code != 200:
            raise RuntimeError(f"the peer answered {answer.status_code}")
        return answer

    return get


def _queries(page: Callable[[str], Any], query: str) -> int:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    page(query)
    with CaptureQueriesContext(connection) as captured:
        page(query)
    return len(captured)
