# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs that serve others: driven from outside between checkpoints, and asked afterwards what they know."""

import glob
import os
import shutil
import signal
import subprocess
import time

from real.batch import postgres_setup
from real.life import Failed, start

WAIT = 30  # seconds until an answer must be there


def poll(question, what):
    """Ask until there is an answer."""
    deadline = time.monotonic() + WAIT
    while not (answer := question()):
        if time.monotonic() > deadline:
            raise Failed(f"after {WAIT} s: {what}")
        time.sleep(0.02)
    return answer


class Tmux:
    """A server with three windows: an editor, an interpreter, and a program that redraws itself."""

    needs = ("tmux", "top", "/usr/bin/python3")

    def __init__(self, rng):
        self.rng = rng
        self.lines = []
        self.x = 1
        vim = shutil.which("vim.tiny") or shutil.which("vim")
        if not vim:
            raise Failed("there is no vim")
        with open("text", "w", encoding="ascii"):
            pass
        self.life = start("TERM=screen-256color exec tmux -D -S socket -f /dev/null", "log")
        poll(lambda: os.path.exists("socket"), "the server has no socket")
        shell = "TERM=screen-256color exec"
        self.tmux("new-session", "-d", "-x", "90", "-y", "30", "-n", "editor",
                  f"{shell} {vim} -u NONE -N text")
        self.tmux("new-window", "-d", "-n", "shell", f"{shell} /usr/bin/python3 -q")
        self.tmux("new-window", "-d", "-n", "monitor", "TERM=screen-256color exec top -d 0.3 -p $$")
        self.shows("editor", "~")
        self.shows("shell", ">>>")
        self.shows("monitor", "load average")

    def tmux(self, *words):
        done = subprocess.run(["tmux", "-S", "socket", *words], capture_output=True, text=True, timeout=WAIT,
                              stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise Failed(f"tmux {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def keys(self, window, *words):
        self.tmux("send-keys", "-t", window, *words)

    def screen(self, window):
        return self.tmux("capture-pane", "-p", "-t", window)

    def shows(self, window, text):
        poll(lambda: text in self.screen(window), f"window {window} does not show {text!r}")

    def work(self, n):
        """What is typed now need not have been read at the checkpoint."""
        line = f"line {n} " + "abcdefghij" * self.rng.randrange(1, 6)
        self.lines.append(line)
        self.keys("editor", "G", "o", line, "Escape", ":w", "Enter")
        factor = self.rng.randrange(2, 1000)
        self.x = self.x * factor % 1000000007
        self.keys("shell", f"x = {'x' if n else 1} * {factor} % 1000000007; print('x', {n}, x)", "Enter")
        self.keys("shell", "import time; time.sleep(0.2); print('woken', " f"{n})", "Enter")

    def check(self, n):
        self.shows("shell", f"x {n} {self.x}\n")
        self.shows("shell", f"woken {n}\n")
        poll(lambda: open("text", encoding="ascii").read().split("\n")[1:-1] == self.lines,
             f"the editor has not written line {n}")
        self.shows("editor", self.lines[-1])
        before = self.screen("monitor")
        poll(lambda: self.screen("monitor") != before, "top stands still")
        width = self.rng.randrange(80, 120)
        self.tmux("resize-window", "-t", "shell", "-x", str(width))
        self.keys("shell", f"import os; print('width', {n}, os.get_terminal_size().columns)", "Enter")
        self.shows("shell", f"width {n} {width}\n")

    def end(self):
        self.tmux("new-window", "-d", "-n", "new", "echo it works; exec cat")
        self.shows("new", "it works")
        self.keys("editor", ":q!", "Enter")
        self.keys("shell", "C-d")
        self.keys("monitor", "q")
        self.keys("new", "C-d")
        poll(lambda: not self.tmux("list-sessions").strip(), "not all windows close")
        self.tmux("kill-server")


def run(*words, text=None):
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


class Redis:
    """A server whose clients are outside: none is connected at the checkpoint, and they come again."""

    needs = ("redis-check-rdb", "redis-cli")

    def __init__(self, rng):
        self.rng = rng
        self.model = {}
        self.life = start(f"exec -a redis-server {shutil.which('redis-check-rdb')} --port 0 --unixsocket $PWD/socket "
                          "--appendonly yes --save '' --logfile log", "out", shell="bash")
        poll(lambda: os.path.exists("socket"), "the server has no socket")

    def ask(self, commands):
        return run("redis-cli", "-s", "socket", text="\n".join(commands) + "\n").splitlines()

    def work(self, n):
        commands = []
        for _ in range(500):
            key, value = f"key{self.rng.randrange(2000)}", f"{n}-{self.rng.random()}" * self.rng.randrange(1, 40)
            self.model[key] = value
            commands.append(f"SET {key} {value}")
        # It has a child with a copy of its memory at the checkpoint, unless that was faster.
        commands.append("BGREWRITEAOF" if n % 2 else "BGSAVE SCHEDULE")
        answers = self.ask(commands)
        if answers[:-1] != ["OK"] * 500:
            raise Failed(f"redis says {set(answers)}")

    def check(self, n):
        keys = sorted(self.model)
        values = self.ask([f"GET {key}" for key in keys] + ["DBSIZE"])
        if values != [self.model[key] for key in keys] + [str(len(keys))]:
            raise Failed(f"after {n + 1} checkpoints the data are not what they were")

    def end(self):
        self.check(0)
        run("redis-cli", "-s", "socket", text="SHUTDOWN\n")


class Postgres:
    """The same with a server of many processes."""

    needs = ("/usr/lib/postgresql", "setpriv")

    def __init__(self, _):
        postgres_setup()
        self.bin = os.path.dirname(sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))[-1])
        self.where = ("-h", os.path.abspath("new"), "-U", "postgres")
        self.life = start(f"exec setpriv --reuid 65534 --regid 65534 --clear-groups {self.bin}/postgres -D new/data "
                          f"-k {os.path.abspath('new')} -c listen_addresses= -c fsync=off", "log")
        poll(lambda: subprocess.run([f"{self.bin}/pg_isready", "-q", *self.where], check=False).returncode == 0,
             "the server is not ready")
        run(f"{self.bin}/pgbench", "-i", "-q", *self.where, "postgres")

    def work(self, _):
        run(f"{self.bin}/pgbench", "-n", "-c", "3", "-t", "40", *self.where, "postgres")

    def check(self, n):
        sums = " ".join(f"(SELECT sum({what}) FROM {table})," for what, table in (
            ("abalance", "pgbench_accounts"), ("tbalance", "pgbench_tellers"), ("bbalance", "pgbench_branches")))
        got = run(f"{self.bin}/psql", *self.where, "-AtF", " ", "-c",
                  f"SELECT {sums} (SELECT sum(delta) FROM pgbench_history), (SELECT count(*) FROM pgbench_history)",
                  "postgres").split()
        if len(set(got[:4])) != 1 or int(got[4]) != 120 * (n + 1):
            raise Failed(f"after {n + 1} checkpoints: {got}")

    def end(self):
        os.kill(self.life.pid, signal.SIGINT)


DRIVEN = {"tmux": Tmux, "redis-clients": Redis, "postgres-clients": Postgres}
