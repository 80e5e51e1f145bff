"""``medsyn2 fetch`` from a server on this machine."""

import io
import zipfile
from pathlib import Path

import pytest

from medsyn2.cli import main
from medsyn2.commands.fetch import select_entries
from medsyn2.weights.catalogue import find
from medsyn2.weights.checks import read_checksums


@pytest.fixture
def mirror(server):
    """A mirror of lungmask's and one of TotalSegmentator's rows; the bytes are not the published ones."""
    [row] = find(["totalsegmentator/Dataset315"])
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for name in ("plans.json", "dataset.json", "fold_0/checkpoint_final.pth"):
            opened.writestr(f"Dataset315_thoraxCT/nnUNetTrainer__nnUNetPlans__3d_fullres/{name}", name)
    server.files[f"{row.downloads[0].path}.zip"] = archive.getvalue()
    server.files["lungmask/unet_r231-d5d2fc3d.pth"] = b"not it"
    return server


def test_an_archive_is_fetched_unpacked_recorded_and_not_fetched_again(mirror, tmp_path, capsys) -> None:
    command = ["fetch", "totalsegmentator/Dataset315", "--to", str(tmp_path), "--mirror", mirror.url]
    assert main(command) == 0
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    place = "totalsegmentator/Dataset315_thoraxCT/nnUNetTrainer__nnUNetPlans__3d_fullres"
    names = {f"{place}/{name}" for name in ("plans.json", "dataset.json", "fold_0/checkpoint_final.pth")}
    assert files == names | {"SHA256SUMS"}
    assert set(read_checksums(tmp_path)) == names
    assert "licence: Apache-2.0" in capsys.readouterr().out
    assert main(command) == 0
    assert len(mirror.ranges) == 1


def test_other_bytes_than_the_published_end_with_a_sentence(mirror, tmp_path, capsys) -> None:
    assert main(["fetch", "lungmask", "--to", str(tmp_path), "--mirror", mirror.url]) == 14
    assert "[download-damaged]" in capsys.readouterr().err
    assert not list(Path(tmp_path).rglob("*.pth"))


def test_a_configuration_says_what_it_needs(tmp_path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        f"segment: {{tools: {{heart: totalsegmentator, lobes: null}}, weights_dir: {tmp_path}}}", encoding="utf-8"
    )
    assert [row.name for row in select_entries([], [mine])] == [
        "totalsegmentator/Dataset298",
        "totalsegmentator/Dataset293",
    ]
    on_top = tmp_path / "on_top.yaml"
    on_top.write_text("segment: {tools: {heart: null, lobes: lungmask}}", encoding="utf-8")
    assert [row.name for row in select_entries([], [mine, on_top])] == ["lungmask"]


@pytest.mark.parametrize(
    ("arguments", "named"), [(["nothing"], "'nothing'"), ([], "nothing was named"), (["lungmask"], "no folder")]
)
def test_a_mistake_is_named(arguments: list[str], named: str, capsys) -> None:
    assert main(["fetch", *arguments]) == 2
    assert named in capsys.readouterr().err


def test_the_list_needs_no_network(capsys) -> None:
    assert main(["fetch", "--list"]) == 0
    assert "lungmask: lobes, by two U-Nets (249 MB)" in capsys.readouterr().out


def test_what_cannot_be_downloaded_says_where_it_is(tmp_path, capsys) -> None:
    assert main(["fetch", "tokenizer", "--to", str(tmp_path)]) == 0
    assert "by hand from https://" in capsys.readouterr().out
