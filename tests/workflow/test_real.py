"""Real CTs and files that are no CTs in one folder: the good ones end in a table, each bad one in the quarantine."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from .conftest import TINY, Workflow

GOOD = ["LIDC-IDRI-0001", "LIDC-IDRI-0003", "LIDC-IDRI-0028", "LUNG1-001", "R01-001", "LIDC-IDRI-0306"]
EXPECTED = {
    "1.dcm": "file-is-lfs-pointer",
    "MR_truncated.dcm": "file-is-dicom",
    "ct-patch.nrrd": "file-is-nrrd",
    "example4d.nii.gz": "volume-rank",
    "image10x10x10-extra-stuff.mhd": "file-is-metaimage",
    "dicom2nifti_notavolume.tgz": "file-is-tar",
    "abdomen_lungbase_CRLM-CT-1006_3mm.nii.gz": "lungs-cut-off",
}


@pytest.mark.slow
@pytest.mark.realdata
def test_real_folder_ends_in_the_table_and_the_quarantine(real_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cts"
    folder.mkdir()
    for name in GOOD:
        shutil.copy(real_data / f"ct/{name}.nii.gz", folder)
    expected = {}
    for name, code in EXPECTED.items():
        case = f"bad_{name.split('.')[0]}"
        shutil.copy(next((real_data / "bad").rglob(name)), folder / f"{case}.nii.gz")
        expected[case] = code
    override = tmp_path / "real.yaml"
    override.write_text(
        f"cohort: {{data_dir: {folder}, shard_size: 20}}\nregister: {{min_lung_dice: 0.5}}\n", encoding="utf-8"
    )
    workflow = Workflow(tmp_path, (TINY, override))
    workflow.run("results/fid_lung.csv", "results/report.html")
    quarantine = pd.read_csv(tmp_path / "results/quarantine.csv")
    assert dict(zip(quarantine["case"], quarantine["code"], strict=True)) == expected
    assert quarantine["remedy"].notna().all()
    assert len(pd.read_csv(tmp_path / "results/fid_lung.csv")) >= 4
    cases = pd.read_csv(tmp_path / "results/cases.csv").set_index("case")
    assert (cases.loc[GOOD, "status"] == "ok").all()
