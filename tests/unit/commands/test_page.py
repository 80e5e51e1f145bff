"""The page from the command line: what it needs, where it listens, what it prints."""

import subprocess
import sys
import threading
from importlib import util

import pytest

from medsyn2.cli import main
from medsyn2.commands import page
from medsyn2.server import serving


def test_without_its_packages_it_says_how_to_get_them(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(page, "find_spec", lambda name: None if name == "uvicorn" else util.find_spec(name))
    assert main(["page", "--model", str(tmp_path)]) == 10
    assert "pip install 'medsyn2[page]'" in capsys.readouterr().err


def test_the_package_needs_no_server():
    check = "assert not {'starlette', 'uvicorn'} & set(sys.modules)"
    code = f"import sys, medsyn2, medsyn2.cli, medsyn2.commands.page\n{check}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_folder_without_a_model_is_named(tmp_path, capsys):
    assert main(["page", "--model", str(tmp_path), "--port", "0", "--session", str(tmp_path / "s")]) == 14
    assert "model-missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "names", "shown"),
    [
        ("127.0.0.1", page.LOOPBACK, "127.0.0.1"),
        ("::1", page.LOOPBACK, "[::1]"),
        ("192.0.2.1", ("192.0.2.1",), "192.0.2.1"),
    ],
)
def test_a_server_answers_to_its_own_names(host, names, shown):
    assert page.names_of(host) == names
    assert page.url_host(host) == shown
    assert page.LOOPBACK[0] in page.names_of("0.0.0.0")


def test_the_link_is_printed_and_a_window_opened_where_there_is_one(monkeypatch, tmp_path, tiny_model, capsys):
    opened = threading.Event()
    monkeypatch.setattr(page.webbrowser, "open", lambda link: opened.set())
    monkeypatch.setattr(serving, "serve", lambda guard, listener, announce: announce())
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for display, options, is_open in (("", [], False), (":0", ["--no-browser"], False), (":0", [], True)):
        monkeypatch.setenv("DISPLAY", display)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        assert main(["page", "--model", str(tiny_model), "--port", "0", *options]) == 0
        assert opened.wait(5 if is_open else 0.05) == is_open
        assert "/?token=" in capsys.readouterr().out
    assert (tmp_path / "medsyn2/page/items").is_dir()
