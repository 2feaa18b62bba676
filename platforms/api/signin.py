"""Sign in by JWT: a password (and a code) for a pair of tokens, a refresh token for the next pair, sign out."""

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers, status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from platforms import audit, jwt, second_factor
from platforms.authentication import by_password, count_failure
from platforms.models import User
from remosa.lib.clock import utcnow


class SignInSerializer(serializers.Serializer):
    """What a person signs in with."""

    username = serializers.CharField(max_length=254, help_text=gettext_lazy("User name or e-mail."))
    password = serializers.CharField(max_length=200, trim_whitespace=False, write_only=True)
    code = serializers.CharField(
        max_length=32, required=False, allow_blank=True, write_only=True,
        help_text=gettext_lazy("A code of the authenticator app, for people who have set one up."),
    )  # fmt: skip


class RefreshSerializer(serializers.Serializer):
    """A refresh token."""

    refresh = serializers.CharField(max_length=2000)


class PairSerializer(serializers.Serializer):
    """An access token for some minutes, and the one refresh token that gives the next pair."""

    access = serializers.CharField(read_only=True)
    refresh = serializers.CharField(read_only=True)


class PublicView(APIView):
    """Takes a secret in the body, so nobody has to be signed in; guessing is locked out."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get_authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'  # or the answer to a wrong password would be 403


class SignInView(PublicView):
    """A pair of tokens for a password."""

    @extend_schema(request=SignInSerializer, responses={200: PairSerializer}, auth=[])
    def post(self, request: Request) -> Response:
        """Every wrong answer looks the same, whether the account exists or not."""
        asked = SignInSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return Response(jwt.sign_in(self._person(request, asked.validated_data)))

    def _person(self, request: Request, values: dict[str, Any]) -> User:
        user = by_password(request._request, values["username"], values["password"])
        if user is None:
            raise exceptions.AuthenticationFailed(_("Name, password or code is wrong."))
        if second_factor.has_factor(user):
            if not values.get("code"):
                sentence = _("This account has an authenticator app: send its “code” too.")
                raise exceptions.AuthenticationFailed(sentence)
            if not second_factor.check(user, values["code"], now=utcnow()):
                count_failure(request._request, user)
                raise exceptions.AuthenticationFailed(_("Name, password or code is wrong."))
        audit.record(actor=audit.person(user), verb="user.signed_in_by_program", target=user)
        return user


class RefreshView(PublicView):
    """The next pair of a sign-in."""

    @extend_schema(request=RefreshSerializer, responses={200: PairSerializer}, auth=[])
    def post(self, request: Request) -> Response:
        """Each refresh token is good once; one that comes back ends the whole sign-in."""
        asked = RefreshSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        try:
            return Response(jwt.renew(asked.validated_data["refresh"], now=utcnow()))
        except jwt.NotGood as exc:
            raise exceptions.AuthenticationFailed(_("This token is wrong, expired or revoked.")) from exc


class RevokeView(PublicView):
    """Sign out."""

    @extend_schema(request=RefreshSerializer, responses={204: None}, auth=[])
    def post(self, request: Request) -> Response:
        """The sign-in of this refresh token ends, with its access tokens. It is no error when it has ended."""
        asked = RefreshSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        jwt.revoke(asked.validated_data["refresh"], now=utcnow())
        return Response(status=status.HTTP_204_NO_CONTENT)
