"""The second factor: an authenticator app (TOTP) and, for the day on which the phone is lost, recovery codes.

The app's key is stored encrypted, the recovery codes as hashes. Each code is taken once. After a wrong one
the next must wait, and each wrong one doubles the wait.
"""

import base64
import hashlib
import secrets
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

import qrcode
from django.db import transaction
from django.db.models import F
from django.utils.safestring import SafeString, mark_safe
from django_otp.oath import TOTP
from qrcode.image.svg import SvgPathImage

from platforms import audit
from platforms.models import Authenticator, RecoveryCode, User

STEP_S, DIGITS, TOLERANCE = 30, 6, 1  # what every app takes for granted; one step early or late is fine
RECOVERY_CODES = 10
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # without what looks alike


def has_factor(user: User) -> bool:
    """Whether signing in asks this person for a code."""
    return Authenticator.objects.filter(user=user.pk, confirmed=True).exists()


def codes_left(user: User) -> int:
    """How many recovery codes are not used yet."""
    return RecoveryCode.objects.filter(user=user.pk, used_at=None).count()


def begin(user: User) -> Authenticator:
    """The app that the person is about to set up: the same until it is confirmed, so that a reload harms nothing."""
    pending = Authenticator.objects.filter(user=user, confirmed=False).first()
    if pending is not None:
        return pending
    return Authenticator.objects.create(user=user, name="app", confirmed=False, key=secrets.token_hex(20))


def confirm(user: User, code: str, *, now: datetime) -> list[str] | None:
    """Take the pending app if ``code`` is what it shows now; the recovery codes, shown this once.

    None: the code is wrong. Every other session and JWT of the person ends with it.
    """
    with transaction.atomic():
        pending = Authenticator.objects.select_for_update().filter(user=user, confirmed=False).first()
        if pending is None or not _matches(pending, code, now=now):
            return None
        Authenticator.objects.filter(user=user, confirmed=True).delete()
        pending.confirmed = True
        pending.save()
        end_sessions(user)
        audit.record(actor=audit.person(user), verb="user.second_factor_set", target=user)
        return _new_codes(user)


def renew_codes(user: User) -> list[str]:
    """New recovery codes; the old ones are worth nothing from now on."""
    with transaction.atomic():
        audit.record(actor=audit.person(user), verb="user.recovery_codes_made", target=user)
        return _new_codes(user)


def remove(user: User, *, by: Any) -> bool:
    """Sign in by password alone again; False when there was no second factor. Ends every session and JWT."""
    with transaction.atomic():
        gone, _kinds = Authenticator.objects.filter(user=user).delete()
        RecoveryCode.objects.filter(user=user).delete()
        if not gone:
            return False
        end_sessions(user)
        audit.record(actor=audit.person(by), verb="user.second_factor_removed", target=user)
    return True


def check(user: User, code: str, *, now: datetime) -> bool:
    """Whether ``code`` is the app's present one or an unused recovery code; either is used up by this."""
    with transaction.atomic():
        device = Authenticator.objects.select_for_update().filter(user=user, confirmed=True).first()
        if device is None:
            return False
        if len(_letters(code)) == DIGITS:
            return _matches(device, code, now=now)
        return _use_recovery_code(device, code, now=now)


def _matches(device: Authenticator, code: str, *, now: datetime) -> bool:
    """Compare with the steps around now that are newer than the last one taken; a wrong code is counted."""
    digits = _letters(code)
    allowed, _why = device.verify_is_allowed()
    if not allowed or not (len(digits) == DIGITS and digits.isascii() and digits.isdecimal()):
        return False
    totp = TOTP(bytes.fromhex(device.key), STEP_S, 0, DIGITS)
    totp.time = now.timestamp()
    if not totp.verify(int(digits), TOLERANCE, device.last_step + 1):
        device.throttle_increment()
        return False
    device.last_step = totp.t()
    device.throttle_reset(commit=False)
    device.set_last_used_timestamp(commit=False)
    device.save()
    return True


def _use_recovery_code(device: Authenticator, code: str, *, now: datetime) -> bool:
    allowed, _why = device.verify_is_allowed()
    if not allowed:
        return False
    own = RecoveryCode.objects.filter(user=device.user_id, digest=_digest(code), used_at=None)
    if not own.update(used_at=now):
        device.throttle_increment()
        return False
    device.throttle_reset()
    audit.record(actor=audit.person(device.user), verb="user.recovery_code_used", target=device.user, at=now)
    return True


def end_sessions(user: User) -> None:
    """Every session and JWT of the person ends at its next request."""
    User.objects.filter(pk=user.pk).update(access_epoch=F("access_epoch") + 1)
    user.refresh_from_db(fields=["access_epoch"])


def _new_codes(user: User) -> list[str]:
    codes = ["".join(secrets.choice(ALPHABET) for _ in range(12)) for _ in range(RECOVERY_CODES)]
    RecoveryCode.objects.filter(user=user).delete()
    RecoveryCode.objects.bulk_create(RecoveryCode(user=user, digest=_digest(code)) for code in codes)
    return [f"{code[:4]}-{code[4:8]}-{code[8:]}" for code in codes]


def _letters(code: str) -> str:
    return "".join(code.split()).replace("-", "").lower()[:64]


def _digest(code: str) -> str:
    return hashlib.sha256(_letters(code).encode()).hexdigest()


# --- what the phone reads --------------------------------------------------------------------------


def key_text(device: Authenticator) -> str:
    """The key as people type it: base32 in groups of four."""
    text = base64.b32encode(bytes.fromhex(device.key)).decode()
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))


def uri(device: Authenticator) -> str:
    """What the QR code says."""
    label = quote(f"REMOSA:{device.user.get_username()}")
    return f"otpauth://totp/{label}?" + urlencode(
        {"secret": key_text(device).replace(" ", ""), "issuer": "REMOSA"}
    )


def qr_svg(device: Authenticator) -> SafeString:
    """The QR code as an inline picture: made here, so that the key goes nowhere else."""
    picture = qrcode.make(uri(device), image_factory=SvgPathImage, box_size=12, border=3)
    return mark_safe(picture.to_string(encoding="unicode"))  # noqa: S308  made of squares, from our own text
