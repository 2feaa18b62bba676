"""The base of every page of the console that shows tenant data: it lists, opens, changes and offers only
what the person may.

Rows come through ``visible_to``; rights are asked per platform, for an object or for a primary key as
text (unfold passes those); what is foreign looks like what is missing. Choices of related objects,
filters, autocompletes, deletions and histories are narrowed the same way. Writing goes through services
where there are any, and leaves a line in the audit.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

from django import forms
from django.contrib.admin import ShowFacets, SimpleListFilter
from django.contrib.admin.utils import NestedObjects, quote, unquote
from django.core.exceptions import FieldDoesNotExist, PermissionDenied, ValidationError
from django.db import models, router
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.views import ChangeList
from unfold.widgets import UnfoldAdminTextInputWidget

from platforms import audit
from platforms.console.confirmation import confirmed_again
from platforms.console.deeds import DeedsMixin, refusal_sentence
from platforms.console.fields import SpanField, is_span, read_span
from platforms.console.filters import ChoicesDropdownFilter, ScopedRelatedFilter
from platforms.console.grants import grants_of
from platforms.console.history import with_changes
from platforms.models import AuditEvent, Platform, User
from platforms.querysets import PlatformQuerySet
from platforms.roles import Perm

__all__ = [
    "CatalogueAdmin",
    "ChoicesDropdownFilter",
    "PlatformAdmin",
    "PlatformInline",
    "ScopedRelatedFilter",
    "SuperadminAdmin",
    "grants_of",
    "platform_id_of",
]

NOT_A_KEY = (ValueError, TypeError, OverflowError, ValidationError)
LOOKUP_ENDS = ("exact", "id", "pk", "isnull", "in", "gte", "lte", "gt", "lt", "year", "month", "day")


def is_tenant_model(model: type[models.Model]) -> bool:
    """Whether rows of ``model`` hang off a platform."""
    return issubclass(getattr(model._default_manager, "_queryset_class", object), PlatformQuerySet)


def platform_id_of(row: models.Model) -> int | None:
    """The number of the platform that ``row`` hangs off, along its ``PLATFORM_PATH``; None when it has none."""
    found: Any = row
    for part in row.PLATFORM_PATH.split("__"):
        if found is None:
            return None
        if part == "pk":
            return found.pk
        if isinstance(found, models.Model) and part == "platform":
            return getattr(found, "platform_id", None)
        found = getattr(found, part, None)
    return found.pk if isinstance(found, models.Model) else found


class ScopedChoices:
    """Related objects are chosen among those that the person may see, and nothing else."""

    def scoped_choices(
        self, request: HttpRequest, related: type[models.Model], field_name: str
    ) -> models.QuerySet:
        """The rows of ``related`` that may be chosen in ``field_name``; none for a model that nobody may browse."""
        grants = grants_of(request)
        if related is User:
            return grants.people().filter(is_active=True)
        if related is Platform:
            return Platform.objects.filter(pk__in=grants.platforms(self.making_perm))
        if is_tenant_model(related):
            rows = related._default_manager.visible_to(request.user, held=grants.platforms)
            platform_id = self.platform_of_page(request)
            return rows.of(platform_id) if platform_id is not None else rows
        page = self.admin_site._registry.get(related)
        if isinstance(page, CatalogueAdmin):
            return related._default_manager.all()
        return related._default_manager.all() if grants.is_superadmin else related._default_manager.none()

    def platform_of_page(self, request: HttpRequest) -> int | None:
        """The platform of the object whose page this is, so that its choices stay inside; None on a new one."""
        if not hasattr(request, "_console_platform"):
            request._console_platform = self._read_platform(request)
        return request._console_platform

    def _read_platform(self, request: HttpRequest) -> int | None:
        object_id = (request.resolver_match.kwargs if request.resolver_match else {}).get("object_id")
        page = self if isinstance(self, ModelAdmin) else self.admin_site._registry.get(self.parent_model)
        if not object_id or page is None or not is_tenant_model(page.model):
            return None
        row = page.get_object(request, unquote(object_id))
        return platform_id_of(row) if row is not None else None

    def formfield_for_foreignkey(
        self, db_field: models.ForeignKey, request: HttpRequest, **kwargs: Any
    ) -> forms.ModelChoiceField | None:
        kwargs["queryset"] = self.scoped_choices(request, db_field.remote_field.model, db_field.name)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(
        self, db_field: models.ManyToManyField, request: HttpRequest, **kwargs: Any
    ) -> forms.ModelMultipleChoiceField | None:
        kwargs["queryset"] = self.scoped_choices(request, db_field.remote_field.model, db_field.name)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def formfield_for_dbfield(
        self, db_field: models.Field, request: HttpRequest, **kwargs: Any
    ) -> forms.Field | None:
        formfield = super().formfield_for_dbfield(db_field, request, **kwargs)
        for right in ("add", "change", "delete", "view"):  # no pop-ups: each object has its own page
            if formfield is not None and hasattr(formfield.widget, f"can_{right}_related"):
                setattr(formfield.widget, f"can_{right}_related", False)
        return formfield


class PlatformRights:
    """Rights per platform: ``view_perm`` to see, ``change_perm`` to add and change, ``delete_perm`` to delete.

    None means nobody, the superadmin included. ``add_perm`` is ``change_perm`` unless it says otherwise.
    """

    view_perm: str = Perm.VIEW
    change_perm: str | None = None
    add_perm: str | None = "change_perm"
    delete_perm: str | None = None

    def holds(self, request: HttpRequest, perm: str | None, obj: Any = None) -> bool:
        """Whether the person holds ``perm`` on the platform of ``obj``: a row, a primary key as text, or any."""
        if perm is None:
            return False
        grants = grants_of(request)
        if obj is None:
            return grants.anywhere(perm)
        row = obj if isinstance(obj, models.Model) else self._row(request, obj)
        if row is None:
            return False
        if row.pk is None or row._state.adding:
            return grants.holds(perm, platform_id_of(row))
        return grants.holds(perm, platform_id_of(row)) and grants.sees(row)

    def _row(self, request: HttpRequest, key: Any) -> models.Model | None:
        try:
            return self.get_queryset(request).filter(pk=unquote(str(key))).first()
        except NOT_A_KEY:
            return None

    @property
    def making_perm(self) -> str:
        """The right that a platform must grant to be offered on a new row."""
        wanted = self.change_perm if self.add_perm == "change_perm" else self.add_perm
        return wanted or Perm.VIEW

    @property
    def reading_perm(self) -> str:
        """A model without owners is closed to people who do not see every device."""
        return Perm.SEE_ALL if self.view_perm == Perm.VIEW and not self.model.OWNER_PATHS else self.view_perm

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.holds(request, self.reading_perm)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.holds(request, self.reading_perm, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.holds(request, self.change_perm, obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.holds(request, self.change_perm if self.add_perm == "change_perm" else self.add_perm)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.holds(request, self.delete_perm, obj)

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        rows = super().get_queryset(request)
        return rows.visible_to(request.user, self.view_perm, held=grants_of(request).platforms)


class CountedOnce(ChangeList):
    """Rows are counted once; without a filter that count is also the number of all rows."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.query and not self.has_active_filters:
            self.full_result_count = self.result_count


class SafePages(ModelAdmin):
    """What every page of the console shares, tenant data or not."""

    show_facets = ShowFacets.NEVER
    show_full_result_count = False
    list_per_page = 50
    list_filter_submit = True
    warn_unsaved_form = True
    compressed_fields = True
    actions = ()
    refusals: tuple[type[Exception], ...] = ()
    asks_again = False  # a session that is some time old says who it is before anything is written here
    audited_app = ""  # the first half of the audit's verb; the app's label unless given

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Only what the list offers as a filter may be asked of its columns."""
        names = {self.date_hierarchy}
        for item in self.get_list_filter(request):
            filter_of_own = isinstance(item, type) and issubclass(item, SimpleListFilter)
            names.add(
                item.parameter_name if filter_of_own else item[0] if isinstance(item, list | tuple) else item
            )
        parts = lookup.split("__")
        while parts and parts[-1] in LOOKUP_ENDS and "__".join(parts) not in names:
            parts.pop()
        return "__".join(parts) in names

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return CountedOnce

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Nothing is deleted in bulk."""
        found = super().get_actions(request)
        found.pop("delete_selected", None)
        return found

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        try:
            return super().get_object(request, object_id, from_field)
        except OverflowError:
            return None

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """What is not there is not there, before anybody asks who may delete it."""
        if self.get_object(request, unquote(object_id)) is None:
            raise Http404
        view = super().delete_view
        if self.asks_again and request.method == "POST":
            view = confirmed_again(view)
        return view(request, object_id, extra_context)

    @property
    def readonly_preprocess_fields(self) -> dict[str, Any]:
        """What unfold does to values that may only be read: durations in words."""
        return {column.name: read_span for column in self.model._meta.concrete_fields if is_span(column)}

    def formfield_for_dbfield(
        self, db_field: models.Field, request: HttpRequest, **kwargs: Any
    ) -> forms.Field | None:
        if is_span(db_field):
            kwargs |= {
                "form_class": partial(SpanField, column=db_field),
                "widget": UnfoldAdminTextInputWidget(),
            }
        if isinstance(db_field, models.URLField):
            kwargs["assume_scheme"] = "https"
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def _get_obj_does_not_exist_redirect(
        self, request: HttpRequest, opts: Any, object_id: str
    ) -> HttpResponse:
        raise Http404

    # --- writing -----------------------------------------------------------------------------------

    def get_form(
        self, request: HttpRequest, obj: models.Model | None = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm]:
        """The page's form, which also says what a service refused when the form was sent (see below)."""
        base = super().get_form(request, obj, change=change, **kwargs)
        refusal = getattr(request, "_console_refusal", None)

        class Form(base):  # type: ignore[misc, valid-type]
            def clean(self) -> dict[str, Any] | None:
                cleaned = super().clean()
                if refusal is not None:
                    self.add_error(None, refusal)
                return cleaned

        return Form

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> HttpResponse:
        """A service's refusal rolls everything back, and the same form is shown again with its sentence."""
        if self.asks_again and request.method == "POST":
            return confirmed_again(self._changeform)(request, object_id, form_url, extra_context)
        return self._changeform(request, object_id, form_url, extra_context)

    def _changeform(
        self, request: HttpRequest, object_id: str | None, form_url: str, extra_context: Any
    ) -> HttpResponse:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except self.refusals as exc:
            if request.method != "POST" or hasattr(request, "_console_refusal"):
                raise
            request._console_refusal = refusal_sentence(exc)
        return super().changeform_view(request, object_id, form_url, extra_context)

    def save_model(
        self, request: HttpRequest, obj: models.Model, form: forms.ModelForm, change: bool
    ) -> None:
        """Store the row and write what changed into the audit."""
        before = type(obj)._base_manager.get(pk=obj.pk) if change else None
        self.store(request, obj, form, change)
        self.write_audit(request, obj, before)

    def store(self, request: HttpRequest, obj: models.Model, form: forms.ModelForm, change: bool) -> None:
        """Write the row; where a service does that (with its own audit line), ``save_model`` is overridden."""
        obj.save()

    def save_related(self, request: HttpRequest, form: forms.ModelForm, formsets: Any, change: bool) -> None:
        many = [field.name for field in self.opts.many_to_many if field.name in form.changed_data]
        before = {name: self._keys(form.instance, name) for name in many}
        super().save_related(request, form, formsets, change)
        if many and change:
            after = {name: self._keys(form.instance, name) for name in many}
            self.record(request, form.instance, "changed", before=before, after=after)

    def _keys(self, row: models.Model, field: str) -> list[Any]:
        return sorted(getattr(row, field).values_list("pk", flat=True))

    def write_audit(self, request: HttpRequest, row: models.Model, before: models.Model | None) -> None:
        """One line with what differs; nothing when nothing does. ``before`` None: the row is new."""
        stored = type(row)._base_manager.get(pk=row.pk)
        if before is None:
            self.record(request, row, "created", after=audit.fields_of(stored))
            return
        old, new = audit.changes(audit.fields_of(before), audit.fields_of(stored))
        new |= audit.replaced_secrets(before, stored)
        if new:
            self.record(request, row, "changed", before=old, after=new)

    def record(self, request: HttpRequest, row: models.Model, deed: str, **values: Any) -> None:
        """A line of the audit about ``row``."""
        platform_id = platform_id_of(row) if hasattr(row, "PLATFORM_PATH") else None
        audit.record(
            actor=audit.person(request.user),
            verb=f"{self.opts.model_name}.{deed}",
            target=row,
            platform=Platform.objects.filter(pk=platform_id).first() if platform_id else None,
            **values,
        )

    def delete_model(self, request: HttpRequest, obj: models.Model) -> None:
        self.record(request, obj, "deleted", before=audit.fields_of(obj))
        obj.delete()

    def get_deleted_objects(
        self, objs: Iterable[Any], request: HttpRequest
    ) -> tuple[list[Any], dict[Any, int], set[str], list[Any]]:
        """Kinds and counts of what goes along, never names: some of it may not be the reader's to see."""
        rows = list(objs)
        collector = NestedObjects(using=router.db_for_write(self.model), origin=rows)
        collector.collect(rows)
        counts = {
            model._meta.verbose_name_plural: len(found) for model, found in collector.model_objs.items()
        }
        kept: dict[Any, int] = {}
        for row in collector.protected:
            kept[row._meta.verbose_name_plural] = kept.get(row._meta.verbose_name_plural, 0) + 1
        protected = [f"{capfirst(name)}: {count}" for name, count in kept.items()]
        return [str(row) for row in rows], counts, set(), protected

    # the audit is the history: Django's own journal stays empty
    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None: ...

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None: ...

    def log_deletion(self, request: HttpRequest, obj: Any, object_repr: str) -> None: ...

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None: ...

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """The audit lines of this object that the person may see."""
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        if not self.has_view_or_change_permission(request, row):
            raise PermissionDenied
        lines = AuditEvent.objects.visible_to(request.user).filter(
            target_type=self.opts.label_lower, target_id=str(row.pk)
        )
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": _("History: %(object)s") % {"object": row}, "object": row, "opts": self.opts,
            "lines": [with_changes(line, request.user) for line in lines.order_by("-at", "-pk")[:200]],
            "back": reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[quote(row.pk)]),
            **(extra_context or {}),
        }  # fmt: skip
        return TemplateResponse(request, "console/history.html", context)


class PlatformAdmin(ScopedChoices, PlatformRights, DeedsMixin, SafePages):
    """Pages of one tenant model. The only base for such pages."""

    refusals = DeedsMixin.refusals
    head_template = ""  # shown above the form of an existing object, below its deeds
    change_form_outer_before_template = "console/head.html"

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """Filters by a related object always offer own rows only; the platform filter needs several platforms."""
        shown = []
        for item in super().get_list_filter(request):
            if isinstance(item, str):
                field = self._field(item)
                if field is not None and field.is_relation:
                    item = (item, ScopedRelatedFilter)
                elif field is not None and field.choices:
                    item = (item, ChoicesDropdownFilter)
            shown.append(item)
        return shown

    def _field(self, name: str) -> models.Field | None:
        found, model = None, self.model
        for part in name.split("__"):
            try:
                found = model._meta.get_field(part)
            except FieldDoesNotExist:
                return None
            model = found.related_model or model
        return found

    def get_list_display(self, request: HttpRequest) -> list[str]:
        """Whoever has one platform need not read its name in each row."""
        shown = list(super().get_list_display(request))
        if "platform" in shown and not self.sees_several(request):
            shown.remove("platform")
        return shown

    def sees_several(self, request: HttpRequest) -> bool:
        """Whether the person works on more than one platform."""
        return len(grants_of(request).platforms(Perm.VIEW)) > 1

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> list[str]:
        """Nothing moves to another platform after it was made."""
        fixed = list(super().get_readonly_fields(request, obj))
        if obj is not None and self._field("platform") is not None and "platform" not in fixed:
            fixed.append("platform")
        return fixed

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """The only platform is filled in; what the address offers must be the person's own."""
        given = super().get_changeform_initial_data(request)
        own = grants_of(request).platforms(self.making_perm)
        if self._field("platform") is not None and "platform" not in given and len(own) == 1:
            given["platform"] = next(iter(own))
        return given

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: models.Model | None = None,
    ) -> HttpResponse:
        """Add the deeds that the person may do to this object, and what the head of the page shows."""
        if obj is not None:
            # a form that came back has written its values into ``obj``; the head tells what is in force
            row = (self.get_object(request, str(obj.pk)) or obj) if request.method == "POST" else obj
            context["deed_buttons"] = self.deed_buttons(request, row)
            context["head_template"] = self.head_template
            context |= self.head_context(request, row)
        context["show_history"] = False
        return super().render_change_form(request, context, add, change, form_url, obj)

    def head_context(self, request: HttpRequest, row: models.Model) -> dict[str, Any]:
        """What ``head_template`` needs besides ``original``."""
        return {}

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet, search_term: str
    ) -> tuple[models.QuerySet, bool]:
        """Rows found are rows of the scoped list; asked once more here, because autocompletes pass by the list."""
        found, may_repeat = super().get_search_results(request, queryset, search_term)
        held = grants_of(request).platforms
        return found.visible_to(request.user, self.view_perm, held=held), may_repeat


class PlatformInline(ScopedChoices, PlatformRights, TabularInline):
    """Rows of a tenant model inside the page of what they belong to; rights are those on its platform."""

    extra = 0
    show_change_link = False
    hide_title = True

    def holds(self, request: HttpRequest, perm: str | None, obj: Any = None) -> bool:
        """``obj`` is the row of the page, not the inline's own."""
        page = self.admin_site._registry.get(self.parent_model)
        if perm is None or page is None:
            return False
        if isinstance(obj, self.model):
            return super().holds(request, perm, obj)
        return page.holds(request, perm, obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.holds(request, self.change_perm if self.add_perm == "change_perm" else self.add_perm, obj)


class SuperadminAdmin(SafePages):
    """Pages for the operator of REMOSA alone."""

    readable = True
    addable = changeable = deletable = True

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        """For anybody else there are no rows at all, so that a number that exists looks like one that does not."""
        rows = super().get_queryset(request)
        return rows if self.has_module_permission(request) else rows.none()

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.addable and self.has_module_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.changeable and self.has_module_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.deletable and self.has_module_permission(request)


class CatalogueAdmin(SuperadminAdmin):
    """Data that is the same for all platforms: every member reads it, the superadmin changes it."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return grants_of(request).anywhere(Perm.VIEW)

    def _superadmin(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.addable and self._superadmin(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.changeable and self._superadmin(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.deletable and self._superadmin(request)
