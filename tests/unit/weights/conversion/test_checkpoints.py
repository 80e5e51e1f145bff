import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from medsyn2.errors import WeightsError
from medsyn2.files import sha256_of
from medsyn2.weights.conversion.checkpoints import network_file, read_weights, weights_file

PLAIN = {"a.weight": torch.arange(6.0).view(2, 3), "b.count": torch.tensor(3)}
AVERAGE = {name: tensor + 1 for name, tensor in PLAIN.items()}


def same(found: object, expected: dict[str, Tensor]) -> bool:
    return set(found) == set(expected) and all(torch.equal(found[name], expected[name]) for name in expected)


def trainer_checkpoint(path: Path, *, average: bool) -> Path:
    wrapped = {f"module.{name}": tensor for name, tensor in AVERAGE.items()}
    content = {
        "epoch": 3,
        "state_dict": {"gen_model": PLAIN, "dics_model": {"x": torch.zeros(1)}},
        "optimizer_state": {"gen_optimizer": {"state": {}, "param_groups": []}},
        "ema_state_dict": wrapped if average else {},
        "scaler_state": {},
    }
    torch.save(content, path)
    return path


def test_flat_files_and_lightnings(tmp_path: Path) -> None:
    save_file(PLAIN, tmp_path / "flat.safetensors")
    torch.save(PLAIN, tmp_path / "flat.pth")
    lightning = {"state_dict": {**PLAIN, "loss.logvar": torch.zeros(())}, "pytorch-lightning_version": "2.2.1"}
    torch.save({**lightning, "epoch": 1, "global_step": 9, "optimizer_states": []}, tmp_path / "vae.ckpt")
    for name in ("flat.safetensors", "flat.pth", "vae.ckpt"):
        found = read_weights(tmp_path / name, drop=("loss.",))
        assert same(found.state, PLAIN)
        assert found.origin == {"file": name, "sha256": sha256_of(tmp_path / name), "weights": "plain"}


@pytest.mark.parametrize(
    ("choice", "average", "expected"),
    [("auto", True, "ema"), ("auto", False, "plain"), ("ema", True, "ema"), ("plain", True, "plain")],
)
def test_moving_average_where_there_is_one(tmp_path: Path, choice, average, expected) -> None:
    found = read_weights(trainer_checkpoint(tmp_path / "a.ckpt", average=average), choice)
    assert found.origin["weights"] == expected
    assert same(found.state, {"ema": AVERAGE, "plain": PLAIN}[expected])


def test_an_average_that_is_insisted_on_and_missing(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="weights-no-ema"):
        read_weights(trainer_checkpoint(tmp_path / "a.ckpt", average=False), "ema")


def test_a_folder_with_one_file_of_weights(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(WeightsError, match=r"weights-missing.*found none"):
        weights_file(tmp_path)
    save_file(PLAIN, tmp_path / "diffusion_pytorch_model.safetensors")
    assert same(read_weights(tmp_path).state, PLAIN)
    trainer_checkpoint(tmp_path / "b.ckpt", average=True)
    with pytest.raises(WeightsError, match=r"weights-ambiguous.*b\.ckpt, diffusion_pytorch_model"):
        weights_file(tmp_path)
    with pytest.raises(WeightsError, match="weights-missing"):
        weights_file(tmp_path / "nowhere")


class Bomb:
    """What a hostile checkpoint does when it is opened: a file appears."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_checkpoint_that_runs_code_does_not(tmp_path: Path) -> None:
    trace = tmp_path / "it_ran"
    torch.save({**PLAIN, "x": Bomb(trace)}, tmp_path / "bad.ckpt")
    with pytest.raises(WeightsError, match=r"weights-unreadable.*running code"):
        read_weights(tmp_path / "bad.ckpt")
    assert not trace.exists()


@pytest.mark.parametrize("name", ["x.safetensors", "x.ckpt", "x.pth"])
@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1", b"PK\x03\x04 and no more"])
def test_a_file_that_is_none_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=rf"weights-unreadable.*{name}"):
        read_weights(tmp_path / name)


def test_a_truncated_or_foreign_archive_is_named(tmp_path: Path) -> None:
    whole = trainer_checkpoint(tmp_path / "a.ckpt", average=True).read_bytes()
    (tmp_path / "a.ckpt").write_bytes(whole[: len(whole) // 2])
    with zipfile.ZipFile(tmp_path / "b.ckpt", "w") as archive:
        archive.writestr("notes.txt", "no tensors")
    for name in ("a.ckpt", "b.ckpt"):
        with pytest.raises(WeightsError, match="weights-unreadable"):
            read_weights(tmp_path / name)


@pytest.mark.parametrize("content", [[torch.zeros(1)], torch.zeros(2), {}, {"state_dict": {}}, {"epoch": 3}])
def test_a_checkpoint_without_tensors_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(WeightsError, match=r"weights-unreadable|weights-invalid"):
        read_weights(tmp_path / "x.ckpt")


def test_a_value_that_is_not_finite_is_named(tmp_path: Path) -> None:
    save_file({**PLAIN, "c": torch.tensor([1.0, float("nan")])}, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match=r"weights-invalid.*c of .*not finite"):
        read_weights(tmp_path)


@pytest.mark.parametrize("inside", [".", "final_ckpt"])
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_the_folder_may_be_given_itself_or_the_one_around_it(tmp_path: Path, inside: str, name: str) -> None:
    folder = tmp_path / inside
    folder.mkdir(exist_ok=True)
    for other in ("optimizer.bin", "scaler.pt", "random_states_0.pkl", name):
        (folder / other).touch()
    assert network_file(tmp_path) == folder / name


def test_anything_else_is_left_to_the_reader(tmp_path: Path) -> None:
    (tmp_path / "optimizer.bin").touch()
    assert network_file(tmp_path) == tmp_path
    assert network_file(tmp_path / "optimizer.bin") == tmp_path / "optimizer.bin"
