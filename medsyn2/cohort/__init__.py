"""The cohort: which cases there are, what was made of them, and where it is stored."""
