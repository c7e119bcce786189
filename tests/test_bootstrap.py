"""The bootstrap without a network: where it keeps things, what it refuses, and that nothing is ever half there."""

import ast
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType

import pytest

from bootstrap.archive import check_hash, file_hash
from bootstrap.browser import find_browser, says_version, usual_places
from bootstrap.cache import cache_folder, exclusive, require_space
from bootstrap.commands import BENCHMARKS, WORKERS, PytestRun
from bootstrap.environment import Environment
from bootstrap.errors import BootstrapError, last_lines
from bootstrap.host import existing_host, unpack_host
from bootstrap.installer import Installer
from bootstrap.links import add_link, remove_link
from bootstrap.pack import load
from bootstrap.ports import LOOPBACK, claim_port
from bootstrap.prompts import refusal
from bootstrap.requirements import host_requirements, tool_requirements
from bootstrap.server import ComfyServer

ROOT = Path(__file__).parents[1]

HOST_FILES = {
    "main.py": "print('main')\n",
    "comfy/__init__.py": "",
    "comfy/cli_args.py": 'parser.add_argument("--base-directory")\n',
    "comfyui_version.py": '__version__ = "1.2.3"\n',
    "requirements.txt": "torch\n",
}


def make_host(folder: Path, files: dict[str, str] = HOST_FILES) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder


def make_archive(path: Path, files: dict[str, str], prefix: str = "pack-1/vendor/ComfyUI/") -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, text in {**{prefix + name: text for name, text in files.items()}, "pack-1/setup.py": "x"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "HOME/.cache/comfyui-reg"),
        ("linux", {"XDG_CACHE_HOME": "shared"}, "shared/comfyui-reg"),
        ("darwin", {"XDG_CACHE_HOME": "shared"}, "HOME/Library/Caches/comfyui-reg"),
        ("win32", {"LOCALAPPDATA": "local"}, "local/comfyui-reg"),
        ("win32", {}, "HOME/AppData/Local/comfyui-reg"),
    ],
)
def test_cache_folder_follows_the_platform(platform: str, variables: dict[str, str], expected: str) -> None:
    assert cache_folder(variables, platform, Path("HOME")) == Path(expected)


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_chosen_cache_folder_wins_everywhere(platform: str, tmp_path: Path) -> None:
    variables = {"REG_HOME": str(tmp_path), "XDG_CACHE_HOME": "x", "LOCALAPPDATA": "x"}
    assert cache_folder(variables, platform, Path("HOME")) == tmp_path


def test_full_disk_is_said(tmp_path: Path) -> None:
    with pytest.raises(BootstrapError, match=r"(?s)Expected about 1000000.0 GB free .* REG_HOME"):
        require_space(tmp_path, 10**15)


def test_cache_is_closed_to_others_while_it_is_filled(tmp_path: Path) -> None:
    code = "import sys; sys.path.append(sys.argv[1]); from pathlib import Path; from bootstrap.cache import exclusive\n"
    code += "with exclusive(Path(sys.argv[2])): print('in')"
    command = [sys.executable, "-c", code, str(ROOT), str(tmp_path)]
    with exclusive(tmp_path):
        other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        assert "Waiting" in other.stdout.readline()
        assert other.poll() is None
    assert other.communicate(timeout=60)[0] == "in\n"


def test_another_file_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "pack.tar.gz", HOST_FILES)
    check_hash(archive, file_hash(archive))
    with pytest.raises(
        BootstrapError, match=f"Expected pack.tar.gz with SHA-256 {'0' * 64}, but it has [0-9a-f]{{64}}"
    ):
        check_hash(archive, "0" * 64)


def test_archive_is_unpacked_without_what_surrounds_comfyui(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "pack.tar.gz", HOST_FILES)
    unpack_host(archive, tmp_path / "host", "1.2.3")
    found = {p.relative_to(tmp_path / "host").as_posix() for p in (tmp_path / "host").rglob("*") if p.is_file()}
    assert found == set(HOST_FILES)


def test_broken_archive_leaves_nothing(tmp_path: Path) -> None:
    files = {**HOST_FILES, "comfy/big.bin": os.urandom(300_000).hex()}
    whole = make_archive(tmp_path / "whole.tar.gz", files).read_bytes()
    archive = tmp_path / "pack.tar.gz"
    for size in (0, 10, len(whole) // 2, len(whole) * 9 // 10):
        archive.write_bytes(whole[:size])
        with pytest.raises(BootstrapError, match="Nothing of it was kept|holds no main.py"):
            unpack_host(archive, tmp_path / "host", "1.2.3")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["pack.tar.gz", "whole.tar.gz"]


def test_leftover_of_an_interrupted_unpacking_is_not_used(tmp_path: Path) -> None:
    make_host(tmp_path / "host.part", {"stale.py": "", "main.py": "stale"})
    unpack_host(make_archive(tmp_path / "pack.tar.gz", HOST_FILES), tmp_path / "host", "1.2.3")
    assert (tmp_path / "host" / "main.py").read_text() == HOST_FILES["main.py"]
    assert not (tmp_path / "host" / "stale.py").exists()


@pytest.mark.parametrize("name", ["../../../escaped.py", "comfy/../../escaped.py"])
def test_path_out_of_the_archive_is_refused(tmp_path: Path, name: str) -> None:
    archive = make_archive(tmp_path / "pack.tar.gz", {**HOST_FILES, name: "bad"})
    with pytest.raises(BootstrapError, match="Expected only paths inside ComfyUI"):
        unpack_host(archive, tmp_path / "inner" / "host", "1.2.3")
    assert not list(tmp_path.rglob("escaped.py"))
    assert not (tmp_path / "inner" / "host").exists()


def test_archive_with_another_version_is_refused(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "pack.tar.gz", HOST_FILES)
    with pytest.raises(BootstrapError, match="Expected ComfyUI 9.9.9 .* but it is 1.2.3"):
        unpack_host(archive, tmp_path / "host", "9.9.9")
    assert not (tmp_path / "host").exists()


def test_wrong_comfyui_path_is_said(tmp_path: Path) -> None:
    (tmp_path / "main.py").touch()
    with pytest.raises(BootstrapError, match=r"COMFYUI_PATH=.* has no comfy, comfyui_version.py"):
        existing_host({"COMFYUI_PATH": str(tmp_path)}, ROOT)


def test_existing_comfyui_wins(tmp_path: Path) -> None:
    named, around = make_host(tmp_path / "named"), make_host(tmp_path / "around")
    inside = around / "custom_nodes" / "reg"
    assert existing_host({"COMFYUI_PATH": str(named)}, inside) == named
    assert existing_host({}, inside) == around
    assert existing_host({}, tmp_path / "elsewhere" / "reg") is None


def test_requirements_keep_their_pins() -> None:
    text = (
        "comfyui_workflow.templates==0.1\ntorch\ntorchsde\nnumpy>=1.25  # arrays\n\n#note\npydantic~=2.0\nTorchVision\n"
    )
    kept = host_requirements(text, ["torch", "torchvision", "comfyui-workflow-templates"])
    assert kept == ["torchsde", "numpy>=1.25", "pydantic~=2.0"]


def test_tools_are_those_of_the_project_file() -> None:
    text = '[x]\nother = ["a"]\ntest = ["pytest==9.2.0",\n  "b[c]==1",\n]\n'
    assert tool_requirements(text) == ("pytest==9.2.0", "b[c]==1")
    with pytest.raises(BootstrapError, match="pyproject.toml"):
        tool_requirements("[x]\n")


def test_environment_folder_follows_its_pins(tmp_path: Path) -> None:
    one, same, other = (Environment(tmp_path, source, None).folder for source in ("a==1", "a==1", "a==2"))
    assert one == same != other


def test_failed_pip_is_explained(tmp_path: Path) -> None:
    installer = Installer(Path(sys.executable), tmp_path)
    arguments = ["install", "--no-index", "--target", str(tmp_path / "target"), "reg-no-such-package==1"]
    with pytest.raises(BootstrapError, match=r"(?s)Fetching: expected pip .* code 1.*reg-no-such-package==1.*what.log"):
        installer.pip("Fetching", "what", arguments)


def test_changed_download_is_explained(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    make_archive(tmp_path / "files" / "pack-1.tar.gz", {})
    (tmp_path / "wanted.txt").write_text(f"pack==1 --hash=sha256:{'0' * 64}\n")
    arguments = ["download", "--no-index", "--no-deps", "-f", str(tmp_path / "files")]
    with pytest.raises(BootstrapError, match="another hash than the pinned one"):
        Installer(Path(sys.executable), tmp_path).pip(
            "Fetching", "what", [*arguments, "-d", str(tmp_path), "-r", str(tmp_path / "wanted.txt")]
        )


def test_taken_port_is_said() -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BootstrapError, match=f"Expected port {port} of {LOOPBACK} to be free.*\n.*--port"):
            claim_port(port)
        assert claim_port(None) != port


def test_impossible_port_is_said() -> None:
    with pytest.raises(BootstrapError, match="Expected port 70000"):
        claim_port(70000)


def test_link_is_removed_without_its_target(tmp_path: Path) -> None:
    pack = make_host(tmp_path / "pack", {"__init__.py": "x"})
    link = tmp_path / "link"
    add_link(link, pack)
    add_link(link, pack)
    assert (link / "__init__.py").read_text() == "x"
    remove_link(link)
    assert not link.exists()
    assert (pack / "__init__.py").read_text() == "x"
    remove_link(pack)
    assert (pack / "__init__.py").exists()


class Foreign(BaseHTTPRequestHandler):
    """A ComfyUI that someone else has started."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"system": {"argv": ["main.py"]}}).encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_host_that_fails_to_start_is_shown(tmp_path: Path) -> None:
    """Where another ComfyUI answers at its port too: two runs may ask for one before either has opened it."""
    host = make_host(tmp_path / "host", {**HOST_FILES, "main.py": "raise SystemExit('no such device')\n"})
    server = ComfyServer(host, tmp_path / "run")
    with HTTPServer((LOOPBACK, server.port), Foreign) as foreign:
        threading.Thread(target=foreign.serve_forever, daemon=True).start()
        with pytest.raises(
            BootstrapError, match=r"(?s)Expected ComfyUI to run, but it ended with code 1.*no such device"
        ):
            server.__enter__()
        foreign.shutdown()
    assert server.process is None
    assert list((tmp_path / "run" / "custom_nodes").iterdir()) == []


def test_host_too_old_for_a_folder_of_its_own_is_refused(tmp_path: Path) -> None:
    host = make_host(tmp_path / "host", {**HOST_FILES, "comfy/cli_args.py": ""})
    with pytest.raises(BootstrapError, match="knows --base-directory"):
        ComfyServer(host, tmp_path / "run").start()


def test_refused_prompt_names_the_node() -> None:
    prompt = {"4": {"class_type": "KSampler", "_meta": {"title": "CFG w = 3"}, "inputs": {}}}
    errors = {"4": {"errors": [{"message": "missing", "details": "seed"}]}}
    body = json.dumps({"error": {"message": "invalid"}, "node_errors": errors})
    assert "node 4 (KSampler 'CFG w = 3'): missing: seed" in refusal(body, prompt)
    assert "not json" in refusal("not json", prompt)


def test_log_tail_is_plain_text(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("first\n\n\x1b[32m[INFO]\x1b[0m last\n")
    assert last_lines(log, 1) == "  [INFO] last"
    assert "empty" in last_lines(tmp_path / "none")


def run_module() -> ModuleType:
    return load("reg_run", ROOT / "run.py")


@pytest.mark.parametrize("version", [(3, 9, 18), (3, 8), (2, 7, 18)])
def test_too_old_python_is_said(version: tuple[int, ...]) -> None:
    complaint = run_module().version_complaint
    message = complaint(version)
    assert f"Expected Python 3.10 or newer, but this is Python {version[0]}.{version[1]}" in message
    assert complaint((3, 10, 0)) == ""
    assert complaint(sys.version_info) == ""


def test_old_python_can_read_the_command() -> None:
    ast.parse((ROOT / "run.py").read_text("utf-8"), feature_version=(3, 6))


def test_unknown_benchmark_is_said_before_anything_is_fetched() -> None:
    command = [sys.executable, str(ROOT / "run.py"), "bench", "magic"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert (
        "Expected one of the benchmarks playground, frontier, precision, cost, ranges, but got 'magic'" in ended.stderr
    )


@pytest.mark.parametrize(
    ("mark", "arguments", "chosen"),
    [
        ("", [], ["tests"]),
        ("host", ["-k", "curve", "-n", "0"], ["tests", "-m", "host", "-k", "curve", "-n", "0"]),
        ("host", ["tests/test_curve.py::test_x"], ["-m", "host", "tests/test_curve.py::test_x"]),
    ],
)
def test_tests_run_on_all_processors_unless_the_arguments_say_otherwise(
    mark: str, arguments: list[str], chosen: list[str], tmp_path: Path
) -> None:
    """pytest follows the last of two options."""
    command = PytestRun("all", Path("python"), tmp_path, arguments, mark=mark).command
    assert command[command.index("-n") :] == [*WORKERS, *chosen]


def test_what_the_tests_import_is_compiled_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    environment = PytestRun("all", Path(sys.executable), tmp_path, []).environment
    command = [sys.executable, "-c", "import sys; print(sys.dont_write_bytecode)"]
    assert subprocess.run(command, env=environment, capture_output=True, text=True).stdout.strip() == "False"


def test_every_benchmark_is_there() -> None:
    assert all((ROOT / "benchmarks" / f"{name}.py").is_file() for name in BENCHMARKS)


def test_wrong_folder_ends_the_command_without_traceback(tmp_path: Path) -> None:
    variables = {**os.environ, "COMFYUI_PATH": str(tmp_path), "REG_HOME": str(tmp_path / "cache")}
    result = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), "demo"], env=variables, cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert "Expected a ComfyUI in COMFYUI_PATH=" in result.stderr
    assert "Traceback" not in result.stderr


def make_program(path: Path, code: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nexit {code}\n", "utf-8")
    path.chmod(0o755)
    return path


def test_named_browser_wins(tmp_path: Path) -> None:
    named, other = make_program(tmp_path / "mine"), make_program(tmp_path / "path" / "chromium")
    variables = {"REG_BROWSER": str(named), "PATH": str(other.parent)}
    assert find_browser(variables, "linux", tmp_path) == named


def test_wrong_browser_is_said(tmp_path: Path) -> None:
    with pytest.raises(BootstrapError, match=r"(?s)REG_BROWSER=.*no such file.*Set it to the program"):
        find_browser({"REG_BROWSER": str(tmp_path / "nothing")}, "linux", tmp_path)


def test_browser_of_the_path_is_found_chrome_first_and_before_it_the_headless_shell(tmp_path: Path) -> None:
    end = ".exe" if sys.platform == "win32" else ""
    for name in ("chromium", "google-chrome", "chromium-headless-shell"):
        program = make_program(tmp_path / f"{name}{end}")
        found = find_browser({"PATH": str(tmp_path)}, "linux", tmp_path)
        assert found is not None
        assert found.samefile(program)


def test_browser_in_a_usual_place_is_found(tmp_path: Path) -> None:
    edge = make_program(tmp_path / "Microsoft/Edge/Application/msedge.exe")
    variables = {"PATH": "", "PROGRAMFILES(X86)": str(tmp_path)}
    assert find_browser(variables, "win32", tmp_path) == edge
    chrome = make_program(tmp_path / "Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
    assert chrome in usual_places({}, "darwin", tmp_path)
    assert usual_places({}, "win32", tmp_path) == []


def test_stand_in_for_a_browser_is_no_browser(tmp_path: Path) -> None:
    """As Ubuntu's package, which only says where to find one."""
    assert says_version(Path(sys.executable))
    assert not says_version(make_program(tmp_path / "stand-in", code=1))
    assert not says_version(tmp_path / "nothing")
