"""Runs the compatibility matrix, which needs the host and the pack before it can be imported."""

import importlib
import sys

import conftest

conftest.import_tested()
sys.exit(importlib.import_module("matrix").main(sys.argv[1:]))
