"""The two deeds of the inbox: say which command an SMS answers, and teach what such a text means."""

import re
from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from devices.models import Command, CommandTemplate
from devices.replies import ReplyRuleError
from platforms.console.deeds import Deed, Refused
from platforms.console.display import moment
from platforms.roles import Perm
from remosa.lib.clock import utcnow
from remosa.lib.redact import redact
from sms.models import InboundSms
from sms.services.inbox import assign, assignable, teach
from sms.states import WAITS_FOR_A_PERSON

MAX_GROUPS = 8
FACT = re.compile(r"\s*([a-z][a-z0-9_]{0,39})\s*=\s*(?:\{(\w{1,30})\}|(\S.{0,99}?))\s*")


class CommandField(forms.ModelChoiceField):
    """A command with the time at which it left."""

    def label_from_instance(self, obj: Command) -> str:
        return f"{obj.template.name} · {moment(obj.sent_at)}"


class AssignForm(forms.Form):
    """Which command the text answers."""

    command = CommandField(
        label=_("Command"), queryset=Command.objects.none(), widget=UnfoldAdminSelectWidget
    )


class TeachForm(forms.Form):
    """A rule in words; the catalogue checks it."""

    name = forms.RegexField(
        label=_("Name"), regex=r"^[a-z][a-z0-9_]{0,63}$", widget=UnfoldAdminTextInputWidget,
        help_text=_("Small Latin letters, digits and _."),
    )  # fmt: skip
    pattern = forms.CharField(
        label=_("Pattern"), max_length=500, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=_("A regular expression for the whole text. What is in (?P<n1>…) can be used below as {n1}."),
    )  # fmt: skip
    verdict = forms.ChoiceField(
        label=_("Meaning"), widget=UnfoldAdminSelectWidget,
        choices=[
            ("info", _("tells something")), ("confirmed", _("the command was done")),
            ("refused", _("the command was refused")), ("event", _("something happened")),
        ],
    )  # fmt: skip
    answers = forms.ChoiceField(
        label=_("Answers the command"), required=False, widget=UnfoldAdminSelectWidget, choices=[("", "—")]
    )
    reason = forms.RegexField(
        label=_("Word for the refusal or the event"), regex=r"^[a-z][a-z0-9_]{0,31}$", required=False,
        widget=UnfoldAdminTextInputWidget, help_text=_("For example mains_lost, mains_back, alarm, low_signal."),
    )  # fmt: skip
    facts = forms.CharField(
        label=_("Facts"), required=False, max_length=1000, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=_("One a line: out1 = on, mains = lost, temperature_c = {n1}."),
    )  # fmt: skip

    def clean_facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {}
        for line in filter(str.strip, self.cleaned_data["facts"].splitlines()):
            found = FACT.fullmatch(line)
            if found is None:
                raise forms.ValidationError(_("Write each fact as name = value."))
            facts[found[1]] = {"group": found[2], "type": "number"} if found[2] else found[3]
        return facts


def rule_of(filled: dict[str, Any]) -> dict[str, Any]:
    """What was filled in, as the catalogue wants it."""
    kind, _colon, word = filled["answers"].partition(":")
    answers = {"answers": {f"{kind}s": [word]}} if word else {}
    reason = {"reason": filled["reason"]} if filled["reason"] else {}
    facts = {"facts": filled["facts"]} if filled["facts"] else {}
    fixed = {key: filled[key] for key in ("name", "pattern", "verdict")}
    return {**fixed, **answers, **reason, **facts, "source": "inbox"}


def pattern_for(text: str) -> str:
    """A first pattern for ``text``: its words as they are, its numbers as groups n1, n2 ..."""
    numbers = iter(range(1, MAX_GROUPS + 1))
    tidy = "\n".join(line.strip() for line in text.replace("\r\n", "\n").strip().split("\n"))

    def piece(found: re.Match[str]) -> str:
        if not found[0].isdigit():
            return re.escape(found[0]).replace("\\ ", " ").replace("\\\n", "\\n")
        number = next(numbers, 0)
        return f"(?P<n{number}>[0-9]{{1,6}})" if number else "[0-9]{1,6}"

    return re.sub(r"[0-9]+|[^0-9]+", piece, tidy)


class InboxDeeds:
    """Gives the page of an incoming SMS its deeds."""

    inbox_deeds = (
        Deed(
            "assign", _("Assign to a command"), Perm.CONTROL, icon="link", form=AssignForm,
            question=_("Say which command this SMS answers. It is read as the answer to it."),
            when=lambda row: row.state in WAITS_FOR_A_PERSON and row.device_id is not None,
        ),
        Deed(
            "teach", _("Make a rule"), Perm.MANAGE_PLATFORM, icon="school", form=TeachForm,
            question=_(
                "From now on such a text of your sockets of this model is understood. The rule is your platform's own."
            ),
            when=lambda row: row.device is not None and row.device.model_id is not None,
        ),
    )  # fmt: skip

    def deed_form(self, request: HttpRequest, deed: Deed, row: InboundSms) -> forms.Form:
        """The choices of the row's own device; the pattern begins as the row's text."""
        form = super().deed_form(request, deed, row)  # type: ignore[misc]
        if deed.name in ("assign", "teach"):
            next(iter(form.fields.values())).help_text = redact(row.body)  # what it is all about
        if deed.name == "assign":
            form.fields["command"].queryset = assignable(row)
        if deed.name == "teach" and row.device is not None:
            form.initial["pattern"] = pattern_for(row.body)
            powers = [
                ("power:on", _g("switch on")),
                ("power:off", _g("switch off")),
                ("power:cycle", _g("power cycle")),
            ]
            own = CommandTemplate.objects.filter(model=row.device.model_id).order_by("category", "key")
            form.fields["answers"].choices = [
                ("", "—"),
                *powers,
                *((f"key:{one.key}", one.name) for one in own),
            ]
        return form

    def assign(self, request: HttpRequest, row: InboundSms, answers: dict[str, Any]) -> str:
        """Deed: which command it answers."""
        if not assign(row, command=answers["command"], by=request.user, now=utcnow()):
            raise Refused(_g("This SMS is settled already."))
        return _g("The SMS is assigned.")

    def teach(self, request: HttpRequest, row: InboundSms, answers: dict[str, Any]) -> str:
        """Deed: what such a text means."""
        try:
            teach(row, rule=rule_of(answers), by=request.user, now=utcnow())
        except ReplyRuleError as exc:
            raise Refused(str(exc)) from exc
        return _g("The rule is made, and the SMS was read again.")
