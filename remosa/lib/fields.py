"""Columns of our own: phone numbers in one form, and secrets at rest as ciphertext only.

Stored form: ``f1:`` and a Fernet token under the first of ``settings.FIELD_ENCRYPTION_KEYS``; the
other keys only decrypt. The empty string stays empty. Plain text in the column is an error, not
something to read: it means that a writer went round the field.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django import forms
from django.conf import settings
from django.core.exceptions import FieldError, ImproperlyConfigured, ValidationError
from django.core.validators import MaxLengthValidator
from django.db import models
from django.db.models import TextField, Value
from django.db.models.functions import Cast

from remosa.lib.hours import canonical, check_week
from remosa.lib.phones import LONGEST, normalise_msisdn

if TYPE_CHECKING:
    TextColumn = models.TextField[str, str]
    CharColumn = models.CharField[str, str]
else:
    TextColumn = models.TextField  # not subscriptable when it runs
    CharColumn = models.CharField

PREFIX = "f1:"


def validate_week(week: Any) -> None:
    """Hours by day, as `remosa.lib.hours` stores them."""
    try:
        check_week(week)
    except ValueError as exc:
        raise ValidationError('Write hours by day: {"mon": ["09:00-22:00"]}.') from exc


def validate_spans(spans: Any) -> None:
    """Hours of one day."""
    try:
        canonical(spans)
    except (TypeError, ValueError) as exc:
        raise ValidationError('Write hours: ["10:00-16:00"].') from exc


class MsisdnField(CharColumn):
    """A phone number: every usual spelling is taken, E.164 is stored. In the schema a plain column of text."""

    def clean(self, value: Any, model_instance: models.Model | None) -> Any:
        """The number in its one form, before its length is looked at."""
        if isinstance(value, str) and value:
            try:
                value = normalise_msisdn(value)
            except ValueError as exc:
                raise ValidationError(str(exc)) from exc
        return super().clean(value, model_instance)

    def formfield(self, **kwargs: Any) -> Any:
        """Room for spaces, brackets and hyphens."""
        made = super().formfield(**kwargs)
        if isinstance(made, forms.CharField):
            own = [check for check in made.validators if not isinstance(check, MaxLengthValidator)]
            made.max_length, made.validators = LONGEST, [*own, MaxLengthValidator(LONGEST)]
            made.widget.attrs["maxlength"] = str(LONGEST)
        return made

    def deconstruct(self) -> Any:
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.CharField", args, kwargs


class UnreadableSecret(Exception):
    """The column holds what our keys cannot read. Names the column, never its content."""


class Secret(str):
    """A decrypted value; an ordinary string but for its ``repr``, so that no traceback or log shows it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'********'" if self else "''"


class EncryptedTextField(TextColumn):
    """Text that is encrypted on its way into the table. Only ``isnull`` can be asked of it in a query."""

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Secret | None:
        return None if value is None else Secret(decrypt(value, column=str(self)))

    def get_prep_value(self, value: Any) -> Any:
        if value is None or hasattr(value, "resolve_expression"):
            return value
        return encrypt(str(value))

    def get_lookup(self, lookup: str) -> Any:
        """Only ``isnull``: a token is never equal to another one, so every comparison would be wrong."""
        if lookup != "isnull":
            raise FieldError(
                f"{self.name} is encrypted: it cannot be searched by {lookup!r}, only by 'isnull'."
            )
        return super().get_lookup(lookup)

    def get_transform(self, lookup_name: str) -> Any:
        raise FieldError(f"{self.name} is encrypted: it has no {lookup_name!r}.")

    def value_to_string(self, obj: models.Model) -> str:
        """Serialised forms (fixtures, exports) leave the secret out."""
        return ""


def encrypt(value: str) -> str:
    """The stored form of ``value``."""
    return PREFIX + _fernet().encrypt(value.encode()).decode() if value else ""


def decrypt(stored: str, *, column: str) -> str:
    """The value behind a stored form; UnreadableSecret, naming ``column``, for anything that is not one."""
    if not stored:
        return ""
    if not stored.startswith(PREFIX):
        raise UnreadableSecret(f"{column} holds plain text; enter the secret again.")
    try:
        return _fernet().decrypt(stored.removeprefix(PREFIX)).decode()
    except InvalidToken:
        raise UnreadableSecret(
            f"{column} was encrypted with a key that FIELD_ENCRYPTION_KEYS does not have."
        ) from None


def reencrypt(model: type[models.Model], field: str) -> int:
    """Bring every row of ``model.field`` under the first key; the number of rows changed.

    Idempotent, and safe beside running writers: a row that changed meanwhile is left alone (its
    writer used the first key already).
    """
    column = str(model._meta.get_field(field))
    rows = model._base_manager.annotate(stored_form=Cast(field, TextField()))
    changed = 0
    for pk, stored in rows.order_by("pk").values_list("pk", "stored_form").iterator(chunk_size=500):
        if not stored or _is_under_first_key(stored):
            continue
        fresh = encrypt(decrypt(stored, column=column))
        changed += rows.filter(pk=pk, stored_form=stored).update(
            **{field: Value(fresh, output_field=TextField())}
        )
    return changed


def _is_under_first_key(stored: str) -> bool:
    try:
        _keys(tuple(settings.FIELD_ENCRYPTION_KEYS))[0].decrypt(stored.removeprefix(PREFIX))
    except InvalidToken:
        return False
    return stored.startswith(PREFIX)


def _fernet() -> MultiFernet:
    return MultiFernet(_keys(tuple(settings.FIELD_ENCRYPTION_KEYS)))


@cache
def _keys(keys: tuple[str, ...]) -> list[Fernet]:
    if not keys:
        raise ImproperlyConfigured("FIELD_ENCRYPTION_KEYS is empty: name at least one key.")
    try:
        return [Fernet(key) for key in keys]
    except ValueError:
        raise ImproperlyConfigured("FIELD_ENCRYPTION_KEYS: each key is 32 bytes in urlsafe base64.") from None
