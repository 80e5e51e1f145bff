import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertForMaskedLM, BertModel

from medsyn2.cli import main
from medsyn2.evaluation.features.radimagenet import load_radimagenet
from medsyn2.evaluation.features.resnet import KERAS, TORCH, ResNet50Features, ResNetForm
from medsyn2.evaluation.vlm3d.ct_clip import CTClip, CTClipExtractor, Sizes
from medsyn2.evaluation.vlm3d.ctnet import CTNet
from medsyn2.files import sha256_of
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.perceptual import Perceptual
from medsyn2.weights.tensors import load_component, load_strictly

GOLDEN = Path(__file__).parents[2] / "golden"


def make_published(seed: int = 0, layout: str = "v1.2") -> CausalVideoVAE:
    torch.manual_seed(seed)
    mode = "uniform_paper" if layout == "official" else "uniform_aligned"
    return CausalVideoVAE(32, (1, 1, 1, 1), num_res_blocks=1, depth_mode=mode, layout=layout)


def convert(source: Path, to: Path, *options: str) -> tuple[dict, CausalVideoVAE]:
    assert main(["convert", "tokenizer", str(source), "--to", str(to), *options]) == 0
    config, state = load_component(to / "tokenizer.json", "tokenizer")
    network = CausalVideoVAE(**config)
    load_strictly(network, state, source="tokenizer.json")
    return json.loads((to / "tokenizer.json").read_text("utf-8")), network


def equal(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(tensor, b.state_dict()[name]) for name, tensor in a.state_dict().items())


def test_a_folder_as_diffusers_writes_it(tmp_path: Path, capsys) -> None:
    source = tmp_path / "vae"
    source.mkdir()
    weights = source / "diffusion_pytorch_model.safetensors"
    save_file(make_published().state_dict(), weights)
    (source / "config.json").write_text(
        json.dumps({"_class_name": "CausalVAEModel", "hidden_size": 32, "decoder_attention": "AttnBlock3DFix"}),
        encoding="utf-8",
    )
    description, network = convert(source, tmp_path / "out")
    assert equal(network, make_published())
    assert description["config"]["depth_mode"] == "uniform_aligned"
    assert description["origin"] == {"file": weights.name, "sha256": sha256_of(weights), "weights": "plain"}
    assert description["sha256"] == sha256_of(tmp_path / "out" / "tokenizer.safetensors")
    assert "layout v1.2" in capsys.readouterr().out
    convert(source, tmp_path / "again")
    for name in ("tokenizer.json", "tokenizer.safetensors"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_the_authors_lightning_file(tmp_path: Path) -> None:
    loss = {"loss.logvar": torch.zeros(()), "loss.discriminator.main.0.weight": torch.zeros(2, 2)}
    content = {"state_dict": {**make_published(layout="official").state_dict(), **loss}, "epoch": 4}
    torch.save({**content, "pytorch-lightning_version": "2.2.1"}, tmp_path / "vae.ckpt")
    description, network = convert(tmp_path / "vae.ckpt", tmp_path / "out")
    assert equal(network, make_published(layout="official"))
    assert (description["config"]["layout"], description["config"]["depth_mode"]) == ("official", "uniform_paper")


@pytest.mark.parametrize(("choice", "seed"), [((), 1), (("--weights", "plain"), 0)])
def test_a_trainer_s_checkpoint_with_a_moving_average(tmp_path: Path, choice, seed) -> None:
    average = {f"module.{name}": tensor for name, tensor in make_published(1, "v1.1").state_dict().items()}
    content = {"state_dict": {"gen_model": make_published(0, "v1.1").state_dict()}, "ema_state_dict": average}
    torch.save(content, tmp_path / "checkpoint-2000.ckpt")
    description, network = convert(
        tmp_path / "checkpoint-2000.ckpt", tmp_path / "out", "--depth-mode", "first_frame", *choice
    )
    assert equal(network, make_published(seed, "v1.1"))
    assert description["config"]["depth_mode"] == "first_frame"
    assert description["origin"]["weights"] == ("plain" if choice else "ema")


def test_the_perceptual_network_from_its_two_files(tmp_path: Path, capsys) -> None:
    torch.manual_seed(0)
    state = Perceptual().state_dict()
    vgg = {name: tensor for name, tensor in state.items() if name.startswith("features")}
    torch.save({**vgg, "classifier.0.bias": torch.zeros(4)}, tmp_path / "vgg16-397923af.pth")
    torch.save({name: tensor for name, tensor in state.items() if name not in vgg}, tmp_path / "vgg.pth")
    sources = [str(tmp_path / name) for name in ("vgg16-397923af.pth", "vgg.pth")]
    assert main(["convert", "perceptual", *sources, "--to", str(tmp_path / "out")]) == 0
    config, found = load_component(tmp_path / "out" / "perceptual.json", "perceptual")
    network = Perceptual(**config)
    load_strictly(network, found, source="perceptual.json")
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
    origin = json.loads((tmp_path / "out" / "perceptual.json").read_text("utf-8"))["origin"]
    assert origin["lpips_sha256"] == sha256_of(tmp_path / "vgg.pth")
    assert f"perceptual_weights: {tmp_path / 'out' / 'perceptual.json'}" in capsys.readouterr().out


def test_what_cannot_be_converted_leaves_nothing_behind(tmp_path: Path, capsys) -> None:
    state = make_published().state_dict()
    del state["quant_conv.conv.weight"]
    save_file(state, tmp_path / "x.safetensors")
    assert main(["convert", "tokenizer", str(tmp_path), "--to", str(tmp_path / "out")]) == 14
    assert "quant_conv.conv.weight" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_in_a_process_of_its_own_it_ends_with_a_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "medsyn2", "convert", "tokenizer", str(tmp_path / "nowhere.ckpt")]
    result = subprocess.run([*command, "--to", str(tmp_path)], capture_output=True, encoding="utf-8", check=False)
    assert result.returncode == 14
    assert "[weights-missing]" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("form", [KERAS, TORCH], ids=lambda form: form.name)
def test_either_form_of_radimagenet_becomes_an_extractor(form: ResNetForm, tmp_path: Path) -> None:
    state = ResNet50Features(form).state_dict()
    if form is TORCH:
        places = {"conv1": 0, "bn1": 1, **{f"layer{stage}": stage + 3 for stage in range(1, 5)}}
        state = {f"backbone.{places[name.split('.')[0]]}.{name.split('.', 1)[1]}": t for name, t in state.items()}
    torch.save(state, tmp_path / "weights.pth")
    to = tmp_path / "radimagenet"
    assert main(["convert", "radimagenet", str(tmp_path / "weights.pth"), "--to", str(to)]) == 0
    assert load_radimagenet(to / "radimagenet.safetensors").name == f"radimagenet_resnet50({form.name})"


def test_cxr_bert_says_what_it_leaves_out_and_gives_the_same_bytes_twice(tmp_path: Path, capsys) -> None:
    config = BertConfig(vocab_size=5, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    source = tmp_path / "cxr-bert"
    config.save_pretrained(source)
    (source / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", encoding="utf-8")
    torch.save(BertForMaskedLM(config).state_dict(), source / "pytorch_model.bin")
    for name in ("one", "two"):
        assert main(["convert", "text-encoder", str(source), "--to", str(tmp_path / name)]) == 0
    said = capsys.readouterr().out
    assert "left out: cls." in said
    assert "cls.predictions.decoder.weight" in said
    assert f"encoder_dir: {tmp_path / 'one'}" in said
    for file in ("config.json", "vocab.txt", "model.safetensors", "tokenizer_config.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    origin = json.loads((tmp_path / "one" / "config.json").read_text("utf-8"))["converted_from"]
    assert origin["sha256"] == sha256_of(source / "pytorch_model.bin")


def test_ct_net_comes_in_its_own_container(tmp_path: Path) -> None:
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in CTNet().state_dict().items()}
    tensors = {name: torch.full(shape, 3) if not shape else torch.full(shape, 0.5) for name, shape in shapes.items()}
    state = {f"module.{name}": tensor for name, tensor in tensors.items()}
    source = tmp_path / "CTNet28_ctclip_whole_data_18classes"
    torch.save({"params": state, "epoch": 10}, source)
    assert main(["convert", "ct-net", str(source), "--to", str(tmp_path / "to")]) == 0
    config, found = load_component(tmp_path / "to/ct-net.json", "ct-net")
    assert config == {"slices": 402, "side": 420}
    assert all(torch.equal(tensor, found[name]) for name, tensor in tensors.items())
    source.write_bytes(source.read_bytes()[:840000])  # as the challenge's repository has it
    assert main(["convert", "ct-net", str(source), "--to", str(tmp_path / "cut")]) == 14


def test_ct_clip_becomes_two_towers(tmp_path: Path) -> None:
    sizes = Sizes(width=8, heads=2, head_width=4, depths=(1, 1), words=5, latent=6, text_width=8)
    network = CTClip(sizes)
    config = BertConfig(vocab_size=5, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    state = network.state_dict() | {"temperature": torch.ones(())}
    state |= {f"text_transformer.{name}": tensor for name, tensor in BertModel(config).state_dict().items()}
    base = tmp_path / "base"
    base.mkdir()
    config.to_json_file(base / "config.json")
    (base / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", encoding="utf-8")
    torch.save(state, tmp_path / "CT-CLIP_v2.pt")
    given = ["convert", "ct-clip", str(tmp_path / "CT-CLIP_v2.pt"), "--base", str(base), "--to", str(tmp_path / "to")]
    assert main(given) == 0
    extractor = CTClipExtractor(tmp_path / "to", "cpu")
    assert extractor.embed_text("No effusion.").shape == (6,)
    made, found = load_component(tmp_path / "to/ct-clip.json", "ct-clip")
    assert Sizes(**made) == sizes
    assert all(torch.equal(tensor, found[name]) for name, tensor in network.state_dict().items())
