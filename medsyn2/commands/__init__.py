"""What people run beside the stages: one module a verb, with ``add_arguments`` and ``run``."""
