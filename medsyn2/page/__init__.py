"""The page that shows a run: figures, tables and the template that holds them together."""
