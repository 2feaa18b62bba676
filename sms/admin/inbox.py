"""The two deeds of the inbox: say which command an SMS answers, and teach what such a text means."""

import re
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from devices.models import Command, CommandTemplate, Device, OwnReplyRule
from devices.replies import MAX_COST, ReplyRuleError
from platforms.console.deeds import Deed, Refused
from platforms.console.display import moment
from platforms.roles import Perm
from remosa.lib.clock import utcnow
from remosa.lib.redact import redact
from sms.models import InboundSms
from sms.services.inbox import assign, assign_device, assignable, facts_in, teach
from sms.states import WAITS_FOR_A_PERSON

MAX_GROUPS = 8
LONGEST_NUMBER = 10  # characters; a longer one is a phone or a card
PIECES = re.compile(
    r"(?P<celsius>-?[0-9]{1,3}(?=\s?°?[CС]\b))|(?P<decimal>[0-9]{1,6}\.[0-9]{1,3})(?![0-9.])"
    r"|(?P<whole>[0-9]{1,6}(?![0-9]))|(?P<long>[0-9]+)|(?P<rest>.)",
    re.DOTALL,
)
FORMS = {  # how such a number may look next time, and in how many ways that can match
    "celsius": ("-?[0-9]{1,3}", 6), "decimal": (r"[0-9]{1,6}\.[0-9]{1,3}", 18), "whole": ("[0-9]{1,6}", 6),
    "long": ("", MAX_COST + 1),
}  # fmt: skip
FACT = re.compile(r"\s*([a-z][a-z0-9_]{0,39})\s*=\s*(?:\{(\w{1,30})\}|(\S.{0,99}?))\s*")


TEMPLATE = "console/inbox_deed.html"


class CommandField(forms.ModelChoiceField):
    """A command with the time at which it left."""

    def label_from_instance(self, obj: Command) -> str:
        return f"{obj.template.name} · {moment(obj.sent_at)}"


class AssignForm(forms.Form):
    """Which command the text answers."""

    command = CommandField(
        label=_("Command"), queryset=Command.objects.none(), widget=UnfoldAdminSelectWidget
    )


class SocketForm(forms.Form):
    """Which socket sent it."""

    device = forms.ModelChoiceField(
        label=_("Socket"), queryset=Device.objects.none(), widget=UnfoldAdminSelectWidget
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
    """A first pattern for ``text``: its words as they are, its numbers as groups n1, n2 ...

    Numbers may be others next time, as long as a pattern may cost; one of many digits keeps their count.
    """
    number, cost, pattern = 0, 1, ""
    tidy = "\n".join(line.strip() for line in text.replace("\r\n", "\n").strip().split("\n"))
    for found in PIECES.finditer(tidy):
        kind, piece = str(found.lastgroup), found[0]
        if kind == "rest":
            pattern += "\\n" if piece == "\n" else re.escape(piece).replace("\\ ", " ")
            continue
        form, ways = FORMS[kind]
        if len(piece) > LONGEST_NUMBER or cost * ways > MAX_COST:
            form, ways = re.sub("[0-9]+", lambda digits: f"[0-9]{{{len(digits[0])}}}", re.escape(piece)), 1
        number, cost = number + 1, cost * ways
        pattern += f"(?P<n{number}>{form})" if number <= MAX_GROUPS else form
    return pattern


class InboxDeeds:
    """Gives the page of an incoming SMS its deeds."""

    inbox_deeds = (
        Deed(
            "assign", _("Assign to a command"), Perm.CONTROL, icon="link", form=AssignForm,
            question=_("Say which command this SMS answers. It is read as the answer to it."),
            when=lambda row: row.state in WAITS_FOR_A_PERSON and assignable(row).exists(),
            template=TEMPLATE,
        ),
        Deed(
            "assign_device", _("It is from this socket"), Perm.CONTROL, icon="outlet", form=SocketForm,
            question=_(
                "Say which socket sent this SMS: it is read as its text. If it will write from this number again, "
                "replace its SIM on its page."
            ),
            when=lambda row: row.state in WAITS_FOR_A_PERSON and row.device_id is None and row.platform_id is not None,
            template=TEMPLATE, button=_("Assign"),
        ),
        Deed(
            "teach", _("Make a rule"), Perm.MANAGE_PLATFORM, icon="school", form=TeachForm,
            question=_(
                "From now on such a text of your sockets of this model is understood. The rule is your platform's own."
            ),
            when=lambda row: row.device is not None and row.device.model_id is not None,
            template=TEMPLATE,
        ),
    )  # fmt: skip

    def deed_form(self, request: HttpRequest, deed: Deed, row: InboundSms) -> forms.Form:
        """The choices of the row's own device; the pattern begins as the row's text."""
        form = super().deed_form(request, deed, row)  # type: ignore[misc]
        if deed.name == "assign_device":
            own = Device.objects.visible_to(request.user, Perm.CONTROL).of(row.platform_id)
            form.fields["device"].queryset = own.filter(kind=Device.Kind.SOCKET, is_active=True).order_by(
                "name"
            )
        if deed.name == "assign":
            form.fields["command"].queryset = assignable(row)
        if deed.name == "teach" and row.device is not None:
            form.initial["pattern"] = pattern_for(row.body)
            own_rules = OwnReplyRule.objects.filter(platform=row.platform_id, model=row.device.model_id)
            form.initial["name"] = f"own_{own_rules.count() + 1}"
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

    def assign_device(self, request: HttpRequest, row: InboundSms, answers: dict[str, Any]) -> str:
        """Deed: which socket sent it."""
        if not assign_device(row, device=answers["device"], by=request.user, now=utcnow()):
            raise Refused(_g("This SMS is settled already."))
        row.refresh_from_db()
        if row.state in WAITS_FOR_A_PERSON:
            return _g("It is known now which socket sent it, but not what it says: make a rule.")
        return _g("The SMS was read as a text of this socket.")

    def teach(self, request: HttpRequest, row: InboundSms, answers: dict[str, Any]) -> str:
        """Deed: what such a text means."""
        try:
            made = teach(row, rule=rule_of(answers), by=request.user, now=utcnow())
        except ReplyRuleError as exc:
            raise Refused(str(exc)) from exc
        facts = facts_in(row, made)
        if not facts:
            return _g("The rule is made, and the SMS was read again.")
        read = ", ".join(f"{name} = {value}" for name, value in facts.items())
        return _g("The rule is made, and the SMS was read again: %(facts)s.") % {"facts": read}

    def ask(
        self, request: HttpRequest, deed: Deed, row: InboundSms, form: forms.Form, **context: Any
    ) -> HttpResponse:
        """The question stands below the text that it is all about."""
        shown = (
            {"sms_text": redact(row.body), "sms_from": self.from_whom(row)}
            if deed.template == TEMPLATE
            else {}
        )
        return super().ask(request, deed, row, form, **shown, **context)  # type: ignore[misc]
