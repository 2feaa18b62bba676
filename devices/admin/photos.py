"""The photo on the page of a device or a site: its own address, and the deeds that replace and remove it."""

from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminFileFieldWidget

from devices.photos import MAX_BYTES
from devices.services.photos import keep_photo, photo_of, remove_photo
from platforms.console.deeds import Deed
from platforms.roles import Perm
from remosa.lib.clock import utcnow


class PhotoForm(forms.Form):
    """One picture."""

    file = forms.FileField(
        label=_("Photo"), widget=UnfoldAdminFileFieldWidget(attrs={"accept": "image/jpeg,image/png,image/webp"})
    )  # fmt: skip

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > MAX_BYTES:
            raise forms.ValidationError(
                _g("The photo is larger than %(limit)d MB.") % {"limit": MAX_BYTES // 1_000_000}
            )
        return file


class PhotoPages:
    """Gives a page its photo: ``photo/`` for those who see the row, two deeds for those who manage it."""

    photo_deeds = (
        Deed(
            "keep_photo", _("Photo"), Perm.MANAGE_DEVICES, icon="photo_camera", form=PhotoForm,
            question=_(
                "A picture helps whoever has to find it. It is made smaller; place and time of the camera are left out."
            ),
        ),
        Deed(
            "remove_photo", _("Remove the photo"), Perm.MANAGE_DEVICES, icon="hide_image", danger=True,
            when=lambda row: photo_of(row) is not None,
        ),
    )  # fmt: skip

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_photo"
        view = self.admin_site.admin_view(self.photo_view)
        return [path("<path:object_id>/photo/", view, name=name), *super().get_urls()]

    def photo_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The picture itself, for those who see the row; never kept by what stands between."""
        row = self.require_row(request, object_id)
        photo = photo_of(row)
        if photo is None:
            raise Http404
        answer = HttpResponse(bytes(photo.content), content_type="image/jpeg")
        answer["Content-Disposition"] = f'inline; filename="{self.opts.model_name}-{row.pk}.jpg"'
        answer["X-Content-Type-Options"] = "nosniff"
        answer["Cache-Control"] = "private, max-age=300"
        return answer

    def photo_context(self, row: Any) -> dict[str, Any]:
        """What the head of the page shows: address and size, or None."""
        photo = photo_of(row)
        if photo is None:
            return {"photo": None}
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_photo"
        url = f"{reverse(name, args=[row.pk])}?{photo.at.timestamp():.0f}"
        return {"photo": {"url": url, "width": photo.width, "height": photo.height, "at": photo.at}}

    def keep_photo(self, request: HttpRequest, row: Any, answers: dict[str, Any]) -> str:
        """Deed: another photo."""
        keep_photo(row, data=answers["file"].read(), by=request.user, now=utcnow())
        return _g("The photo is kept.")

    def remove_photo(self, request: HttpRequest, row: Any, answers: dict[str, Any]) -> str:
        """Deed: no photo."""
        remove_photo(row, by=request.user, now=utcnow())
        return _g("The photo is removed.")
