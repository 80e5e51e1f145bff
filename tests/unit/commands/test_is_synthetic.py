from medsyn2.cli import main
from medsyn2.ct.volume import CTVolume
from medsyn2.formats import write_ct
from tests.series import counted, series_affine

VOLUME = CTVolume(counted(), series_affine())


def test_each_path_gets_a_line_and_the_status_tells_of_one_without_a_mark(tmp_path, capsys):
    write_ct(tmp_path / "a.nii.gz", VOLUME, description="SYNTHETIC medsyn2")
    write_ct(tmp_path / "b.mha", VOLUME)
    assert main(["is-synthetic", str(tmp_path / "a.nii.gz")]) == 0
    assert main(["is-synthetic", str(tmp_path / "a.nii.gz"), str(tmp_path / "b.mha")]) == 3
    said = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[1] for line in said] == ["marked", "marked", "unmarked"]
    assert main(["is-synthetic", str(tmp_path / "missing.nii")]) == 1
