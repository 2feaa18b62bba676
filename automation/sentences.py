"""What happened and why it did not, as sentences for people. Pure: words and data in, text out, in the
active language.

Everything that the tables keep as a word of a closed list (an outcome, a refusal, an event of a case, a
step of a command) is said here once, for the case page, the device page, the notices and the mail. A word
that nobody has put into a sentence yet is shown as it is: strange, but never hidden.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.utils.translation import gettext as _

from platforms.console.display import span_text

Data = Mapping[str, Any]


def span_words(seconds: float) -> str:
    """A duration in seconds as people say it."""
    return span_text(timedelta(seconds=seconds))


def plain(word: str) -> str:
    """A word of ours that has no sentence."""
    return word.replace("_", " ")


# --- outcomes and reasons of cases ------------------------------------------------------------------


def why_sentence(why: str) -> str:
    """The outcomes of cases, and why they were handed to a person."""
    sentences = {
        "common_cause": _(
            "Several devices went offline together: look for a common cause before repairing one by one."
        ),
        "cms_in_doubt": _(
            "The CMS does not answer, or its answer cannot be believed. Nothing is being switched."
        ),
        "not_back_in_time": _("The device did not come back after the power cycle."),
        "no_data_after_action": _(
            "The power was cycled, but the CMS does not say whether the device is back."
        ),
        "outcome_unknown": _(
            "It is not known whether the SMS reached the socket. Nothing will be sent again by itself."
        ),
        "step_failed": _("The last step could not be carried out."),
        "step_not_proven": _("The device did not come back after the last step."),
        "not_on_again": _(
            "The socket did not confirm that it is on again. REMOSA goes on trying; somebody must look on the spot."
        ),
        "suggestion_expired": _("Nobody answered the proposal of a power cycle in time."),
        "chronic": _("The device needs this too often: look for the cause on the spot."),
        "job_broken": _("A job cannot run, so nothing is watched by it. Its page says why."),
        "prometheus_down": _("Prometheus does not answer: jobs that ask it watch nothing."),
        "job_runs_again": _("The job runs again."),
        "job_off": _("The job was switched off or deleted."),
        "flapping": _("The device goes and comes again and again: look for the cause on the spot."),
        "guards_refuse": _("Automation was not allowed to act for too long. See “Why not” in the case."),
        "command_refused": _("The socket refused the command."),
        "command_not_executed": _("The SMS did not reach the socket."),
        "command_blocked": _("The command was blocked before it was sent."),
        "command_failed": _("No SMS gateway accepted the command."),
        "command_expired": _("The SMS could not be sent in time and was dropped."),
        "command_cancelled": _("The command was cancelled."),
        "command_superseded": _("The command was not needed any more."),
        "repaired": _("The device came back after the power cycle and stayed."),
        "repaired_softly": _("The device came back after the webhook was called, and stayed."),
        "recovered": _("The device is back and stayed. It is not known what helped."),
        "recovered_alone": _("The device came back by itself and stayed."),
        "cms_answers_again": _("The CMS answers again."),
        "all_back": _("All devices are back."),
        "mostly_back": _("Most devices are back; the rest are repaired one by one."),
        "cancelled": _("A person ended the case."),
        "no_data": _("Nothing is known of the device any more. See what its CMS says."),
        "exporter_disabled": _("The exporter was switched off."),
        "exporter_removed": _("The exporter was deleted."),
        "device_removed": _("The device was taken out of service."),
    }
    return sentences.get(why, plain(why))


def cms_sentence(why: str) -> str:
    """Why a CMS is in doubt, or why it could not tell of a device."""
    sentences = {
        "timeout": _("it does not answer in time"),
        "refused": _("it refuses the connection"),
        "dns": _("its name is not found"),
        "tls": _("its certificate is not accepted"),
        "egress": _("REMOSA may not call this address"),
        "reset": _("the connection broke"),
        "http_401": _("it does not accept the API key"),
        "http_403": _("it does not allow this with the API key"),
        "http_404": _("the address of the API is wrong"),
        "http_429": _("it is asked too often"),
        "http_4xx": _("it refuses the question"),
        "http_5xx": _("it has an error of its own"),
        "redirect": _("it answers from another address"),
        "not_json": _("its answer is no data"),
        "wrong_shape": _("its answer has another form than expected"),
        "no_data": _("it has no data on this device"),
        "unknown_status": _("it says a status that REMOSA does not know"),
        "too_large": _("its answer is too long"),
        "truncated": _("its answer breaks off"),
        "bad_id": _("it does not accept the number of this device"),
        "bad_settings": _("the settings of the exporter cannot be used"),
        "internal": _("REMOSA could not read the answer"),
        "empty_answer": _("it names none of the devices"),
        "half_missing": _("it has forgotten half of the devices"),
        "strange_words": _("it says a status that REMOSA does not know"),
        "down": _("it does not answer"),
    }
    return sentences.get(why, plain(why))


def refused_sentence(why: str) -> str:
    """Why a delivery of alerts was not taken."""
    sentences = {
        "no_secret": _("It came without the secret."),
        "wrong_secret": _("It came with a wrong secret."),
        "no_signature": _("It came without a signature."),
        "wrong_signature": _("Its signature is wrong: compare the secret at both ends."),
        "no_time": _("It came without a signed time: name the header of the time at the other end."),
        "old_time": _("Its signed time is more than 5 minutes off: compare the clocks."),
        "switched_off": _("This source is switched off."),
        "not_json": _("What came is no JSON."),
        "no_alerts": _("What came has no list of alerts: remove the custom payload at the other end."),
        "too_many": _("More than 10,000 alerts came at once."),
        "too_fast": _(
            "More deliveries came than this source may send in a minute; the sender was asked to wait."
        ),
        "too_large": _("What came is larger than 8 MB."),
    }
    return sentences.get(why, plain(why))


def rejected_sentence(reason: str) -> str:
    """Why one alert of a delivery could not be read."""
    sentences = {
        "wrong_shape": _("It has not the form of an alert."),
        "no_start": _("It does not say when it started."),
        "in_the_future": _("It starts in the future: compare the clocks."),
        "no_labels": _("It has no labels."),
        "too_many_labels": _("It has too many labels."),
        "label_too_long": _("One of its labels is too long."),
        "unknown_status": _("It is neither pending, firing nor resolved."),
        "bad_fingerprint": _("Its fingerprint cannot be used."),
    }
    return sentences.get(reason, plain(reason))


# --- refusals: the why-not journal -------------------------------------------------------------------


def _neighbours(data: Data, *, names: bool) -> str:
    players = [str(name) for name in data.get("players") or []]
    if not names:
        return _("The same output feeds players that work: %(n)d.") % {"n": len(players)}
    return _("The same output feeds players that work: %(names)s.") % {"names": ", ".join(players)}


def _many(data: Data) -> dict[str, Any]:
    span = span_words(float(data.get("window_s") or 3600))
    return {"limit": data.get("limit", ""), "span": span}


def _together(data: Data) -> str:
    if "bad" not in data:
        return _("Part of a mass case: %(group)s.") % {"group": data.get("group", "")}
    return _("%(bad)s of %(known)s went offline together (%(group)s): a common cause is likelier.") % {
        "bad": data.get("bad"), "known": data.get("known"), "group": data.get("group", ""),
    }  # fmt: skip


def _in_doubt(data: Data) -> str:
    return _("The CMS “%(exporter)s” is in doubt: %(why)s.") % {
        "exporter": data.get("exporter", ""), "why": cms_sentence(str(data.get("why", ""))),
    }  # fmt: skip


def refusal_sentence(guard: str, reason: str, data: Data, *, names: bool = True) -> str:
    """Why an action did not happen. Without ``names`` for readers who do not see every device."""
    if guard == "mass_change":
        return _together(data)
    sayings: dict[str, Callable[[], str]] = {
        "kill_switch": lambda: _("Automation is stopped: %(reason)s.") % {"reason": data.get("reason", "")},
        "platform_inactive": lambda: _("The platform is not active."),
        "device_removed": lambda: _("The device is out of service."),
        "not_in_the_job": lambda: _("The job does not watch this device any more."),
        "not_long_enough": lambda: (
            _("It is offline for less than %(hold)s: it may come back by itself.")
            % {"hold": span_words(float(data.get("hold_s") or 0))}
        ),
        "dark_by_our_cycle": lambda: _("It is dark by our own doing: its socket is being power-cycled."),
        "not_a_repair": lambda: (
            _("The command “%(command)s” does not bring the power back by itself.")
            % {"command": data.get("command", "")}
        ),
        "wrong_line": lambda: (
            _("The command “%(command)s” switches another output than %(line)s.")
            % {"command": data.get("command", ""), "line": data.get("line", "")}
        ),
        "no_data": lambda: _("Nothing is known of the device: that is no evidence."),
        "not_offline": lambda: _("The device is not offline."),
        "stale": lambda: (
            _("The last observation is %(age)s old: too old to act on.")
            % {"age": span_words(float(data.get("age_s") or 0))}
        ),
        "cms_in_doubt": lambda: _in_doubt(data),
        "no_power_link": lambda: _("Nobody has told REMOSA which socket powers this device."),
        "no_number": lambda: (
            _("The socket “%(socket)s” is out of service or has no SIM number.")
            % {"socket": data.get("socket", "")}
        ),
        "model_not_checked": lambda: (
            _("The model %(model)s was not checked on the bench: only people may switch it.")
            % {"model": data.get("model", "")}
        ),
        "not_rechecked": lambda: (
            _("“%(device)s” was moved, replaced or returned, and nobody has seen it work since.")
            % {"device": data.get("device", "")}
        ),
        "no_such_command": lambda: (
            _("The model %(model)s has no command “%(command)s”.")
            % {"model": data.get("model", ""), "command": data.get("command", "")}
        ),
        "no_mains": lambda: (
            _("The socket “%(socket)s” reports that the mains are lost: a power cycle cannot help.")
            % {"socket": data.get("socket", "")}
        ),
        "switched_off_by_person": lambda: (
            _("A person switched “%(socket)s” off: automation leaves it so.")
            % {"socket": data.get("socket", "")}
        ),
        "feeds_healthy_players": lambda: _neighbours(data, names=names),
        "socket_busy": lambda: (
            _("The socket “%(socket)s” is busy with another command.") % {"socket": data.get("socket", "")}
        ),
        "output_being_restored": lambda: (
            _("The socket “%(socket)s” is just bringing this output back.")
            % {"socket": data.get("socket", "")}
        ),
        "too_soon": lambda: (
            _("It was power-cycled a moment ago: there is a pause of %(pause)s between attempts.")
            % {"pause": span_words(float(data.get("pause_s") or 0))}
        ),
        "day_limit": lambda: (
            _("It was power-cycled %(limit)s times within 24 hours: that needs a person.")
            % {"limit": data.get("limit", "")}
        ),
        "week_limit": lambda: (
            _("It was power-cycled %(limit)s times within 7 days: that needs a person.")
            % {"limit": data.get("limit", "")}
        ),
        "job_limit": lambda: (
            _("Automation waits: this job has acted %(limit)s times within %(span)s.") % _many(data)
        ),
        "site_limit": lambda: (
            _("Automation waits: it has acted %(limit)s times on this site within %(span)s.") % _many(data)
        ),
        "exporter_limit": lambda: (
            _("Automation waits: it has acted %(limit)s times behind this CMS within %(span)s.") % _many(data)
        ),
        "platform_limit": lambda: (
            _("Automation waits: it has acted %(limit)s times on this platform within %(span)s.")
            % _many(data)
        ),
        "gateway_limit": lambda: (
            _("Automation waits: %(limit)s commands went through this SMS gateway within %(span)s.")
            % _many(data)
        ),
        "gateway_pace": lambda: _("Several commands leave one after another: this one waits for its turn."),
        "everything_limit": lambda: (
            _("Automation waits: it has acted %(limit)s times altogether within %(span)s.") % _many(data)
        ),
        "evaluator_late": lambda: _(
            "REMOSA itself was late: it looks at everything anew before it acts again."
        ),
        "clock_jumped": lambda: _(
            "The clock of REMOSA jumped: for an hour it does not rely on ages and pauses."
        ),
        "under_maintenance": lambda: (
            _("Works are going on here: %(reason)s.") % {"reason": data.get("reason", "")}
        ),
        "on_air": lambda: _("The place is on air: the job leaves it alone until the broadcast ends."),
        "on_air_wait": lambda: _("The place is on air: the job waits first, it may come back by itself."),
        "before_opening": lambda: _("The place is off air: the job repairs before the next opening."),
        "changes_too_often": lambda: (
            _("It went and came %(changes)s times within %(span)s: a power cycle does not cure that.")
            % {"changes": data.get("changes"), "span": span_words(float(data.get("window_s") or 0))}
        ),
        "sms_limit": lambda: _("The SMS of this month are used up for automation."),
        "invalid": lambda: _("The command cannot be made: %(why)s") % {"why": data.get("why", "")},
    }
    key = "kill_switch" if guard == "kill_switch" else reason
    return sayings[key]() if key in sayings else f"{plain(guard)}: {plain(reason)}"


# --- events of a case --------------------------------------------------------------------------------


def _opened(data: Data) -> str:
    if data.get("source") == "promql":
        return _("The query gave %(value)s for %(hold)s and %(samples)s observations: case opened.") % {
            "value": data.get("value"), "hold": span_words(float(data.get("hold_s") or 0)),
            "samples": data.get("samples"),
        }  # fmt: skip
    if data.get("source") == "alert":
        return _("An alert has been firing for %(hold)s or longer: case opened.") % {
            "hold": span_words(float(data.get("hold_s") or 0))
        }
    return _("No connection to the CMS for %(hold)s, confirmed by %(samples)s fresh observations: case opened.") % {
        "hold": span_words(float(data.get("hold_s") or 0)), "samples": data.get("samples"),
    }  # fmt: skip


def _acted(data: Data) -> str:
    do = data.get("do", "cycle")
    told = {
        "attempt": data.get("attempt"),
        "socket": data.get("socket", ""),
        "webhook": data.get("webhook", ""),
    }
    if do == "webhook":
        return _("Step %(attempt)s: the webhook “%(webhook)s” is called.") % told
    if do == "notice":
        return _("Step %(attempt)s: people are told; nothing is switched.") % told
    if do == "wait":
        return _("Step %(attempt)s: wait %(span)s; nothing is switched.") % {
            **told, "span": span_words(float(data.get("wait_s") or 0)),
        }  # fmt: skip
    return _("Attempt %(attempt)s: a power cycle through the socket “%(socket)s”.") % told


def _suggested(data: Data) -> str:
    if data.get("do") == "webhook":
        return _("Step %(attempt)s would call the webhook “%(webhook)s”. Waiting for a person to approve.") % {
            "attempt": data.get("attempt"), "webhook": data.get("webhook", ""),
        }  # fmt: skip
    return _("Attempt %(attempt)s would be a power cycle. Waiting for a person to approve.") % {
        "attempt": data.get("attempt")
    }


def rung_sentence(do: str, *, webhook: str = "", minutes: int | None = None, wait_s: float) -> str:
    """One step of a ladder, with its wait for proof."""
    wait = span_words(wait_s)
    if do == "webhook":
        return _("call the webhook “%(webhook)s”, wait %(wait)s") % {"webhook": webhook or "?", "wait": wait}
    if do == "notice":
        return _("tell people, wait %(wait)s") % {"wait": wait}
    if do == "wait":
        return _("wait %(wait)s") % {"wait": wait}
    if minutes is None:
        return _("power cycle, wait %(wait)s") % {"wait": wait}
    return _("power cycle of %(minutes)d min, wait %(wait)s") % {"minutes": minutes, "wait": wait}


def _refused(data: Data, *, names: bool) -> str:
    guard, reason = str(data.get("guard", "")), str(data.get("reason", ""))
    return _("Not done. %(why)s") % {"why": refusal_sentence(guard, reason, data, names=names)}


def event_sentence(kind: str, data: Data, *, names: bool = True) -> str:
    """One event of a case's timeline. ``names`` as for a refusal."""
    sayings: dict[str, Callable[[], str]] = {
        "opened": lambda: _opened(data),
        "joined_mass": lambda: _("Became part of a mass case: %(group)s.") % {"group": data.get("group", "")},
        "mass_over": lambda: (
            _("The mass case %(group)s is over, and this device is still offline: it is repaired by itself.")
            % {"group": data.get("group", "")}
        ),
        "mass_opened": lambda: (
            _("%(bad)s of %(known)s devices went offline together.")
            % {"bad": data.get("bad"), "known": data.get("known")}
        ),
        "upstream_doubted": lambda: (
            _("The CMS is in doubt: %(why)s.") % {"why": cms_sentence(str(data.get("why", "")))}
        ),
        "job_broken": lambda: _("The job cannot run: %(why)s") % {"why": data.get("why", "")},
        "back": lambda: _("The device is back. Waiting to see whether it stays."),
        "fell_again": lambda: _("The device went offline again before it was stable."),
        "verified": lambda: why_sentence(str(data.get("outcome", ""))),
        "escalated": lambda: (
            _("Handed to a person. %(why)s") % {"why": why_sentence(str(data.get("why", "")))}
        ),
        "suggested": lambda: _suggested(data),
        "acted": lambda: _acted(data),
        "step_skipped": lambda: (
            _("Step %(attempt)s left out: this socket cannot stay off for so long.")
            % {"attempt": data.get("attempt")}
        ),
        "refused": lambda: _refused(data, names=names),
        "action_done": lambda: _called(data, _("Soft step done: %(action)s (%(why)s).")),
        "action_failed": lambda: _called(data, _("Soft step failed: %(action)s (%(why)s).")),
        "action_unknown": lambda: _called(
            data, _("Soft step: it is not known whether the %(action)s got through (%(why)s).")
        ),
        "action_cancelled": lambda: _called(
            data, _("Soft step dropped, not wanted any more: %(action)s (%(why)s).")
        ),
        "acknowledged": lambda: _("Taken by a person."),
        "note": lambda: _("Note: %(text)s") % {"text": data.get("text", "")},
        "shared": lambda: _("Shared by a link that anybody may read."),
        "share_ended": lambda: _("The shared link was taken back."),
        "taken_over": lambda: _("Taken over by the job “%(job)s”.") % {"job": data.get("job", "")},
        "dropped": lambda: (
            _("Closed without proof. %(why)s") % {"why": why_sentence(str(data.get("why", "")))}
        ),
        "cancelled": lambda: _("Ended by a person. %(reason)s") % {"reason": data.get("reason", "")},
    }
    return sayings[kind]() if kind in sayings else plain(kind)


def _called(data: Data, text: str) -> str:
    """How a webhook or a notice of a case ended."""
    names = {"webhook": _("webhook"), "notice": _("notice")}
    kind, why = str(data.get("action", "")), str(data.get("why", ""))
    text = text if why else text.replace(" (%(why)s)", "")
    return text % {"action": names.get(kind, kind), "why": blocked_sentence(why)}


def evidence_lines(evidence: Data) -> list[tuple[str, str]]:
    """What a case was opened on, as (name, value)."""
    sources = {
        "snapshot": _("what the CMS says"), "promql": _("Prometheus query"), "alert": _("incoming alerts"),
    }  # fmt: skip
    scopes = {
        "site": _("one site"), "exporter": _("one exporter"), "platform": _("the whole platform"),
        "outer_ip": _("one outer IP"), "cms": _("one CMS, several clients"),
    }  # fmt: skip
    known: dict[str, Callable[[Any], tuple[str, str]]] = {
        "source": lambda v: (_("Source"), sources.get(str(v), str(v))),
        "value": lambda v: (_("Value"), "0" if v == 0 else str(v)),
        "hold_s": lambda v: (_("Hold"), span_words(float(v or 0))),
        "samples": lambda v: (_("Fresh observations"), str(v)),
        "scope": lambda v: (_("Fell together"), scopes.get(str(v), str(v))),
        "bad": lambda v: (_("Offline at that time"), str(v)),
        "known": lambda v: (_("Known at that time"), str(v)),
        "why": lambda v: (_("Reason"), cms_sentence(str(v))),
    }
    return [known[name](value) for name, value in evidence.items() if name in known and value is not None]


# --- steps of a command ------------------------------------------------------------------------------


def blocked_sentence(reason: str) -> str:
    """Why a command did not leave, or did not work."""
    sentences = {
        "quota": _("the SMS limit of the platform is reached"),
        "no_number": _("the device has no SIM number"),
        "no_gateway": _("there is no SMS gateway that may carry it"),
        "too_long": _("the text is longer than one SMS"),
        "bad_number": _("the SIM number cannot be used"),
        "bad_text": _("the text cannot be sent"),
        "kill_switch_global": _("automation is stopped everywhere"),
        "kill_switch_platform": _("automation is stopped on this platform"),
        "kill_switch_job": _("the job is stopped"),
        "kill_switch_device": _("automation is stopped for this device"),
        "condition_cleared": _("the device came back meanwhile"),
        "overtaken": _("a person asked for another step meanwhile"),
        "case_closed": _("the case was closed meanwhile"),
        "job_changed": _("the job was changed meanwhile"),
        "power_link_changed": _("the power link was changed meanwhile"),
        "actor_lost_right": _("the person may not do this any more"),
        "cancelled": _("a person cancelled it"),
        "expired": _("it was too late to send it"),
        "undelivered": _("the network could not deliver the SMS"),
        "no_proof": _("nothing proved that it worked"),
        "refused_by_device": _("the device said no"),
        "lane was busy": _("the socket was busy too long"),
        "executed": _("a person says that it worked"),
        "not_executed": _("a person says that it did not work"),
    }
    for guard in (
        "evidence",
        "upstream",
        "mass_change",
        "own_health",
        "maintenance",
        "flapping",
        "broadcast_hours",
        "power",
        "cooldown",
        "chronic",
    ):
        if reason.startswith(f"{guard}_"):
            return _("a guard objected at the last moment (%(guard)s)") % {"guard": plain(reason)}
    return sentences.get(reason, plain(reason))


def command_sentence(to_state: str, why: str) -> str:
    """One step of a command's life."""
    sentences = {
        "queued": _("Queued for sending."),
        "sent": _("SMS sent: the gateway took it."),
        "delivered": _("SMS delivered to the socket."),
        "replied": _("The socket replied."),
        "verified": _("Proved: the device came back."),
        "refused": _("The socket refused."),
        "unverified": _("No proof in time."),
        "not_executed": _("Not executed: the SMS did not arrive."),
        "failed": _("Not sent: no gateway accepted it."),
        "unknown": _("Outcome unknown: it may have been sent. It is not sent again by itself."),
        "needs_operator": _("Needs a person: say whether it worked."),
        "closed_by_operator": _("Closed by a person."),
        "blocked": _("Blocked before it was sent."),
        "cancelled": _("Cancelled."),
        "expired": _("Dropped: too late to send."),
        "superseded": _("Not needed any more."),
        "requested": _("Waits for its turn at the socket."),
    }
    text = sentences.get(to_state, plain(to_state))
    told = {"blocked", "cancelled", "superseded", "closed_by_operator", "failed", "not_executed"}
    if why and to_state in told:
        told_why = _("Reason: %(why)s.") % {"why": blocked_sentence(why)}
        return f"{text} {told_why}"
    return text


# --- where a case stands -----------------------------------------------------------------------------


def headline(*, kind: str, state: str, down_for: timedelta | None, outcome: str) -> str:
    """The first line of a case: what is wrong, and for how long."""
    if state == "verified":
        return why_sentence(outcome)
    if state == "cancelled":
        return _("Ended by a person")
    if kind == "upstream":
        return _("The CMS is in doubt")
    if kind == "mass":
        return _("Many devices went offline together")
    if kind == "job":
        return _("A job cannot run")
    if down_for is None:
        return _("No connection to the CMS")
    return _("No connection to the CMS for %(span)s") % {"span": span_words(down_for.total_seconds())}


def step_sentence(
    *,
    state: str,
    mode: str,
    attempts: int,
    max_attempts: int,
    command_state: str,
    refusal: str,
    is_back: bool,
    waits_for_mass: bool,
    outcome: str,
    down_for: timedelta | None = None,
    current: str = "",
    following: str = "",
    is_proposed: bool = False,
) -> str:
    """What REMOSA does about a case right now. ``refusal`` is the sentence of a guard that objects, or "".

    ``mode`` is the job's, or "off" where the job is switched off or gone. ``current`` and ``following`` are the step
    that was taken last and the next one, where the job has a ladder.
    """
    if state == "escalated":
        return why_sentence(outcome)
    if state in ("verified", "cancelled"):
        lasted = span_text(down_for) if down_for is not None else "—"
        return _("Lasted %(span)s, attempts: %(number)d.") % {"span": lasted, "number": attempts}
    if is_back:
        return _("The device is back. Closing when it stays.")
    if is_proposed:
        return _waits_for_approval(following)
    if command_state and state == "acting":
        return _while_acting(command_state, attempts, max_attempts, current)
    if waits_for_mass:
        return _("Waits for the mass case.")
    if mode == "off":
        return _(
            "Its job is off or gone: nothing more is done unless a person does it, or switches the job on."
        )
    if refusal:
        return _("Not acting yet. %(why)s") % {"why": refusal}
    if mode == "shadow":
        return _("Only watching: this job may not act.")
    if mode == "suggest":
        return _waits_for_approval(following)
    if following:
        return _("Preparing step %(number)s of %(limit)s: %(step)s.") % {
            "number": attempts + 1, "limit": max_attempts, "step": following,
        }  # fmt: skip
    return _("Preparing attempt %(number)s of %(limit)s.") % {"number": attempts + 1, "limit": max_attempts}


def _waits_for_approval(following: str) -> str:
    if following:
        return _("Waits for a person to approve: %(step)s.") % {"step": following}
    return _("Waits for a person to approve a power cycle.")


def hold_sentence(
    *, mode: str, has_data: bool, samples: int, wanted: int, hold_s: float, is_held: bool
) -> str:
    """What a job waits for that sees a device as wrong and has no case of it yet.

    ``is_held``: the hold time is over; ``samples`` of ``wanted`` fresh answers have said so.
    """
    if not has_data:
        return _("There is no data now: the hold time stands still until there is a fresh answer.")
    following = {
        "shadow": _("Then it is written down: this job only watches."),
        "suggest": _("Then a repair is proposed to a person."),
    }.get(mode, _("Then it is repaired, if no guard objects."))
    if is_held and samples < wanted:
        waits = _("Waits for fresh answers: %(samples)d of %(wanted)d.") % {
            "samples": samples,
            "wanted": wanted,
        }
    else:
        waits = _("Waits %(span)s: it may come back by itself.") % {"span": span_words(hold_s)}
    return f"{waits} {following}"


def _while_acting(command_state: str, attempts: int, max_attempts: int, current: str) -> str:
    sayings = {
        "asked": _("is being carried out"),
        "told": _("carried out, waiting for the device"),
        "maybe": _("outcome unknown, waiting for evidence"),
        "dropped": _("could not be carried out"),
        "requested": _("waits for the socket to be free"),
        "queued": _("SMS is being sent"),
        "sent": _("SMS sent, waiting for the device"),
        "delivered": _("SMS delivered, waiting for the device"),
        "replied": _("the socket replied, waiting for the device"),
        "unknown": _("outcome unknown, waiting for evidence"),
        "needs_operator": _("a person must say whether it worked"),
        "left_dark": _("the socket is not on again"),
    }
    step = sayings.get(command_state, blocked_sentence(command_state))
    if current:
        return _("Step %(number)s of %(limit)s (%(what)s): %(step)s.") % {
            "number": attempts, "limit": max_attempts, "what": current, "step": step,
        }  # fmt: skip
    return _("Attempt %(number)s of %(limit)s: %(step)s.") % {
        "number": attempts, "limit": max_attempts, "step": step,
    }  # fmt: skip


# --- jobs --------------------------------------------------------------------------------------------


def job_sentence(
    *,
    scope: str,
    source: str,
    comparison: str,
    hold_s: float,
    fresh_samples: int,
    mode: str,
    command: str,
    max_attempts: int,
    cooldown_s: float,
    verify_s: float,
    manners: str = "",
    steps: Sequence[str] = (),
) -> str:
    """A job, said in a few sentences. ``scope`` says whom it watches, ``comparison`` what PromQL is compared to.

    ``steps`` are those of its ladder, where it has one.
    """
    after = _pause(cooldown_s) if steps else _after(verify_s, max_attempts, cooldown_s)
    deed = _climb(mode, steps) if steps else _deed(mode, command)
    rest = " ".join(filter(None, (manners, after)))
    if source == "promql":
        condition = _("the query gives a value %(comparison)s") % {"comparison": comparison}
    elif source == "alert":
        return _alert_job_sentence(
            scope=scope, labels=comparison, hold_s=hold_s, deed=deed, rest=rest,
        )  # fmt: skip
    elif source == "schedule":
        first = _(
            "At %(times)s it looks at %(scope)s: when a player has had no connection to its CMS for %(hold)s,"
        )
        first %= {"times": comparison, "scope": scope, "hold": span_words(hold_s)}
        return f"{first} {deed} {rest}"
    elif source == "event":
        condition = _("after “%(event)s” a player has no connection to its CMS") % {"event": comparison}
    else:
        condition = _("a player has no connection to its CMS")
    first = _("Watches %(scope)s: when %(condition)s for %(hold)s and %(samples)s fresh observations agree,") % {
        "scope": scope, "condition": condition, "hold": span_words(hold_s), "samples": fresh_samples,
    }  # fmt: skip
    return f"{first} {deed} {rest}"


def manners_sentence(
    *, hours: str, unknown: bool, on_air: str, wait_s: float, off_air: str, lead_s: float, mode: str
) -> str:
    """How a job behaves by the clock: ``hours`` are its own as text, "" for those of each site."""
    if unknown:
        return _("Nobody has told the broadcast hours: it makes no difference between day and night.")
    whose = (
        _("In broadcast hours (%(hours)s)") % {"hours": hours}
        if hours
        else _("In the site's broadcast hours")
    )
    wait = {"wait": span_words(wait_s)}
    suggests = on_air == "suggest" and mode == "auto"
    by_day = {
        "leave": _("it leaves the device alone"),
        "act": _("it does not wait"),
        "wait": _("it waits %(wait)s first") % wait,
        "suggest": (
            _("it waits %(wait)s and then asks a person") % wait
            if suggests
            else _("it waits %(wait)s first") % wait
        ),
    }[on_air]
    night = (
        _("outside them it waits until %(lead)s before the opening") % {"lead": span_words(lead_s)}
        if off_air == "before"
        else _("outside them it does not wait")
    )
    return _("%(whose)s %(by_day)s; %(night)s.") % {"whose": whose, "by_day": by_day, "night": night}


def _alert_job_sentence(*, scope: str, labels: str, hold_s: float, deed: str, rest: str) -> str:
    first = _("Watches %(scope)s: when an alert (%(labels)s) is firing for %(hold)s,") % {
        "scope": scope, "labels": labels or _("any"), "hold": span_words(hold_s),
    }  # fmt: skip
    return f"{first} {deed} {rest}"


def _climb(mode: str, steps: Sequence[str]) -> str:
    listed = "; ".join(f"{number}) {step}" for number, step in enumerate(steps, start=1))
    deeds = {
        "shadow": _("it only writes down what it would do: %(steps)s; at last, a person."),
        "suggest": _(
            "it asks a person to approve each step that switches something: %(steps)s; at last, a person."
        ),
        "auto": _("it goes step by step, as long as the device is not back: %(steps)s; at last, a person."),
    }
    return deeds[mode] % {"steps": listed} if mode in deeds else plain(mode)


def _pause(cooldown_s: float) -> str:
    return _("Between two power cycles of a device: a pause of %(pause)s.") % {
        "pause": span_words(cooldown_s)
    }


def _deed(mode: str, command: str) -> str:
    deeds = {
        "shadow": _("it only writes down that it would send “%(command)s”."),
        "suggest": _("it asks a person to approve “%(command)s”."),
        "auto": _("it sends “%(command)s” by itself."),
    }
    return deeds[mode] % {"command": command} if mode in deeds else plain(mode)


def _after(verify_s: float, max_attempts: int, cooldown_s: float) -> str:
    return _(
        "The device must be back within %(verify)s; at most %(attempts)s attempts, then a person;"
        " a pause of %(pause)s per device."
    ) % {"verify": span_words(verify_s), "attempts": max_attempts, "pause": span_words(cooldown_s)}
