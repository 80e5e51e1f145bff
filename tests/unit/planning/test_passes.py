"""One pass costs what its network implies, whatever was run before it."""

from medsyn2.planning.passes import Networks, num_parameters, text_width, weight_bytes
from tests.unit.planned import config


def test_a_pass_costs_the_same_in_any_order() -> None:
    networks, other = Networks.of(config()), Networks.of(config())
    forward, training = networks.dit_forward(), networks.dit_training()
    assert (other.dit_training(), other.dit_forward()) == (training, forward)
    assert training.flops > 2 * forward.flops * config().train_dit.batch_size
    assert training.peak_bytes > forward.peak_bytes


def test_a_given_encoder_is_taken_for_cxr_bert() -> None:
    given = config(encode_text={"encoder_dir": "cxr-bert"})
    assert (text_width(config()), text_width(given)) == (64, 768)
    assert num_parameters(Networks.of(given).dit) > num_parameters(Networks.of(config()).dit)
    assert weight_bytes(Networks.of(given).dit) == 4 * num_parameters(Networks.of(given).dit)
