"""PDUs against vectors, against somebody else's decoder, and against garbage."""

import json
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import gsm0338
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from smspdudecoder.codecs import GSM as OtherAlphabet
from smspdudecoder.fields import SMSDeliver, SMSSubmit

from sms import at, at_codes, pdu
from sms.gsm7 import from_septets, pack, to_septets, unpack
from sms.segments import GSM7_BASIC, GSM7_EXTENSION, count

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
BESIDE = (
    ROOT.parent / "shared" / "fixtures"
)  # data of other projects, whose licences keep it out of this tree
ALPHABET = gsm0338.Codec()
STAMPS = datetime(2000, 1, 1), datetime(2089, 12, 31)  # noqa: DTZ001  hypothesis adds the zone
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
GSM_CHARACTERS = [*GSM7_BASIC.replace("\x1b", ""), *GSM7_EXTENSION]
gsm_texts = st.text(st.sampled_from(GSM_CHARACTERS), max_size=400)
any_texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=250
)
numbers = st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True)


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# --- vectors -----------------------------------------------------------------------------------------
def said(message: pdu.Message) -> dict:
    """A decoded message in the words of the vectors."""
    match message:
        case pdu.Deliver():
            told = {"type": "deliver", "from": message.sender, "scts": _iso(message.sent_at)}
        case pdu.Submit():
            told = {"type": "submit", "to": message.to, "srr": message.wants_report, "vp": message.validity}
        case pdu.StatusReport():
            words = {"temporary_gave_up": "temporary", "temporary_retrying": "temporary_retrying"}
            verdict = pdu.class_of(message.status)
            return {
                "type": "status_report", "to": message.to, "mr": message.mr, "scts": _iso(message.sent_at),
                "discharge": _iso(message.discharged_at), "tp_status": message.status,
                "class": words.get(verdict, verdict), "smsc": message.smsc,
            }  # fmt: skip
    place = message.concat
    told |= {"text": message.text, "dcs": message.dcs, "data_hex": message.octets.hex().upper()}
    told |= {"smsc": message.smsc, "concat": place and vars(place)}
    return told


def _iso(moment: datetime | None) -> str | None:
    return moment and moment.isoformat()


def wrong_vectors(vectors: list[dict]) -> list[str]:
    """The ids of the vectors that we read in another way than they say."""
    wrong = []
    for row in vectors:
        try:
            message = pdu.decode(row["pdu"])
        except pdu.PduError:
            wrong += [row["id"]] if row["valid"] else []
            continue
        expected = {
            key: value for key, value in (row["expect"] or {}).items() if key not in ("at", "full_text")
        }
        told = said(message)
        if not row["valid"] or {key: told.get(key) for key in expected} != expected:
            wrong.append(row["id"])
        centre = int(row["pdu"][:2], 16) + 1
        if row.get("tpdu_len", 0) != len(row["pdu"]) // 2 - centre:
            wrong.append(f"{row['id']}: length")
    return wrong


def wrong_submits(vectors: list[dict]) -> list[str]:
    """The ids of the submits that our encoder writes in another way."""
    submits = [row for row in vectors if row["valid"] and row["expect"]["type"] == "submit"]
    wrong = []
    for row in submits:
        encoded = pdu.encode_submit(pdu.decode(row["pdu"]))
        if (encoded.hex, encoded.length) != (row["pdu"], row["tpdu_len"]):
            wrong.append(row["id"])
    return wrong


def wrong_segments(vectors: list[dict]) -> list[str]:
    found = []
    for row in vectors:
        encoded = pdu.encode_text("+79161234567", row["text"])
        parts = [pdu.decode(part.hex) for part in encoded]
        counted = (count(row["text"]).encoding.upper(), count(row["text"]).units, len(parts))
        if counted != (row["encoding"], row["units"], row["segments_8bit_ref"]):
            found.append(row["text"][:20])
        if pdu.join([part.text for part in parts]) != row["text"]:
            found.append(f"{row['text'][:20]}: text")
    return found


def test_every_vector_is_read_and_written_as_it_says(figure):
    vectors = rows(FIXTURES / "sms_pdu" / "pdu.jsonl")
    segments = json.loads((FIXTURES / "sms_pdu" / "segmentation.json").read_text(encoding="utf-8"))
    statuses = json.loads((FIXTURES / "sms_at" / "tp_status.json").read_text(encoding="utf-8"))
    errors = json.loads((FIXTURES / "sms_at" / "error_codes.json").read_text(encoding="utf-8"))
    beside = BESIDE / "sms_pdu" / "pdu.jsonl"
    foreign = [row for row in rows(beside) if row["id"].startswith("upstream-")] if beside.is_file() else []

    assert wrong_vectors(vectors + foreign) == []
    assert wrong_submits(vectors + foreign) == []
    assert wrong_segments(segments) == []
    assert wrong_statuses(statuses) == []
    assert wrong_codes(errors) == []
    total = len(vectors) + len(foreign) + len(segments) + len(statuses) - 1 + len(statuses["classes"])
    figure("pdu", f"{total + len(errors['cms']) + len(errors['cme'])} vectors")


def test_vectors_of_other_projects_are_read_too():
    path = BESIDE / "sms_pdu" / "pdu.jsonl"
    if not path.is_file():
        pytest.skip("NOT RUN: PDUs of other projects are read from ../shared/fixtures, which is not there")
    foreign = [row for row in rows(path) if row["id"].startswith("upstream-")]

    assert len(foreign) >= 7
    assert wrong_vectors(foreign) == []


CLASSES = {
    "done": "delivered",
    "temporary, still trying": "temporary_retrying",
    "permanent failure": "permanent",
    "temporary, gave up": "temporary_gave_up",
}


def wrong_statuses(table: dict) -> list[str]:
    codes = {int(code, 16) for code in table if code != "classes"}
    wrong = [hex(code) for code in codes ^ set(pdu.TP_STATUS)]
    for span, words in table["classes"].items():
        first, last = (int(end, 16) for end in span.split("-"))
        wrong += [hex(code) for code in range(first, last + 1) if pdu.class_of(code) != CLASSES[words]]
    return wrong


def wrong_codes(table: dict) -> list[str]:
    wrong = []
    for kind, codes in table.items():
        for code, words in codes.items():
            found = at.refusal(f"+{kind.upper()} ERROR: {code}")
            if found is None or (found.kind, found.code) != (kind, int(code)):
                wrong.append(f"{kind} {code}")
            elif found.words != words.rstrip("."):
                wrong.append(f"{kind} {code}: {found.words}")
    known = set(at_codes.CMS)
    return wrong + [str(code) for code in (at_codes.PERMANENT | at_codes.TRANSIENT) - known]


def test_reserved_status_settles_nothing():
    assert {pdu.class_of(code) for code in range(0x80, 0x100)} == {"reserved"}


# --- against somebody else's decoder ----------------------------------------------------------------------
@dataclass(frozen=True)
class Read:
    """What smspdudecoder makes of one PDU; ``place`` is (parts, part, reference)."""

    number: str
    text: str
    place: tuple[int, int, int] | None


def read_by_other(octets: bytes, kind: type[SMSSubmit | SMSDeliver]) -> Read:
    """Addresses, header and UCS-2 as the other decoder gives them.

    It cuts decoded characters where septets are meant, so that an escape shifts its text: it is given the
    septets alone, and the ``@`` that it makes of seven spare bits is taken off.
    """
    said = kind.decode(StringIO(octets.hex()))
    address = said["recipient" if kind is SMSSubmit else "sender"]
    number = ("+" if address["toa"]["ton"] == "international" else "") + address["number"]
    header, text = said["user_data"]["header"], said["user_data"]["data"]
    places = [part["data"] for part in header["elements"]] if header else []
    place = tuple(places[0][name] for name in ("parts_count", "part_number", "reference")) if places else None
    if said["dcs"]["encoding"] == "gsm":
        body = octets[user_data_at(octets) :]
        taken = -(-(header["length"] + 1) * 8 // 7) if header else 0
        septets = body[0] - taken
        bits = int.from_bytes(body[1:], "little") >> 7 * taken
        text = OtherAlphabet.decode(bits.to_bytes(-(-septets * 7 // 8), "little").hex())
        if septets % 8 == 7:
            assert text[-1] == "@"
            text = text[:-1]
    return Read(number, text, place)


def user_data_at(octets: bytes) -> int:
    """Where TP-UDL stands, in a PDU that leaves the service centre to the SIM."""
    is_submit = octets[1] & 0x03 == pdu.SUBMIT
    address = 3 if is_submit else 2
    after = address + 2 + -(-octets[address] // 2)
    return after + 2 + (bool(octets[1] & pdu.RELATIVE_VALIDITY) if is_submit else 7)


def as_delivered(octets: bytes, stamp: bytes) -> bytes:
    """The SMS-DELIVER that the network makes of a submit, with the address as sender."""
    header = octets[1] & pdu.HAS_HEADER
    until, start = 5 + -(-octets[3] // 2), user_data_at(octets)
    return bytes([0, header]) + octets[3:until] + octets[until : until + 2] + stamp + octets[start:]


def as_stamp(moment: datetime) -> bytes:
    """A service centre time stamp in UTC."""
    return bytes.fromhex("".join(pair[::-1] for pair in re.findall("..", moment.strftime("%y%m%d%H%M%S00"))))


emoji = st.sampled_from("😀🔌🖥️🇷🇺👩‍🔧é漢")
ROUND_TRIPS = {
    "GSM-7": st.text(st.sampled_from(GSM_CHARACTERS), min_size=1, max_size=80),
    "UCS-2": st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=50
    ),
    "emoji": st.lists(st.one_of(emoji, st.sampled_from("аяЁ €^a\n")), min_size=1, max_size=40).map("".join),
}
times = st.sampled_from([1, 2, 10, 25, 50, 80])  # random texts alone are mostly short


@pytest.mark.parametrize("alphabet", ROUND_TRIPS)
def test_text_goes_through_another_decoder_and_ours_unchanged(alphabet, is_soak, figure):
    """Some in every run, thousands in `make soak`; the same PDU is read as sent and as received."""
    seen: Counter[str] = Counter()

    @settings(max_examples=5000 if is_soak else 60, deadline=None)
    @given(
        to=numbers, text=st.builds(str.__mul__, ROUND_TRIPS[alphabet], times),
        ref=st.integers(0, 70000), bits=st.sampled_from([8, 16]),
        validity_s=st.none() | st.integers(0, 10**7), wants_report=st.booleans(),
        at=st.datetimes(*STAMPS, timezones=st.just(UTC)),
    )  # fmt: skip
    @example("+79161234567", "€" * 77 + "a", 255, 16, None, False, NOON)
    @example("+79161234567", "a" * 152 + "€" + "b" * 20, 0, 8, None, False, NOON)
    @example("+79161234567", "я" * 66 + "😀" + "я" * 9, 1, 8, 300, True, NOON)
    @example("+79161234567", "😀" * 35, 0x1B1B, 16, None, False, NOON)
    @example("+79161234567", "{}" * 90, 0x1B1B, 16, 300, True, NOON)  # a header that reads as escapes
    def check(to, text, ref, bits, validity_s, wants_report, at) -> None:
        encoded = pdu.encode_text(
            to, text, ref=ref, bits=bits, validity_s=validity_s, wants_report=wants_report
        )
        sent = [bytes.fromhex(part.hex) for part in encoded]
        received = [as_delivered(octets, as_stamp(at.replace(microsecond=0))) for octets in sent]
        ours = [pdu.decode(octets.hex()) for octets in received]

        for octets, part in zip(sent, encoded, strict=True):
            assert len(octets) == part.length + 1
            assert len(octets) - user_data_at(octets) - 1 <= 140
        for read in (
            [read_by_other(octets, SMSSubmit) for octets in sent],
            [read_by_other(octets, SMSDeliver) for octets in received],
            [Read(part.sender, part.text, part.concat and place_of(part.concat)) for part in ours],
        ):
            assert "".join(part.text for part in read) == text
            assert {part.number for part in read} == {to}
            assert [part.place for part in read] == places(len(encoded), ref, bits)
        for octets, part in zip(received, ours, strict=True):
            assert SMSDeliver.decode(StringIO(octets.hex()))["scts"] == part.sent_at
        seen["texts"] += 1
        seen["parts"] += len(encoded)
        seen["concatenated"] += len(encoded) > 1

    check()

    assert seen["concatenated"] > 5
    figure(
        "pdu round trips",
        f"{seen['texts']} texts in {alphabet}, {seen['concatenated']} of them concatenated, {seen['parts']} parts",
    )


def place_of(concat: pdu.Concat) -> tuple[int, int, int]:
    return concat.parts, concat.part, concat.ref


def places(count: int, ref: int, bits: int) -> list[tuple[int, int, int] | None]:
    return [None] if count == 1 else [(count, number, ref % (1 << bits)) for number in range(1, count + 1)]


@given(to=numbers, text=any_texts, bits=st.sampled_from([8, 16]), seconds=st.integers(0, 10**8))
def test_our_own_decoder_reads_what_we_write(to, text, bits, seconds):
    encoded = pdu.encode_text(to, text, bits=bits, wants_report=True, validity_s=seconds)

    read = [pdu.decode(part.hex) for part in encoded]

    assert pdu.join([part.text for part in read]) == text
    assert all(part.to == to and part.wants_report and part.validity is not None for part in read)
    assert [pdu.encode_submit(part) for part in read] == encoded


@given(st.lists(st.integers(0, 127), max_size=200), st.binary(max_size=8))
def test_septets_survive_packing_behind_any_header(septets, header):
    packed = pack(septets, header=header)

    taken = -(-len(header) * 8 // 7)
    assert packed.startswith(header) or not header
    assert unpack(packed, taken + len(septets), header=len(header)) == septets


def test_alphabet_is_the_same_as_somebody_elses():
    for character in GSM_CHARACTERS:
        septets = to_septets(character)

        assert ALPHABET.decode(bytes(septets))[0] == character
        assert from_septets(septets) == character


# --- edges -----------------------------------------------------------------------------------------------
@given(st.binary(max_size=200))
def test_garbage_is_a_pdu_error_and_nothing_else(octets):
    try:
        message = pdu.decode(octets.hex())
    except pdu.PduError as exc:
        assert exc.reason  # noqa: PT017  both ways are right; any other exception is not
    else:
        assert isinstance(message, pdu.Deliver | pdu.Submit | pdu.StatusReport)


@given(st.data())
def test_damaged_pdu_is_a_pdu_error_and_nothing_else(data):
    vectors = [row["pdu"] for row in rows(FIXTURES / "sms_pdu" / "pdu.jsonl") if row["valid"]]
    octets = bytearray.fromhex(data.draw(st.sampled_from(vectors)))
    for place in data.draw(st.lists(st.integers(0, len(octets) - 1), max_size=4)):
        octets[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(octets)))

    for damaged in (octets, octets[:cut]):
        try:
            message = pdu.decode(damaged.hex())
        except pdu.PduError:
            continue
        assert message is not None


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "empty"), ("0", "not_hexadecimal"), ("zz", "not_hexadecimal"), ("00", "cut_in_type"),
     ("0003", "reserved_type"), ("000404", "cut_in_address"), ("0004FF91", "long_address")],
)  # fmt: skip
def test_reason_names_what_is_wrong(text, reason):
    with pytest.raises(pdu.PduError) as caught:
        pdu.decode(text)

    assert caught.value.reason == reason


@pytest.mark.parametrize("to", ["", "+", "79161234567x", "+7916'1", "1" * 21, "Megafon"])
def test_number_that_is_none_is_refused(to):
    with pytest.raises(pdu.PduError) as caught:
        pdu.encode_text(to, "#01#")

    assert caught.value.reason == "bad_number"


def test_text_of_more_parts_than_can_be_counted_is_refused():
    with pytest.raises(pdu.PduError) as caught:
        pdu.encode_text("+79161234567", "я" * (67 * 255 + 1))

    assert caught.value.reason == "too_long"


def test_half_a_character_is_refused():
    with pytest.raises(pdu.PduError) as caught:
        pdu.encode_text("+79161234567", "a\ud83d")

    assert caught.value.reason == "lone_surrogate"


def test_halves_of_a_character_meet_again():
    assert pdu.join(["\ud83d", "\ude00!"]) == "😀!"
    assert pdu.join(["\ud83d"]) == "�"


@pytest.mark.parametrize(
    ("seconds", "octet"),
    [(0, 0), (299, 0), (300, 0), (599, 0), (600, 1), (12 * 3600, 143), (12 * 3600 + 1800, 144),
     (24 * 3600, 167), (47 * 3600, 167), (2 * 86400, 168), (30 * 86400, 196), (35 * 86400, 197),
     (63 * 7 * 86400, 255), (10**9, 255)],
)  # fmt: skip
def test_validity_is_the_longest_that_is_not_longer(seconds, octet):
    assert pdu.relative_validity(seconds) == octet


def test_time_that_makes_no_sense_does_not_lose_the_text():
    raw = "07919761989901F0040B919761214365F70000" + "FF" * 7 + "0423D86D04"

    message = pdu.decode(raw)

    assert (message.text, message.sent_at) == ("#07#", None)


def test_compressed_text_is_refused():
    with pytest.raises(pdu.PduError) as caught:
        pdu.decode("07919761989901F0040B919761214365F7002052707021436521" + "0423D86D04")

    assert caught.value.reason == "compressed"


def test_negative_zone_is_read_with_its_sign():
    raw = "07919761989901F0040B919761214365F70000" + "5270702143650A" + "0423D86D04"

    assert pdu.decode(raw).sent_at.isoformat() == "2025-07-07T12:34:56-05:00"
