"""Where the server listens; ``test_app.py`` has it running."""

import pytest

from medsyn2.errors import EnvironmentFault
from medsyn2.server.serving import listen


@pytest.mark.parametrize(("host", "port"), [("203.0.113.7", 0), ("127.0.0.1", -1), ("127.0.0.1", 70000)])
def test_an_address_that_cannot_be_had_is_named(host, port):
    with pytest.raises(EnvironmentFault) as caught:
        listen(host, port)
    assert caught.value.code == "port-taken"


def test_a_port_that_is_taken_is_named():
    with listen("127.0.0.1", 0) as one:
        one.listen()
        with pytest.raises(EnvironmentFault, match="port"):
            listen("127.0.0.1", one.getsockname()[1])
