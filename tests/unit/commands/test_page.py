"""The page from the command line: what it needs, where it listens, what it prints."""

import re
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


HOSTS = """
import sys
from medsyn2.cli import main
from medsyn2.server import serving

serving.serve = lambda guard, listener, announce: announce()
model, folder, *hosts = sys.argv[1:]
for host in hosts:
    options = ["--model", model, "--port", "0", "--session", f"{folder}/{host}", "--no-browser"]
    assert main(["page", "--host", host, *options]) == 0
"""


def test_a_server_that_others_can_reach_says_so_before_its_link(tmp_path, tiny_model):
    # In a process of its own, since tests listen to no other address than this machine's first.
    command = [sys.executable, "-c", HOSTS, str(tiny_model), str(tmp_path), "127.0.0.2", "localhost", "0.0.0.0"]
    result = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", check=True, timeout=60
    )
    own, same, all_addresses = re.split("Ctrl-C ends the server.", result.stdout)[:3]
    assert "WARNING" not in own + same
    before, _, link = all_addresses.partition("http://")
    assert "WARNING 0.0.0.0 can be reached from the network, without encryption; the link is the key" in before
    assert "/?token=" in link
