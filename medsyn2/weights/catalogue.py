"""The catalogue of external weights: source, licence, size and checksum of each.

``medsyn2 fetch`` downloads from it and ``medsyn2 doctor`` checks a machine against it; nothing else in the project
downloads anything. Files lie in one folder that can be copied to another machine:

    weights/
      lungmask/unet_r231-d5d2fc3d.pth ...
      totalsegmentator/Dataset298_TotalSegmentator_total_6mm_1559subj/ ...
      medpseg/poly_medseg_25d_fix.ckpt ...
      source/cxr-bert/pytorch_model.bin ...       input of `medsyn2 convert`
      SHA256SUMS                                  of every file, as `sha256sum -c` reads it
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from medsyn2.vocabulary import Structure


@dataclass(frozen=True)
class Download:
    """A file to download."""

    path: str  # Path below the folder of weights; for an archive, the folder it unpacks to
    url: str  # Source
    size_bytes: int | None = None  # Size, if known
    sha256: str = ""  # Published checksum or its beginning; empty if there is none
    unpacks: tuple[
        str, ...
    ] = ()  # Patterns below `path` of an archive's required files; empty for a plain file


@dataclass(frozen=True)
class CatalogueEntry:
    """External weights."""

    name: str  # Name in ``fetch`` and ``doctor``
    about: str  # Purpose
    stages: tuple[str, ...]  # Stages that use them
    licence: str  # Licence stated by their authors
    page: str  # Web page, also for a download by hand
    downloads: tuple[Download, ...] = ()  # Files for ``fetch``; empty if they must be downloaded by hand
    structures: frozenset[Structure] = frozenset()  # Structures that need a segmenter's weights
    convert: str = ""  # Command that converts them for the configuration; empty if they are used directly


_LUNGMASK = "https://github.com/JoHof/lungmask/releases/download/v0.0/"
_TOTALSEGMENTATOR = "https://github.com/wasserth/TotalSegmentator/releases/download/"
_CXR_BERT = "https://huggingface.co/microsoft/BiomedVLP-CXR-BERT-specialized/resolve/main/"
_SEGMENTING = ("segment", "evaluate_masks")


def _dataset(
    name: str, release: str, size_bytes: int | None, *structures: Structure, about: str
) -> CatalogueEntry:
    return CatalogueEntry(
        f"totalsegmentator/{name.split('_')[0]}",
        about,
        _SEGMENTING,
        "Apache-2.0",
        "https://github.com/wasserth/TotalSegmentator",
        (
            Download(
                f"totalsegmentator/{name}",
                f"{_TOTALSEGMENTATOR}{release}-weights/{name}.zip",
                size_bytes,
                unpacks=("*/plans.json", "*/dataset.json", "*/fold_*/checkpoint_final.pth"),
            ),
        ),
        frozenset(structures),
    )


CATALOGUE: tuple[CatalogueEntry, ...] = (
    CatalogueEntry(
        "lungmask",
        "lobes, by two U-Nets",
        _SEGMENTING,
        "Apache-2.0 (the repository; none is stated for the weights)",
        "https://github.com/JoHof/lungmask",
        (
            Download(
                "lungmask/unet_r231-d5d2fc3d.pth",
                f"{_LUNGMASK}unet_r231-d5d2fc3d.pth",
                124_340_403,
                "d5d2fc3df432115933491f115b283e94d1f5c841c0e82f6e7bd2d65d3ccde69f",
            ),
            Download(
                "lungmask/unet_ltrclobes-3a07043d.pth",
                f"{_LUNGMASK}unet_ltrclobes-3a07043d.pth",
                124_338_462,
                "3a07043d",
            ),
        ),
        frozenset({"lobes"}),
    ),
    _dataset(
        "Dataset298_TotalSegmentator_total_6mm_1559subj",
        "v2.0.0",
        134_827_240,
        "lobes",
        "airways",
        "vessels",
        "heart",
        "nodules",
        "pleural_effusion",
        "pericardial_effusion",
        about="where the lungs are, at 6 mm, before every other task",
    ),
    _dataset(
        "Dataset258_lung_vessels_248subj", "v2.0.0", None, "airways", "vessels", about="airways and vessels"
    ),
    _dataset(
        "Dataset291_TotalSegmentator_part1_organs_1559subj",
        "v2.0.0",
        233_742_255,
        "lobes",
        about="lobes, if chosen",
    ),
    _dataset(
        "Dataset293_TotalSegmentator_part3_cardiac_1559subj", "v2.0.0", 234_190_318, "heart", about="heart"
    ),
    _dataset("Dataset913_lung_nodules", "v2.5.0", 765_102_050, "nodules", about="nodules"),
    _dataset(
        "Dataset315_thoraxCT",
        "v2.0.0",
        233_744_954,
        "pleural_effusion",
        "pericardial_effusion",
        about="pleural and pericardial effusion",
    ),
    CatalogueEntry(
        "medpseg",
        "ground-glass opacity and consolidation",
        _SEGMENTING,
        "MIT (the repository; none is stated for the weights)",
        "https://github.com/MICLab-Unicamp/medpseg",
        (
            Download(
                "medpseg",
                "https://github.com/MICLab-Unicamp/medpseg/releases/download/v4.0.0/data_poly.zip",
                unpacks=("poly_medseg_25d_fix.ckpt", "poly_lung.ckpt"),
            ),
            Download(
                "medpseg/torch/hub/checkpoints/adv-efficientnet-b4-44fb3a87.pth",
                "https://github.com/lukemelas/EfficientNet-PyTorch/releases/download/1.0/adv-efficientnet-b4-44fb3a87.pth",
                sha256="44fb3a87",
            ),
        ),
        frozenset({"ground_glass", "consolidation"}),
    ),
    CatalogueEntry(
        "cxr-bert",
        "embeddings of reports and pre-prompts",
        ("encode_prompts", "encode_text"),
        "MIT",
        "https://huggingface.co/microsoft/BiomedVLP-CXR-BERT-specialized",
        (
            Download("source/cxr-bert/config.json", f"{_CXR_BERT}config.json"),
            Download("source/cxr-bert/vocab.txt", f"{_CXR_BERT}vocab.txt"),
            Download(
                "source/cxr-bert/pytorch_model.bin",
                f"{_CXR_BERT}pytorch_model.bin",
                438_588_639,
                "a41d2f4b33e5bdbacabecb8d34c4420163e2165b9fdc6915014e8263a0d0782b",
            ),
        ),
        convert="medsyn2 convert text-encoder weights/source/cxr-bert --to weights/cxr-bert",
    ),
    CatalogueEntry(
        "tokenizer",
        "the video tokenizer that training starts from (Open-Sora Plan v1.2, folder vae)",
        ("train_tokenizer",),
        "MIT",
        "https://huggingface.co/LanguageBind/Open-Sora-Plan-v1.2.0",
        convert="medsyn2 convert tokenizer Open-Sora-Plan-v1.2.0/vae --to weights/tokenizer",
    ),
    CatalogueEntry(
        "perceptual",
        "the perceptual loss (LPIPS) of the tokenizer's training",
        ("train_tokenizer",),
        "BSD-3-Clause (VGG16, torchvision), BSD-2-Clause (LPIPS)",
        "https://github.com/richzhang/PerceptualSimilarity",
        (
            Download(
                "source/perceptual/vgg16-397923af.pth",
                "https://download.pytorch.org/models/vgg16-397923af.pth",
                sha256="397923af",
            ),
            Download(
                "source/perceptual/vgg.pth",
                "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/vgg.pth",
            ),
        ),
        convert="medsyn2 convert perceptual weights/source/perceptual/vgg16-397923af.pth "
        "weights/source/perceptual/vgg.pth --to weights/perceptual",
    ),
    CatalogueEntry(
        "radimagenet",
        "features of the FID",
        ("evaluate_fid",),
        "as RadImageNet states on its page: research",
        "https://github.com/BMEII-AI/RadImageNet",
        (
            Download(
                "source/radimagenet/RadImageNet-ResNet50_notop.pth",
                "https://huggingface.co/MONAI/checkpoints/resolve/main/RadImageNet-ResNet50_notop.pth",
            ),
        ),
        convert="medsyn2 convert radimagenet weights/source/radimagenet/RadImageNet-ResNet50_notop.pth "
        "--to weights/radimagenet",
    ),
)


def find(names: Sequence[str]) -> Iterator[CatalogueEntry]:
    """Yield the entries of the given names; ``totalsegmentator`` stands for all of its entries, no name for all.

    Raises:
        KeyError: If a name is unknown.
    """
    for name in names:
        if not any(name in (row.name, row.name.split("/")[0]) for row in CATALOGUE):
            raise KeyError(name)
    for row in CATALOGUE:
        if not names or row.name in names or row.name.split("/")[0] in names:
            yield row
