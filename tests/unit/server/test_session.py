import json
import os
import stat
import time

import pytest

from medsyn2.errors import EnvironmentFault
from medsyn2.server.problems import Refusal
from medsyn2.server.session import KINDS, Session, new_id


@pytest.fixture
def session(tmp_path):
    session = Session(tmp_path / "session")
    with session.hold():
        yield session


def write(folder):
    (folder / "runs.bin").write_bytes(b"")


def test_only_the_owner_can_read_it(session):
    folders = [session.root, *(session.root / kind for kind in KINDS), session.root / "work"]
    session.add("masks", write, {"name": "a"})
    folders += list((session.root / "masks").iterdir())
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}


def test_a_record_is_kept_over_a_restart(session):
    identifier = session.add("masks", write, {"name": "a"})
    assert Session(session.root).read("masks", identifier) == {"id": identifier, "name": "a"}
    assert session.update("masks", identifier, name="b")["name"] == "b"
    session.remove("masks", identifier)
    with pytest.raises(Refusal, match="mask"):
        session.read("masks", identifier)


@pytest.mark.parametrize("name", ["..", "../masks", "", "0" * 15, "G" * 16, "0" * 16 + "/", "work", ".lock", None, 5])
def test_an_id_reaches_nothing_else(session, name):
    with pytest.raises(Refusal) as caught:
        session.find("items", name)
    assert caught.value.status == 404


def test_a_folder_is_whole_or_absent(session):
    def fail(folder):
        write(folder)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        session.add("masks", fail, {})
    assert list((session.root / "masks").iterdir()) == []


def test_a_second_server_is_kept_out(session):
    with pytest.raises(EnvironmentFault) as caught, Session(session.root).hold():
        pass
    assert caught.value.code == "session-in-use"


@pytest.mark.parametrize("kind", ["a file", "other files", "another's"])
def test_an_unusable_folder_is_refused(tmp_path, monkeypatch, kind):
    root = tmp_path / "place"
    if kind == "a file":
        root.write_text("", encoding="utf-8")
    elif kind == "other files":
        root.mkdir()
        (root / "thesis.doc").write_text("", encoding="utf-8")
    else:
        monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(EnvironmentFault) as caught, Session(root).hold():
        pass
    assert caught.value.code == "session-unusable"
    assert kind != "other files" or [one.name for one in root.iterdir()] == ["thesis.doc"]


def test_what_a_killed_server_left_is_removed_and_results_stay(tmp_path):
    session = Session(tmp_path)
    with session.hold():
        pass

    def add(place, **record):
        return session.add(place, write, record)

    item = add("items", volume="1" * 16, mask="2" * 16, source=None)
    shown, lost = add("volumes", kind="synthetic", item=item), add("volumes", kind="synthetic", item=new_id())
    preview, real = add("volumes", kind="preview"), add("volumes", kind="real")
    (tmp_path / "items/.0123456789abcdef").mkdir()
    (tmp_path / "work/upload.nii.gz").write_bytes(b"a patient's")
    with session.hold():
        assert {one["id"] for one in session.all("volumes")} == {shown, real}
        assert lost != preview
        assert [one["id"] for one in session.all("items")] == [item]
        assert not (tmp_path / "items/.0123456789abcdef").exists()
    assert list((tmp_path / "work").iterdir()) == []


def test_what_no_result_came_of_is_forgotten_after_a_week(tmp_path):
    session = Session(tmp_path)
    with session.hold():
        used, old, new = (session.add("masks", write, {"name": name}) for name in ("used", "old", "new"))
        session.add("items", write, {"mask": used})
    week_ago = time.time() - 8 * 86400
    for identifier in (used, old):
        os.utime(tmp_path / "masks" / identifier, (week_ago, week_ago))
    with session.hold():
        assert {one["id"] for one in session.all("masks")} == {used, new}


def test_a_damaged_record_is_left_out(session):
    identifier = session.add("items", write, {"name": "a"})
    (session.root / "items" / identifier / "item.json").write_text("{", encoding="utf-8")
    assert session.all("items") == []
    assert json.dumps(session.all("masks")) == "[]"
