"""Show, test or measure this node pack from a fresh clone: `python run.py demo`, `test`, `bench` and others.

All commands fetch what they need (a private Python environment and, unless one is there already, a pinned ComfyUI)
into a cache folder of the user, so that nothing is added to the repository. A second run starts at once.
"""

import argparse
import os
import sys
from typing import NoReturn

OLDEST_PYTHON = (3, 10)
COMMANDS = ("demo", "test", "bench", "compatibility", "locales")
DEMO_OPTIONS = ("--serve", "--port", "--output", "--help")
USAGE = 2

TEST_HELP = "check the pack: runs pytest against a real ComfyUI; further arguments go to pytest"
BENCH_HELP = "print the tables of the docs: playground, frontier, precision, cost (all if none is named), or ranges"
COMPATIBILITY_HELP = "test REG with every node of ComfyUI on every family of models, and write docs/compatibility.md"
LOCALES_HELP = "write the English texts of the nodes and docs/messages.md, and list what each language lacks"
DEMO_HELP = "draw the same pictures with CFG and with REG and save one sheet that compares them"


def version_complaint(version: tuple) -> str:
    """Say what is wrong with a Python version; the text is empty if it will do."""
    if tuple(version[:2]) >= OLDEST_PYTHON:
        return ""
    found = f"{version[0]}.{version[1]}"
    return (
        f"Expected Python 3.10 or newer, but this is Python {found}.\n"
        "Install a newer Python, then run this command with it, e.g. `python3.12 run.py demo`."
    )


def complain(text: str) -> int:
    """Write what is wrong with the command line and return its exit code."""
    sys.stderr.write(text + "\n")
    return USAGE


class Parser(argparse.ArgumentParser):
    """A parser whose complaints end in what to do."""

    def error(self, message: str) -> NoReturn:
        sys.exit(complain(f"{message[:1].upper()}{message[1:]}.\nSee `python {self.prog} --help`."))


def build_parser() -> argparse.ArgumentParser:
    """Describe the commands."""
    parser = Parser(
        prog="run.py",
        description="Rectified Gradient Guidance (REG) for ComfyUI: see it work, or test it.",
        epilog="Downloads are kept in a cache folder of your user; set REG_HOME to choose another. "
        "Set COMFYUI_PATH to use a ComfyUI that you already have.",
    )
    commands = parser.add_subparsers(dest="command", metavar="{" + ",".join(COMMANDS) + "}")
    demo = commands.add_parser("demo", help=DEMO_HELP, description=DEMO_HELP)
    demo.add_argument("--serve", action="store_true", help="then open ComfyUI with the workflow, until Ctrl-C")
    demo.add_argument("--port", type=int, help="port of the server on 127.0.0.1 (default: a free one)")
    demo.add_argument("--output", default="reg_demo.png", help="the picture to write (default: %(default)s)")
    commands.add_parser("test", help=TEST_HELP, description=TEST_HELP, usage="run.py test [pytest arguments]")
    bench = commands.add_parser("bench", help=BENCH_HELP, description=BENCH_HELP)
    bench.add_argument("name", nargs="?", help="one benchmark")
    bench.add_argument("models", nargs="*", help="for cost: only these models, as the tables name them")
    compatibility = commands.add_parser("compatibility", help=COMPATIBILITY_HELP, description=COMPATIBILITY_HELP)
    compatibility.add_argument("--only", metavar="WORD", help="nodes and families whose name has this word in it")
    compatibility.add_argument("--missing", action="store_true", help="only what has not been tested yet")
    commands.add_parser("locales", help=LOCALES_HELP, description=LOCALES_HELP)
    return parser


def dispatch(arguments: list) -> int:
    """Run the command that the arguments name and return its exit code."""
    from bootstrap.errors import nearest

    parser = build_parser()
    if not arguments:
        parser.print_help()
        return USAGE
    name = arguments[0]
    if name not in (*COMMANDS, "-h", "--help"):
        # An option in the place of the command is one of the demo's.
        meant = f"demo {name}" if name in DEMO_OPTIONS else nearest(name, COMMANDS)
        advice = f"Did you mean `python run.py {meant}`?" if meant else "See `python run.py --help`."
        return complain(f"Expected one of the commands {', '.join(COMMANDS)}, but got '{name}'.\n{advice}")
    if name == "test" and not {"-h", "--help"} & set(arguments):
        from bootstrap.commands import run_tests

        return run_tests(arguments[1:])
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        meant = nearest(unknown[0], DEMO_OPTIONS) if name == "demo" else None
        advice = f"Did you mean {meant}?" if meant else f"See `python run.py {name} --help`."
        return complain(f"Expected only what `python run.py {name}` knows, but got '{unknown[0]}'.\n{advice}")
    if name == "bench":
        from bootstrap.commands import run_benchmarks

        return run_benchmarks(options.name, options.models)
    if options.command == "compatibility":
        from bootstrap.commands import run_compatibility

        return run_compatibility(options.only, options.missing)
    if options.command == "locales":
        from bootstrap.locales import run_locales

        return run_locales()
    from bootstrap.commands import run_demo

    return run_demo(serve=options.serve, port=options.port, output=os.path.abspath(options.output))


def main(arguments: list) -> int:
    """Run a command and turn every expected failure into a short message and exit code 1."""
    complaint = version_complaint(sys.version_info)
    if complaint:
        sys.stderr.write(complaint + "\n")
        return 1
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from bootstrap.errors import reported

    return reported(lambda: dispatch(arguments), "Stopped. Run the same command again to go on from here.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
