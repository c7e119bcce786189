"""Autoguidance (arXiv 2406.02507): the guider, and where its weak predictions come from."""
