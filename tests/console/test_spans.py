"""Durations in forms: written with units in both languages, refused without, and shown in words."""

import pytest
from django.core.exceptions import ValidationError
from django.utils.translation import override

from automation.models import Job
from platforms.console.display import exact_span_text
from platforms.console.fields import SpanField, is_span, read_span
from sms.models import Gateway


def field(name: str, model: type = Job) -> SpanField:
    return SpanField(column=model._meta.get_field(name), required=False)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10 min", 600), ("10 мин", 600), ("10мин.", 600), ("1 h 30 min", 5400), ("1 ч 30 мин", 5400),
        ("1 час, 30 минут", 5400), ("90 s", 90), ("90 сек", 90), ("1.5 h", 5400), ("1,5 ч", 5400), ("1 D", 86_400),
        ("0", 0), ("0 с", 0), ("", None),
    ],
)  # fmt: skip
def test_a_duration_is_read_in_both_languages(text, seconds):
    assert field("hold_s").clean(text) == seconds


@pytest.mark.parametrize("text", ["10", "-5 min", "min", "10 x", "10 min and", "1:30", "10 min 5"])
def test_a_duration_without_a_unit_is_refused_with_an_example(text):
    with pytest.raises(ValidationError, match="1 h 30 min"):
        field("hold_s").clean(text)


@pytest.mark.parametrize(("text", "sentence"), [("59 s", "At least 1 min"), ("25 h", "At most 1 d")])
def test_bounds_of_the_column_are_said_in_words(text, sentence):
    with pytest.raises(ValidationError, match=sentence):
        field("flap_window_s").clean(text)


def test_a_column_of_whole_seconds_gets_a_whole_number():
    value = field("validity_s", Gateway).clean("5 min")
    assert (value, type(value)) == (300, int)


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("seconds", [0, 0.5, 45, 60, 90, 3600, 5400, 86_400, 90_061, 7.25])
def test_what_is_shown_is_read_back(language, seconds):
    with override(language):
        text = exact_span_text(seconds)
        assert field("cooldown_s").clean(text) == seconds
        assert not field("cooldown_s").has_changed(seconds, text)
        assert field("cooldown_s").prepare_value(float(seconds)) == text


def test_typed_text_comes_back_as_it_was_typed():
    assert field("hold_s").prepare_value("10") == "10"


@pytest.mark.parametrize(("language", "number"), [("en", "600.0"), ("ru", "600,0")])
def test_who_may_only_read_sees_words(language, number):
    with override(language):
        assert read_span(number) == exact_span_text(600)
        assert read_span("-") == "-"


def test_a_rate_is_no_duration():
    from exporters.models import Exporter

    assert is_span(Exporter._meta.get_field("interval_s"))
    assert not is_span(Exporter._meta.get_field("rate_per_s"))
