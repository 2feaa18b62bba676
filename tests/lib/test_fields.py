"""Secrets at rest: only ciphertext reaches the table, and nothing shows the value by accident."""

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core import serializers
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.db import connection, models

from remosa.lib.fields import PREFIX, EncryptedTextField, Secret, UnreadableSecret, reencrypt

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))


class Safe(models.Model):
    """A row with one secret."""

    secret = EncryptedTextField(blank=True, null=True)

    class Meta:
        app_label = "lib_tests"

    def __str__(self) -> str:
        return f"safe {self.pk}"


@pytest.fixture(autouse=True)
def table(transactional_db: None, settings: Any) -> Iterator[None]:
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    with connection.schema_editor() as editor:
        editor.create_model(Safe)
    yield
    with connection.schema_editor() as editor:
        editor.delete_model(Safe)


def stored() -> list[str | None]:
    """What the table really holds, in order."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM lib_tests_safe ORDER BY id")
        return [row[0] for row in cursor.fetchall()]


def store(text: str) -> None:
    """Write round the field."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE lib_tests_safe SET secret = %s", [text])


@pytest.mark.databases
@pytest.mark.parametrize("value", ["hunter2", "пароль 🔑", "f1:looks-like-ours", " ", "x" * 10_000])
def test_a_secret_comes_back_and_only_ciphertext_is_stored(value: str) -> None:
    Safe.objects.create(secret=value)

    (text,) = stored()
    assert text is not None
    assert text.startswith(PREFIX)
    assert value.strip() == "" or value not in text
    assert Safe.objects.get().secret == value


@pytest.mark.parametrize("value", ["", None])
def test_nothing_stays_nothing(value: str | None) -> None:
    Safe.objects.create(secret=value)

    assert stored() == [value]
    assert Safe.objects.get().secret == value


def test_the_same_secret_looks_different_in_every_row() -> None:
    Safe.objects.bulk_create([Safe(secret="hunter2"), Safe(secret="hunter2")])

    first, second = stored()
    assert first != second


def test_update_encrypts_too() -> None:
    Safe.objects.create(secret="old")

    Safe.objects.update(secret="hunter2")

    assert stored()[0] != "hunter2"
    assert Safe.objects.get().secret == "hunter2"


@pytest.mark.parametrize(
    "lookup", ["", "__exact", "__in", "__iexact", "__contains", "__startswith", "__gt", "__regex", "__lower"]
)
def test_a_secret_cannot_be_searched(lookup: str) -> None:
    with pytest.raises(FieldError, match=r"secret is encrypted|Unsupported lookup"):
        Safe.objects.filter(**{f"secret{lookup}": ["x"] if lookup == "__in" else "x"}).exists()


def test_whether_there_is_a_secret_may_be_asked() -> None:
    Safe.objects.create(secret="hunter2")
    Safe.objects.create(secret=None)

    assert Safe.objects.filter(secret__isnull=False).count() == 1


def test_plain_text_in_the_column_is_an_error_that_names_the_column_only() -> None:
    Safe.objects.create(secret="x")
    store("hunter2")

    with pytest.raises(UnreadableSecret, match=r"lib_tests\.Safe\.secret holds plain text") as caught:
        Safe.objects.get()

    assert "hunter2" not in str(caught.value)


def test_a_tampered_token_is_an_error() -> None:
    Safe.objects.create(secret="hunter2")
    text = stored()[0] or ""
    store(text[:-6] + ("A" if text[-6] != "A" else "B") + text[-5:])

    with pytest.raises(UnreadableSecret, match="FIELD_ENCRYPTION_KEYS"):
        Safe.objects.get()


def test_a_lost_key_is_an_error_that_names_the_setting(settings: Any) -> None:
    Safe.objects.create(secret="hunter2")
    settings.FIELD_ENCRYPTION_KEYS = [NEW]

    with pytest.raises(UnreadableSecret, match="FIELD_ENCRYPTION_KEYS"):
        Safe.objects.get()


def test_an_older_key_still_decrypts(settings: Any) -> None:
    Safe.objects.create(secret="hunter2")

    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]

    assert Safe.objects.get().secret == "hunter2"


@pytest.mark.databases
def test_reencrypt_brings_every_row_under_the_first_key(settings: Any) -> None:
    Safe.objects.create(secret="one")
    Safe.objects.create(secret="")
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    Safe.objects.create(secret="two")
    Safe.objects.create(secret=None)

    first, second = reencrypt(Safe, "secret"), reencrypt(Safe, "secret")

    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    assert (first, second) == (1, 0)
    assert [safe.secret for safe in Safe.objects.order_by("pk")] == ["one", "", "two", None]


def test_reencrypt_stops_at_a_row_that_it_cannot_read(settings: Any) -> None:
    Safe.objects.create(secret="x")
    store("hunter2")

    with pytest.raises(UnreadableSecret):
        reencrypt(Safe, "secret")


@pytest.mark.parametrize(("keys", "said"), [([], "empty"), (["short"], "32 bytes")])
def test_bad_keys_are_a_configuration_error(settings: Any, keys: list[str], said: str) -> None:
    settings.FIELD_ENCRYPTION_KEYS = keys

    with pytest.raises(ImproperlyConfigured, match=f"FIELD_ENCRYPTION_KEYS.*{said}"):
        Safe.objects.create(secret="x")


def test_no_repr_and_no_fixture_shows_the_secret() -> None:
    Safe.objects.create(secret="hunter2")
    safe = Safe.objects.get()

    shown = repr(safe) + repr(safe.secret) + repr([safe.secret]) + repr(vars(safe))

    assert "hunter2" not in shown
    assert "hunter2" not in serializers.serialize("json", [safe])
    assert f"{safe.secret}" == "hunter2"


def test_a_secret_is_a_string_in_every_other_way() -> None:
    secret = Secret("hunter2")

    assert pickle.loads(pickle.dumps(secret)) == copy.deepcopy(secret) == "hunter2"  # noqa: S301
    assert "-".join(["a", secret]) == "a-hunter2"
    assert (bool(Secret("")), repr(Secret(""))) == (False, "''")


def test_the_field_deconstructs_to_itself() -> None:
    name, path, args, kwargs = Safe._meta.get_field("secret").deconstruct()

    assert (name, path) == ("secret", "remosa.lib.fields.EncryptedTextField")
    assert isinstance(EncryptedTextField(*args, **kwargs), EncryptedTextField)
    assert kwargs == {"blank": True, "null": True}
