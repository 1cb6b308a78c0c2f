"""Machines as they are, made with Linux's namespaces: the app starts and answers there, or says in a sentence why not.

The other rows of docs/machines.md have their tests elsewhere.
"""

import shutil
import subprocess
import sys

import pytest

from tests.support import ROOT

NAMESPACES = ["unshare", "--mount", "--net", "bash", "-e", "-c"]
NOBODY = "unshare --user --map-user=12345 --map-group=12345"  # a user without an entry in /etc/passwd
PORT = 7860  # of a network of its own
# Waits for the model of app `sys.argv[2]`, gets the page and an answer, and ends the app.
VISIT = """
import json, os, signal, sys, time, urllib.error, urllib.request

url, app, state = sys.argv[1], int(sys.argv[2]), {}
for _ in range(2400):
    try:
        state = json.load(urllib.request.urlopen(url + "/health"))
    except urllib.error.HTTPError as error:
        state = json.load(error)
    except OSError:
        pass
    if state.get("status") in ("ready", "failed") or not os.path.exists(f"/proc/{app}/exe"):
        break
    time.sleep(0.1)
print(state.get("status"), state.get("detail"))
if state.get("status") == "ready":
    assert b"StreamSpace" in urllib.request.urlopen(url + "/").read()
    asked = json.dumps({"model": state["model"], "prompt": "Once", "max_tokens": 5}).encode()
    headers = {"Content-Type": "application/json", "Authorization": "Bearer key"}
    request = urllib.request.Request(url + "/v1/completions", asked, headers)
    print(json.load(urllib.request.urlopen(request))["usage"]["completion_tokens"], "tokens")
if os.path.exists(f"/proc/{app}/exe"):
    os.kill(app, signal.SIGTERM)
"""


def _has_namespaces() -> bool:
    made = f"mount -t tmpfs tmpfs /dev/shm && ip link set lo up && {NOBODY} true"
    return bool(shutil.which("unshare")) and not subprocess.run([*NAMESPACES, made], capture_output=True).returncode


pytestmark = [
    pytest.mark.xdist_group("processes"),
    pytest.mark.skipif(not _has_namespaces(), reason="only root may make such machines"),
]


def visited(machine: str, address: str, *options: str) -> tuple[str, str]:
    """What a visitor sees of the app on a machine that these commands make, and what the app writes."""
    program = f"{sys.executable} {ROOT}/app.py --port {PORT} --api-key key {' '.join(options)}"
    app = f"{NOBODY} env -i PATH=/usr/bin:/bin {program}"
    visitor = f"{sys.executable} -c {chr(39)}{VISIT}{chr(39)} http://{address}:{PORT} $!"
    commands = "\n".join((machine, f"{app} >&2 &", "trap 'kill -9 $! 2>/dev/null' EXIT", visitor, "wait $! || true"))
    done = subprocess.run([*NAMESPACES, commands], text=True, capture_output=True, timeout=400)
    return done.stdout, done.stderr


def test_a_poor_machine_serves() -> None:
    """No home, no user, no locale, no IPv6, a read-only disk, little shared memory, few files, another folder."""
    machine = """
        ip link set lo up
        sysctl -q -w net.ipv6.conf.all.disable_ipv6=1
        mount -o remount,bind,ro /
        mount -t tmpfs -o size=64m tmpfs /dev/shm
        mount -t tmpfs tmpfs /tmp
        ulimit -n 256
        cd /usr
    """
    seen, written = visited(machine, "127.0.0.1", "--host 0.0.0.0")
    assert seen.startswith("ready Ready: ") and seen.endswith("5 tokens\n"), seen + written
    assert "Traceback" not in written


def test_a_machine_with_ipv6_alone_serves() -> None:
    seen, written = visited("ip link set lo up; ip addr del 127.0.0.1/8 dev lo", "[::1]", "--host ::")
    assert seen.startswith("ready Ready: ") and seen.endswith("5 tokens\n"), seen + written
    assert "Traceback" not in written


def test_a_machine_without_a_place_for_files_is_told_in_a_sentence() -> None:
    machine = "ip link set lo up; mount -o remount,bind,ro /; mount -o remount,bind,ro /dev/shm; cd /usr"
    seen, written = visited(machine, "127.0.0.1")
    assert seen == "None None\n"
    assert written.splitlines()[-1].startswith("streamspace: There is no temporary folder that can be written"), written
    assert "Traceback" not in written
