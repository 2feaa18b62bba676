"""Secrets are made once, kept private, and never put over what a person has chosen."""

import stat

import pytest
from cryptography.fernet import Fernet

from remosa.localenv import PortError, admin_password, ensure_local_env, port_from_env


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    for name in (
        "SECRET_KEY",
        "FIELD_ENCRYPTION_KEYS",
        "AUDIT_KEYS",
        "DATABASE_URL",
        "EGRESS_ALLOW",
        "ALLOWED_HOSTS",
    ):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)
    for name in ("PUBLIC_URL", "DEBUG", "PORT"):
        monkeypatch.delenv(name, raising=False)


def test_ensure_makes_secrets_once(tmp_path):
    first, password = ensure_local_env(tmp_path), admin_password(tmp_path)

    assert ensure_local_env(tmp_path) == first
    assert admin_password(tmp_path) == password
    assert len(password) >= 12


def test_ensure_gives_keys_that_work(tmp_path):
    values = ensure_local_env(tmp_path)

    box = Fernet(values["FIELD_ENCRYPTION_KEYS"])
    assert box.decrypt(box.encrypt(b"x")) == b"x"
    assert len(values["SECRET_KEY"]) >= 50


def test_ensure_never_hands_out_the_password(tmp_path):
    values = ensure_local_env(tmp_path)

    assert admin_password(tmp_path) not in values.values()


def test_ensure_keeps_the_file_private(tmp_path):
    ensure_local_env(tmp_path)

    path = tmp_path / "var" / "secrets.env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secrets.env"]


def test_ensure_adds_only_what_is_missing(tmp_path):
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "secrets.env").write_text("# mine\nSECRET_KEY='kept'\n")

    values = ensure_local_env(tmp_path)

    assert values["SECRET_KEY"] == "kept"
    assert values["FIELD_ENCRYPTION_KEYS"]


def test_ensure_describes_a_loopback_installation(tmp_path, monkeypatch):
    monkeypatch.setenv("PORT", "8123")

    values = ensure_local_env(tmp_path)

    assert values["PUBLIC_URL"] == "http://127.0.0.1:8123"
    assert values["EGRESS_ALLOW"] == "127.0.0.0/8,::1/128"
    assert values["DATABASE_URL"] == f"sqlite:///{tmp_path}/var/remosa.sqlite3"
    assert values["DEBUG"] == "false"


@pytest.mark.parametrize("how", ["variable", "file variable", "dotenv"])
def test_ensure_leaves_alone_what_a_person_chose(tmp_path, monkeypatch, how):
    if how == "variable":
        monkeypatch.setenv("SECRET_KEY", "mine")
    elif how == "file variable":
        monkeypatch.setenv("SECRET_KEY_FILE", "/run/secrets/key")
    else:
        (tmp_path / ".env").write_text("export SECRET_KEY = mine\n")

    assert "SECRET_KEY" not in ensure_local_env(tmp_path)


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http", "80 80", "\u0668\u0660"])
def test_port_refuses_what_is_no_port(monkeypatch, text):
    monkeypatch.setenv("PORT", text)

    with pytest.raises(PortError, match="number from 1 to 65535"):
        port_from_env()


@pytest.mark.parametrize(("text", "port"), [("", 8000), ("8123", 8123)])
def test_port_is_read_from_the_environment(monkeypatch, text, port):
    monkeypatch.setenv("PORT", text)

    assert port_from_env() == port
