"""The evaluations: a room a question, and the measures, features and statistics that the rooms share."""
