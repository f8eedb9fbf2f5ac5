# SPDX-License-Identifier: LGPL-2.1-or-later
"""Digits of pi, by several threads: one computes, one writes them to a file, one tells how far it is.

    python3 pi.py DIGITS FILE

What it prints begins with its pid, so that one sees that it stays the same.
"""
import os
import queue
import sys
import threading
import time

digits, path = int(sys.argv[1]), sys.argv[2]
found = queue.Queue(100)
written = 0


def compute():
    """Gibbons' spigot: one digit after the other, in ever larger integers."""
    q, r, t, k, n, l = 1, 0, 1, 1, 3, 3
    count = 0
    while count < digits:
        if 4 * q + r - t < n * t:
            found.put(str(n))
            count += 1
            q, r, n = 10 * q, 10 * (r - n * t), 10 * (3 * q + r) // t - 10 * n
        else:
            q, r, t, k, n, l = (q * k, (2 * q + r) * l, t * l, k + 1,
                                (q * (7 * k + 2) + r * l) // (t * l), l + 2)
    found.put(None)


def write():
    global written
    with open(path, "w") as f:
        while (digit := found.get()) is not None:
            f.write(digit)
            written += 1


def tell():
    while not done.wait(0.5):
        print(f"  pid {os.getpid()}: {written} digits", flush=True)


done = threading.Event()
threads = [threading.Thread(target=f) for f in (compute, write, tell)]
for thread in threads:
    thread.start()
for thread in threads[:2]:
    thread.join()
done.set()
threads[2].join()
print(f"  pid {os.getpid()}: done, {written} digits", flush=True)
