"""Convert foreign checkpoints and DICOM to this project's files.

DICOM as archives export it, patients and studies mixed or not, to a volume of each study:

    medsyn2 convert dicom export --to volumes

Open-Sora Plan's tokenizer, from a folder as diffusers writes it, a Lightning file or its trainer's .ckpt:

    medsyn2 convert tokenizer Open-Sora-Plan-v1.2.0/vae --to weights/tokenizer

The perceptual network (LPIPS) of the tokenizer's training, from torchvision's and the lpips package's files:

    medsyn2 convert perceptual vgg16-397923af.pth vgg.pth --to weights/perceptual

All parts of the authors' release, as a model folder for sampling; --base is Microsoft's CXR-BERT:

    medsyn2 convert official MedSynV2 --base weights/source/cxr-bert --to weights/medsynv2
    medsyn2 generate --model weights/medsynv2 --report "No effusion." --output a.nii.gz

CXR-BERT, Microsoft's or MedSyn's, as a plain BERT with its vocabulary; MedSyn's copy has weights only, so its
configuration and vocabulary come from Microsoft's folder:

    medsyn2 convert text-encoder weights/source/cxr-bert --to weights/cxr-bert
    medsyn2 convert text-encoder pretrained_lm --base weights/source/cxr-bert --to weights/cxr-bert-medsyn

A model in half the bytes, its tensors in float16, as the one that ships with the package:

    medsyn2 convert half results/train_dit/model --results results --to half

RadImageNet's ResNet50, for the FID, from its authors' file or from Warvito's:

    medsyn2 convert radimagenet RadImageNet-ResNet50_notop.pth --to weights/radimagenet

CT-Net and CT-CLIP, for the VLM3D challenge's numbers; --base is Microsoft's CXR-BERT:

    medsyn2 convert ct-net CTNet28_ctclip_whole_data_18classes --to weights/ct-net
    medsyn2 convert ct-clip CT-CLIP_v2.pt --base weights/source/cxr-bert --to weights/ct-clip

The result is a JSON with the network's configuration, the sha256 of its source and the sha256 of the tensors next to it
(safetensors); a text encoder is a folder in Hugging Face format. Loading is strict: a missing or unexpected tensor, or
one of another shape, is named, and nothing is written. Only this command opens pickles, without running code in them.
"""

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from medsyn2.commands import convert_dicom
from medsyn2.commands.answers import add_json, answer
from medsyn2.commands.convert_official import check_place, write_official
from medsyn2.evaluation.features.radimagenet import KIND as RADIMAGENET
from medsyn2.evaluation.features.radimagenet import RadImageNet
from medsyn2.evaluation.vlm3d.ct_clip import DESCRIPTION as CT_CLIP_FILE
from medsyn2.evaluation.vlm3d.ct_clip import KIND as CT_CLIP
from medsyn2.evaluation.vlm3d.ct_clip import TEXT_ENCODER as TEXT_TOWER
from medsyn2.evaluation.vlm3d.ct_clip import CTClip, sizes_of, split_published
from medsyn2.evaluation.vlm3d.ctnet import KIND as CT_NET
from medsyn2.evaluation.vlm3d.ctnet import build_ctnet
from medsyn2.export.model import read_figures
from medsyn2.nn.autoencoder.layouts import DepthMode
from medsyn2.nn.text_encoder import CONFIG_FILE, VOCABULARY_FILE, write_encoder
from medsyn2.nn.transformer.official_weights import NUM_HEADS, TOKEN_GRID
from medsyn2.weights.conversion.checkpoints import CHOICES, read_weights
from medsyn2.weights.conversion.official import DIFFERENCES, LANGUAGE_MODEL, PROMPTS, VAE, find_official, read_official
from medsyn2.weights.conversion.perceptual import build_perceptual
from medsyn2.weights.conversion.text_encoder import build_encoder, convert_encoder
from medsyn2.weights.conversion.tokenizer import TRAINING_ONLY, build_tokenizer, check_published_config
from medsyn2.weights.half import halve_model
from medsyn2.weights.model_folder import read_description
from medsyn2.weights.tensors import load_strictly, save_component, tensors_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the kinds and their options."""
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    for name, kind in KINDS.items():
        about, add_kind_arguments, _ = kind
        inner = kinds.add_parser(name, help=about, description=about, allow_abbrev=False)
        add_kind_arguments(inner)
        inner.add_argument("--to", type=Path, required=True, metavar="DIR", help="where the result goes")
        add_json(inner)


def run(arguments: argparse.Namespace) -> None:
    """Convert one source."""
    KINDS[arguments.kind][2](arguments)


def _tokenizer_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="SOURCE", help="checkpoint file, or folder with one")
    parser.add_argument(
        "--depth-mode",
        choices=get_args(DepthMode),
        help="how it is going to compress depth, which is not in the weights (default: uniform_aligned; the "
        "authors' layout has uniform_paper alone)",
    )
    parser.add_argument(
        "--weights",
        choices=CHOICES,
        default="auto",
        help="the moving average (ema) or not (plain), where a file has both (default: ema if there is one)",
    )


def _tokenizer(arguments: argparse.Namespace) -> None:
    published = arguments.source / "config.json"
    if published.is_file():
        check_published_config(published)
    foreign = read_weights(arguments.source, arguments.weights, drop=TRAINING_ONLY)
    config, network = build_tokenizer(foreign.state, arguments.depth_mode, source=str(arguments.source))
    path = arguments.to / "tokenizer.json"
    save_component(path, network, kind="tokenizer", config=config.model_dump(mode="json"), origin=foreign.origin)
    count = sum(parameter.numel() for parameter in network.parameters())
    facts = f"layout {config.layout}, depth mode {config.depth_mode}, {count:,} parameters"
    _say(arguments, path, foreign.origin, facts)


def _perceptual_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("vgg", type=Path, metavar="VGG", help="torchvision's VGG16 (vgg16-397923af.pth)")
    parser.add_argument("lpips", type=Path, metavar="LPIPS", help="lpips's weights v0.1 for it (vgg.pth)")


def _perceptual(arguments: argparse.Namespace) -> None:
    vgg, lpips = read_weights(arguments.vgg), read_weights(arguments.lpips)
    network = build_perceptual(vgg.state, lpips.state, source=f"{arguments.vgg} and {arguments.lpips}")
    path = arguments.to / "perceptual.json"
    origin = {
        f"{name}_{key}": foreign.origin[key]
        for name, foreign in (("vgg", vgg), ("lpips", lpips))
        for key in ("file", "sha256")
    }
    save_component(path, network, kind="perceptual", config={}, origin=origin)
    values = {"path": path, "facts": "", "origin": origin, "config": {"train_tokenizer": {"perceptual_weights": path}}}
    text = f"{path}: for the configuration\ntrain_tokenizer:\n  perceptual_weights: {path}\n"
    answer(arguments, "convert", values, text)


def _official_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", type=Path, metavar="DIR", help=f"folder with final_ckpt, {VAE}, {LANGUAGE_MODEL} and {PROMPTS}"
    )
    parser.add_argument(
        "--language-model", type=Path, metavar="DIR", help=f"its text encoder (default: {LANGUAGE_MODEL} in DIR)"
    )
    parser.add_argument(
        "--base",
        type=Path,
        metavar="DIR",
        help=f"folder with {CONFIG_FILE} and {VOCABULARY_FILE} of the text encoder (default: its own)",
    )
    parser.add_argument(
        "--prompts", type=Path, metavar="DIR", help=f"the pre-prompts' .npy files (default: {PROMPTS} in DIR)"
    )
    parser.add_argument(
        "--num-heads",
        type=int,
        default=NUM_HEADS,
        metavar="N",
        help="heads of self-attention, which the tensors do not tell (default: %(default)s)",
    )
    parser.add_argument(
        "--token-grid",
        type=int,
        nargs=3,
        default=TOKEN_GRID,
        metavar=("D", "H", "W"),
        help="tokens along depth, height, width that its positions are for (default: 56 28 28)",
    )


def _official(arguments: argparse.Namespace) -> None:
    check_place(arguments.to)
    found = find_official(
        arguments.source, language_model=arguments.language_model, base=arguments.base, prompts=arguments.prompts
    )
    depth, height, width = arguments.token_grid
    model = read_official(found, num_heads=arguments.num_heads, token_grid=(depth, height, width))
    made = write_official(arguments.to, model, (depth, height, width))
    shape = " x ".join(map(str, made.grid.shape))
    lines = [f"{arguments.to}: the authors' model, for volumes of {shape} voxels at 0.7 mm", ""]
    lines += [*(f"* {difference}" for difference in DIFFERENCES), "", f"Licence of the weights: {made.licence}", ""]
    values = {"path": arguments.to, "facts": " ".join(DIFFERENCES), "licence": made.licence}
    answer(arguments, "convert", values, "\n".join(lines))


def _radimagenet_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="SOURCE", help="ResNet50.pt or RadImageNet-ResNet50_notop.pth")


def _radimagenet(arguments: argparse.Namespace) -> None:
    foreign = read_weights(arguments.source)
    extractor = RadImageNet(foreign.state, sha256=foreign.origin["sha256"], source=str(arguments.source), device="cpu")
    path = arguments.to / "radimagenet.json"
    save_component(path, foreign.state, kind=RADIMAGENET, config={}, origin=foreign.origin)
    _say(arguments, path, foreign.origin, extractor.name, ("evaluate_fid", "radimagenet", tensors_path(path)))


def _ct_net_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="SOURCE", help="CTNet28_ctclip_whole_data_18classes")


def _ct_net(arguments: argparse.Namespace) -> None:
    foreign = read_weights(arguments.source)
    network = build_ctnet(foreign.state, source=str(arguments.source))
    path = arguments.to / f"{CT_NET}.json"
    sizes = {"slices": network.slices, "side": network.side}
    save_component(path, network, kind=CT_NET, config=sizes, origin=foreign.origin)
    _say(arguments, path, foreign.origin, "CT-Net; for medsyn2 evaluate --ct-net")


def _ct_clip_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="SOURCE", help="CT-CLIP_v2.pt")
    parser.add_argument(
        "--base",
        type=Path,
        required=True,
        metavar="DIR",
        help=f"folder with {CONFIG_FILE} and {VOCABULARY_FILE} of its text tower, Microsoft's CXR-BERT",
    )


def _ct_clip(arguments: argparse.Namespace) -> None:
    foreign = read_weights(arguments.source)
    state, text = split_published(foreign.state)
    network = CTClip(sizes := sizes_of(state))
    load_strictly(network, state, source=str(arguments.source))
    encoder = build_encoder(text, arguments.base, foreign.origin, source=str(arguments.source))
    write_encoder(arguments.to / TEXT_TOWER, **encoder.files)
    path = arguments.to / CT_CLIP_FILE
    save_component(path, network, kind=CT_CLIP, config=asdict(sizes), origin=foreign.origin)
    _say(arguments, path, foreign.origin, "CT-CLIP; for medsyn2 evaluate --ct-clip")


def _text_encoder_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="SOURCE", help="folder with the weights, or their file alone")
    parser.add_argument(
        "--base",
        type=Path,
        metavar="DIR",
        help=f"folder with {CONFIG_FILE} and {VOCABULARY_FILE} (default: the weights' own)",
    )


def _text_encoder(arguments: argparse.Namespace) -> None:
    encoder = convert_encoder(arguments.source, arguments.base)
    write_encoder(arguments.to, **encoder.files)
    rows = encoder.config["max_position_embeddings"]
    dropped = f"; left out: {', '.join(encoder.dropped)}" if encoder.dropped else ""
    facts = f"BERT of {len(encoder.state)} tensors, {rows:,} positions{dropped}"
    _say(arguments, arguments.to, encoder.origin, facts, ("encode_text", "encoder_dir", arguments.to))


def _say(
    arguments: argparse.Namespace,
    path: Path,
    origin: Mapping[str, str],
    facts: str,
    setting: tuple[str, str, Path] | None = None,
) -> None:
    """Print what was made, of which source, and the key of the configuration that names it."""
    values: dict[str, object] = {"path": path, "facts": facts, "origin": dict(origin)}
    text = f"{path}: {facts}; from the {origin['weights']} weights of {origin['file']} ({origin['sha256']})\n"
    if setting is not None:
        section, key, value = setting
        values["config"] = {section: {key: value}}
        text += f"for the configuration\n{section}:\n  {key}: {value}\n"
    answer(arguments, "convert", values, text)


def _half_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="DIR", help="folder of a trained model")
    parser.add_argument(
        "--results", type=Path, metavar="DIR", help="results of the run that trained it, for the figures of the card"
    )


def _half(arguments: argparse.Namespace) -> None:
    figures: list[str] = []
    if arguments.results is not None:
        figures = [*read_figures(arguments.results, read_description(arguments.source).fingerprint)]
    made = halve_model(arguments.source, arguments.to, figures)
    size = sum(path.stat().st_size for path in arguments.to.rglob("*") if path.is_file())
    facts = f"{size / 1e6:.1f} MB, the model {made.fingerprint[:12]}"
    answer(arguments, "convert", {"path": arguments.to, "facts": facts}, f"{arguments.to}: {facts}\n")


KINDS = {
    "dicom": ("a folder or an archive of DICOM, to volumes", convert_dicom.add_arguments, convert_dicom.run),
    "tokenizer": ("a CT or video tokenizer (CausalVideoVAE)", _tokenizer_arguments, _tokenizer),
    "official": ("all that the authors of MedSyn2 released, for sampling", _official_arguments, _official),
    "text-encoder": ("CXR-BERT, or another BERT", _text_encoder_arguments, _text_encoder),
    "half": ("a trained model, to float16", _half_arguments, _half),
    "radimagenet": ("RadImageNet's ResNet50, for the FID", _radimagenet_arguments, _radimagenet),
    "ct-net": ("CT-Net, for the VLM3D challenge's FVD", _ct_net_arguments, _ct_net),
    "ct-clip": ("CT-CLIP, for the VLM3D challenge's CLIP scores", _ct_clip_arguments, _ct_clip),
    "perceptual": ("the perceptual network of the tokenizer's training (LPIPS)", _perceptual_arguments, _perceptual),
}
"""Kinds of source: help in a line, and the functions that declare the options and convert."""
