"""A photo is what its bytes are, is written anew, and is seen by those who see what it shows."""

import io

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from devices.models import DevicePhoto, SitePhoto
from devices.photos import MAX_BYTES, SIDE, NoPhoto, read_photo
from platforms.models import AuditEvent, Platform, User
from tests.console.conftest import *  # noqa: F403  its fixtures
from tests.factories import make_device, make_site


def picture(form: str = "JPEG", size: tuple[int, int] = (64, 32), mode: str = "RGB", **options) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size).save(out, form, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("form", "mode"),
    [
        ("JPEG", "RGB"),
        ("JPEG", "CMYK"),
        ("JPEG", "L"),
        ("PNG", "RGBA"),
        ("PNG", "P"),
        ("PNG", "1"),
        ("WEBP", "RGB"),
    ],
)
def test_each_usual_form_becomes_a_jpeg(form: str, mode: str) -> None:
    taken = read_photo(picture(form, mode=mode))

    with Image.open(io.BytesIO(taken.content)) as kept:
        assert (kept.format, kept.mode, kept.size) == ("JPEG", "RGB", (64, 32))
        assert (taken.width, taken.height) == (64, 32)


def test_a_large_photo_is_made_small_and_turned_upright_and_its_place_is_left_out() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # taken with the phone on its side
    exif[0x010F] = "zqcamera"
    exif.get_ifd(0x8825)[1] = "N"

    taken = read_photo(picture(size=(2000, 1000), exif=exif))

    assert (taken.width, taken.height) == (SIDE // 2, SIDE)
    assert b"zqcamera" not in taken.content
    with Image.open(io.BytesIO(taken.content)) as kept:
        assert dict(kept.getexif()) == {}


def test_what_follows_or_hides_in_a_picture_does_not_come_along() -> None:
    hidden = b"<script>alert(1)</script>"

    assert hidden not in read_photo(picture() + hidden).content
    assert hidden not in read_photo(picture(comment=hidden)).content


@pytest.mark.parametrize(
    "data",
    [
        b"", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<html>", b"%PDF-1.7", b"GIF89a" + bytes(64),
        picture("GIF"),
        picture("BMP"), picture("TIFF"), picture()[:200], b"\xff\xd8\xff\xe0" + bytes(100), bytes(MAX_BYTES + 1),
        picture("PNG", size=(8000, 7000), mode="1"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_a_sentence(data: bytes) -> None:
    with pytest.raises(NoPhoto, match=r"^[A-Z].*[.]$"):
        read_photo(data)


@given(at=st.integers(0, 600), byte=st.integers(0, 255), form=st.sampled_from(["JPEG", "PNG", "WEBP"]))
def test_a_damaged_file_is_a_photo_or_refused(at: int, byte: int, form: str) -> None:
    data = bytearray(picture(form))
    data[at % len(data)] = byte

    try:
        taken = read_photo(bytes(data))
    except NoPhoto:
        return
    assert taken.content.startswith(b"\xff\xd8\xff")


def upload(data: bytes, name: str = "p.jpg", kind: str = "image/jpeg") -> dict[str, SimpleUploadedFile]:
    return {"file": SimpleUploadedFile(name, data, content_type=kind)}


@pytest.mark.django_db
@pytest.mark.parametrize("of", ["device", "site"])
def test_a_photo_is_kept_shown_replaced_and_removed(
    north: Platform, alice: User, browser_of, of: str
) -> None:
    row = make_device(north) if of == "device" else make_site(north)
    page, at = browser_of(alice), f"/admin/devices/{of}/{row.pk}"
    assert page.get(f"{at}/photo/").status_code == 404

    page.post(f"{at}/keep-photo/", upload(picture("PNG"), name="../../x.html", kind="text/html"))
    shown = page.get(f"{at}/photo/")

    assert shown.content.startswith(b"\xff\xd8\xff")
    assert (shown["Content-Type"], shown["X-Content-Type-Options"]) == ("image/jpeg", "nosniff")
    assert shown["Content-Disposition"] == f'inline; filename="{of}-{row.pk}.jpg"'
    assert "private" in shown["Cache-Control"]
    assert f"{at}/photo/" in page.get(f"{at}/change/").content.decode()
    page.post(f"{at}/keep-photo/", upload(picture(size=(10, 10))))
    assert (DevicePhoto if of == "device" else SitePhoto).objects.get().width == 10
    page.post(f"{at}/remove-photo/")
    assert page.get(f"{at}/photo/").status_code == 404
    assert AuditEvent.objects.filter(verb__startswith=f"{of}.photo").count() == 3


@pytest.mark.django_db
def test_a_bad_file_is_refused_on_the_page(north: Platform, alice: User, browser_of) -> None:
    device = make_device(north)

    page = browser_of(alice).post(f"/admin/devices/device/{device.pk}/keep-photo/", upload(b"<html>"))

    assert page.status_code == 400
    assert not DevicePhoto.objects.exists()


@pytest.mark.django_db
def test_a_photo_is_private_to_those_who_see_the_device(
    north: Platform, alice: User, bob: User, charlie: User, browser_of, client
) -> None:
    device = make_device(north)
    browser_of(alice).post(f"/admin/devices/device/{device.pk}/keep-photo/", upload(picture()))
    url = f"/admin/devices/device/{device.pk}/photo/"

    assert browser_of(bob).get(url).status_code == 200
    assert browser_of(bob).post(url.replace("/photo/", "/keep-photo/"), upload(picture())).status_code == 403
    assert browser_of(charlie).get(url).status_code == 404
    assert client.get(url).status_code == 302
