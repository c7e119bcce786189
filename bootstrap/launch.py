"""Starts a ComfyUI: `python launch.py PATH/main.py [ComfyUI's own arguments]`, headless, ended by end of input.

Whoever starts it holds the other end of its standard input, so it cannot outlive a starter that was killed.
"""

import importlib.metadata
import os
import runpy
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
PROBE = "import torch_builds as b; m = b.mend_imports(); print('mend' if m else '', 'gpu' if b.has_gpu() else '')"


def probe_torch() -> set[str]:
    """Tell, from a process of its own, whether imports need mending ('mend') and whether there is a GPU ('gpu')."""
    # ComfyUI sets up the memory of a GPU before it imports torch, so torch must not be imported here before.
    result = subprocess.run([sys.executable, "-c", PROBE], cwd=HERE, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"torch cannot be imported:\n{result.stderr}")
    return set(result.stdout.split())


def arrange_imports(host: str) -> bool:
    """Put ComfyUI first on the import path, mend torch's companions if need be, and tell whether there is a GPU."""
    sys.path[:] = [HERE, *(entry for entry in sys.path if entry not in ("", HERE))]
    from torch_builds import has_gpu, mend_imports

    if importlib.metadata.version("torch").endswith("+cpu"):
        mend_imports()
        gpu = has_gpu()
    else:
        findings = probe_torch()
        gpu = "gpu" in findings
        if "mend" in findings:
            mend_imports()
    sys.path[0] = host
    return gpu


def end_with_starter() -> None:
    """Wait for the end of the standard input, then end this process."""
    # A buffered read would hold a lock that Python needs to exit.
    while os.read(0, 1024):
        pass
    os._exit(0)


def main() -> None:
    """Run ComfyUI's main.py as if it had been started directly."""
    script, arguments = os.path.abspath(sys.argv[1]), sys.argv[2:]
    threading.Thread(target=end_with_starter, daemon=True).start()
    if not arrange_imports(os.path.dirname(script)) and "--cpu" not in arguments:
        arguments.append("--cpu")
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
