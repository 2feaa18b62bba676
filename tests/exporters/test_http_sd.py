"""Service discovery: what Prometheus is told, to the byte."""

import json

import pytest
from django.test import Client

from platforms import tokens
from tests.factories import make_exporter

pytestmark = pytest.mark.django_db


def discover(platform, **headers):
    _row, token = tokens.issue(name="t", scopes=["scrape"], by=None, platform=platform)
    return Client().get(f"/platforms/{platform.pk}/sd", headers={"Authorization": token, **headers})


@pytest.mark.parametrize(
    ("public_url", "target", "prefix", "scheme"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000", "", "http"),
        ("https://remosa.example", "remosa.example:443", "", "https"),
        ("http://remosa.example", "remosa.example:80", "", "http"),
        ("https://example.org:8443/remosa/", "example.org:8443", "/remosa", "https"),
        ("http://[::1]:8000", "[::1]:8000", "", "http"),
    ],
)
def test_a_platform_is_one_target_at_the_public_address(north, settings, public_url, target, prefix, scheme):
    settings.PUBLIC_URL = public_url
    make_exporter(north)
    make_exporter(north)

    response = discover(north)

    assert response["Content-Type"] == "application/json"
    assert json.loads(response.content) == [
        {
            "targets": [target],
            "labels": {"__metrics_path__": f"{prefix}/platforms/{north.pk}/metrics", "__scheme__": scheme},
        }
    ]


def test_a_platform_without_exporters_is_an_empty_list(north, south):
    make_exporter(south)
    make_exporter(north, is_enabled=False)

    response = discover(north)

    assert (response.status_code, response.content) == (200, b"[]")
    assert response["Content-Type"] == "application/json"


def test_the_headers_of_prometheus_change_nothing(north):
    make_exporter(north)

    response = discover(
        north,
        Accept="application/json",
        **{"User-Agent": "Prometheus/2.42.0+ds", "X-Prometheus-Refresh-Interval-Seconds": "60"},
    )

    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
