"""What a modem says, however it is cut, and what the end of a dialogue proves."""

import json
import random
from pathlib import Path

import pytest

from sms import at, at_codes, pdu
from sms.modem import Modem
from tests.sms.fake_modem import POINTS, MemoryPort, Script, Time

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "sms_at"
GAMMU = ROOT.parent / "shared" / "fixtures" / "sms_at" / "gammu"
DIALOGUES = 12_000
[SMS] = pdu.encode_text("+79161234567", "#01#", wants_report=True)
DELIVER = "07919761989901F0040B919761214365F70000527070214365210423D86D04"

# What modems say unasked; some of it looks like an answer.
NOTICES = (
    '\r\n+CMTI: "ME",3\r\n',
    "\r\nRING\r\n",
    "\r\n+CREG: 1\r\n",
    '\r\n+CREG: 2,"5E25","605F"\r\n',
    f"\r\n+CMT: ,23\r\n{DELIVER}\r\n",
    "\r\n+CDS: 25\r\n07919761989901F006D60B919761214365F7527070214365215270702153002100\r\n",
    '\r\n+CDSI: "SM",1\r\n',
    '\r\n+CUSD: 0,"Balance\r\nOK\r\n+CMGS: 77\r\n12.50",15\r\n',
    '\r\n+CMT: "+79160000000",,"25/07/07,12:34:56+12"\r\nOK\r\n',
    '\r\n+CMT: "+79160000000",,"25/07/07,12:34:56+12"\r\n+CMGS: 99\r\n',
    '\r\n+CMT: "+79160000000",,"25/07/07,12:34:56+12"\r\n> \r\n',
    "\r\n^RSSI:18\r\n",
    "\r\nNO CARRIER\r\n",
    '\r\n+CLIP: "+79160000000",145,"",,"",0\r\n',
    "\r\n*PSUTTZ: 2025,7,7\r\n",
    "\r\n+CSQ: 12,99\r\n",
)


def lines(octets: bytes, expected: str = "", *, sizes=(1,)) -> list[at.Token]:
    """The tokens of ``octets``, read in pieces."""
    parser, tokens, place = at.Parser(), [], 0
    for number in range(len(octets) + 1):
        size = sizes[number % len(sizes)]
        parser.feed(octets[place : place + size])
        place += size
        while (token := parser.next(expected)) is not None:
            tokens.append(token)
    return tokens


# --- the parser --------------------------------------------------------------------------------------
def test_answer_is_the_same_however_it_is_cut():
    said = b'AT+CREG?\r\r\n+CREG: 0,1,"5E25","605F"\r\n\r\n+CREG: 5\r\n\r\nOK\r\n\r\n> '
    whole = lines(said, "+CREG:", sizes=(1000,))

    for sizes in ((1,), (2,), (3, 1), (7, 2, 1), (40,)):
        assert lines(said, "+CREG:", sizes=sizes) == whole
    assert whole == [
        at.Answer("AT+CREG?"), at.Answer('+CREG: 0,1,"5E25","605F"'), at.Urc("+CREG: 5"), at.Answer("OK"),
        at.Prompt(),
    ]  # fmt: skip


def test_text_of_a_stranger_is_never_an_answer():
    said = b'\r\n+CMT: "+7916",,"x"\r\nOK\r\n\r\n+CUSD: 0,"one\r\n+CMGS: 5\r\nOK\r\n> ",15\r\n\r\nERROR\r\n'

    tokens = lines(said, "+CMGS:")

    assert [token for token in tokens if not isinstance(token, at.Urc)] == [at.Answer("ERROR")]


def test_report_comes_with_its_pdu():
    [token] = lines(f"\r\n+CDS: 25\r\n{DELIVER}\r\n".encode())

    assert token == at.Urc("+CDS: 25", DELIVER)


def test_notice_that_lost_its_pdu_does_not_swallow_the_next_notice():
    assert lines(b"\r\n+CDS: 25\r\n\r\nRING\r\n") == [at.Urc("RING")]


def test_noise_without_an_end_is_forgotten():
    parser = at.Parser()
    for _ in range(20):
        parser.feed(b"\xfe" * 1000)
        assert parser.next() is None
    parser.feed(b"\r\nOK\r\n")

    assert at.Answer("OK") in [parser.next(), parser.next()]


@pytest.mark.parametrize("line", ["RDY", "^SYSSTART", "NORMAL POWER DOWN"])
def test_restart_is_noticed(line):
    [token] = lines(f"\r\n{line}\r\n".encode())

    assert token.is_restart


# --- dialogues as they were written down ----------------------------------------------------------------
def transcripts() -> list[dict]:
    path = FIXTURES / "transcripts.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def replay(steps: list[dict], *, size: int) -> tuple[list[at.Query], list[at.Submission], list[at.Urc]]:
    """Hold the dialogues of a transcript with what the modem said in it."""
    parser, queries, submissions, notices = at.Parser(), [], [], []
    running: at.Query | at.Submission | None = None
    for step in steps:
        text = step["data"].encode("latin-1")
        if step["dir"] == ">":
            if text.startswith(b"AT+CMGS="):
                running = at.Submission(17)
                submissions.append(running)
            elif text.startswith(b"AT"):
                command = text.decode().strip()
                name = command.partition("=")[0].rstrip("?").removeprefix("AT")
                running = at.Query(command, prefix=f"{name}:" if name.startswith("+") else "")
                queries.append(running)
                assert running.start() == text
            else:
                assert running.wants_pdu
                running.hand_over()
            continue
        for place in range(0, len(text), size):
            parser.feed(text[place : place + size])
            while (token := parser.next(running.expected if running else "")) is not None:
                if isinstance(token, at.Urc):
                    notices.append(token)
                elif running is not None:
                    running.take(token)
    return queries, submissions, notices


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("row", transcripts(), ids=lambda row: row["name"])
def test_transcript_ends_as_it_says(row, size):
    queries, submissions, notices = replay(row["steps"], size=size)
    expected = row.get("expect", {})

    assert all(query.is_ok for query in queries)
    assert all(submission.is_over for submission in submissions)
    if "class" in expected:
        assert submissions[0].outcome.reason == f"cms_{expected['cms']}"
        assert (expected["cms"] in at_codes.TRANSIENT) is (expected["class"] == "transient")
        assert submissions[0].outcome.kind == "unknown"
    elif submissions:
        assert (submissions[0].outcome.kind, submissions[0].outcome.mr) == (
            "accepted",
            expected.get("mr", 12),
        )
    if "state" in expected:
        assert at.pin_state(queries[0].lines) == expected["state"]
    if "tp_status" in expected:
        report = pdu.decode(notices[0].payload)
        assert (report.mr, report.status) == (expected["mr"], expected["tp_status"])
    if row["name"] == "incoming_cmti":
        assert [at.fields(notice.text) for notice in notices] == [["ME", "3"]]
        assert queries[0].lines[0].startswith("+CMGR: 0,,29")


# --- what an end proves ------------------------------------------------------------------------------------
def submission_at(stage: str) -> at.Submission:
    submission = at.Submission(17)
    if stage != "command":
        submission.take(at.Prompt())
    if stage == "handed":
        submission.hand_over()
    return submission


@pytest.mark.parametrize(
    ("line", "before", "after"),
    [
        ("ERROR", "not_sent", "unknown"), ("+CMS ERROR: 500", "not_sent", "unknown"),
        ("+CMS ERROR: 38", "not_sent", "unknown"), ("+CMS ERROR: 331", "not_sent", "unknown"),
        ("+CMS ERROR: 332", "not_sent", "unknown"), ("+CMS ERROR: 999", "not_sent", "unknown"),
        ("+CMS ERROR: Network timeout", "not_sent", "unknown"), ("+CME ERROR: 30", "not_sent", "unknown"),
        ("+CMS ERROR: 1", "rejected", "rejected"), ("+CMS ERROR: 28", "rejected", "rejected"),
        ("+CMS ERROR: 304", "rejected", "rejected"), ("+CMS ERROR: 330", "rejected", "rejected"),
        ("+CMS ERROR: 310", "not_sent", "rejected"), ("+CME ERROR: 10", "not_sent", "unknown"),
        ("COMMAND NOT SUPPORT", "not_sent", "unknown"),
    ],
)  # fmt: skip
def test_refusal_proves_what_its_code_and_its_moment_say(line, before, after):
    for stage, kind in (("command", before), ("handed", after)):
        submission = submission_at(stage)
        submission.take(at.Answer(line))

        assert submission.outcome.kind == kind


@pytest.mark.parametrize("code", sorted(at_codes.PERMANENT))
def test_permanent_codes_are_never_tried_again_after_the_body(code):
    outcome = at.judge(at.Refusal("cms", code), handed_over=True)

    assert outcome.kind == "rejected"
    assert outcome.breaks is (code in at_codes.SIM_TROUBLE | at_codes.BARRED)


@pytest.mark.parametrize("code", sorted(at_codes.TRANSIENT))
def test_transient_codes_prove_nothing_after_the_body(code):
    assert at.judge(at.Refusal("cms", code), handed_over=True).kind == "unknown"
    assert at.judge(at.Refusal("cms", code), handed_over=False).kind == "not_sent"


def test_make_may_vouch_for_a_code():
    outcome = at.judge(at.Refusal("cms", 331), handed_over=True, proves_not_sent=[331])

    assert outcome.kind == "not_sent"


@pytest.mark.parametrize(
    ("stage", "kind"), [("command", "not_sent"), ("prompt", "not_sent"), ("handed", "unknown")]
)
def test_silence_and_a_lost_line_prove_what_their_moment_says(stage, kind):
    silent, lost = submission_at(stage), submission_at(stage)

    silent.timed_out()
    lost.lost()

    assert (silent.outcome.kind, lost.outcome.kind) == (kind, kind)


def test_ok_alone_is_no_acceptance():
    submission = submission_at("handed")

    submission.take(at.Answer("OK"))

    assert not submission.is_over


def test_number_of_the_network_is_an_acceptance_even_without_ok():
    submission = submission_at("handed")

    submission.take(at.Answer("+CMGS: 7"))
    submission.lost()

    assert (submission.outcome.kind, submission.outcome.mr) == ("accepted", 7)


def test_left_over_answer_before_the_prompt_is_no_acceptance():
    submission = submission_at("command")

    submission.take(at.Answer("+CMGS: 7"))
    submission.take(at.Answer("OK"))

    assert not submission.is_over


def test_acceptance_that_is_taken_back_is_unknown():
    submission = submission_at("handed")

    submission.take(at.Answer("+CMGS: 7"))
    submission.take(at.Answer("+CMS ERROR: 500"))

    assert submission.outcome.kind == "unknown"


# --- single answers ------------------------------------------------------------------------------------------
def test_registration_is_read_with_quoted_bare_and_without_cells():
    assert at.registration(['+CREG: 0,1,"5E25","605F"']).is_registered
    assert at.registration(["+CREG: 2,1,4CA,81DE445"]).word == "home"
    assert at.registration(['+CREG: 2,5,"2AF5","0B88E350",2']).word == "roaming"
    assert not at.registration(["+CREG: 0,2"]).is_registered
    assert at.registration([]) is None


def test_signal_is_in_dbm_and_99_is_nothing():
    assert at.signal_dbm(["+CSQ: 18,99"]) == -77
    assert at.signal_dbm(["+CSQ: 99,99"]) is None


def test_operator_may_hold_a_comma():
    assert at.operator(['+COPS: 0,0,"Operator, Ltd",2']) == "Operator, Ltd"
    assert at.operator(["+COPS: 0"]) == ""


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("+CNMI: (2),(0-1,3),(0,2),(0-1),(0)", "2,1,0,1,0"),
        ("+CNMI: (0-2),(0,1,3),(0),(0,1),(0,1)", "2,1,0,1,0"),
        ("+CNMI: (0,1),(0,1),(0),(0,2),(1)", "1,1,0,2,1"),
    ],
)
def test_notices_are_asked_for_within_the_ranges(line, values):
    assert at.notice_settings([line]) == values
    assert at.notice_settings([]) == "2,1,0,1,0"


def test_stored_drafts_are_left_out():
    said = ["+CMGL: 1,1,,23", DELIVER, "+CMGL: 2,2,,17", "0021", '+CMGL: 3,0,"",23', DELIVER]

    assert [found.index for found in at.stored(said)] == [1, 3]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('+CUSD: 0,"Balance: 12.50 RUB",15', "Balance: 12.50 RUB"),
        ('+CUSD: 2,"041100B0",72', "Б°"),
        ("+CUSD: 0, C2303BEC1E97", "Balance"[:6]),
        ("+CUSD: 2", None),
    ],
)
def test_balance_is_read_in_each_spelling(line, text):
    found = at.ussd_text(line)

    assert found == text or (text is not None and found is not None and found.startswith(text))


def test_dumps_of_real_modems_are_read():
    if not GAMMU.is_dir():
        pytest.skip(
            "NOT RUN: dumps of real modems (GPL) are read from ../shared/fixtures, which is not there"
        )
    read = 0
    for path in sorted(GAMMU.glob("at-sms/*.dump")):
        tokens = [
            token for token in lines(path.read_bytes(), "+CMG", sizes=(5,)) if isinstance(token, at.Answer)
        ]
        for token in tokens:
            if len(token.text) > 30 and token.text.isalnum():
                try:
                    pdu.decode(token.text)
                except pdu.PduError:
                    continue
                read += 1
    for path in sorted(GAMMU.glob("at-ussd/*.dump")):
        notices = [token for token in lines(path.read_bytes()) if isinstance(token, at.Urc)]
        read += sum(bool(at.ussd_text(notice.text)) for notice in notices)

    assert read >= 20


# --- ten thousand dialogues ------------------------------------------------------------------------------------
def made_up(dice: random.Random) -> Script:
    """A modem with some trouble, or none."""
    script = Script(echo=dice.random() < 0.5, mr=dice.randrange(256))
    script.prompts_late = dice.choice(["", "", "", "\r\nOK\r\n", "\r\n+CMGS: 1\r\n\r\nOK\r\n"])
    match dice.randrange(8):
        case 0:
            script.breaks_at = dice.choice(POINTS)
        case 1:
            script.silent_at = dice.choice(["prompt", "answer"])
        case 2:
            script.refuses_at_prompt = dice.choice(sorted(at_codes.CMS))
        case 3:
            script.refuses_after_body = dice.choice(sorted(at_codes.TRANSIENT))
            script.takes_refused = dice.random() < 0.5
        case 4:
            script.refuses_after_body = dice.choice(sorted(at_codes.PERMANENT))
    return script


def false_about(script: Script, outcome: at.Outcome) -> str:
    """What the outcome says and is not so; ``""`` when all of it is true."""
    left = len(script.taken)
    if left > 1:
        return f"{left} PDUs left"
    if outcome.kind == "accepted" and (left != 1 or outcome.mr != script.mr):
        return "accepted, but it was not, or under another number"
    if outcome.kind in ("not_sent", "rejected") and left:
        return f"{outcome.kind}, but it left"
    troubles = (script.breaks_at, script.silent_at, script.refuses_at_prompt, script.refuses_after_body)
    if not any(troubles) and outcome.kind != "accepted":
        return f"{outcome.kind} without any trouble"
    return ""


def test_no_dialogue_ever_says_what_is_not_so(figure):
    wrong, kinds, dice = [], set(), random.Random(20261120)
    for number in range(DIALOGUES):
        script, clock = made_up(dice), Time()
        notices = dice.choices(NOTICES, k=dice.randrange(6))
        port = MemoryPort(script, clock, dice=dice, notices=notices)
        modem = Modem(port, monotonic=clock)

        outcome = modem.submit(SMS.hex, SMS.length, timeout_s=30)

        kinds.add((outcome.kind, bool(script.breaks_at)))
        if found := false_about(script, outcome):
            wrong.append(f"{number}: {found}: {script}")

    assert wrong[:3] == []
    assert len(kinds) == 7, (
        "every end was reached, by troubles of the line and without (nobody rejects a lost line)"
    )
    figure("modem", f"{DIALOGUES} dialogues, {len(wrong)} false")


def test_false_words_would_be_found():
    assert false_about(Script(), at.Outcome("accepted", mr=214))
    assert false_about(Script(taken=["x"]), at.Outcome("not_sent"))
    assert false_about(Script(taken=["x"]), at.Outcome("accepted", mr=1))
    assert false_about(Script(taken=["x", "x"]), at.Outcome("unknown"))
    assert false_about(Script(taken=["x"]), at.Outcome("unknown"))
    assert not false_about(Script(taken=["x"]), at.Outcome("accepted", mr=214))
