"""The page's texts: each key that the page asks for is in the file, and none is left over."""

import json
import re
from pathlib import Path

import medsyn2.server

STATIC = Path(medsyn2.server.__file__).with_name("static")
TEXTS = json.loads((STATIC / "texts.en.json").read_text(encoding="utf-8"))
MODULES = "\n".join(path.read_text(encoding="utf-8") for path in sorted(STATIC.glob("*.js")))
MARKUP = (STATIC / "index.html").read_text(encoding="utf-8")
# Keys that are put together from a word of the page or of the server, by their beginning.
PREFIXES = ("badge.", "check.", "model.", "side.", "hint.", "job.", "kind.", "phase.", "plane.", "request.", "solver.")


def keys_of_markup() -> set[str]:
    return set(re.findall(r'data-(?:text|label|title|placeholder)="([^"]+)"', MARKUP))


def test_every_text_of_the_markup_is_there() -> None:
    assert sorted(keys_of_markup() - TEXTS.keys()) == []


def test_every_text_of_the_modules_is_there() -> None:
    assert sorted(set(re.findall(r'\b(?:t|say)\("([^"]+)"', MODULES)) - TEXTS.keys()) == []


def test_no_text_is_left_over() -> None:
    used = set(re.findall(r'"([a-z]+\.[a-z_-]+)"', MODULES)) | keys_of_markup()
    assert [key for key in TEXTS if key not in used and not key.startswith(PREFIXES)] == []


def test_ids_are_unique_and_the_modules_find_theirs() -> None:
    ids = re.findall(r'\bid="([^"]+)"', MARKUP)
    assert len(ids) == len(set(ids))
    asked = set(re.findall(r'\b(?:byId|button|input|select|area)\("([^"]+)"', MODULES))
    assert sorted(asked - set(ids)) == []


def test_the_page_holds_no_markup_from_text_and_nothing_inline() -> None:
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", MODULES)
    assert not re.search(r"\son\w+=|\sstyle=|<style|<script(?![^>]*src=)", MARKUP)
    assert not re.search(r"https?://", MARKUP + MODULES)


def test_modules_are_short() -> None:
    assert [path.name for path in STATIC.iterdir() if len(path.read_text(encoding="utf-8").splitlines()) > 400] == []
