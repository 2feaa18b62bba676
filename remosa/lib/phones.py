"""Phone numbers as people write them, turned into E.164."""

import re

import phonenumbers
from django.utils.translation import gettext as _
from phonenumbers import PhoneNumberType

WRITTEN = re.compile(r"\+?[0-9 ().-]+")  # no letters, no digits of other scripts, no extensions
SPACES = str.maketrans({"\u00a0": " ", "\u202f": " "})  # no-break spaces come with text copied from documents
LONGEST = 32  # characters; longer input is no phone number in any spelling

REACHABLE = {
    PhoneNumberType.MOBILE,
    PhoneNumberType.FIXED_LINE_OR_MOBILE,
    PhoneNumberType.FIXED_LINE,  # operators also give SIM cards city numbers
    PhoneNumberType.VOIP,
    PhoneNumberType.PERSONAL_NUMBER,
}


def normalise_msisdn(text: str, *, region: str = "RU") -> str:
    """The E.164 form of ``text``; numbers without ``+`` are read as dialled in ``region``.

    ValueError, with a sentence for the person who typed it, for anything that is not the full
    number of a subscriber: short codes, premium and free-phone numbers, letters, other digits.
    """
    written = text.translate(SPACES).strip()
    if not written:
        raise ValueError(_("Enter a phone number, for example +79001234567."))
    if len(written) > LONGEST or not WRITTEN.fullmatch(written):
        raise ValueError(
            _("A phone number has only digits, spaces, brackets, dots and hyphens after an optional +.")
        )
    try:
        number = phonenumbers.parse(written, region)
    except phonenumbers.NumberParseException:
        raise ValueError(_("This is not a phone number; write it like +79001234567.")) from None
    if not phonenumbers.is_valid_number(number):
        raise ValueError(_("No such phone number exists; write it in full, like +79001234567."))
    if phonenumbers.number_type(number) not in REACHABLE:
        raise ValueError(
            _("This is a service number (premium, free or shared cost); enter a subscriber's number.")
        )
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
