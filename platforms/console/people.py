"""Forms about people: a member of a platform, new or known."""

from typing import Any

from django import forms
from django.core.validators import validate_email
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from platforms.console.grants import Grants
from platforms.models import Membership, Platform, User
from platforms.roles import Role, may_grant


def grantable_roles(grants: Grants, platform_id: int | None) -> list[tuple[str, Any]]:
    """The roles that this person may give on the platform; on any of their platforms when None."""
    own = (
        {grants.role_on(platform_id)}
        if platform_id is not None
        else {grants.role_on(number) for number in grants.platforms()}
    )
    if grants.is_superadmin:
        own = {"superadmin"}
    return [(role, label) for role, label in Role.choices if any(may_grant(o, role) for o in own if o)]


class NewMemberForm(forms.ModelForm):
    """Somebody of the own platforms, or a new person, who gets an account and a password shown once."""

    known = forms.ModelChoiceField(
        label=_("Person"), queryset=User.objects.none(), required=False, widget=UnfoldAdminSelectWidget,
        empty_label=_("a new person"), help_text=_("Somebody who has an account, or a new person below."),
    )  # fmt: skip
    username = forms.CharField(
        label=_("New person: user name"), required=False, max_length=150, widget=UnfoldAdminTextInputWidget,
        validators=User._meta.get_field("username").validators,
    )  # fmt: skip
    full_name = forms.CharField(
        label=_("New person: name"), required=False, max_length=150, widget=UnfoldAdminTextInputWidget
    )
    email = forms.CharField(
        label=_("New person: e-mail"), required=False, validators=[validate_email],
        widget=UnfoldAdminEmailInputWidget,
    )  # fmt: skip

    class Meta:
        model = Membership
        fields = ("platform", "role")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        known, username = cleaned.get("known"), cleaned.get("username", "")
        if known is None and not username:
            self.add_error("known", _("Choose a person, or give the new person a user name."))
        if known is not None and username:
            self.add_error("username", _("Choose a person or describe a new one, not both."))
        if username and User.objects.filter(username__iexact=username).exists():
            self.add_error("username", _("This user name is taken. Choose another one."))
        email = cleaned.get("email", "")
        if username and email and User.objects.filter(email__iexact=email).exists():
            self.add_error("email", _("Another person already has this e-mail."))
        platform = cleaned.get("platform")
        if known is not None and platform is not None:
            self._check_is_new(known, platform)
        return cleaned

    def _check_is_new(self, person: User, platform: Platform) -> None:
        if Membership.objects.filter(user=person, platform=platform).exists():
            self.add_error("known", _("This person is a member already. Open the member to change the role."))
