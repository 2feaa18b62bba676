"""The power map of a site shows who goes dark together, and to each reader only their own."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from platforms.models import Platform, User
from remosa.console.timeline import site_map
from tests.factories import make_device, make_link, make_site, make_socket, make_user


@pytest.mark.django_db
def test_the_map_goes_from_socket_to_line_to_players(north: Platform, alice: User) -> None:
    site = make_site(north)
    socket = make_socket(north, model="D410", site=site)
    first, second, bare = (make_device(north, name=name, site=site) for name in ("a", "b", "c"))
    make_link(first, socket, line=1)
    make_link(second, socket, line=2)

    found = site_map(site, alice)

    assert [(outlet.socket, outlet.lines) for outlet in found.outlets] == [
        (socket, [(1, [first], 0), (2, [second], 0)])
    ]
    assert found.unpowered == [bare]


@pytest.mark.django_db
def test_what_the_reader_does_not_see_is_only_counted(north: Platform, alice: User) -> None:
    site, uma = make_site(north), make_user("uma", platform=north, role="user")
    socket = make_socket(north, site=site, owner=uma)
    make_link(make_device(north, name="secret", site=site), socket)

    assert site_map(site, uma).outlets[0].lines == [(1, [], 1)]


@pytest.mark.django_db
def test_the_page_asks_as_often_for_many_devices_as_for_few(north: Platform, alice: User, browser_of) -> None:
    site = make_site(north)
    page, counts = browser_of(alice), []
    for _ in range(2):
        for _ in range(3):
            socket = make_socket(north, site=site)
            make_link(make_device(north, site=site), socket)
        url = reverse("admin:devices_site_change", args=[site.pk])
        page.get(url)
        with CaptureQueriesContext(connection) as captured:
            assert page.get(url).status_code == 200
        counts.append(len(captured))

    assert counts[0] == counts[1]
