"""Radiology reports and the sentences that say what a mask means."""
