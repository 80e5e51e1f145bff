"""The unit of a CT's values: padding found by its place, evidence by tissues, and the decision."""
