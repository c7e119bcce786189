"""Runs a module or a script of the repository: `python -m bootstrap bootstrap.demo ...`, with its failures in words.

It imports as little as possible itself, so that an interruption while the program imports torch is met too.
"""

import os
import runpy
import sys

from .errors import reported


def run() -> int:
    """Run the program that the arguments name, with the rest of them, as if it had been started directly."""
    program = sys.argv[1]
    sys.argv = sys.argv[1:]
    if program.endswith(".py"):
        sys.path[0] = os.path.dirname(program)
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(reported(run, "Stopped."))
