"""Cases: the board of a duty desk, the page of one case with its big buttons, and the why-not journal."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import BooleanField, QuerySet, Value
from django.db.models import Case as When
from django.db.models import When as Condition
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget

from automation.answers import answer
from automation.guards import candidate_of, first_refusal
from automation.ladder import Do
from automation.models import Case, GuardRefusal
from automation.repairs import params_of, plan_of, texts_of
from automation.selectors import (
    being_repaired,
    board,
    case_lines,
    ladder_lines,
    needing_a_person,
    rung_words,
    webhook_names,
)
from automation.sentences import evidence_lines, refusal_sentence
from automation.services import shares
from automation.services.attempts import Place, next_cycle, next_place
from automation.services.cases import (
    NOTE_LENGTH,
    acknowledge,
    add_note,
    approve,
    cancel_case,
    proposal_until,
    repair_now,
)
from automation.states import LIVE, CaseState, Mode
from devices.admin.send import going_dark
from devices.catalogue import DARKENING
from devices.errors import DevicesError
from devices.services import may_send
from platforms.admin_base import CountedOnce, PlatformAdmin, grants_of
from platforms.console.deeds import Deed, ReasonForm, Refused
from platforms.console.display import DASH, ago, clock_text, countdown, link, moment, pill
from platforms.roles import Perm
from remosa.lib.clock import utcnow

C = CaseState


class CaseNoteForm(forms.Form):
    """What was seen or done."""

    text = forms.CharField(
        label=_("Note"), max_length=NOTE_LENGTH, widget=UnfoldAdminTextareaWidget(attrs={"rows": 4})
    )


class BoardFilter(DropdownFilter):
    """The piles of a duty desk."""

    title = _("pile")
    parameter_name = "board"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("needs_you", _("needs you")),
            ("repairing", _("being repaired")),
            ("live", _("open")),
            ("closed", _("closed")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Case]) -> QuerySet[Case]:
        piles = {"needs_you": needing_a_person(), "repairing": being_repaired()}
        if self.value() in piles:
            return queryset.filter(piles[self.value()], state__in=LIVE)
        if self.value() == "live":
            return queryset.filter(state__in=LIVE)
        return queryset.exclude(state__in=LIVE) if self.value() == "closed" else queryset


def place_of(case: Case, deed: str) -> Place | None:
    """The step of the ladder that a person means who approves, or asks for a power cycle."""
    last = case.runs.order_by("-attempt").first()
    if case.job is None:
        return None
    return next_place(case.job, last) if deed == "approve" else next_cycle(case.job, last)


def is_live(case: Case) -> bool:
    """Whether something can still be done about it."""
    return case.state in LIVE


class Board(CountedOnce):
    """Unless the reader sorts it: what needs a person first, then what is live, the newest first."""

    def _get_default_ordering(self) -> list[str]:
        return ["rank", "-opened_at"]


@admin.register(Case)
class CaseAdmin(PlatformAdmin):
    list_display = ("title_now", "state_now", "story", "platform", "opened", "taken_by")
    list_filter = (BoardFilter, "state", "kind", "platform", "device__site", "job")
    list_select_related = ("platform", "device__site", "job", "parent", "acknowledged_by")
    search_fields = ("title", "device__name", "device__mac", "device__site__name")
    search_help_text = _("device, MAC or site")
    date_hierarchy = "opened_at"
    change_form_template = "console/case.html"
    fields = ("platform",)
    refusals = (*PlatformAdmin.refusals, DevicesError)
    deeds = (
        Deed(
            "take", _("Take"), Perm.CONTROL, icon="back_hand",
            question=_("The others see that you look after it. REMOSA goes on as before."),
            when=lambda row: is_live(row) and row.acknowledged_by_id is None,
        ),
        Deed(
            "approve", _("Approve"), Perm.CONTROL, icon="check_circle", template="console/repair.html",
            asks_again=True, when=lambda row: proposal_until(row, now=utcnow()) is not None,
        ),
        Deed(
            "repair", _("Power-cycle now"), Perm.CONTROL, icon="restart_alt", template="console/repair.html",
            asks_again=True,
            when=lambda row: is_live(row) and row.kind == Case.Kind.DEVICE and row.job_id is not None,
        ),
        Deed(
            "share", _("Share the answer"), Perm.CONTROL, icon="share",
            question=_(
                "A link is made by which anybody may read for a week why this device was switched, or why not:"
                " no names of people and sockets, no numbers, no prices."
            ),
            when=lambda row: row.kind == Case.Kind.DEVICE,
        ),
        Deed(
            "unshare", _("Take the link back"), Perm.CONTROL, icon="link_off",
            question=_("Whoever has the link reads nothing any more."),
            when=lambda row: shares.live_share(row, now=utcnow()) is not None,
        ),
        Deed(
            "note", _("Note"), Perm.CONTROL, icon="edit_note", form=CaseNoteForm,
            question=_("It stands in the timeline for everybody who sees this case, with your name."),
        ),
        Deed(
            "cancel", _("End the case"), Perm.CONTROL, icon="cancel", form=ReasonForm, danger=True, when=is_live,
            question=_("REMOSA stops looking after this incident. What is queued for it does not leave any more."),
        ),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Case]:
        return board(super().get_queryset(request))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CountedOnce]:
        return Board

    def get_readonly_fields(self, request: HttpRequest, obj: Case | None = None) -> list[str]:
        return list(self.fields)

    def head_context(self, request: HttpRequest, row: Case) -> dict[str, Any]:
        full = self.get_queryset(request).select_related(*self.list_select_related).get(pk=row.pk)
        now = utcnow()
        line = case_lines([full], now=now, names=self.sees_names(request))[0]
        until = proposal_until(row, now=now)
        children = row.children.visible_to(request.user).select_related("device").order_by("title")
        return {
            "line": line, "children": children, "ladder": ladder_lines(row),
            "proposal_until": until,
            **(self._what_would_happen(request, row, "approve") if until is not None else {}),
            "answer": answer(shares.told_of(row), clock=clock_text) if row.device_id else [],
            "evidence": evidence_lines(row.evidence),
            "mode": Mode(row.mode).label if row.mode else "",
            "several": self.sees_several(request),
            "may_see_job": grants_of(request).holds(Perm.SEE_ALL, row.platform_id),
        }  # fmt: skip

    # --- deeds -------------------------------------------------------------------------------------

    def take(self, request: HttpRequest, row: Case, answers: dict[str, Any]) -> str:
        """Deed: somebody looks after it."""
        if not acknowledge(row, by=request.user, now=utcnow()):
            raise Refused(_g("Somebody took it a moment ago."))
        return _g("The case is yours.")

    def approve(self, request: HttpRequest, row: Case, answers: dict[str, Any]) -> HttpResponse | str:
        """Deed: yes to the step that is proposed."""
        if approve(row, by=request.user, now=utcnow()):
            return _g("Approved. It is on its way.")
        return self._not_done(request, row)

    def repair(self, request: HttpRequest, row: Case, answers: dict[str, Any]) -> HttpResponse | str:
        """Deed: a power cycle, now. A guard's objection is written down and said."""
        if repair_now(row, by=request.user, now=utcnow()):
            return _g("The power cycle is on its way.")
        return self._not_done(request, row)

    def _not_done(self, request: HttpRequest, row: Case) -> HttpResponse:
        refusal = row.refusals.order_by("-last_at").first()
        names = self.sees_names(request)
        why = refusal_sentence(refusal.guard, refusal.reason, refusal.data, names=names) if refusal else ""
        messages.error(request, _g("Not done. %(why)s") % {"why": why})
        return HttpResponseRedirect(self.page_of(row))

    def note(self, request: HttpRequest, row: Case, answers: dict[str, Any]) -> str:
        """Deed: a word for whoever looks at this case next."""
        add_note(row, text=answers["text"], by=request.user, now=utcnow())
        return _g("The note is kept.")

    def share(self, request: HttpRequest, row: Case, answers: dict[str, Any]) -> HttpResponse:
        """Deed: the link, to be passed on. The same one as long as it lives."""
        found = shares.share(row, by=request.user, now=utcnow())
        context = {
            **self.admin_site.each_context(request),
            "title": _g("Share the answer"), "opts": self.opts, "back": self.page_of(row),
            "secret": shares.link_of(found),
            "advice": _g("Whoever has this link reads the answer. It is over on %(at)s.")
            % {"at": clock_text(shares.ends_at(found))},
        }  # fmt: skip
        return TemplateResponse(request, "console/once.html", context, headers={"Cache-Control": "no-store"})

    def unshare(self, request: HttpRequest, row: Case, answers: dict[str, Any]) -> str:
        """Deed: the link leads nowhere from now on."""
        if not shares.end_share(row, by=request.user, now=utcnow()):
            raise Refused(_g("The link was over already."))
        return _g("The link is over.")

    def cancel(self, request: HttpRequest, row: Case, answers: dict[str, Any]) -> str:
        """Deed: end it without proof."""
        if not cancel_case(row, by=request.user, reason=answers["reason"], now=utcnow()):
            raise Refused(_g("The case was closed a moment ago."))
        return _g("The case is ended.")

    def ask(self, request: HttpRequest, deed: Deed, row: Case, form: Any, **context: Any) -> HttpResponse:  # type: ignore[override]
        """Before a power cycle: the exact text, its price, who goes dark, and what a guard would say."""
        if deed.name in ("repair", "approve"):
            context |= self._what_would_happen(request, row, deed.name)
        return super().ask(request, deed, row, form, **context)

    def _what_would_happen(self, request: HttpRequest, row: Case, deed: str) -> dict[str, Any]:
        """What one click does: in words, and of a power cycle the texts, the price, and who goes dark."""
        place = place_of(row, deed)
        if place is None:
            return {}
        rung = place[1]
        candidate = candidate_of(row, by_person=True, rung=rung)
        refusal = first_refusal(candidate, now=utcnow())
        shown: dict[str, Any] = {
            "objection": refusal_sentence(refusal.guard, refusal.reason, refusal.data) if refusal else "",
            "socket": candidate.socket, "line_number": candidate.link.line if candidate.link else None,
            "what": "".join(rung_words([rung], webhook_names([rung]))),
        }  # fmt: skip
        socket = candidate.socket
        if rung.do is not Do.CYCLE or socket is None or socket.model is None:
            return shown
        assert candidate.link is not None  # noqa: S101  it has a socket
        plan = plan_of(candidate.job, socket, candidate.link.line)
        if plan is None:
            return shown
        if not all(may_send(request.user, socket, template) for template in plan.templates):
            shown["objection"] = _g("Your role does not allow this command on this device.")
        darkening = next((each for each in plan.templates if each.power in DARKENING), plan.templates[0])
        dark = going_dark(socket, darkening, request.user)
        try:
            texts, price = texts_of(plan, job=candidate.job, socket=socket, rung=rung)
        except DevicesError as exc:
            return shown | {"objection": str(exc)}
        return shown | {
            "rendered": texts[0], "then": texts[1:], "price": price, "dark": dark,
            "hidden": sum(1 for each in dark if not each.name),
            "minutes": params_of(candidate.job, rung).get("minutes"),
        }  # fmt: skip

    def sees_names(self, request: HttpRequest) -> bool:
        """Whether the reader sees every device of the own platforms, so that any may be named."""
        grants = grants_of(request)
        return grants.platforms(Perm.VIEW) <= grants.platforms(Perm.SEE_ALL)

    # --- the board ---------------------------------------------------------------------------------

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """The words of the rows on this page are found for all of them at once."""
        found = super().get_changelist_instance(request)
        lines = {
            line.case.pk: line
            for line in case_lines(found.result_list, now=utcnow(), names=self.sees_names(request))
        }
        for row in found.result_list:
            row.line = lines[row.pk]
        return found

    @display(description=_("case"), ordering="title")
    def title_now(self, row: Case) -> SafeString | str:
        if row.device is None or row.device.site is None:
            return row.title
        return format_html('{}<div class="rm-dim rm-small">{}</div>', row.title, row.device.site)

    @display(description=_("state"), ordering="state")
    def state_now(self, row: Case) -> SafeString:
        left = countdown(row.line.deadline_at, utcnow())  # type: ignore[attr-defined]
        return format_html("{} {}", pill(row.get_state_display(), row.line.tone), left)  # type: ignore[attr-defined]

    @display(description=_("what"))
    def story(self, row: Case) -> SafeString:
        return format_html('{}<div class="rm-dim">{}</div>', row.line.headline, row.line.step)  # type: ignore[attr-defined]

    @display(description=_("opened"), ordering="opened_at")
    def opened(self, row: Case) -> SafeString | str:
        return ago(row.opened_at, utcnow())

    @display(description=_("taken by"))
    def taken_by(self, row: Case) -> str:
        return str(row.acknowledged_by or DASH)


@admin.register(GuardRefusal)
class GuardRefusalAdmin(PlatformAdmin):
    list_display = ("last", "to_device", "sentence", "times", "lifts", "of_case", "job", "platform")
    list_display_links = ("last",)
    list_filter = ("platform", "guard", "job", "device__site")
    list_select_related = ("device", "case", "job", "platform")
    search_fields = ("device__name",)
    search_help_text = _("device")
    date_hierarchy = "last_at"
    fields = (
        "platform",
        "to_device",
        "sentence",
        "of_case",
        "job",
        "attempt",
        "times",
        "first_at",
        "last_at",
        "lifts",
    )

    def get_readonly_fields(self, request: HttpRequest, obj: GuardRefusal | None = None) -> list[str]:
        return list(self.fields)

    @display(description=_("last"), ordering="last_at")
    def last(self, row: GuardRefusal) -> SafeString | str:
        return ago(row.last_at, utcnow())

    @display(description=_("device"), ordering="device__name")
    def to_device(self, row: GuardRefusal) -> SafeString:
        return link(reverse("admin:devices_device_change", args=[row.device_id]), row.device)

    def get_queryset(self, request: HttpRequest) -> QuerySet[GuardRefusal]:
        """Each row knows whether its reader may read the names of other devices."""
        whole = grants_of(request).platforms(Perm.SEE_ALL)
        named = When(
            Condition(platform__in=whole, then=Value(True)), default=Value(False), output_field=BooleanField()
        )
        return super().get_queryset(request).annotate(may_name=named)

    @display(description=_("why not"))
    def sentence(self, row: GuardRefusal) -> str:
        return refusal_sentence(row.guard, row.reason, row.data, names=row.may_name)  # type: ignore[attr-defined]

    @display(description=_("lifts"), ordering="lifts_at")
    def lifts(self, row: GuardRefusal) -> SafeString | str:
        return moment(row.lifts_at) if row.lifts_at else DASH

    @display(description=_("case"))
    def of_case(self, row: GuardRefusal) -> SafeString | str:
        if row.case_id is None:
            return DASH
        return format_html(
            '<a class="rm-link" href="{}">{}</a>',
            reverse("admin:automation_case_change", args=[row.case_id]),
            _g("case"),
        )
