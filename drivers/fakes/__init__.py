"""Drivers without an outside world: they fit the same ports, and remember what they were told."""
