"""The base of serializers of tenant data: own related rows only, finite numbers, plain text, phones masked."""

import math
import re
import uuid
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.validators import UniqueValidator

from platforms.api.scope import reads_phones, visible_rows
from remosa.lib.fields import MsisdnField
from remosa.lib.hours import canonical, check_week
from remosa.lib.phones import LONGEST, normalise_msisdn
from remosa.lib.redact import mask_mapping, mask_msisdn, redact

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
MAX_LABELS = 50


class PlainCharField(serializers.CharField):
    """One line of text without control characters."""

    default_error_messages = {"control": _("Control characters and line breaks cannot be used here.")}

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if CONTROL.search(text):
            self.fail("control")
        return text


class PhoneField(PlainCharField):
    """A phone number in any usual spelling; E.164 from here on."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "max_length": LONGEST})

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        try:
            return normalise_msisdn(text) if text else ""
        except ValueError as exc:
            raise serializers.ValidationError(str(exc)) from exc


class FiniteFloatField(serializers.FloatField):
    """A number; NaN and infinity are none."""

    default_error_messages = {"finite": _("Write a finite number.")}

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool):
            self.fail("invalid")
        number = super().to_internal_value(data)
        if not math.isfinite(number):
            self.fail("finite")
        return number


class WholeNumberField(serializers.IntegerField):
    """A whole number, not a yes or a no."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool):
            self.fail("invalid")
        return super().to_internal_value(data)


class ObjectField(serializers.JSONField):
    """A JSON object of free shape."""

    default_error_messages = {"object": _("Write a JSON object, in braces.")}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.fail("object")
        return super().to_internal_value(data)


class LabelsField(serializers.DictField):
    """``{"hall": "A"}``: short texts by short names."""

    child = PlainCharField(max_length=200, allow_blank=True)
    default_error_messages = {
        "many": _("At most 50 labels."),
        "name": _("A label's name has 1 to 64 characters."),
    }

    def to_internal_value(self, data: Any) -> dict[str, str]:
        labels = super().to_internal_value(data)
        if len(labels) > MAX_LABELS:
            self.fail("many")
        if any(not 1 <= len(name) <= 64 or CONTROL.search(name) for name in labels):
            self.fail("name")
        return labels


class WeekField(serializers.DictField):
    """``{"mon": ["09:00-22:00"]}``: hours by day, mon to sun; ``24:00`` ends a day."""

    child = serializers.ListField(child=PlainCharField(max_length=11), max_length=4)
    default_error_messages = {"week": _('Write hours by day: {"mon": ["09:00-22:00"]}.')}

    def to_internal_value(self, data: Any) -> dict[str, list[str]]:
        try:
            return check_week(super().to_internal_value(data))
        except ValueError:
            self.fail("week")
            raise


class SpansField(serializers.ListField):
    """``["10:00-16:00"]``: hours of one day."""

    child = PlainCharField(max_length=11)
    default_error_messages = {"hours": _('Write hours: ["10:00-16:00"].')}

    def to_internal_value(self, data: Any) -> list[str]:
        try:
            return canonical(super().to_internal_value(data))
        except ValueError:
            self.fail("hours")
            raise


class VisibleRelatedField(serializers.PrimaryKeyRelatedField):
    """A row that the caller may see; a foreign number gets the answer of a missing one."""

    def get_queryset(self) -> models.QuerySet:
        model = self.queryset.model
        if not hasattr(model, "PLATFORM_PATH"):
            raise ImproperlyConfigured(f"{model.__name__} is no tenant model: say how its rows are chosen.")
        return visible_rows(model, self.context.get("request"))

    def to_internal_value(self, data: Any) -> models.Model:
        key = self.queryset.model._meta.pk
        if isinstance(key, models.UUIDField):
            data = self._uuid(data)
        elif isinstance(data, bool) or not (
            isinstance(data, int) or (isinstance(data, str) and data.isdecimal())
        ):
            self.fail("incorrect_type", data_type=type(data).__name__)
        elif len(str(data)) > 19:
            self.fail("does_not_exist", pk_value=data)
        return super().to_internal_value(data)

    def _uuid(self, data: Any) -> uuid.UUID:
        try:
            return uuid.UUID(data)
        except (ValueError, TypeError, AttributeError):
            self.fail("incorrect_type", data_type=type(data).__name__)


class StepSerializer(serializers.ModelSerializer):
    """One step of the life of a row that has states; ``Meta.model`` says whose."""

    reason = serializers.CharField(source="why", read_only=True)

    class Meta:
        fields = ["at", "reason", "by"]
        read_only_fields = fields

    def get_fields(self) -> dict[str, serializers.Field]:
        steps = {  # ``from`` is a word of Python
            "from": serializers.CharField(source="from_state", read_only=True),
            "to": serializers.CharField(source="to_state", read_only=True),
        }
        return steps | super().get_fields()


class PlatformSerializer(serializers.ModelSerializer):
    """Shapes of one tenant model. Meaning is checked by the model's ``clean`` and by services.

    ``create_only`` fields are fixed once the row exists. ``phone_fields`` hold a number, and
    ``redacted_fields`` text or JSON that may hold one: both are masked for people who only read.
    """

    serializer_related_field = VisibleRelatedField
    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.CharField: PlainCharField,
        models.FloatField: FiniteFloatField,
        models.IntegerField: WholeNumberField,
        models.JSONField: ObjectField,
        MsisdnField: PhoneField,
    }
    create_only: ClassVar[tuple[str, ...]] = ("platform",)
    phone_fields: ClassVar[tuple[str, ...]] = ()
    redacted_fields: ClassVar[tuple[str, ...]] = ()

    def get_fields(self) -> dict[str, serializers.Field]:
        fields = super().get_fields()
        if isinstance(self.instance, models.Model):
            for name in self.create_only:
                if name in fields:
                    fields[name].read_only = True
                    fields[name].required = False
        return fields

    def build_standard_field(self, field_name: str, model_field: models.Field) -> tuple[Any, dict[str, Any]]:
        """Uniqueness is the model's business: its own sentences tell nothing of other platforms."""
        field, options = super().build_standard_field(field_name, model_field)
        own = [item for item in options.get("validators", []) if not isinstance(item, UniqueValidator)]
        if "validators" in options:
            options["validators"] = own
        return field, options

    def get_validators(self) -> list[Any]:
        return []  # the same for several columns: ``full_clean`` asks the constraints

    def platform_id(self, row: Any) -> int | None:
        """The platform of ``row``."""
        return row.platform_id

    def to_representation(self, row: Any) -> dict[str, Any]:
        shown = super().to_representation(row)
        masked = [name for name in (*self.phone_fields, *self.redacted_fields) if name in shown]
        if not masked or reads_phones(self.context.get("request"), self.platform_id(row)):
            return shown
        return shown | {
            name: masked_value(shown[name], is_phone=name in self.phone_fields) for name in masked
        }


def masked_value(value: Any, *, is_phone: bool = False) -> Any:
    """``value`` as somebody reads it who may not know phone numbers."""
    if isinstance(value, dict):
        return mask_mapping(value)
    if isinstance(value, list):
        return [masked_value(item) for item in value]
    if not isinstance(value, str) or not value:
        return value
    return mask_msisdn(value) if is_phone else redact(value)
