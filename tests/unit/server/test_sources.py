import pytest

from medsyn2.server.problems import Refusal
from medsyn2.server.sources import alignment_of, open_source


def test_a_volume_of_the_model_is_no_real_ct(page, item):
    with pytest.raises(Refusal, match="the model made"):
        open_source(page.session, item["id"])


@pytest.mark.parametrize("identifier", ["0" * 16, "..", ""])
def test_an_unknown_ct_is_refused(page, identifier):
    for look in (open_source, alignment_of):
        with pytest.raises(Refusal):
            look(page.session, identifier)
