"""Resources of ``platforms``: platforms, members, tokens, audit."""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import models
from django.db.models import Q
from django.http import HttpResponse, HttpResponseBase
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from platforms import audit_export, dismissal, ledger, presets, quotas, statement_file, tokens
from platforms.access import require
from platforms.api.base import Changes, Creates, Deletes, PlatformViewSet, Reads
from platforms.api.errors import Conflict, Invalid
from platforms.api.scope import platforms_held, reads_phones
from platforms.api.serializers import PlatformSerializer, VisibleRelatedField
from platforms.models import ApiToken, AuditEvent, LedgerEntry, Membership, Platform, Usage, User
from platforms.models.tokens import MACHINE_SCOPES, OWN_SCOPES
from platforms.roles import Perm, Role
from platforms.services import set_role
from remosa.lib.clock import utcnow
from remosa.lib.tables import FORMATS

LONGEST_LIFE = timedelta(days=3660)


def is_superadmin(request: Request | None) -> bool:
    """Whether the caller runs this installation."""
    return bool(request is not None and request.user and request.user.is_superuser)


class PeopleField(VisibleRelatedField):
    """A person whom the caller knows: somebody of a platform on which they see the members."""

    def get_queryset(self) -> models.QuerySet:
        request = self.context.get("request")
        if request is None:
            return User.objects.none()
        if request.user.is_superuser:
            return User.objects.all()
        known = Membership.objects.visible_to(request.user).values("user")
        return User.objects.filter(pk__in=known)


# --- platforms -----------------------------------------------------------------------------------


class PlatformRecordSerializer(PlatformSerializer):
    """A platform. Name, activity and limits are the superadmin's; an admin sets the rest."""

    SUPERADMIN_ONLY = (
        "name", "is_active", "device_limit", "sms_limit", "sms_price_out", "sms_price_in", "currency", "series_limit",
    )  # fmt: skip
    create_only = ("preset", "admin_email")
    preset = serializers.ChoiceField(
        choices=sorted(presets.shipped()), write_only=True, required=False, allow_blank=True,
        help_text=gettext_lazy("What the client starts with (`presets/`); a field that is given wins."),
    )  # fmt: skip
    admin_email = serializers.EmailField(
        write_only=True, required=False, allow_blank=True, help_text=gettext_lazy("Is invited as admin.")
    )

    class Meta:
        model = Platform
        fields = [
            "id", "name", "is_active", "time_zone", "device_limit", "sms_limit", "sms_people_share_ratio",
            "sms_price_out", "sms_price_in", "currency", "series_limit", "created_at", "preset", "admin_email",
        ]  # fmt: skip
        read_only_fields = ["created_at"]

    def get_fields(self) -> dict[str, serializers.Field]:
        fields = super().get_fields()
        if self.instance is not None and not is_superadmin(self.context.get("request")):
            for name in self.SUPERADMIN_ONLY:
                fields[name].read_only = True
                fields[name].required = False
        return fields


class PresetSerializer(serializers.Serializer):
    """What a new client can start with."""

    code = serializers.CharField()
    version = serializers.IntegerField()
    name = serializers.CharField(source="__str__")
    about = serializers.SerializerMethodField()
    platform = serializers.DictField(help_text="Columns of the new platform.")
    brings = serializers.ListField(child=serializers.CharField(), help_text="What else is made, in words.")

    def get_about(self, preset: presets.Preset) -> str:
        return presets.in_words(preset.about)


class UsageSerializer(serializers.Serializer):
    """How much of the limits is used. The last two are for those who see the whole platform."""

    device_limit = serializers.IntegerField()
    devices_left = serializers.IntegerField()
    sms_limit = serializers.IntegerField()
    sms_month = serializers.CharField(help_text="YYYY-MM on the platform's own clock.")
    sms_used = serializers.IntegerField()
    sms_reserved = serializers.IntegerField()
    sms_left = serializers.IntegerField()
    sms_left_to_automation = serializers.IntegerField()
    sms_by_day = serializers.DictField(child=serializers.IntegerField(), allow_null=True)
    sms_forecast = serializers.IntegerField(allow_null=True)


def usage_of(platform: Platform, *, sees_all: bool) -> dict[str, Any]:
    """The figures of ``UsageSerializer``, as of now."""
    now = utcnow()
    month = quotas.sms_period(platform, now)
    row = Usage.objects.filter(platform=platform, kind=quotas.SMS, period=month).first()
    counts = ledger.by_day(platform, month) if sees_all else []
    used, reserved = (row.used, row.reserved) if row else (0, 0)
    promised = max(0, used + reserved - sum(count for _day, count in counts))
    today = now.astimezone(ZoneInfo(platform.time_zone)).date()
    return {
        "device_limit": platform.device_limit,
        "devices_left": quotas.remaining(platform, quotas.DEVICES, at=now),
        "sms_limit": platform.sms_limit, "sms_month": month, "sms_used": used, "sms_reserved": reserved,
        "sms_left": quotas.remaining(platform, quotas.SMS, at=now),
        "sms_left_to_automation": quotas.remaining(platform, quotas.SMS, at=now, for_people=False),
        "sms_by_day": {day.isoformat(): count for day, count in counts} if sees_all else None,
        "sms_forecast": ledger.forecast(counts, today=today, promised=promised) if sees_all else None,
    }  # fmt: skip


class PlatformsView(Reads, Creates, Changes, PlatformViewSet):
    """The caller's platforms."""

    model = Platform
    serializer_class = PlatformRecordSerializer
    write_perm = Perm.MANAGE_PLATFORM
    search_fields = ("name",)
    filterset_fields = {"is_active": ["exact"]}
    ordering_fields = ("name", "created_at")
    ordering = ("name", "pk")

    @extend_schema(responses=PresetSerializer(many=True), filters=False)
    @action(detail=False, methods=["get"], pagination_class=None)
    def presets(self, request: Request) -> Response:
        """What a new client can start with; for the superadmin, who makes platforms."""
        if not is_superadmin(request):
            raise PermissionDenied(_("Only the superadmin makes platforms."))
        return Response(PresetSerializer(presets.shipped().values(), many=True).data)

    @extend_schema(responses=UsageSerializer)
    @action(detail=True, methods=["get"])
    def usage(self, request: Request, pk: str) -> Response:
        """What is used of each limit, what is left to people and to automation, and where the month leads."""
        row = self.get_object()
        return Response(
            UsageSerializer(usage_of(row, sees_all=row.pk in platforms_held(request, Perm.SEE_ALL))).data
        )

    @extend_schema(
        parameters=[
            OpenApiParameter("month", str, description="YYYY-MM; the running month unless given."),
            OpenApiParameter(
                "as", str, enum=statement_file.FORMATS, description="The form; xlsx unless given."
            ),
        ],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )
    @action(detail=True, methods=["get"])
    def statement(self, request: Request, pk: str) -> HttpResponse:
        """What the SMS of a month cost the client, as XLSX or CSV; for the platform's admins."""
        row = self.get_object()
        if row.pk not in platforms_held(request, Perm.MANAGE_PLATFORM):
            raise PermissionDenied
        month = request.query_params.get("month") or quotas.sms_period(row, utcnow())
        try:
            return statement_file.answer(
                row, month, request.query_params.get("as", "xlsx"), with_cost=is_superadmin(request)
            )
        except ValueError as exc:
            raise Invalid(_("Choose a month as YYYY-MM, and csv or xlsx."), {"month": [month]}) from exc

    def create_row(self, values: dict[str, Any]) -> Platform:
        if not is_superadmin(self.request):
            raise PermissionDenied(_("Only the superadmin makes platforms."))
        return presets.create_client(by=self.request.user, now=utcnow(), **values)

    def platform_of(self, row: Platform) -> Platform:
        return row


# --- members -------------------------------------------------------------------------------------


class MemberSerializer(PlatformSerializer):
    """A person's role on a platform."""

    create_only = ("platform", "user")
    user = PeopleField(queryset=User.objects.all())
    username = serializers.CharField(source="user.username", read_only=True)
    full_name = serializers.CharField(source="user.get_full_name", read_only=True)
    role = serializers.ChoiceField(choices=Role.choices)

    class Meta:
        model = Membership
        fields = ["id", "platform", "user", "username", "full_name", "role", "created_at"]
        read_only_fields = ["created_at"]


class MembersView(Reads, Creates, Changes, Deletes, PlatformViewSet):
    """Who works on the caller's platforms. New people are invited (``invitations``); here they get roles.

    DELETE dismisses: access, sessions and shares end at once; ``?successor=`` takes over what they owned.
    """

    model = Membership
    serializer_class = MemberSerializer
    write_perm = Perm.MANAGE_MEMBERS
    related = ("user", "platform")
    filterset_fields = {"platform": ["exact"], "role": ["exact"]}
    search_fields = ("user__username", "user__first_name", "user__last_name")
    ordering_fields = ("created_at", "role")

    def create_row(self, values: dict[str, Any]) -> Membership:
        if Membership.objects.filter(user=values["user"], platform=values["platform"]).exists():
            raise Conflict(_("This person is a member already. Change the role of that membership."))
        return self._set(values["user"], values["platform"], values["role"])

    def change_row(self, row: Membership, values: dict[str, Any]) -> Membership:
        return self._set(row.user, row.platform, values.get("role", row.role))

    def delete_row(self, row: Membership) -> None:
        dismissal.dismiss(row, successor=self._successor(row), by=self.request.user, now=utcnow())

    def _successor(self, row: Membership) -> User | None:
        """Who takes over what the person owned: ``?successor=<person>``, another member."""
        text = self.request.query_params.get("successor", "")
        if not text:
            return None
        members = Membership.objects.filter(platform=row.platform, user__is_active=True).exclude(pk=row.pk)
        found = members.filter(user=int(text)).first() if text.isdecimal() and len(text) < 19 else None
        if found is None:
            raise Invalid(_("Choose an active member of this platform."), {"successor": [text]})
        return found.user

    def _set(self, user: User, platform: Platform, role: str) -> Membership:
        member = set_role(user=user, platform=platform, role=role, by=self.request.user)
        assert member is not None  # noqa: S101  only role=None ends a membership
        return member


# --- tokens --------------------------------------------------------------------------------------


class TokenSerializer(PlatformSerializer):
    """A token as it is listed: never its text."""

    class Meta:
        model = ApiToken
        fields = [
            "id", "name", "platform", "user", "scopes", "lookup", "created_at", "expires_at", "revoked_at",
            "last_used_at",
        ]  # fmt: skip
        read_only_fields = fields

    scopes = serializers.ListField(child=serializers.CharField(), read_only=True)
    user = serializers.PrimaryKeyRelatedField(read_only=True, allow_null=True)


class NewTokenSerializer(PlatformSerializer):
    """``platform``: a machine's token of that platform. Without it: the caller's own."""

    class Meta:
        model = ApiToken
        fields = ["name", "platform", "scopes", "expires_at"]

    scopes = serializers.MultipleChoiceField(choices=[*OWN_SCOPES, *MACHINE_SCOPES], allow_empty=False)

    def validate_expires_at(self, value: Any) -> Any:
        """In the future, and not for ever by a slip of the hand."""
        now = utcnow()
        if value is not None and not now < value <= now + LONGEST_LIFE:
            raise serializers.ValidationError(_("Choose a time within the next ten years."))
        return value

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        allowed = MACHINE_SCOPES if values.get("platform") else OWN_SCOPES
        if wrong := sorted(set(values["scopes"]) - set(allowed)):
            sentence = _("%(wrong)s cannot be given here. Choose among: %(allowed)s.")
            choices = {"wrong": ", ".join(wrong), "allowed": ", ".join(allowed)}
            raise serializers.ValidationError({"scopes": [sentence % choices]})
        return values


class IssuedTokenSerializer(TokenSerializer):
    """A token at its making: the only time that its text is shown."""

    token = serializers.CharField(read_only=True, help_text=gettext_lazy("Shown once. Keep it now."))

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "token"]
        read_only_fields = fields


class TokensView(Reads, Deletes, PlatformViewSet):
    """The caller's own tokens, and the machines' tokens of platforms that the caller manages. DELETE revokes."""

    model = ApiToken
    serializer_class = TokenSerializer
    write_perm = Perm.VIEW
    secret_answers = ("create", "rotate")
    filterset_fields = {"platform": ["exact"], "revoked_at": ["isnull"]}
    ordering_fields = ("created_at", "last_used_at")
    ordering = ("-created_at", "pk")

    def visible(self) -> models.QuerySet:
        user = self.request.user
        managed = ApiToken.objects.visible_to(user, Perm.MANAGE_PLATFORM).values("pk")
        return ApiToken.objects.filter(Q(pk__in=managed) | Q(user=user.pk))

    def may_change(self, row: ApiToken) -> bool:
        return True  # whoever sees a token may end it

    @extend_schema(request=NewTokenSerializer, responses={201: IssuedTokenSerializer})
    def create(self, request: Request) -> Response:
        """A new token. Its text is in this answer and nowhere else."""
        asked = NewTokenSerializer(data=request.data, context=self.get_serializer_context())
        asked.is_valid(raise_exception=True)
        values = asked.validated_data
        platform = values.get("platform")
        if platform is not None:
            require(request.user, Perm.MANAGE_PLATFORM, platform)
        row, text = tokens.issue(
            name=values["name"], scopes=values["scopes"], by=request.user, platform=platform,
            user=None if platform else request.user, expires_at=values.get("expires_at"),
        )  # fmt: skip
        row.token = text  # type: ignore[attr-defined]
        shown = IssuedTokenSerializer(row, context=self.get_serializer_context())
        return Response(shown.data, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses={201: IssuedTokenSerializer})
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, pk: str | None = None) -> Response:
        """A new text for the same use. The old one ends a day later, so that no program is left standing."""
        row = self.get_object()
        if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= utcnow()):
            raise Conflict(_("This token has ended. Make a new one."))
        fresh, text = tokens.rotate(row, by=request.user, now=utcnow())
        fresh.token = text  # type: ignore[attr-defined]
        shown = IssuedTokenSerializer(fresh, context=self.get_serializer_context())
        return Response(shown.data, status=status.HTTP_201_CREATED)

    def delete_row(self, row: ApiToken) -> None:
        tokens.revoke(row, by=self.request.user, now=utcnow())


# --- audit ---------------------------------------------------------------------------------------


class AuditSerializer(PlatformSerializer):
    """A line of the journal."""

    redacted_fields = ("actor_label", "target_label", "before", "after", "reason")
    before = serializers.JSONField(read_only=True, allow_null=True)
    after = serializers.JSONField(read_only=True, allow_null=True)

    class Meta:
        model = AuditEvent
        fields = [
            "id", "at", "platform", "actor_kind", "actor_id", "actor_label", "verb", "target_type", "target_id",
            "target_label", "before", "after", "reason", "request_id", "cause_id", "address",
        ]  # fmt: skip
        read_only_fields = fields

    def to_representation(self, row: AuditEvent) -> dict[str, Any]:
        shown = super().to_representation(row)
        if not reads_phones(self.context.get("request"), row.platform_id):
            shown["address"] = None
        return shown


class AuditView(Reads, PlatformViewSet):
    """What people, jobs and machines did. Read-only, as the journal itself."""

    model = AuditEvent
    serializer_class = AuditSerializer
    filterset_fields = {
        "platform": ["exact"], "verb": ["exact"], "actor_kind": ["exact"], "target_type": ["exact"],
        "target_id": ["exact"], "cause_id": ["exact"], "at": ["gte", "lte"],
    }  # fmt: skip
    search_fields = ("actor_label", "verb", "target_label", "reason", "request_id")
    listing = ("list", "export")
    extra_parameters = {"export": ("as",)}
    ordering_fields = ("at",)
    ordering = ("-at", "-pk")

    @extend_schema(
        parameters=[OpenApiParameter("as", str, enum=FORMATS, description="The form; csv unless given.")],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
        filters=True,
    )
    @action(detail=False, methods=["get"], pagination_class=None)
    def export(self, request: Request) -> HttpResponseBase:
        """What the list shows, all pages of it, as CSV, XLSX or JSON. Leaves a line in the audit."""
        asked = request.query_params
        form = asked.get("as", FORMATS[0])
        if form not in FORMATS:
            raise Invalid(_("Choose among: %(forms)s.") % {"forms": ", ".join(FORMATS)}, {"as": [form]})
        try:
            return audit_export.answer(
                self.filter_queryset(self.get_queryset()),
                form,
                by=request.user,
                reads_all=lambda key: reads_phones(request, key),
            )
        except audit_export.TooMany as exc:
            raise Conflict(str(exc)) from exc


# --- ledger --------------------------------------------------------------------------------------


class LedgerSerializer(PlatformSerializer):
    """One SMS that was paid for. What the gateway takes is for the operator's eyes: null for all others."""

    price = serializers.DecimalField(max_digits=14, decimal_places=4, read_only=True)
    unit_cost = serializers.DecimalField(max_digits=10, decimal_places=4, read_only=True, allow_null=True)
    cost = serializers.DecimalField(max_digits=14, decimal_places=4, read_only=True, allow_null=True)
    cost_currency = serializers.CharField(read_only=True, allow_null=True)

    class Meta:
        model = LedgerEntry
        fields = [
            "id", "platform", "direction", "subject_id", "purpose", "at", "period", "day", "gateway_name", "units",
            "unit_price", "price", "price_currency", "is_certain",
            "is_beyond_limit", "unit_cost", "cost", "cost_currency",
        ]  # fmt: skip
        read_only_fields = fields

    def to_representation(self, row: LedgerEntry) -> dict[str, Any]:
        shown = super().to_representation(row)
        if not is_superadmin(self.context.get("request")):
            shown |= dict.fromkeys(("unit_cost", "cost", "cost_currency"))
        return shown


class LedgerView(Reads, PlatformViewSet):
    """Every SMS that was paid for, out and in; for the admins of a platform."""

    model = LedgerEntry
    serializer_class = LedgerSerializer
    filterset_fields = {
        "platform": ["exact"], "period": ["exact"], "direction": ["exact"], "at": ["gte", "lte"],
        "is_beyond_limit": ["exact"],
    }  # fmt: skip
    ordering_fields = ("at",)
    ordering = ("-at", "-pk")

    def visible(self) -> models.QuerySet:
        return LedgerEntry.objects.visible_to(self.request.user, Perm.MANAGE_PLATFORM)
