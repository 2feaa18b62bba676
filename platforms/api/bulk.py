"""Many rows in one request: each is stored, changed or refused for itself, and has a line in the answer."""

import logging
from collections.abc import Callable
from typing import Any, ClassVar

from django.db import transaction
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import exceptions, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from platforms.api.errors import Invalid, error_body
from platforms.api.exception_handler import error_response

MAX_ROWS = 500
MULTI_STATUS = 207
logger = logging.getLogger(__name__)


class BulkErrorSerializer(serializers.Serializer):
    """What the same request alone would have been told."""

    code = serializers.CharField()
    message = serializers.CharField()
    fields = serializers.DictField()  # type: ignore[assignment]  # the word of every error of the API


class BulkLineSerializer(serializers.Serializer):
    """What became of one row. ``id`` is null where nothing was made."""

    row = serializers.IntegerField(help_text="Its place in the request, from 0.")
    status = serializers.IntegerField(help_text="As the answer to this row alone would have had.")
    id = serializers.IntegerField(allow_null=True)
    error = BulkErrorSerializer(allow_null=True)


class BulkAnswerSerializer(serializers.Serializer):
    """One line per row, in the order of asking."""

    done = serializers.IntegerField()
    refused = serializers.IntegerField()
    results = BulkLineSerializer(many=True)


def _schema(ok: int) -> Callable[..., Any]:
    row = serializers.DictField(help_text="As in a request for one; changes and deletions name the “id”.")
    request = inline_serializer("BulkRows", {"rows": serializers.ListField(child=row, max_length=MAX_ROWS)})
    answers = {ok: BulkAnswerSerializer, MULTI_STATUS: BulkAnswerSerializer}
    return extend_schema(request=request, responses=answers, filters=False)


class InBulk:
    """POST, PATCH and DELETE of ``…/bulk/`` for a view that creates, changes and deletes single rows."""

    http_method_names: ClassVar[list[str]]

    @_schema(status.HTTP_201_CREATED)
    @action(detail=False, methods=["post"])
    def bulk(self, request: Request) -> Response:
        """Make many. Rows that are refused do not hold up the others (207)."""
        return self._each(request, status.HTTP_201_CREATED, self._make_one)

    @_schema(status.HTTP_200_OK)
    @bulk.mapping.patch
    def bulk_change(self, request: Request) -> Response:
        """Change many; each row names its ``id``."""
        return self._each(request, status.HTTP_200_OK, self._change_one)

    @_schema(status.HTTP_200_OK)
    @bulk.mapping.delete
    def bulk_delete(self, request: Request) -> Response:
        """Delete many; each row names its ``id``."""
        return self._each(request, status.HTTP_200_OK, self._delete_one)

    def _each(self, request: Request, ok: int, do: Callable[[dict[str, Any]], Any]) -> Response:
        results = [self._line(place, row, ok, do) for place, row in enumerate(_rows(request))]
        done = sum(1 for line in results if line["error"] is None)
        answer = {"done": done, "refused": len(results) - done, "results": results}
        return Response(answer, status=ok if done == len(results) else MULTI_STATUS)

    def _line(self, place: int, row: Any, ok: int, do: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        try:
            if not isinstance(row, dict):
                raise Invalid(_("Write a JSON object, in braces."))
            with transaction.atomic():
                return {"row": place, "status": ok, "id": do(row), "error": None}
        except Exception as exc:
            refused = error_response(exc, {})
            if refused is None:
                logger.exception("row of a bulk request failed row=%d", place)
                error, code = (
                    error_body("error", _("This row failed. The others are not touched by it."))["error"],
                    500,
                )
            else:
                error, code = refused.data["error"], refused.status_code
            return {"row": place, "status": code, "id": None, "error": error}

    def _make_one(self, row: dict[str, Any]) -> int:
        asked = self.get_serializer(data=row)
        asked.is_valid(raise_exception=True)
        self.perform_create(asked)
        return asked.instance.pk

    def _change_one(self, row: dict[str, Any]) -> int:
        found = self._found(row)
        values = {name: value for name, value in row.items() if name != "id"}
        asked = self.get_serializer(found, data=values, partial=True)
        asked.is_valid(raise_exception=True)
        self.perform_update(asked)
        return found.pk

    def _delete_one(self, row: dict[str, Any]) -> int:
        found = self._found(row)
        number = found.pk
        self.perform_destroy(found)
        return number

    def _found(self, row: dict[str, Any]) -> Any:
        """The row that is named, as a request for it alone would find it."""
        number = row.get("id")
        if isinstance(number, bool) or not isinstance(number, int):
            sentence = _("Name the row by its number.")
            raise Invalid(sentence, {"id": [sentence]})
        found = self.get_queryset().filter(pk=number).first()
        if found is None:
            raise exceptions.NotFound
        self.check_object_permissions(self.request, found)
        return found


def _rows(request: Request) -> list[Any]:
    rows = request.data.get("rows") if isinstance(request.data, dict) else None
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_ROWS:
        sentence = _("Send 1 to %(most)d rows.") % {"most": MAX_ROWS}
        raise Invalid(sentence, {"rows": [sentence]})
    return rows
