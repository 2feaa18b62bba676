"""The photo of a device or a site: the picture itself, another one, none."""

from typing import Any

from django.http import Http404, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from devices.photos import MAX_BYTES
from devices.services.photos import keep_photo, photo_of, remove_photo
from platforms.api.parsers import bounded_multipart
from remosa.lib.clock import utcnow


class PhotoSerializer(serializers.Serializer):
    """A JPEG, PNG or WebP as the multipart field ``file``."""

    file = serializers.FileField(allow_empty_file=False)


class Photos:
    """``…/<id>/photo/`` for a view of devices or sites."""

    @extend_schema(responses={(200, "image/jpeg"): OpenApiTypes.BINARY}, filters=False)
    @action(detail=True, methods=["get"], parser_classes=[bounded_multipart(MAX_BYTES)])
    def photo(self, request: Request, pk: str | None = None) -> HttpResponse:
        """The picture, a JPEG; 404 where there is none."""
        photo = photo_of(self.get_object())  # type: ignore[attr-defined]
        if photo is None:
            raise Http404
        answer = HttpResponse(bytes(photo.content), content_type="image/jpeg")
        answer["X-Content-Type-Options"] = "nosniff"
        answer["Cache-Control"] = "private, max-age=300"
        return answer

    @extend_schema(request={"multipart/form-data": PhotoSerializer}, responses={204: None})
    @photo.mapping.put
    def keep_photo(self, request: Request, pk: str | None = None) -> Response:
        """Keep this picture, made smaller and without what the camera wrote into it."""
        row: Any = self.get_object()  # type: ignore[attr-defined]
        asked = PhotoSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        keep_photo(row, data=asked.validated_data["file"].read(), by=request.user, now=utcnow())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(responses={204: None})
    @photo.mapping.delete
    def remove_photo(self, request: Request, pk: str | None = None) -> Response:
        """No picture any more; 404 where there is none."""
        if not remove_photo(self.get_object(), by=request.user, now=utcnow()):  # type: ignore[attr-defined]
            raise Http404
        return Response(status=status.HTTP_204_NO_CONTENT)
