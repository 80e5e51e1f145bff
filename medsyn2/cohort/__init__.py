"""The cohort: its cases, their order, shards, subjects and splits."""
