"""A port is free when nobody listens, and the one we kept comes back."""

import socket

import pytest

from remosa.ports import any_free, is_free, kept_port


@pytest.fixture
def taken():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        yield server.getsockname()[1]


def test_is_free_tells_a_taken_port_from_a_free_one(taken):
    assert is_free(taken) is False
    assert is_free(any_free()) is True


def test_kept_port_takes_the_preferred_one_first_and_notes_it(tmp_path):
    preferred = any_free()

    assert kept_port(tmp_path / "deep" / "port", preferred=preferred) == preferred
    assert (tmp_path / "deep" / "port").read_text() == f"{preferred}\n"


def test_kept_port_stays_the_same_from_start_to_start(tmp_path):
    note, first = tmp_path / "port", any_free()
    note.write_text(f"{first}\n")

    assert kept_port(note, preferred=any_free(avoid=first)) == first


@pytest.mark.parametrize("noted", ["", "many", "0", "70000"])
def test_kept_port_survives_a_spoilt_note(tmp_path, noted):
    (tmp_path / "port").write_text(noted)
    preferred = any_free()

    assert kept_port(tmp_path / "port", preferred=preferred) == preferred


def test_kept_port_moves_when_somebody_else_took_it(tmp_path, taken):
    (tmp_path / "port").write_text(f"{taken}\n")

    port = kept_port(tmp_path / "port", preferred=taken)

    assert port != taken
    assert (tmp_path / "port").read_text() == f"{port}\n"


def test_kept_port_is_never_the_one_of_the_console(tmp_path):
    console = any_free()

    assert kept_port(tmp_path / "port", preferred=console, avoid=console) != console
