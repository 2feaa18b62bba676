"""The bench check of a model: replies in, rules out, and at the end automation may switch it. Superadmin only."""

import json
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_protect
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget, UnfoldBooleanWidget

from devices.models import BenchCheck, DeviceModel
from devices.replies import ReplyRuleError
from devices.services.bench import (
    BenchIncomplete,
    Received,
    pass_check,
    read_replies,
    received,
    steps_of,
    use_rules,
    withdraw,
)
from platforms.console.confirmation import confirmed_again
from remosa.lib.clock import utcnow


class BenchForm(forms.Form):
    """The replies of each step, what a person saw, and the firmware that it was."""

    firmware = forms.CharField(
        label=_("Firmware"), required=False, max_length=64, widget=UnfoldAdminTextInputWidget,
        help_text=_(
            "As the socket or its box says it. Sockets whose label “firmware” says another one stay with people. "
            "Empty: for every firmware."
        ),
    )  # fmt: skip

    def __init__(self, *args: Any, model: DeviceModel, came: dict[str, Received], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for step in steps_of(model):
            if step.template is None:
                self.fields[step.key] = forms.BooleanField(
                    label=step.title, required=False, widget=UnfoldBooleanWidget
                )
                continue
            known = came.get(step.key)
            self.fields[step.key] = forms.CharField(
                label="", required=False, max_length=1600, initial=known.text if known else "",
                widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
            )  # fmt: skip
            self.fields[f"rule_{step.key}"] = forms.CharField(
                label=_("Proposed rule"), required=False, max_length=4000,
                widget=UnfoldAdminTextareaWidget(attrs={"rows": 9, "spellcheck": "false"}),
            )  # fmt: skip
            self.fields[f"use_{step.key}"] = forms.BooleanField(
                label=_("Switch this rule on"), required=False, widget=UnfoldBooleanWidget
            )

    def texts(self) -> dict[str, str]:
        """{step: reply}, of a checked form, or as it begins."""
        given = self.cleaned_data if self.is_bound else {n: f.initial or "" for n, f in self.fields.items()}
        return {name: text for name, text in given.items() if name.startswith("reply_")}

    def chosen_rules(self) -> list[dict[str, Any]]:
        """The rules that are to be switched on; what is no JSON becomes an error of its field."""
        rules = []
        for name in [name for name in self.fields if name.startswith("use_") and self.cleaned_data[name]]:
            field = name.replace("use_", "rule_", 1)
            try:
                rules.append(json.loads(self.cleaned_data[field]))
            except ValueError:
                self.add_error(field, _g("This is no JSON."))
        return rules


class BenchPage:
    """Gives the page of a model its ``bench/`` address."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(csrf_protect(self.bench_view))
        return [path("<path:object_id>/bench/", view, name="devices_devicemodel_bench"), *super().get_urls()]

    def bench_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """GET shows; POST reads, and by its button switches rules on, passes or withdraws."""
        model = self.get_object(request, unquote(object_id))
        if model is None:
            raise Http404
        if not self._superadmin(request):
            raise PermissionDenied
        if request.method == "POST" and {"use", "pass", "withdraw"} & set(request.POST):
            return confirmed_again(self._bench)(request, model)
        return self._bench(request, model)

    def _bench(self, request: HttpRequest, model: DeviceModel) -> HttpResponse:
        here = reverse("admin:devices_devicemodel_bench", args=[model.pk])
        if request.method == "POST" and "withdraw" in request.POST:
            withdraw(model, why=_g("Withdrawn on the bench page."), by=request.user, now=utcnow())
            messages.success(request, _g("Automation leaves this model to people now."))
            return HttpResponseRedirect(here)
        came = received(model)
        form = BenchForm(request.POST if request.method == "POST" else None, model=model, came=came)
        if form.is_bound and form.is_valid():
            if "use" in request.POST:
                self._use(request, model, form)
            elif "pass" in request.POST and self._pass(request, model, form):
                return HttpResponseRedirect(here)
        return self._bench_page(request, model, form, came)

    def _use(self, request: HttpRequest, model: DeviceModel, form: BenchForm) -> None:
        rules = form.chosen_rules()
        if form.errors:
            return
        if not rules:
            form.add_error(None, _g("Tick the rules that shall be switched on."))
            return
        try:
            use_rules(model, rules, by=request.user, now=utcnow())
        except ReplyRuleError as exc:
            form.add_error(None, str(exc))
        else:
            messages.success(request, _g("Rules switched on: %(n)d.") % {"n": len(rules)})

    def _pass(self, request: HttpRequest, model: DeviceModel, form: BenchForm) -> bool:
        seen = [name for name, value in form.cleaned_data.items() if value is True]
        try:
            pass_check(
                model, texts=form.texts(), seen=seen, firmware=form.cleaned_data["firmware"], by=request.user,
                now=utcnow(),
            )  # fmt: skip
        except BenchIncomplete as exc:
            for key in exc.missing:
                form.add_error(key, _g("This is still missing."))
            return False
        messages.success(request, _g("The check is passed: jobs may switch this model now."))
        return True

    def _bench_page(
        self, request: HttpRequest, model: DeviceModel, form: BenchForm, came: dict[str, Received]
    ) -> HttpResponse:
        names = {row.key: row for row in model.templates.all()}
        texts = form.texts() if not form.is_bound or form.is_valid() else dict(request.POST.items())
        rows = []
        for read in read_replies(model, texts):
            spec, key = read.step.template, read.step.key
            if read.proposal is not None:
                form.initial[f"rule_{key}"] = json.dumps(read.proposal, ensure_ascii=False, indent=2)
            row: dict[str, Any] = {
                "read": read, "name": names[spec.key].name if spec is not None else read.step.title,
                "field": form[key], "came": came.get(key),
            }  # fmt: skip
            if spec is not None:
                row |= {"rule": form[f"rule_{key}"], "use": form[f"use_{key}"], "body": spec.body}
                row["rule_text"] = form.initial.get(f"rule_{key}", "")
            rows.append(row)
        request.current_app = self.admin_site.name
        shown = {
            **self.admin_site.each_context(request), "title": _g("%(model)s: bench check") % {"model": model},
            "opts": self.opts, "original": model, "form": form, "rows": rows,
            "checks": BenchCheck.objects.filter(model=model).select_related("by")[:10],
            "back": reverse("admin:devices_devicemodel_change", args=[model.pk]),
        }  # fmt: skip
        return TemplateResponse(request, "console/bench.html", shown, status=400 if form.errors else 200)
