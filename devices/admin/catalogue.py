"""The catalogue: models, their commands, what their replies mean. Everybody reads; the superadmin edits.

Every change is a version that can be restored. A reply can be tried on the page of its model: text in, facts out.
"""

import json

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_protect
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from devices.admin.bench import BenchPage
from devices.catalogue import CATEGORIES
from devices.models import CatalogueVersion, CommandTemplate, DeviceModel, OwnReplyRule
from devices.replies import ReplyRuleError
from devices.services.bench import withdraw
from devices.services.rules import keep_version, restore_version, try_reply
from platforms.admin_base import CatalogueAdmin, PlatformAdmin
from platforms.console.display import link, moment, pill
from platforms.roles import Perm
from remosa.lib.clock import utcnow

ACTS = ("body", "params", "power", "line", "effect")  # columns that the bench check vouches for


class IndentedJSONField(forms.JSONField):
    """JSON as people read it."""

    def prepare_value(self, value: object) -> object:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


class TryForm(forms.Form):
    """A text that a socket sent, and what was asked of it; the rules may be a draft that is not kept."""

    text = forms.CharField(
        label=_("Text of the SMS"), max_length=1600, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )
    template = forms.ChoiceField(
        label=_("As the answer to"),
        required=False,
        widget=UnfoldAdminSelectWidget,
        choices=[("", _("nothing"))],
    )
    rules = IndentedJSONField(
        label=_("Reply rules"), required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 16}),
        help_text=_("Change them here and try: nothing is kept. They are kept on the page of the model."),
    )  # fmt: skip


@admin.register(DeviceModel)
class DeviceModelAdmin(BenchPage, CatalogueAdmin):
    list_display = ("code", "vendor", "lines", "commands", "bench", "trying")
    search_fields = ("code", "vendor")
    fields = ("vendor", "code", "lines", "bench_checked_at", "rules_edited", "reply_rules")
    readonly_fields = ("bench_checked_at",)  # by the page of the check alone
    deletable = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeviceModel]:
        return super().get_queryset(request).annotate(number_of_commands=Count("templates"))

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(csrf_protect(self.try_view))
        return [path("<path:object_id>/try/", view, name="devices_devicemodel_try"), *super().get_urls()]

    def save_model(self, request: HttpRequest, obj: DeviceModel, form: forms.ModelForm, change: bool) -> None:
        """Edited rules are our own from now on, and a version."""
        if change and "reply_rules" in form.changed_data:
            obj.rules_edited = True
        super().save_model(request, obj, form, change)
        keep_version(obj, what=", ".join(form.changed_data) or "saved", by=request.user, now=utcnow())

    def try_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What a text would mean; nothing is written."""
        model = self.get_object(request, unquote(object_id))
        if model is None:
            raise Http404
        if not self.has_view_permission(request, model):
            raise PermissionDenied
        drafts = self._superadmin(request)
        data = request.POST if request.method == "POST" else None
        form = TryForm(data, initial={"rules": model.reply_rules})
        own = model.templates.order_by("category", "key")
        form.fields["template"].choices = [("", _g("nothing")), *((row.key, row.name) for row in own)]
        if not drafts:
            del form.fields["rules"]
        verdict = None
        if data is not None and form.is_valid():
            filled = form.cleaned_data
            try:
                verdict = try_reply(
                    model, text=filled["text"], template_key=filled["template"], rules=filled.get("rules")
                )
            except (ReplyRuleError, TypeError) as exc:
                form.add_error("rules", str(exc))
        request.current_app = self.admin_site.name
        shown = {
            **self.admin_site.each_context(request),
            "title": _g("%(model)s: try a reply") % {"model": model}, "opts": self.opts, "original": model,
            "form": form, "verdict": verdict,
            "back": reverse("admin:devices_devicemodel_change", args=[model.pk]),
        }  # fmt: skip
        return TemplateResponse(request, "console/try_reply.html", shown, status=400 if form.errors else 200)

    @display(description=_("commands"))
    def commands(self, row: DeviceModel) -> int:
        return row.number_of_commands  # type: ignore[attr-defined]

    @display(description=_("bench check"), ordering="bench_checked_at")
    def bench(self, row: DeviceModel) -> SafeString:
        text, colour = (
            (_g("checked"), "green") if row.bench_checked_at else (_g("not checked: people only"), "amber")
        )
        return link(reverse("admin:devices_devicemodel_bench", args=[row.pk]), pill(text, colour))

    @display(description=_("replies"))
    def trying(self, row: DeviceModel) -> SafeString:
        return link(reverse("admin:devices_devicemodel_try", args=[row.pk]), _g("try a reply"))


@admin.register(CommandTemplate)
class CommandTemplateAdmin(CatalogueAdmin):
    """An edited template is our own: an update of REMOSA leaves it alone."""

    deletable = False
    list_display = ("title", "model", "category_name", "body", "effect", "power", "min_role", "risk")
    list_filter = ("model", "category", "effect", "min_role", "dangerous")
    list_select_related = ("model",)
    search_fields = ("key", "name_ru", "name_en", "body")
    search_help_text = _("name or text")
    fields = (
        "model", "key", "category", "name_ru", "name_en", "body", "params", "effect", "power", "line", "min_role",
        "dangerous", "source", "is_edited",
    )  # fmt: skip

    def get_readonly_fields(self, request: HttpRequest, obj: CommandTemplate | None = None) -> list[str]:
        fixed = [*super().get_readonly_fields(request, obj), "is_edited"]
        return [*fixed, "model", "key"] if obj is not None else fixed

    def save_model(
        self, request: HttpRequest, obj: CommandTemplate, form: forms.ModelForm, change: bool
    ) -> None:
        obj.is_edited = True
        before = CommandTemplate.objects.filter(pk=obj.pk).values(*ACTS).first() if change else None
        super().save_model(request, obj, form, change)
        after = {name: getattr(obj, name) for name in ACTS}
        if before is not None and before != after and (obj.power or before["power"]):
            withdraw(
                obj.model, why=_g("The command %(name)s was changed.") % {"name": obj.key}, by=request.user,
                now=utcnow(),
            )  # fmt: skip
        keep_version(
            obj.model, what=f"{obj.key}: {', '.join(form.changed_data)}", by=request.user, now=utcnow()
        )

    @display(description=_("command"), ordering="key")
    def title(self, row: CommandTemplate) -> str:
        return row.name

    @display(description=_("category"), ordering="category")
    def category_name(self, row: CommandTemplate) -> str:
        return str(CATEGORIES.get(row.category, row.category))

    @display(description=_("risk"))
    def risk(self, row: CommandTemplate) -> SafeString | str:
        return pill(_g("dangerous"), "red") if row.dangerous else ""


@admin.register(CatalogueVersion)
class CatalogueVersionAdmin(CatalogueAdmin):
    addable = changeable = deletable = False
    list_display = ("number", "model", "what", "when", "who", "restoring")
    list_filter = ("model",)
    list_select_related = ("model", "by")
    ordering = ("-at", "-pk")
    fields = ("model", "number", "what", "at", "content")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(csrf_protect(self.restore_view))
        return [
            path("<path:object_id>/restore/", view, name="devices_catalogueversion_restore"), *super().get_urls()
        ]  # fmt: skip

    def restore_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """GET asks, POST restores: the superadmin alone."""
        version = self.get_object(request, unquote(object_id))
        if version is None:
            raise Http404
        if not self._superadmin(request):
            raise PermissionDenied
        back = reverse("admin:devices_catalogueversion_changelist")
        if request.method == "POST":
            restore_version(version, by=request.user, now=utcnow())
            messages.success(request, _g("The version is restored."))
            return HttpResponseRedirect(back)
        request.current_app = self.admin_site.name
        deed = {
            "title": _g("Restore"),
            "question": _g("Commands and reply rules become what they were."),
            "danger": True,
        }
        shown = {
            **self.admin_site.each_context(request), "title": str(version), "opts": self.opts, "object": version,
            "original": version, "deed": deed, "form": forms.Form(), "back": back,
        }  # fmt: skip
        return TemplateResponse(request, "console/deed.html", shown)

    @display(description=_("time"), ordering="at")
    def when(self, row: CatalogueVersion) -> SafeString | str:
        return moment(row.at)

    @display(description=_("who"))
    def who(self, row: CatalogueVersion) -> str:
        return "REMOSA" if row.by_id is None else _g("superadmin")

    @display(description="")
    def restoring(self, row: CatalogueVersion) -> SafeString:
        return link(reverse("admin:devices_catalogueversion_restore", args=[row.pk]), _g("restore"))


@admin.register(OwnReplyRule)
class OwnReplyRuleAdmin(PlatformAdmin):
    """Made from the inbox; here they are read, changed and deleted."""

    add_perm = None
    change_perm = delete_perm = Perm.MANAGE_PLATFORM
    list_display = ("name", "model", "meaning", "platform")
    list_filter = ("platform", "model")
    list_select_related = ("model", "platform")
    fields = ("platform", "model", "name", "rule")

    def get_readonly_fields(self, request: HttpRequest, obj: OwnReplyRule | None = None) -> list[str]:
        return [*super().get_readonly_fields(request, obj), "model", "name"]

    @display(description=_("meaning"))
    def meaning(self, row: OwnReplyRule) -> str:
        return str(row.rule.get("verdict", ""))
