"""MACs as people write them."""

import random

import pytest

from exporters.macs import BadLine, DuplicateLine, MacLine, normalise_mac, read_mac_lines

MAC = "aa:bb:cc:dd:ee:0f"


@pytest.mark.parametrize(
    "text",
    [
        "aa:bb:cc:dd:ee:0f",
        "AA:BB:CC:DD:EE:0F",
        "AA-BB-CC-DD-EE-0F",
        "aabb.ccdd.ee0f",
        "aabb:ccdd:ee0f",
        "aa.bb.cc.dd.ee.0f",
        "AABBCCDDEE0F",
        "  aabbccddee0f\t",
        "\ufeffaa:bb:cc:dd:ee:0f",
    ],
)
def test_mac_in_any_usual_spelling_is_stored_in_one(text):
    assert normalise_mac(text) == MAC


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "missing"),
        ("aa:bb:cc:dd:ee", "12 hexadecimal digits; this has 10"),
        ("aa:bb:cc:dd:ee:ff:00", "this has 14"),
        ("aa:bb-cc:dd:ee:0f", "separators are mixed"),
        ("aab:bcc:dd:ee:0f", "separators are mixed"),
        ("gg:bb:cc:dd:ee:0f", "“g” cannot be part"),
        ("аа:bb:cc:dd:ee:0f", "Cyrillic"),
        ("00:00:00:00:00:00", "all zeros"),
        ("ff:ff:ff:ff:ff:ff", "group address"),
        ("01:00:5e:00:00:01", "group address"),
        ("aa:bb:cc:dd:ee:0f/x", "“/” cannot be part"),
        ("aa:bb:cc:dd:ee:0\x00", "cannot be part"),
        ("\uff41\uff41bbccddee0f", "cannot be part"),
    ],
)
def test_a_text_that_is_no_mac_is_refused_with_a_sentence(text, hint):
    with pytest.raises(ValueError, match=hint) as refusal:
        normalise_mac(text)

    assert str(refusal.value).endswith(".")
    assert "\x00" not in str(refusal.value)


def test_random_spellings_of_random_macs_come_back():
    rng = random.Random(7)

    for _ in range(2000):
        octets = [rng.randrange(0, 256, 2) or 2, *(rng.randrange(256) for _ in range(5))]
        plain = [f"{octet:02x}" for octet in octets]
        spelled = rng.choice([":", "-", ".", ""]).join(plain)
        spelled = "".join(rng.choice([c.upper(), c]) for c in spelled)

        assert normalise_mac(spelled) == ":".join(plain)


def test_lines_are_read_with_names_and_every_line_is_accounted_for():
    text = (
        "\ufeffAA-BB-CC-DD-EE-01 Холл 1 этаж\r\n"
        "\r\n"
        "aabb.ccdd.ee02;Касса; левая\n"
        "aa:bb:cc:dd:ee:03,Bar\n"
        "aabbccddee04\tTab name\n"
        "   \t \n"
        "aa:bb:cc:dd:ee:05\n"
        "AA:BB:CC:DD:EE:01 again\n"
        "hello world\n"
        "ff:ff:ff:ff:ff:ff\n"
        '"aa:bb:cc:dd:ee:06";"Quoted"'
    )

    report = read_mac_lines(text)

    assert report.accepted == (
        MacLine("aa:bb:cc:dd:ee:01", "Холл 1 этаж"),
        MacLine("aa:bb:cc:dd:ee:02", "Касса; левая"),
        MacLine("aa:bb:cc:dd:ee:03", "Bar"),
        MacLine("aa:bb:cc:dd:ee:04", "Tab name"),
        MacLine("aa:bb:cc:dd:ee:05", None),
        MacLine("aa:bb:cc:dd:ee:06", "Quoted"),
    )
    assert report.duplicates == (DuplicateLine(8, "aa:bb:cc:dd:ee:01", 1),)
    assert [(bad.line_no, bad.text) for bad in report.bad] == [(9, "hello world"), (10, "ff:ff:ff:ff:ff:ff")]


def test_an_empty_text_is_an_empty_report():
    assert read_mac_lines("\ufeff \r\n\n") == ((), (), ())


def test_a_bad_name_is_refused_and_shown_without_harm():
    report = read_mac_lines(f"{MAC} a\x00b\n{MAC} {'x' * 201}\n{MAC} {'x' * 200}")

    assert [line.name for line in report.accepted] == ["x" * 200]
    assert report.bad[0] == BadLine(1, f"{MAC} a\ufffdb", "The name has control characters; type it again.")
    assert report.bad[1].reason.startswith("The name is longer than 200")
    assert len(report.bad[1].text) == 80


def test_ten_thousand_lines_of_noise_do_no_harm():
    rng = random.Random(11)
    alphabet = "0123456789abcdefABCDEF:-.;, \tжЖ\x00\x0b\u2028\ud800'\"<>"
    lines = ["".join(rng.choice(alphabet) for _ in range(rng.randrange(0, 40))) for _ in range(10_000)]

    report = read_mac_lines("\n".join(lines))

    assert len(report.accepted) + len(report.duplicates) + len(report.bad) <= 10_000
    assert len(report.bad) > 9_000
    assert all("\x00" not in bad.text and "\ud800" not in bad.text for bad in report.bad)
