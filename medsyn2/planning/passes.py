"""One pass of each network of a configuration, in operations and memory, from shapes alone.

A training step is forward and backward, in the precision and with the checkpointing that the configuration names;
volumes are sampled, encoded and decoded in the precision of ``inference``. Each pass is simulated
(``simulated.py``) where it is not kept from before (``kept.py``).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from medsyn2.config import Config
from medsyn2.nn.compute_cost import ComputeCost
from medsyn2.planning.kept import keep, keep_cost
from medsyn2.planning.pass_settings import TokenizerSettings, TransformerSettings
from medsyn2.vocabulary import Precision

if TYPE_CHECKING:
    from medsyn2.planning.simulated import SimulatedTokenizer, SimulatedTransformer

CXR_BERT_WIDTH = 768
KEPT_FOR_ADAM = 4
"""Weights, both moments and the moving average; gradients are in a training step's peak."""


@dataclass(frozen=True)
class Networks:
    """The networks of a configuration in numbers.

    Raises:
        ConfigError: From every pass, if the grid or a window is no shape that the tokenizer can compress.
    """

    config: Config
    precision: Precision  # Of sampling, encoding and decoding

    @classmethod
    def of(cls, config: Config, *, has_bf16: bool = True) -> "Networks":
        """Return the networks of `config` on a device with or without bfloat16."""
        setting = config.inference.precision
        return cls(config, ("bf16" if has_bf16 else "float32") if setting == "auto" else setting)

    @cached_property
    def tokenizer(self) -> TokenizerSettings:
        """What decides the tokenizer's passes."""
        windows, training = self.config.encode_latents, self.config.train_tokenizer
        return TokenizerSettings(
            network=self.config.tokenizer.model_dump(),
            volume_shape=self.config.grid.shape,
            window=windows.window,
            overlap=windows.overlap,
            precision=self.precision,
            batch_size=training.batch_size,
            crop_shape=training.crop_shape,
            training_precision=training.precision,
            is_perceptual=bool(training.perceptual_weights),
        )

    @cached_property
    def transformer(self) -> TransformerSettings:
        """What decides the transformer's passes."""
        training = self.config.train_dit
        return TransformerSettings(
            network=self.config.dit.model_dump(),
            latent_shape=self.latent_shape,
            text_tokens=self.text_tokens,
            text_width=text_width(self.config),
            precision=self.precision,
            batch_size=training.batch_size,
            training_precision=training.precision,
            checkpointing=training.checkpointing,
        )

    @cached_property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """Channels, depth, height and width of a volume's latents."""
        channels, depth, height, width = keep(
            "latent_shape", self.tokenizer, lambda: list(self.simulated_tokenizer.latent_shape)
        )
        return channels, depth, height, width

    @property
    def text_tokens(self) -> int:
        """Tokens of pre-prompt and report."""
        return self.config.encode_text.max_prompt_tokens + self.config.encode_text.max_report_tokens

    @property
    def tokenizer_bytes(self) -> int:
        """Memory of the tokenizer's weights, in float32 as they are kept."""
        return int(keep("tokenizer_bytes", self.tokenizer, lambda: self.simulated_tokenizer.weight_bytes))

    @property
    def dit_bytes(self) -> int:
        """Memory of the transformer's weights, in float32 as they are kept."""
        return int(keep("dit_bytes", self.transformer, lambda: self.simulated_dit.weight_bytes))

    def dit_forward(self) -> ComputeCost:
        """Return what the transformer takes for one sample, without gradients."""
        return keep_cost("dit_forward", self.transformer, lambda: self.simulated_dit.forward())

    def dit_training(self) -> ComputeCost:
        """Return what one micro-step of the transformer's training takes."""
        return keep_cost("dit_training", self.transformer, lambda: self.simulated_dit.training())

    def tokenizer_training(self) -> ComputeCost:
        """Return what one step of the tokenizer's training takes, without an adversary."""
        return keep_cost("tokenizer_training", self.tokenizer, lambda: self.simulated_tokenizer.training())

    def perceptual_loss(self) -> ComputeCost:
        """Return what the perceptual loss takes of that step, which is in float32."""
        return keep_cost("perceptual_loss", self.tokenizer, lambda: self.simulated_tokenizer.perceptual_loss())

    def encoding(self) -> ComputeCost:
        """Return what it takes to encode one volume."""
        return keep_cost("encoding", self.tokenizer, lambda: self.simulated_tokenizer.encoding())

    def decoding(self) -> ComputeCost:
        """Return what it takes to decode one volume as the encoder's windows do."""
        return keep_cost("decoding", self.tokenizer, lambda: self.simulated_tokenizer.decoding())

    @cached_property
    def simulated_tokenizer(self) -> "SimulatedTokenizer":
        """The tokenizer on tensors without values."""
        from medsyn2.planning.simulated import SimulatedTokenizer  # imports torch, which kept costs do not need

        return SimulatedTokenizer(self.tokenizer)

    @cached_property
    def simulated_dit(self) -> "SimulatedTransformer":
        """The transformer on tensors without values."""
        from medsyn2.planning.simulated import SimulatedTransformer

        return SimulatedTransformer(self.transformer)


def text_width(config: Config) -> int:
    """Return the width of the text encoder's embeddings; a given encoder is taken for CXR-BERT."""
    return CXR_BERT_WIDTH if config.encode_text.encoder_dir else config.train_text_encoder.hidden_size
