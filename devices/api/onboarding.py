"""Tables of clients: upload, follow the check, store, and take the table out again."""

from typing import Any

from django.db import models
from django.http import Http404, HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from devices.downloads import table_answer
from devices.models import Device, Onboarding
from devices.services import cancel_onboarding, start_onboarding, store_onboarding, table_of
from devices.tables import MAX_BYTES, TableError
from platforms.api.base import PlatformViewSet, Reads
from platforms.api.errors import Invalid
from platforms.api.parsers import JSONParser, bounded_multipart
from platforms.api.serializers import PlainCharField, PlatformSerializer
from platforms.models import Platform
from platforms.roles import Perm
from remosa.lib.clock import utcnow


class OnboardingSerializer(PlatformSerializer):
    """A table and what its check has found. The table comes as ``file`` (multipart) or as CSV text in ``table``."""

    file = serializers.FileField(write_only=True, required=False, allow_empty_file=False)
    table = serializers.CharField(write_only=True, required=False, trim_whitespace=False)
    filename = PlainCharField(required=False, max_length=200)

    class Meta:
        model = Onboarding
        fields = [
            "id",
            "platform",
            "filename",
            "file",
            "table",
            "state",
            "done",
            "total",
            "report",
            "created_at",
        ]
        read_only_fields = ["state", "done", "total", "report", "created_at"]

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        if ("file" in values) == ("table" in values):
            raise serializers.ValidationError({"file": [_("Send the table either as a file or as text.")]})
        return values


class OnboardingsView(Reads, PlatformViewSet):
    """Tables of clients. POST checks a table and stores nothing; ``store`` stores all of it or nothing."""

    model = Onboarding
    serializer_class = OnboardingSerializer
    parser_classes = [JSONParser, bounded_multipart(MAX_BYTES)]
    filterset_fields = {"platform": ["exact"], "state": ["exact", "in"]}
    ordering_fields = ("created_at",)
    ordering = ("-created_at", "pk")

    def visible(self) -> models.QuerySet:
        """What a table says is for those who may change devices."""
        if not getattr(self.request.user, "is_authenticated", False) or not hasattr(
            self.request.user, "username"
        ):
            return Onboarding.objects.none()
        return Onboarding.objects.visible_to(self.request.user, Perm.MANAGE_DEVICES)

    @extend_schema(responses={202: OnboardingSerializer})
    def create(self, request: Request) -> Response:
        """Upload a table (XLSX or CSV). The check runs in the background: follow ``state`` and ``report``."""
        asked = self.get_serializer(data=request.data)
        asked.is_valid(raise_exception=True)
        values = asked.validated_data
        self.require(values["platform"])
        file = values.get("file")
        content = file.read() if file is not None else values["table"].encode()
        name = values.get("filename") or (file.name if file is not None else "table.csv")
        try:
            row = start_onboarding(
                platform=values["platform"], filename=name, content=content, by=request.user, now=utcnow()
            )
        except TableError as exc:
            raise Invalid(str(exc), {"file": [str(exc)]}) from exc
        row.refresh_from_db()
        return Response(self.get_serializer(row).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(request=None, responses={202: OnboardingSerializer})
    @action(detail=True, methods=["post"])
    def store(self, request: Request, pk: str | None = None) -> Response:
        """Store what was checked. 409 while it is being checked, has errors, or would do nothing."""
        row = self.get_object()
        store_onboarding(row, by=request.user, now=utcnow())
        row.refresh_from_db()
        return Response(self.get_serializer(row).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(request=None, responses={200: OnboardingSerializer})
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str | None = None) -> Response:
        """Forget a table that is not being stored."""
        row = self.get_object()
        cancel_onboarding(row, by=request.user, now=utcnow())
        return Response(self.get_serializer(row).data)

    @extend_schema(
        parameters=[
            OpenApiParameter("platform", int, required=True),
            OpenApiParameter("as", str, enum=["xlsx", "csv"], default="xlsx"),
        ],
        responses={(200, "text/csv"): OpenApiTypes.BINARY}, filters=False,
    )  # fmt: skip
    @action(detail=False, methods=["get"], pagination_class=None, filter_backends=[])
    def export(self, request: Request) -> HttpResponse:
        """The table that would make these devices anew, as a file."""
        number = request.query_params.get("platform", "")
        own = Platform.objects.visible_to(request.user, Perm.MANAGE_DEVICES)
        known = number.isascii() and number.isdigit() and len(number) < 19
        platform = own.filter(pk=int(number)).first() if known else None
        if platform is None:
            raise Http404
        devices = Device.objects.visible_to(request.user, Perm.MANAGE_DEVICES).of(platform)
        return table_answer(
            table_of(devices), form=request.query_params.get("as", "xlsx"), name=str(platform)
        )
