"""REST resources of ``sms``: gateways, and the journals of what went out and came in."""

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import serializers
from rest_framework.request import Request

from platforms.api import writing
from platforms.api.base import Changes, Creates, Deletes, PlatformViewSet, Reads
from platforms.api.errors import Invalid
from platforms.api.scope import platforms_held
from platforms.api.serializers import ObjectField, PlatformSerializer, StepSerializer
from platforms.roles import Perm
from remosa.lib.clock import utcnow
from sms.inbox_api import INBOX_PERMS, InboxActions
from sms.models import Gateway, InboundSms, SmsEvent, SmsMessage
from sms.services import configuration_faults


class GatewaySerializer(PlatformSerializer):
    """One way to send SMS. Keys are written and never read; settings are shown to those who may change them."""

    MANAGERS_ONLY = ("config", "hook_id")
    create_only = ("platform", "kind")
    phone_fields = ("sender_msisdn",)
    config = ObjectField(required=False)
    hook_id = serializers.UUIDField(
        read_only=True, allow_null=True, help_text=gettext_lazy("For its managers.")
    )

    class Meta:
        model = Gateway
        fields = [
            "id", "platform", "name", "kind", "config", "secret", "sender_msisdn", "is_enabled", "priority",
            "rate_per_minute", "validity_s", "price", "price_in", "currency", "poll_interval_s", "hook_id",
            "hook_secret", "breaker", "breaker_until", "last_ok_at", "last_error", "last_error_at", "inbox_polled_at",
        ]  # fmt: skip
        read_only_fields = [
            "hook_id", "breaker", "breaker_until", "last_ok_at", "last_error", "last_error_at", "inbox_polled_at",
        ]  # fmt: skip
        extra_kwargs = {
            "platform": {"required": True, "allow_null": True},
            "secret": {"write_only": True, "max_length": 500},
            "hook_secret": {"write_only": True, "max_length": 500},
            "poll_interval_s": {"min_value": 0.5, "max_value": 86400},
            "validity_s": {"min_value": 1, "max_value": 7 * 86400},
        }

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        kind = self.instance.kind if self.instance is not None else values["kind"]
        config = values.get("config", self.instance.config if self.instance is not None else {})
        if kind in settings.SMS_GATEWAYS and (faults := configuration_faults(kind, config)):
            raise serializers.ValidationError({"config": {name: [text] for name, text in faults.items()}})
        return values

    def to_representation(self, row: Gateway) -> dict[str, Any]:
        shown = super().to_representation(row)
        if not may_manage(self.context.get("request"), row):
            shown |= dict.fromkeys(self.MANAGERS_ONLY)
        return shown


def may_manage(request: Request | None, row: Gateway) -> bool:
    """Whether the caller may change this gateway; a shared one is the superadmin's."""
    if request is None:
        return False
    if row.platform_id is None:
        return bool(request.user.is_superuser)
    return row.platform_id in platforms_held(request, Perm.MANAGE_PLATFORM)


class GatewaysView(Reads, Creates, Changes, Deletes, PlatformViewSet):
    """Gateways of the caller's platforms; those shared by all are the superadmin's."""

    model = Gateway
    serializer_class = GatewaySerializer
    write_perm = Perm.MANAGE_PLATFORM
    related = ("platform",)
    filterset_fields = {
        "platform": ["exact"],
        "kind": ["exact"],
        "is_enabled": ["exact"],
        "breaker": ["exact"],
    }
    search_fields = ("name",)
    ordering_fields = ("priority", "name")
    ordering = ("priority", "pk")

    def change_row(self, row: models.Model, values: dict[str, Any]) -> models.Model:
        """Who remembers a gateway sees by ``changed_at`` that it is another one now."""
        platform = self.platform_of(row)
        return writing.change(row, values, by=self.request.user, platform=platform, changed_at=utcnow())

    def create_row(self, values: dict[str, Any]) -> Gateway:
        if values.get("platform") is None and not self.request.user.is_superuser:
            sentence = _("Name the platform.")
            raise Invalid(sentence, {"platform": [sentence]})
        return super().create_row(values)


# --- journals ------------------------------------------------------------------------------------


class SmsStepSerializer(StepSerializer):
    """One step of an SMS's life."""

    class Meta(StepSerializer.Meta):
        model = SmsEvent


class SmsSerializer(PlatformSerializer):
    """An outgoing SMS. ``gateway`` is named where it is the platform's own."""

    phone_fields = ("to",)
    redacted_fields = ("text", "reason")
    text = serializers.CharField(source="body", read_only=True)
    gateway = serializers.SerializerMethodField()
    events = SmsStepSerializer(many=True, read_only=True)

    class Meta:
        model = SmsMessage
        fields = [
            "id", "platform", "gateway", "command", "purpose", "to", "text", "segments", "price", "state",
            "state_changed_at", "reason", "attempts", "created_at", "expires_at", "sent_at", "delivered_at", "events",
        ]  # fmt: skip
        read_only_fields = fields

    def get_gateway(self, row: SmsMessage) -> int | None:
        """The number of the gateway; None for a shared one, which is not the platform's to see."""
        own = row.gateway is not None and row.gateway.platform_id == row.platform_id
        return row.gateway_id if own else None


class SmsView(Reads, PlatformViewSet):
    """The outbox: every SMS and each step of its way. Read-only: commands and services write it."""

    model = SmsMessage
    serializer_class = SmsSerializer
    related = ("gateway",)
    prefetched = ("events",)
    filterset_fields = {
        "platform": ["exact"], "gateway": ["exact"], "command": ["exact"], "state": ["exact", "in"],
        "purpose": ["exact"], "created_at": ["gte", "lte"],
    }  # fmt: skip
    ordering_fields = ("created_at",)
    ordering = ("-created_at", "pk")


class InboundSmsSerializer(PlatformSerializer):
    """An SMS that came in, and what it was taken for."""

    phone_fields = ("sender",)
    redacted_fields = ("text", "reason")
    text = serializers.CharField(source="body", read_only=True)

    class Meta:
        model = InboundSms
        fields = [
            "id", "platform", "device", "command", "sender", "text", "sent_at", "received_at", "state", "reason",
        ]  # fmt: skip
        read_only_fields = fields


class InboundSmsView(InboxActions, Reads, PlatformViewSet):
    """The inbox: what came in, matched to a command or not."""

    perms = INBOX_PERMS
    write_scope: ClassVar[str | None] = "command"

    model = InboundSms
    serializer_class = InboundSmsSerializer
    filterset_fields = {
        "platform": ["exact"], "device": ["exact"], "command": ["exact"], "state": ["exact", "in"],
        "received_at": ["gte", "lte"],
    }  # fmt: skip
    ordering_fields = ("received_at",)
    ordering = ("-received_at", "pk")
