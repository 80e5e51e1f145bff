"""The anatomy of a CT without a template: which way up the chest lies, and whether it is whole."""
