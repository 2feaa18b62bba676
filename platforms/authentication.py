"""Sign in by username or e-mail, and lock out who guesses.

Failures are counted by django-axes in the database, so that every process sees them: per account at one
address, per account wherever from, and per address whatever the account. An account is one account in all
spellings of its name and by its e-mail; the address is the one that the last trusted proxy saw. A name that
nobody has is counted and locked like any other, so no answer tells whether it exists.
"""

from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from axes.handlers.proxy import AxesProxyHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth import authenticate, user_login_failed
from django.contrib.auth.backends import ModelBackend
from django.db.models import Sum
from django.http import HttpRequest

from platforms.middleware import client_address
from platforms.models import User
from remosa.lib.clock import utcnow


class UsernameOrEmailBackend(ModelBackend):
    """A name with ``@`` is tried as an e-mail first; both ways cost one password check."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        username = username or kwargs.get(User.USERNAME_FIELD)
        if username and "\x00" in username:
            return None  # no database takes it, so nobody has that name
        if username and "@" in username:
            found = User.objects.filter(email__iexact=username).first()
            if found is not None:
                username = found.get_username()
        return super().authenticate(request, username=username, password=password, **kwargs)


def by_password(request: HttpRequest, name: str, password: str) -> User | None:
    """The person behind name and password; None for a wrong one, and for everybody who is locked out."""
    found = authenticate(request, username=name, password=password)
    return found if isinstance(found, User) else None


def count_failure(request: HttpRequest, user: User) -> None:
    """A wrong code, or a wrong password of somebody who is signed in, counts as a wrong password at the door."""
    credentials = {"username": user.get_username(), "password": "********"}
    user_login_failed.send(sender=__name__, credentials=credentials, request=request)


def forget_failures(user: User) -> None:
    """Whoever has proven the account's mailbox need not wait for the wrong passwords of before."""
    AccessAttempt.objects.filter(username=user.get_username().lower()).delete()


def is_locked_out(request: HttpRequest, user: User) -> bool:
    """Whether this person is locked out from where the request comes."""
    return settings.AXES_ENABLED and not AxesProxyHandler.is_allowed(
        request, {"username": user.get_username()}
    )


# --- what axes asks -------------------------------------------------------------------------------


def account_of(request: HttpRequest, credentials: dict[str, Any] | None) -> str:
    """The one name under which failures of an account are counted; what nobody is called, in lower case."""
    given = credentials.get("username") if credentials else request.POST.get("username")
    name = str(given or "").replace("\x00", "")[:150].strip()
    found = User.objects.filter(email__iexact=name).first() if "@" in name else None
    return (found.get_username() if found is not None else name).lower()


def address_of(request: HttpRequest) -> str:
    """The caller's address for axes; a caller without one (a local socket) is one caller."""
    return client_address(request) or "0.0.0.0"  # noqa: S104  a name for "none", nothing is bound


class LockOut(AxesDatabaseHandler):
    """Axes' count per account and address, and two wider ones against guessing from or at many places."""

    def is_locked(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> bool:
        if super().is_locked(request, credentials):
            return True
        since = utcnow() - settings.AXES_COOLOFF_TIME
        lately = AccessAttempt.objects.filter(attempt_time__gt=since)
        account, address = account_of(request, credentials), address_of(request)
        return (
            _failures(lately.filter(username=account)) >= settings.SIGN_IN_FAILURES_PER_ACCOUNT
            or _failures(lately.filter(ip_address=address)) >= settings.SIGN_IN_FAILURES_PER_ADDRESS
        )


def _failures(attempts: Any) -> int:
    return attempts.aggregate(total=Sum("failures_since_start"))["total"] or 0
