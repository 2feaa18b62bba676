"""Exposition, read back by the parsers of prometheus_client."""

import json
import random
import shutil
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from exporters.errors import UnknownKind
from exporters.exposition import (
    FAMILIES,
    MAX_LABEL,
    VALUE_FAMILIES,
    DeviceRow,
    ExporterRow,
    exposition,
    label,
    merge,
    negotiate,
    render_exporters,
    render_fragments,
    without_values,
)

FIXTURES = Path(__file__).parents[1] / "fixtures"
NOW = datetime(2025, 7, 7, 9, 16, tzinfo=UTC)
SEEN = datetime(2025, 7, 7, 9, 15, 40, 123456, tzinfo=UTC)
CUBIC = "remosa_exporter_cubic_"
ADDREALITY = "remosa_exporter_addreality_"


def make_cubic(number=1, status="online", **facts):
    return DeviceRow(f"aa:bb:cc:dd:{number >> 8:02x}:{number & 255:02x}", status, facts)


def make_exporter(platform_id=1, exporter_id=7, **over):
    row = {
        "up": True,
        "observed_at": NOW - timedelta(seconds=12.5),
        "max_age": timedelta(seconds=75),
        "last_success_at": NOW - timedelta(seconds=12.5),
        "poll_duration_s": 0.75,
        "targets": {"online": 2, "offline": 1, "unknown": 3},
        "errors": {"timeout": 4, "http_5xx": 11},
    }
    return ExporterRow(platform_id, exporter_id, **(row | over))


def samples(text, read=read_text):
    """{(name, labels as a sorted tuple): value}; fails when a series is there twice."""
    found = {}
    for family in read(text):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found
            found[key] = sample.value
    return found


def series(metric, **labels):
    return (metric, tuple(sorted(labels.items())))


def test_cubic_has_exactly_the_names_and_labels_of_the_contract():
    rows = [make_cubic(1, name="Холл 1", ip="192.168.1.10", outip="203.0.113.7"), make_cubic(2, "offline")]

    text = exposition(render_fragments("cubic", rows, platform_id=3, exporter_id=9))

    ids = {"platform_id": "3", "exporter_id": "9"}
    assert samples(text) == {
        series(CUBIC + "device_status", mac="aa:bb:cc:dd:00:01", **ids): 1.0,
        series(CUBIC + "device_status", mac="aa:bb:cc:dd:00:02", **ids): 0.0,
        series(
            CUBIC + "device_info",
            mac="aa:bb:cc:dd:00:01",
            name="Холл 1",
            ip="192.168.1.10",
            outip="203.0.113.7",
            **ids,
        ): 1.0,
        series(CUBIC + "device_info", mac="aa:bb:cc:dd:00:02", name="", ip="", outip="", **ids): 1.0,
    }


def test_addreality_has_exactly_the_names_and_labels_of_the_contract():
    facts = {
        "name": "Касса 4711",
        "player_version": "4.2.1",
        "time_zone": "Europe/Moscow",
        "activation_state": "true",
    }
    rows = [DeviceRow("4711", "online", {**facts, "player_status": 1, "last_online_at": SEEN})]

    text = exposition(render_fragments("addreality", rows, platform_id=3, exporter_id=9))

    ids = {"platform_id": "3", "exporter_id": "9", "device_id": "4711"}
    assert samples(text) == {
        series(ADDREALITY + "device_status", **ids): 1.0,
        series(ADDREALITY + "player_status", **ids): 1.0,
        series(ADDREALITY + "last_online_timestamp_seconds", **ids): SEEN.timestamp(),
        series(ADDREALITY + "device_info", **ids, **facts): 1.0,
    }


def test_an_unknown_device_has_its_info_and_no_value():
    facts = {"name": "n", "player_status": 1, "last_online_at": SEEN}

    cubic = render_fragments("cubic", [make_cubic(1, "unknown", **facts)], platform_id=1, exporter_id=1)
    addreality = render_fragments(
        "addreality", [DeviceRow("1", "unknown", facts)], platform_id=1, exporter_id=1
    )

    assert {name for name, _ in samples(exposition(cubic))} == {CUBIC + "device_info"}
    assert {name for name, _ in samples(exposition(addreality))} == {ADDREALITY + "device_info"}


@pytest.mark.parametrize("status", ["", "Online", "ONLINE", "up", "1", "stale"])
def test_only_the_two_stated_words_make_a_status_series(status):
    fragments = render_fragments("cubic", [make_cubic(1, status)], platform_id=1, exporter_id=1)

    assert fragments[CUBIC + "device_status"] == ""


@pytest.mark.parametrize("facts", [{}, {"player_status": None, "last_online_at": None}, {"player_status": 2}])
def test_a_value_that_the_answer_had_not_is_absent(facts):
    text = exposition(
        render_fragments("addreality", [DeviceRow("1", "offline", facts)], platform_id=1, exporter_id=1)
    )

    assert {name for name, _ in samples(text)} == {ADDREALITY + "device_status", ADDREALITY + "device_info"}


def test_a_kind_without_a_shape_is_refused():
    with pytest.raises(UnknownKind, match="'broadsign'"):
        render_fragments("broadsign", [], platform_id=1, exporter_id=1)


def test_self_metrics_have_exactly_the_names_and_labels_of_the_contract():
    text = exposition(render_exporters([make_exporter()], now=NOW))

    ids = {"platform_id": "1", "exporter_id": "7"}
    assert samples(text) == {
        series("remosa_exporter_up", **ids): 1.0,
        series("remosa_exporter_last_success_timestamp_seconds", **ids): NOW.timestamp() - 12.5,
        series("remosa_exporter_poll_duration_seconds", **ids): 0.75,
        series("remosa_exporter_snapshot_age_seconds", **ids): 12.5,
        series("remosa_exporter_targets", state="online", **ids): 2.0,
        series("remosa_exporter_targets", state="offline", **ids): 1.0,
        series("remosa_exporter_targets", state="unknown", **ids): 3.0,
        series("remosa_exporter_poll_errors_total", reason="timeout", **ids): 4.0,
        series("remosa_exporter_poll_errors_total", reason="http_5xx", **ids): 11.0,
    }


def test_a_stale_exporter_is_not_up_and_knows_nothing():
    row = make_exporter(observed_at=NOW - timedelta(seconds=75.1))
    fresh = make_exporter(exporter_id=8, observed_at=NOW - timedelta(seconds=75))

    found = samples(exposition(render_exporters([row, fresh], now=NOW)))

    ids = {"platform_id": "1", "exporter_id": "7"}
    assert found[series("remosa_exporter_up", **ids)] == 0
    assert found[series("remosa_exporter_up", platform_id="1", exporter_id="8")] == 1
    assert found[series("remosa_exporter_targets", state="online", **ids)] == 0
    assert found[series("remosa_exporter_targets", state="offline", **ids)] == 0
    assert found[series("remosa_exporter_targets", state="unknown", **ids)] == 6
    assert found[series("remosa_exporter_snapshot_age_seconds", **ids)] == pytest.approx(75.1)


def test_a_stale_snapshot_keeps_infos_and_loses_every_value():
    rows = [DeviceRow("1", "online", {"name": "n", "player_status": 1, "last_online_at": SEEN})]
    fragments = render_fragments("addreality", rows, platform_id=1, exporter_id=1)

    kept = without_values(fragments)

    assert set(kept) == {ADDREALITY + "device_info"}
    assert set(fragments) - set(kept) == {name for name in VALUE_FAMILIES if name.startswith(ADDREALITY)}


def test_an_exporter_before_its_first_round_shows_no_age_and_no_success():
    row = make_exporter(observed_at=None, last_success_at=None, poll_duration_s=None, targets={}, errors={})

    names = {name for name, _ in samples(exposition(render_exporters([row], now=NOW)))}

    assert names == {"remosa_exporter_up", "remosa_exporter_targets"}


def test_an_age_is_never_negative_when_the_clock_went_back():
    text = exposition(render_exporters([make_exporter(observed_at=NOW + timedelta(hours=1))], now=NOW))

    assert (
        samples(text)[series("remosa_exporter_snapshot_age_seconds", platform_id="1", exporter_id="7")] == 0
    )


def whole_platform():
    """Fragments of three exporters of one platform, of both kinds, as a view gathers them."""
    return [
        render_exporters([make_exporter(exporter_id=number) for number in (7, 8, 9)], now=NOW),
        render_fragments("cubic", [make_cubic(1), make_cubic(2, "offline")], platform_id=1, exporter_id=7),
        render_fragments("addreality", [DeviceRow("4711", "online")], platform_id=1, exporter_id=8),
        render_fragments("cubic", [make_cubic(1, name="other")], platform_id=1, exporter_id=9),
    ]


@pytest.mark.parametrize("openmetrics", [False, True])
def test_merge_shows_each_family_once_and_contiguous(openmetrics):
    text = exposition(*whole_platform(), openmetrics=openmetrics)

    names = [line.split("{")[0].split()[0] for line in text.splitlines() if not line.startswith("#")]
    blocks = [name for at, name in enumerate(names) if at == 0 or names[at - 1] != name]
    typed = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    helped = [line.split()[2] for line in text.splitlines() if line.startswith("# HELP")]
    assert len(blocks) == len(set(blocks))
    assert len(typed) == len(set(typed)) == len(blocks)
    assert typed == helped


def test_openmetrics_says_the_same_and_ends_with_its_mark():
    text = exposition(*whole_platform())
    openmetrics = exposition(*whole_platform(), openmetrics=True)

    assert openmetrics.endswith("} 1\n# EOF\n")
    assert "# EOF" not in text
    assert "# TYPE remosa_exporter_poll_errors counter\n" in openmetrics
    assert "# TYPE remosa_exporter_poll_errors_total counter\n" in text
    assert samples(openmetrics, read_openmetrics) == samples(text, read_text)


def test_device_families_read_the_same_in_both_formats():
    devices = whole_platform()[1:]

    assert merge(*devices, openmetrics=True) == merge(*devices)


def test_nothing_to_show_is_a_valid_body():
    assert exposition() == ""
    assert exposition(openmetrics=True) == "# EOF\n"
    assert exposition(render_fragments("cubic", [], platform_id=1, exporter_id=1)) == ""


def test_a_family_of_another_version_is_left_out():
    assert exposition({"remosa_exporter_future": "remosa_exporter_future 1\n"}) == ""


def test_fragments_survive_a_json_column():
    fragments = render_fragments("cubic", [make_cubic(1, name='q"\n\\ \ud83d')], platform_id=1, exporter_id=1)

    assert json.loads(json.dumps(fragments)) == fragments


def test_help_texts_need_no_escaping():
    for family in FAMILIES.values():
        assert not set(family.help) & set('\\\n"')


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ('a\\b"c\nd', 'a\\\\b\\"c\\nd'),
        ("a\rb\tc\x00d\x7fe\x85f", "a\ufffdb\ufffdc\ufffdd\ufffde\ufffdf"),
        ("half \ud83d", "half \ufffd"),
        ("Холл 😀", "Холл 😀"),
        (None, ""),
        (4711, "4711"),
        ("x" * 10_000, "x" * MAX_LABEL),
        ('"' * 10_000, '\\"' * MAX_LABEL),
    ],
)
def test_label_values_are_escaped_and_capped(value, shown):
    assert label(value) == shown


def hostile_names(count):
    """Names that want to be more: quotes, line ends, whole series, halves of characters, kilobytes."""
    rng = random.Random(54)
    pieces = [
        '"', "\\", "\n", "\r", "\r\n", "\t", "\x00", "\x1b[2J", "\x7f", "\x85", "\u2028", "\ud83d", "\udc00",
        "{", "}", ",", "=", " ", "#", "# EOF\n", "# TYPE x counter\n", '"} 1\n', '\\"} 1\n', "\\\\n", "\\n",
        'platform_id="2"', '",platform_id="2', "Касса", "é", "e\u0301", "\u202e", "😀", "\ufeff", "\ufffe",
        f'"}} 1\n{CUBIC}device_status{{platform_id="2",mac="x"}} 1\n', "x" * 300, "𝒳" * 90, "1e999", "NaN",
        f'\\"}} 1\\n{CUBIC}device_info{{platform_id=\\"2\\"}} 1',
        b"\xff\xfe\xc3\x28".decode("utf-8", "surrogateescape"),
    ]  # fmt: skip
    for number in range(count):
        if number % 50 == 0:
            yield rng.choice(pieces) * 10_000
        yield "".join(rng.choice(pieces) for _ in range(rng.randrange(1, 12)))


@pytest.mark.parametrize("openmetrics", [False, True])
def test_five_thousand_hostile_names_forge_no_series(openmetrics, figure):
    names = list(hostile_names(5000))[:5000]
    rows = [
        make_cubic(at, ("online", "offline", "unknown")[at % 3], name=name) for at, name in enumerate(names)
    ]
    stated = sum(row.status != "unknown" for row in rows)

    body = exposition(
        render_fragments("cubic", rows, platform_id=1, exporter_id=1), openmetrics=openmetrics
    ).encode()

    found = samples(body.decode(), read_openmetrics if openmetrics else read_text)
    forged = [
        key for key in found if dict(key[1])["platform_id"] != "1" or not key[0].startswith(CUBIC + "device_")
    ]
    assert forged == []
    assert len(found) == len(rows) + stated
    assert {dict(labels)["mac"] for _, labels in found} == {row.external_id for row in rows}
    shown = {dict(labels)["mac"]: dict(labels)["name"] for name, labels in found if name.endswith("_info")}
    assert all(shown[row.external_id] == kept_of(row.facts["name"]) for row in rows)
    if openmetrics:
        figure("hostile names", f"{len(names):,} names, {len(forged)} forged")


def kept_of(name):
    """What a reader should get back for a hostile name: cut, with a mark for what is no text."""
    return "".join(
        "\ufffd" if (ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 else c
        for c in name[:MAX_LABEL]
    )


def test_hostile_facts_of_addreality_forge_no_series():
    names = list(hostile_names(500))
    rows = [
        DeviceRow(
            str(at),
            "online",
            {"name": name, "player_version": name[::-1], "time_zone": name, "activation_state": name},
        )
        for at, name in enumerate(names)
    ]

    found = samples(exposition(render_fragments("addreality", rows, platform_id=1, exporter_id=1)))

    assert len(found) == 2 * len(rows)
    assert {dict(labels)["platform_id"] for _, labels in found} == {"1"}


class Snapshot:
    """The same rows through prometheus_client, as a custom collector."""

    def __init__(self, rows):
        self.rows = rows

    def collect(self):
        ids = ["platform_id", "exporter_id", "device_id"]
        status = GaugeMetricFamily(ADDREALITY + "device_status", "s", labels=ids)
        player = GaugeMetricFamily(ADDREALITY + "player_status", "p", labels=ids)
        last = GaugeMetricFamily(ADDREALITY + "last_online_timestamp_seconds", "l", labels=ids)
        names = ["name", "player_version", "time_zone", "activation_state"]
        info = GaugeMetricFamily(ADDREALITY + "device_info", "i", labels=[*ids, *names])
        for row in self.rows:
            key = ["1", "1", row.external_id]
            info.add_metric([*key, *(str(row.facts.get(name, "")) for name in names)], 1)
            if row.status != "unknown":
                status.add_metric(key, float(row.status == "online"))
                player.add_metric(key, row.facts["player_status"])
                last.add_metric(key, row.facts["last_online_at"].timestamp())
        return [status, player, last, info]


def addreality_rows(count):
    rng = random.Random(3)
    return [
        DeviceRow(
            str(at + 1),
            rng.choice(["online", "offline", "unknown"]),
            {
                "name": f"Касса {at}",
                "player_version": "4.2.1",
                "time_zone": "Europe/Moscow",
                "activation_state": "true",
                "player_status": rng.choice([0, 1]),
                "last_online_at": SEEN - timedelta(seconds=rng.random() * 1e6),
            },
        )
        for at in range(count)
    ]


def test_values_agree_with_prometheus_client():
    rows = addreality_rows(1000)
    registry = CollectorRegistry()
    registry.register(Snapshot(rows))

    ours = exposition(render_fragments("addreality", rows, platform_id=1, exporter_id=1))

    assert samples(ours) == samples(generate_latest(registry).decode())


def test_rendering_is_several_times_faster_than_prometheus_client(figure):
    rows = addreality_rows(2000)
    registry = CollectorRegistry()
    registry.register(Snapshot(rows))

    def render():
        return exposition(render_fragments("addreality", rows, platform_id=1, exporter_id=1))

    ours = min(seconds(render) for _ in range(5))
    theirs = min(seconds(lambda: generate_latest(registry)) for _ in range(5))

    figure(
        "render", f"{ours / len(rows) * 1e6:.1f} us per device, {theirs / ours:.1f} times prometheus_client"
    )
    assert ours < theirs / 2


def seconds(work):
    started = time.process_time()
    work()
    return time.process_time() - started


def hostile_platform():
    rows = [make_cubic(at, name=name) for at, name in enumerate(hostile_names(1000))]
    return [render_fragments("cubic", rows, platform_id=1, exporter_id=1)]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize("platform", [whole_platform, hostile_platform])
def test_promtool_finds_nothing_to_say(platform):
    body = exposition(*platform()).encode()

    done = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, timeout=30)

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize(
    "case",
    json.loads((FIXTURES / "prometheus_requests/accept_negotiation.json").read_text()),
    ids=lambda c: c["from"][:16],
)
def test_real_clients_get_the_format_that_they_ask_for(case):
    chosen = negotiate(case["accept"])

    assert chosen.content_type == case["answer_content_type"]
    assert chosen.openmetrics is ("openmetrics" in case["answer_content_type"])


@pytest.mark.parametrize("request_file", ["prom242_metrics.http", "prom242_basic.http"])
def test_a_captured_scrape_gets_openmetrics(request_file):
    head = (FIXTURES / "prometheus_requests" / request_file).read_text()
    accept = next(line.split(": ", 1)[1] for line in head.splitlines() if line.startswith("Accept: "))

    assert negotiate(accept).openmetrics


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("application/openmetrics-text", True),
        ("APPLICATION/OpenMetrics-Text; Version=1.0.0", True),
        ('application/openmetrics-text; version="1.0.0"', True),
        ("application/openmetrics-text;version=0.0.1", False),
        ("application/openmetrics-text;version=2.0.0", False),
        ("application/openmetrics-text;version=1.0.0;q=0", False),
        ("application/openmetrics-text;q=0.3,text/plain;q=0.5", False),
        ("application/openmetrics-text;q=0.5,text/plain;q=0.3", True),
        ("application/openmetrics-text;q=nan,text/plain;q=0.1", False),
        ("application/openmetrics-text;q=1e9", False),
        ("application/openmetrics-text;version=1.0.0;escaping=\r\nX-Evil: 1", True),
        ("application/json", False),
        (",;,=;q=", False),
        ("x" * 100_000, False),
    ],
)
def test_any_accept_header_gets_an_answer(accept, openmetrics):
    chosen = negotiate(accept)

    assert chosen.openmetrics is openmetrics
    assert "\n" not in chosen.content_type


def test_an_escaped_label_is_the_corpus_own_text():
    corpus = (FIXTURES / "prometheus_exposition/text004.jsonl").read_text().splitlines()
    case = next(row for row in map(json.loads, corpus) if row["id"] == "esc")
    [[name, labels, value]] = case["samples"]

    written = ",".join(f'{key}="{label(text)}"' for key, text in labels.items())

    assert f"{name}{{{written}}} {value}\n" == case["text"]
