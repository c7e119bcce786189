"""Expected failures of run.py are messages, never tracebacks, and come before anything is installed where they can."""

from __future__ import annotations

import errno
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bootstrap.cache import discard, exclusive
from bootstrap.commands import own_environment
from bootstrap.console import Progress
from bootstrap.errors import INTERRUPTED, BootstrapError, reported
from bootstrap.locks import open_lock, try_lock
from bootstrap.pack import load

ROOT = Path(__file__).parents[1]
HOST = {
    "main.py": "",
    "comfy/cli_args.py": "",
    "comfyui_version.py": '__version__ = "0.30.0"\n',
    "requirements.txt": "torch\n",
}


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "run.py"), *arguments]


def variables(cache: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "COMFYUI_PATH"}
    return {**kept, "REG_HOME": str(cache), **more}


def make_host(folder: Path, **changes: bytes) -> Path:
    for name, text in HOST.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    (folder / "comfyui_version.py").write_bytes(changes.get("version", HOST["comfyui_version.py"].encode()))
    return folder


def put_file_for_cache(root: Path) -> None:
    (root / "cache").touch()


def put_folder_for_lock(root: Path) -> None:
    (root / "cache" / ".lock").mkdir(parents=True)


def put_file_for_logs(root: Path) -> None:
    (root / "cache").mkdir()
    (root / "cache" / "logs").touch()


def put_folder_for_log(root: Path) -> None:
    (root / "cache" / "logs" / "venv.log").mkdir(parents=True)


def host_without_version(root: Path) -> None:
    make_host(root / "host", version=b"")


def host_with_unreadable_version(root: Path) -> None:
    make_host(root / "host", version=b"\xff\xfe")


def host_with_folder_for_version(root: Path) -> None:
    (make_host(root / "host") / "comfyui_version.py").unlink()
    (root / "host" / "comfyui_version.py").mkdir()


def host_with_unreadable_requirements(root: Path) -> None:
    (make_host(root / "host") / "requirements.txt").write_bytes(b"\xff")


def host_of_old(root: Path) -> None:
    make_host(root / "host", version=b'__version__ = "v0.15.1"')


def nothing(root: Path) -> None:
    pass


SITUATIONS: list[tuple[Callable[[Path], None], list[str], str]] = [
    (put_file_for_cache, ["demo"], "Expected to write to the cache folder .*cache, but: .*Set REG_HOME"),
    (put_folder_for_lock, ["demo"], "Expected to open the lock .*lock, but: .*remove it"),
    (put_file_for_logs, ["demo"], "Expected to use .*logs, but: .*move it away"),
    (put_folder_for_log, ["demo"], "Expected to use .*venv.log, but: .*(move it away|remove it)"),
    (host_without_version, ["demo"], "Expected a version in .*comfyui_version.py, but it names none.*COMFYUI_PATH"),
    (host_with_unreadable_version, ["test"], "Expected to read comfyui_version.py of .*, but: .*COMFYUI_PATH"),
    (host_with_folder_for_version, ["bench"], "Expected a ComfyUI in .* no comfyui_version.py.*Set COMFYUI_PATH"),
    (host_with_unreadable_requirements, ["demo"], "Expected to read requirements.txt of .*, but: .*COMFYUI_PATH"),
    (host_of_old, ["demo"], "needs ComfyUI 0.16 or newer, this is v0.15.1. Update it.*set COMFYUI_PATH to a newer"),
    (nothing, ["demo", "--output", "."], "Expected --output to name a file, but .* is a folder.*Name a file in it"),
    (nothing, ["demo", "--output", "none/ü.png"], "no folder .*none.*Make that folder, or choose another"),
    (nothing, ["demo", "--output", "none/" + "x" * 5000], "Expected .*, but: .*"),
    (nothing, ["demo", "--port", "70000"], "Expected port 70000 .* to be free, but: .*--port"),
    (
        nothing,
        ["bench", "precision", "SDXL"],
        "nothing after `bench precision`, but got 'SDXL'.*Leave it out",
    ),
    (nothing, ["bench", "cots"], "Expected one of the benchmarks .*, but got 'cots'.*run.py bench cost`"),
]


@pytest.mark.parametrize(
    ("arrange", "arguments", "message"), SITUATIONS, ids=lambda value: getattr(value, "__name__", None)
)
def test_failure_is_a_message_before_anything_is_installed(
    arrange: Callable[[Path], None], arguments: list[str], message: str, tmp_path: Path
) -> None:
    arrange(tmp_path)
    more = {"COMFYUI_PATH": str(tmp_path / "host")} if (tmp_path / "host").exists() else {}
    # A terminal of few letters, as Windows may have.
    environment = variables(tmp_path / "cache", PYTHONIOENCODING="ascii", **more)
    ended = subprocess.run(
        command(*arguments), env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr + ended.stdout
    flat = " ".join(ended.stderr.split())
    assert re.search(message, flat), ended.stderr
    assert not list(tmp_path.glob("cache/python-*/lib"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tests"], "one of the commands demo, test, bench, compatibility, locales, but got 'tests'."),
        (["tests"], "\nDid you mean `python run.py test`?"),
        (["benchmark"], "but got 'benchmark'.\nDid you mean `python run.py bench`?"),
        (["install"], "but got 'install'.\nSee `python run.py --help`."),
        (["--serve"], "but got '--serve'.\nDid you mean `python run.py demo --serve`?"),
        (["demo", "--sevre"], "what `python run.py demo` knows, but got '--sevre'.\nDid you mean --serve?"),
        (["demo", "sheet.png"], "but got 'sheet.png'.\nSee `python run.py demo --help`."),
        (["demo", "--port", "http"], "invalid int value: 'http'.\nSee `python run.py demo --help`."),
        (["bench", "--all"], "but got '--all'.\nSee `python run.py bench --help`."),
    ],
)  # fmt: skip
def test_wrong_word_is_answered_with_the_right_one(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = load("reg_run", ROOT / "run.py")
    try:
        code = run.dispatch(arguments)
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    assert message in capsys.readouterr().err


@contextmanager
def stranger() -> Iterator[None]:
    """Another user, where the tests run as one who may do everything."""
    if os.name != "posix" or os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_lock_of_another_user_is_said(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / ".lock").chmod(0o400)
    with stranger(), pytest.raises(BootstrapError, match="(?s)Expected to open the lock .*Permission denied.*REG_HOME"):
        exclusive(tmp_path).__enter__()


def test_disk_without_locks_is_said(tmp_path: Path) -> None:
    """A file that the system cannot lock, since it is closed, stands for it."""
    with open_lock(tmp_path / "lock") as lock, open(os.dup(lock.fileno()), "rb", closefd=False) as handle:
        os.close(handle.fileno())
        with pytest.raises(BootstrapError, match="(?s)Expected to lock .*, but: .*REG_HOME"):
            try_lock(handle)


def test_lock_of_another_run_is_no_failure(tmp_path: Path) -> None:
    with open_lock(tmp_path / "lock") as one, open_lock(tmp_path / "lock") as other:
        assert try_lock(one)
        assert not try_lock(other)


def test_file_in_the_place_of_a_folder_is_discarded(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept", target_is_directory=True)
    (tmp_path / "file").touch()
    for name in ("file", "link", "nothing"):
        discard(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x.log"), "use x.log, but: No space left on device.\nFree"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), "to use x, but: Permission denied.\nIt may belong"),
        (OSError(errno.EROFS, "Read-only file system", "x"), "to use x, but: Read-only file system.\nIt may belong"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "x"), "to use x, but: Is a directory.\nA file is in"),
        (OSError("cannot"), "to go on, but: cannot.\nFix that"),
        (BootstrapError("Expected this."), "\nExpected this.\n"),
    ],
)  # fmt: skip
def test_failure_of_the_system_says_what_to_do(
    error: Exception, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> int:
        raise error

    assert reported(fail, "Stopped.") == 1
    assert message in capsys.readouterr().err


def heed_interrupts() -> None:
    """A shell in the background starts its programs deaf to Ctrl-C, and they their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_interrupted_wait_ends_in_a_word(tmp_path: Path) -> None:
    with exclusive(tmp_path):
        waiting = subprocess.Popen(
            command("demo"),
            env=variables(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=heed_interrupts,
        )
        assert waiting.stdout is not None
        assert "Waiting for another run" in waiting.stdout.readline()
        waiting.send_signal(signal.SIGINT)
        _, told = waiting.communicate(timeout=60)
    assert waiting.returncode == INTERRUPTED
    assert told == "\nStopped. Run the same command again to go on from here.\n"


def test_program_interrupted_while_it_is_imported_ends_in_a_word(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("print('in', flush=True)\nimport time\ntime.sleep(60)\n")
    program = subprocess.Popen(
        [sys.executable, "-m", "bootstrap", str(tmp_path / "program.py")],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "in\n"
    program.send_signal(signal.SIGINT)
    assert program.communicate(timeout=60)[1] == "\nStopped.\n"
    assert program.returncode == INTERRUPTED


def test_reader_that_has_gone_is_nothing_to_talk_about(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with exclusive(tmp_path):
        ended = subprocess.run(
            command("demo"), env=variables(tmp_path), stdout=writer, stderr=subprocess.PIPE, text=True, check=False
        )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_interrupted_step_has_not_failed() -> None:
    told = io.StringIO()
    with pytest.raises(KeyboardInterrupt), Progress("Starting", told):
        raise KeyboardInterrupt
    assert told.getvalue().splitlines()[-1] == "Starting: stopped in 0:00"


def test_cache_is_the_same_for_programs_that_run_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REG_HOME", "cache")
    assert own_environment()["REG_HOME"] == str(tmp_path / "cache")


def test_user_without_a_home_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REG_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA", "USERPROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "~")  # what is known of a user that the system does not list
    with pytest.raises(BootstrapError, match="(?s)a home folder.*Set REG_HOME"):
        own_environment()
