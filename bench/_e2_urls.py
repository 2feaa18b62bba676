"""The product's paths, and the peer of E2: the usual way to write such a door with DRF."""

import hashlib

from django.db import transaction
from django.urls import path
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from automation.models import Alert, AlertSource
from remosa.lib.clock import utcnow
from remosa.urls import urlpatterns as product


class ItemSerializer(serializers.Serializer):
    status = serializers.CharField()
    labels = serializers.DictField(child=serializers.CharField())
    annotations = serializers.DictField(child=serializers.CharField())
    startsAt = serializers.DateTimeField()
    endsAt = serializers.DateTimeField()
    generatorURL = serializers.CharField()
    fingerprint = serializers.CharField()


class BodySerializer(serializers.Serializer):
    status = serializers.CharField()
    alerts = ItemSerializer(many=True)


class PeerView(APIView):
    """Validates, and stores with one ``bulk_create`` that ignores what is known."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()

    def post(self, request: Request) -> Response:
        body = BodySerializer(data=request.data)
        body.is_valid(raise_exception=True)
        source, now = AlertSource.objects.get(), utcnow()
        rows = [
            Alert(
                source=source, platform_id=source.platform_id, fingerprint=item["fingerprint"], state=item["status"],
                starts_at=item["startsAt"], labels=item["labels"], annotations=item["annotations"],
                name=item["labels"]["alertname"], link=item["generatorURL"], first_received_at=now, received_at=now,
            )
            for item in body.validated_data["alerts"]
        ]  # fmt: skip
        with transaction.atomic():
            Alert.objects.bulk_create(rows, ignore_conflicts=True)
        return Response(
            {"stored": len(rows), "digest": hashlib.sha256(request.data["groupKey"].encode()).hexdigest()}
        )


urlpatterns = [*product, path("bench/drf/", PeerView.as_view())]
