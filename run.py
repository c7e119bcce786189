"""Show, test or measure this node pack from a fresh clone: `python run.py demo`, `test` or `bench`.

All commands fetch what they need (a private Python environment and, unless one is there already, a pinned ComfyUI)
into a cache folder of the user, so that nothing is added to the repository. A second run starts at once.
"""

import argparse
import os
import sys

OLDEST_PYTHON = (3, 10)

TEST_HELP = "check the pack: runs pytest against a real ComfyUI; further arguments go to pytest"
BENCH_HELP = "print the tables of the README and docs: playground, precision, cost (all if none is named), or ranges"
DEMO_HELP = "draw the same digits with CFG and with REG and save one picture that compares them"


def version_complaint(version: tuple) -> str:
    """Say what is wrong with a Python version; the text is empty if it will do."""
    if tuple(version[:2]) >= OLDEST_PYTHON:
        return ""
    found = f"{version[0]}.{version[1]}"
    return (
        f"Expected Python 3.10 or newer, but this is Python {found}.\n"
        "Install a newer Python, then run this command with it, e.g. `python3.12 run.py demo`."
    )


def build_parser() -> argparse.ArgumentParser:
    """Describe the commands."""
    parser = argparse.ArgumentParser(
        prog="run.py",
        description="Rectified Gradient Guidance (REG) for ComfyUI: see it work, or test it.",
        epilog="Downloads are kept in a cache folder of your user; set REG_HOME to choose another. "
        "Set COMFYUI_PATH to use a ComfyUI that you already have.",
    )
    commands = parser.add_subparsers(dest="command", metavar="{demo,test,bench}")
    demo = commands.add_parser("demo", help=DEMO_HELP, description=DEMO_HELP)
    demo.add_argument("--serve", action="store_true", help="then open ComfyUI with the workflow, until Ctrl-C")
    demo.add_argument("--port", type=int, help="port of the server on 127.0.0.1 (default: a free one)")
    demo.add_argument("--output", default="reg_demo.png", help="the picture to write (default: %(default)s)")
    commands.add_parser("test", help=TEST_HELP, description=TEST_HELP, usage="run.py test [pytest arguments]")
    bench = commands.add_parser("bench", help=BENCH_HELP, description=BENCH_HELP)
    bench.add_argument("name", nargs="?", help="one benchmark")
    bench.add_argument("models", nargs="*", help="for cost: only these models, as the tables name them")
    return parser


def dispatch(arguments: list) -> int:
    """Run the command that the arguments name and return its exit code."""
    parser = build_parser()
    if arguments[:1] == ["test"] and not {"-h", "--help"} & set(arguments):
        from bootstrap.commands import run_tests

        return run_tests(arguments[1:])
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 2
    if options.command == "bench":
        from bootstrap.commands import run_benchmarks

        return run_benchmarks(options.name, options.models)
    from bootstrap.commands import run_demo

    return run_demo(serve=options.serve, port=options.port, output=os.path.abspath(options.output))


def main(arguments: list) -> int:
    """Run a command and turn every expected failure into a short message and exit code 1."""
    complaint = version_complaint(sys.version_info)
    if complaint:
        sys.stderr.write(complaint + "\n")
        return 1
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from bootstrap.errors import BootstrapError

    try:
        return dispatch(arguments)
    except BootstrapError as error:
        sys.stderr.write(f"\n{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped. Run the same command again to go on from here.\n")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
