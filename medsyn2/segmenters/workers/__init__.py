"""Scripts that run inside a tool's own process, and perhaps in its own environment.

``serve.py NAME`` is started with the tool's Python, imports ``NAME`` of this folder, and answers requests. These
files import the standard library and their tool, and nothing of medsyn2: the tool's environment need not have it,
and may be as old as Python 3.9.
"""
