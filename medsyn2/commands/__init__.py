"""Commands outside the workflow: a module per verb, with ``add_arguments`` and ``run``."""
