"""Stand-ins for the tools: packages of the published names, tables and files, that segment by a threshold.

They let the adapters and their processes run in a second. The real packages run in ``tests/tools``.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medsyn2.ct.volume import CTVolume, axis_aligned_affine

LUNGMASK = {
    "lungmask-0.2.22.dist-info/METADATA": """Metadata-Version: 2.1
Name: lungmask
Version: 0.2.22

Five label models (Lung lobes): \\
1 = Left upper lobe \\
2 = Left lower lobe \\
3 = Right upper lobe \\
4 = Right middle lobe \\
5 = Right lower lobe
""",
    "lungmask/__init__.py": """
import numpy as np, os, SimpleITK
class LMInferer:
    def __init__(self, modelname, modelpath, fillmodel, fillmodel_path, force_cpu, batch_size, tqdm_disable):
        assert os.path.basename(modelpath) == "lobes-1.pth" and os.path.basename(fillmodel_path) == "lungs-2.pth"
        assert (force_cpu, batch_size) in [(True, 1), (False, 20)]
    def apply(self, image):
        hu = SimpleITK.GetArrayFromImage(image)
        return ((hu < -500) * (1 + np.arange(len(hu)) * 5 // len(hu))[:, None, None]).astype(np.uint8)
""",
    "lungmask/mask.py": """
MODEL_URLS = {"LTRCLobes": ("https://x/lobes-1.pth", 6), "R231": ("https://x/lungs-2.pth", 3)}
""",
}

TOTALSEGMENTATOR = {
    "TotalSegmentator-2.18.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: TotalSegmentator\nVersion: 2.18.0\n",
    "nnunetv2-2.8.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: nnunetv2\nVersion: 2.8.1\n",
    "nnunetv2/__init__.py": "",
    "nnunetv2/inference/__init__.py": "",
    "nnunetv2/inference/predict_from_raw_data.py": """
class nnUNetPredictor:
    reads = []
    def initialize_from_trained_model_folder(self, folder, use_folds, checkpoint_name="checkpoint_final.pth"):
        nnUNetPredictor.reads.append(folder)
        self.network = folder
""",
    "totalsegmentator/__init__.py": "",
    "totalsegmentator/map_to_binary.py": """
class_map = {
    "total": {51: "heart", 7: "stomach"},
    "lung_nodules": {1: "lung", 2: "lung_nodules"},
    "pleural_pericard_effusion": {1: "lung_pleural", 2: "pleural_effusion", 3: "pericardial_effusion"},
}
class_map_5_parts = {"organs": {1: "stomach"}, "cardiac": {1: "heart"}}
map_taskid_to_partname_ct = {291: "organs", 293: "cardiac"}
""",
    "totalsegmentator/map_tasks_config.py": """
TASK_CONFIGS = {
    "total": {"sub_modes": {
        "fast": {"task_id": 297}, "fastest": {"task_id": 298}, "default": {"task_id": [291, 293]}}},
    "lung_nodules": {"task_id": 913, "crop": ["stomach"]},
    "pleural_pericard_effusion": {"task_id": 315, "crop": ["stomach"], "robust_crop": True},
}
TASK_ID_WEIGHTS_CONFIGS = {number: {"foldername": f"Dataset{number}"} for number in (291, 293, 297, 298, 315, 913)}
""",
    "totalsegmentator/python_api.py": """
import json, os, nibabel, numpy as np
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
def download_pretrained_weights(task_id):
    raise AssertionError("nothing is downloaded")
def totalsegmentator(input, output, ml, nr_thr_saving, quiet, task, roi_subset, device):
    download_pretrained_weights(1)
    home = os.environ["TOTALSEG_HOME_DIR"]
    assert json.load(open(os.path.join(home, "config.json")))["send_usage_stats"] is False
    predictor = nnUNetPredictor()
    predictor.initialize_from_trained_model_folder(task, [0])
    assert predictor.network == task and nnUNetPredictor.reads.count(task) == 1
    image = nibabel.load(input)
    hu = np.asarray(image.dataobj)
    labels = np.where(hu < -500, 1, np.where(hu > 0, 2, 0))
    if roi_subset:
        labels = np.where(hu > 0, 51, 0)
    return nibabel.Nifti1Image(labels.astype(np.uint8), image.affine)
""",
}

MEDPSEG = {
    "medpseg/__init__.py": '__version__ = "4.1.0"\n',
    "medpseg/pipeline.py": """
import os, SimpleITK as sitk
class PolySegmentationPipeline:
    built = 0
    def __init__(self, weight, batch_size, cpu, output_dir, post, cli):
        if open(weight, "rb").read() != b"\\x80weights":
            raise ValueError("no checkpoint")
        type(self).built += 1
class SegmentationPipeline:
    def __init__(self, best_3d, batch_size):
        assert os.path.isfile(best_3d)
original = PolySegmentationPipeline
def pipeline(runlist, batch_size, output_path, display, info_q, cpu, windows_itksnap_path, linux_itksnap_path,
             debug, act, post, min_hu=-1024, max_hu=600, slicify=False, lobe_seg=True, cli=True):
    try:
        PolySegmentationPipeline(weight=os.path.join("medpseg", "poly_medseg_25d_fix.ckpt"), batch_size=batch_size,
                                 cpu=cpu, output_dir=output_path, post=post, cli=cli)
        SegmentationPipeline(best_3d=os.path.join("medpseg", "poly_lung.ckpt"), batch_size=batch_size)
        assert original.built == 1
        [path] = runlist
        image = sitk.ReadImage(path)
        hu = sitk.GetArrayFromImage(image)
        if hu.max() < -900:
            info_q.put(("write", "\\nCritical WARNING: Lung not found in image."))
            raise TypeError("NoneType * int")
        if hu.max() > 2000:
            raise ValueError("metal")
        for name, mask in (("ggo", (hu > -700) & (hu < -300)), ("consolidation", hu > 0), ("lung", hu < -500)):
            out = sitk.GetImageFromArray(mask.astype("uint8"))
            out.CopyInformation(image)
            sitk.WriteImage(out, os.path.join(output_path, "ct_" + name + ".nii.gz"))
        info_q.put(None)
    except Exception as error:
        info_q.put(error)
""",
}


PACKAGES = {"lungmask": LUNGMASK, "totalsegmentator": TOTALSEGMENTATOR, "medpseg": MEDPSEG}


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Put a tool's stand-in where its process finds it, and return a folder for its weights."""

    def write(tool: str) -> Path:
        packages = tmp_path / "packages"
        for name, text in PACKAGES[tool].items():
            path = packages / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        monkeypatch.setenv("PYTHONPATH", str(packages))
        weights = tmp_path / "weights" / tool
        weights.mkdir(parents=True)
        return weights

    return write


@pytest.fixture
def volume() -> CTVolume:
    """A box of air in tissue, off every centre, with a little opacity."""
    hu = np.full((12, 10, 14), 40, np.int16)
    hu[2:9, 3:8, 1:6] = -850
    hu[4:6, 4:6, 2:4] = -500
    return CTVolume(hu, axis_aligned_affine((3.0, 2.0, 1.5), (-10.0, 20.0, 5.0)))
