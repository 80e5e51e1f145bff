"""A run of every stage, made once: xdist gives all files of this folder to one process (see tests/conftest.py)."""

import pytest

from tests.workflow.conftest import Workflow


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """A finished run of every stage."""
    workflow = Workflow(tmp_path_factory.mktemp("finished"))
    workflow.run("all")
    return workflow
