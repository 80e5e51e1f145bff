"""Sizes of the studies of control, for their code and for the estimate of their cost.

Here and not beside their code, because the estimate needs none of what the code imports.
"""

TIMES = tuple((tenth + 0.5) / 10 for tenth in range(10))
"""Times of the flow at which its loss is measured: the middle of each tenth."""
