"""Radiology reports and the pre-prompts that name a mask's structure."""
