"""What a failed pip is taken for: no network in every wording that pip has for it, and nothing else for that."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from bootstrap.errors import BootstrapError
from bootstrap.installer import Installer, advice

RETRY = "WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None)) after connection broken by "
NONE = (
    "ERROR: Could not find a version that satisfies the requirement torch==2.13.0 (from versions: none)\n"
    "ERROR: No matching distribution found for torch==2.13.0\n"
)
POOL = "HTTPSConnectionPool(host='index.example', port=443): "
SSL = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:1007)"
# What pip 21.2 to 26.0 say, each on networks with these faults.
OFFLINE = {
    "name, Linux": "'NewConnectionError('Failed to establish a new connection: [Errno -3] Temporary failure in name "
    "resolution')': /simple/torch/",
    "name, Windows": "'NameResolutionError(\"Failed to resolve 'index.example' ([Errno 11001] getaddrinfo failed)\")'",
    "no answer": f"'ConnectTimeoutError(<{POOL}>, 'Connection to index.example timed out. (connect timeout=15.0)')'",
    "slow": f"'ReadTimeoutError(\"{POOL}Read timed out. (read timeout=15.0)\")': /simple/torch/",
    "closed": "'ProtocolError('Connection aborted.', RemoteDisconnected('Remote end closed without response'))'",
    "proxy": "'ProxyError('Cannot connect to proxy.', OSError('Tunnel connection failed: 407 Proxy Authentication "
    "Required'))': /simple/torch/",
}
OFFLINE = {name: f"{RETRY}{text}\n{NONE}" for name, text in OFFLINE.items()} | {
    "certificate": "Could not fetch URL https://index.example/simple/torch/: There was a problem confirming the ssl "
    f"certificate: {POOL}Max retries exceeded with url: /simple/torch/ (Caused by "
    f"SSLError(SSLCertVerificationError(1, '{SSL}'))) - skipping\n{NONE}",
    "broke off": "× Download failed after 6 attempts because not enough bytes were received (3 bytes/100 kB)\n"
    "╰─> URL: https://index.example/torch.whl\n\nnote: This is an issue with network connectivity, not pip.\n"
    "hint: Use --resume-retries to configure resume attempt limit.\n",
    "slow download": 'ERROR: Exception:\nTraceback (most recent call last):\n  File "response.py", line 438, in read\n'
    f"pip._vendor.urllib3.exceptions.ReadTimeoutError: {POOL}Read timed out.\n",
    "no way": f"ERROR: Could not install packages due to an OSError: {POOL}Max retries exceeded with url: /torch.whl "
    "(Caused by NewConnectionError('Failed to establish a new connection: [Errno 101] Network is unreachable'))\n",
    "server": "ERROR: HTTP error 503 while getting https://index.example/torch.whl\n",
    "brief": NONE,
}
OTHERWISE = {
    "no such version for Python .*another Python": NONE.replace("none", "2.14.0, 2.15.0"),
    "arrived incomplete": "  Downloading torch.whl\nERROR: Wheel 'torch' located at downloads/torch.whl is invalid.\n",
    "last lines": f"{RETRY}'ReadTimeoutError()': /x/\n" + "Collecting more\n" * 30 + "error: no C compiler\n",
    "disk is full": "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n",
    "The disk is full": "OSError: [WinError 112] There is not enough space on the disk\n",
}


@pytest.mark.parametrize("output", OFFLINE.values(), ids=OFFLINE)
def test_missing_network_is_one_message(output: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(output, "utf-8")
    message = advice(tmp_path / "log")
    assert message.startswith("There is no connection to the package index")
    assert "check the network, the proxy and the settings of pip (`pip config list`), then run this again" in message


@pytest.mark.parametrize(("message", "output"), OTHERWISE.items(), ids=OTHERWISE)
def test_other_failure_of_pip_is_not_blamed_on_the_network(message: str, output: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(output, "utf-8")
    assert "There is no connection" not in advice(tmp_path / "log")
    assert re.search(message, advice(tmp_path / "log"))


@pytest.mark.parametrize("retries", ["0", "1"])
def test_pip_without_a_network_is_explained(retries: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real pip at an index that nobody serves."""
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_RETRIES", retries)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    arguments = ["install", "--no-cache-dir", "--target", str(tmp_path / "target"), "reg-no-such-package==1"]
    with pytest.raises(BootstrapError, match="There is no connection to the package index"):
        Installer(Path(sys.executable), tmp_path).pip("Fetching", "what", arguments)
