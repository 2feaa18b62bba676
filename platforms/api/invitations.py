"""Invitations: ask somebody by e-mail to work on a platform."""

from typing import Any

from django.db import models
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from platforms import invitations
from platforms.api.base import Creates, Deletes, PlatformViewSet, Reads
from platforms.api.serializers import PlatformSerializer
from platforms.models import Invitation
from platforms.roles import Perm, Role
from remosa.lib.clock import utcnow


class InvitationSerializer(PlatformSerializer):
    """An invitation as it is listed: its link goes to the invited address alone."""

    role = serializers.ChoiceField(choices=Role.choices, default=Role.VIEWER)

    class Meta:
        model = Invitation
        fields = [
            "id", "platform", "email", "role", "created_at", "expires_at", "mailed_at", "mail_error", "accepted_at",
            "revoked_at",
        ]  # fmt: skip
        read_only_fields = [
            "created_at", "expires_at", "mailed_at", "mail_error", "accepted_at", "revoked_at",
        ]  # fmt: skip


class InvitationsView(Reads, Creates, Deletes, PlatformViewSet):
    """For those who manage members. POST mails a link; DELETE ends it."""

    model = Invitation
    serializer_class = InvitationSerializer
    write_perm = Perm.MANAGE_MEMBERS
    related = ("platform", "invited_by")
    filterset_fields = {
        "platform": ["exact"],
        "role": ["exact"],
        "accepted_at": ["isnull"],
        "revoked_at": ["isnull"],
    }
    search_fields = ("email",)
    ordering_fields = ("created_at", "expires_at")
    ordering = ("-created_at", "pk")

    def visible(self) -> models.QuerySet:
        return Invitation.objects.visible_to(self.request.user, Perm.MANAGE_MEMBERS)

    def create_row(self, values: dict[str, Any]) -> Invitation:
        return invitations.invite(by=self.request.user, now=utcnow(), **values)

    def delete_row(self, row: Invitation) -> None:
        invitations.withdraw(row, by=self.request.user, now=utcnow())

    @extend_schema(request=None, responses=InvitationSerializer)
    @action(detail=True, methods=["post"])
    def resend(self, request: Request, pk: str | None = None) -> Response:
        """A new link by mail; the older ones end."""
        row = self.get_object()
        invitations.renew(row, by=request.user, now=utcnow())
        return Response(self.get_serializer(row).data)
