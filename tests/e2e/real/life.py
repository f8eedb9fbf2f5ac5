# SPDX-License-Identifier: LGPL-2.1-or-later
"""Processes held by pidfd, and the program under test."""

import ctypes
import glob
import hashlib
import os
import select
import signal
import subprocess
import time

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
CKPT = os.path.realpath(os.environ.get("EBPF_CKPT") or os.path.join(ROOT, "build/bin/ebpf-ckpt"))
BIN = os.path.realpath(os.environ.get("ZOO_BIN") or os.path.join(ROOT, "build/zoo"))


class Failed(Exception):
    """The text says how."""


def become_subreaper():
    """Restored processes, and orphans of ended ones, become our children."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def reap_orphans():
    """Their pids are free then."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def children():
    found = []
    for path in glob.glob("/proc/self/task/*/children"):
        with open(path, encoding="ascii") as f:
            found += [int(pid) for pid in f.read().split()]
    return found


def end_children(grace):
    """Wait for all children to end; those that do not are killed. Returns the names of these."""
    deadline = time.monotonic() + grace
    killed = []
    reap_orphans()
    while pids := children():
        if time.monotonic() > deadline:
            for pid in pids:
                try:
                    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as f:
                        killed.append(f"{pid} ({f.read().strip()})")
                    os.kill(pid, signal.SIGKILL)  # our own child: its pid is its own until we reap it
                except (ProcessLookupError, FileNotFoundError):
                    pass
        os.waitpid(-1, 0) if time.monotonic() > deadline else time.sleep(0.002)
        reap_orphans()
    return killed


class Life:
    """The root of a tree, held by pidfd."""

    def __init__(self, pid):
        self.pid = pid
        self.status = None
        try:
            self.fd = os.pidfd_open(pid)
        except ProcessLookupError:
            self.fd = -1
            self.reap()

    def reap(self):
        try:
            self.status = os.waitpid(self.pid, 0)[1]
        except ChildProcessError:
            pass
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1
        reap_orphans()

    def ended(self, timeout):
        if self.fd >= 0:
            poll = select.poll()
            poll.register(self.fd, select.POLLIN)
            if not poll.poll(max(0, timeout) * 1000):
                return False
            self.reap()
        return True

    def kill(self):
        """The root and all that is left of its tree, which becomes ours."""
        if self.fd >= 0:
            try:
                signal.pidfd_send_signal(self.fd, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.ended(10)
        end_children(0)


def start(command, output, shell="sh"):
    """Temporary files go to the working directory, too."""
    os.makedirs("tmp", exist_ok=True)
    with open(output, "wb") as out, open(output + ".err", "wb") as err:
        child = subprocess.Popen([shell, "-c", command], stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=err, env=dict(os.environ, TMPDIR=os.path.abspath("tmp")),
                                 start_new_session=True)
    child.returncode = 0  # reaped by Life, not by Popen
    return Life(child.pid)


def digest(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest(), os.path.getsize(path)


def tool(*args):
    done = subprocess.run([CKPT, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          errors="replace", timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr
