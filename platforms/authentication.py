"""Sign in by username or e-mail."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from platforms.models import User


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
