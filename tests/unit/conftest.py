"""What several folders of tests need.

A trained model's folder as sampling finds it: tiny, randomly initialised, written by the real writers. And a server on
this machine that knows ranges and can break off.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
import torch

from medsyn2.config import TrainTextEncoderConfig
from medsyn2.ct.volume import axis_aligned_affine
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.transformer.dit import DiT
from medsyn2.reports.prompts import all_prompts
from medsyn2.training.text_encoder import train_encoder
from medsyn2.weights.model_folder import (
    DIT,
    TEXT_ENCODER,
    TOKENIZER,
    ChannelStatistics,
    GridDescription,
    LatentDescription,
    ModelDescription,
    TextDescription,
    TrainingDescription,
    hash_files,
    write_description,
)
from medsyn2.weights.tensors import save_component

SHAPE = (16, 32, 32)
AFFINE = axis_aligned_affine((4.0, 3.0, 3.0), (-48.0, -40.0, -30.0))
DIT_CONFIG = {"latent_channels": 4, "text_width": 16, "width": 24, "depth": 1, "num_heads": 2, "patch": (2, 2, 2)}
TOKENIZER_CONFIG = {"hidden_channels": 8, "channel_multipliers": [1, 1, 1, 1], "num_res_blocks": 1, "norm_groups": 4}
ENCODER_CONFIG = TrainTextEncoderConfig(vocabulary_size=300, hidden_size=16, num_layers=1, num_steps=0, max_tokens=64)


def write_tiny_model(folder, seed=0):
    """Write a model whose output depends on everything it is given; zero-initialised layers are not zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        dit, tokenizer = DiT(**DIT_CONFIG), CausalVideoVAE(**TOKENIZER_CONFIG)
        for parameter in dit.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    save_component(folder / DIT, dit, kind="dit", config=DIT_CONFIG)
    save_component(folder / TOKENIZER, tokenizer, kind="tokenizer", config=TOKENIZER_CONFIG)
    texts = [*all_prompts().values(), "A nodule of 5 mm in the right upper lobe. Large pleural effusion."]
    train_encoder(texts, ENCODER_CONFIG)[0].save(folder / TEXT_ENCODER)
    statistics = ChannelStatistics((0.1, -0.2, 0.0, 0.3), (1.0, 0.5, 2.0, 1.5))
    description = ModelDescription(
        grid=GridDescription(SHAPE, tuple(map(tuple, AFFINE.tolist())), (-1024.0, 1024.0)),
        latents=LatentDescription((4, 4, 4, 4), statistics, statistics, None, 0.25),
        text=TextDescription(16, 48, 32),
        training=TrainingDescription(1, 2, 1, {"heart": 2, "lobes": 2, "nodules": 1}, "0" * 64, "a test"),
        fingerprint=f"{seed:064x}",
        files=hash_files(folder),
    )
    write_description(folder, description)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """Folder of a model on a grid of 16 x 32 x 32 voxels of 4 x 3 x 3 mm."""
    return write_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def other_tiny_model(tmp_path_factory):
    """Folder of a model with other weights."""
    return write_tiny_model(tmp_path_factory.mktemp("other_model"), seed=1)


@pytest.fixture(scope="session")
def tiny_mask():
    """A box on the model's grid, as a bool array."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[4:10, 8:20, 5:15] = True
    return mask


@dataclass
class Server:
    """What the server has, and what it was asked.

    Attributes:
        files: Content by path.
        url: Where it is.
        break_after: Bytes after which it drops the connection, once each.
        ranges: The ranges it was asked for, None for a whole file.
        etag: Of all its files.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    url: str = ""
    break_after: list[int] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    etag: str = '"1"'


@contextmanager
def serving() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.ranges.append(wanted)
            data = state.files.get(self.path.lstrip("/"))
            if data is None:
                self.send_error(404)
                return
            begin = 0
            if wanted and self.headers.get("If-Range") == state.etag:
                begin = int(wanted.removeprefix("bytes=").split("-")[0])
                if begin >= len(data):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(data)}")
                    self.end_headers()
                    return
            self.send_response(206 if begin else 200)
            self.send_header("Content-Length", str(len(data) - begin))
            self.send_header("ETag", state.etag)
            self.end_headers()
            body = data[begin:]
            if state.break_after:
                body = body[: state.break_after.pop(0)]
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{httpd.server_address[1]}"
    thread = Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as state:
        yield state
