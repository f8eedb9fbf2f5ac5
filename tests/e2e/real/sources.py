# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the programs work on: generated, always the same."""

import os
import random
import subprocess


def noise(path, size, seed):
    """A file that is neither random nor simple."""
    rng = random.Random(seed)
    words = [rng.randbytes(rng.randrange(2, 9)).hex() for _ in range(3000)]
    with open(path, "w", encoding="ascii") as f:
        while f.tell() < size:
            f.write(" ".join(rng.choices(words, k=5000)) + "\n")


def write(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


def sqlite(sql):
    create = ("CREATE TABLE t (k INTEGER PRIMARY KEY, v);"
              "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 40000) "
              "INSERT INTO t SELECT x, x * x % 65537 FROM c;")
    subprocess.run(["sqlite3", "data.db", create], check=True)
    write("query.sql", sql)


def sparse(size):
    noise("input", 32 << 20, 1)
    os.truncate("input", size)


def c_function(rng, name, head="double"):
    return (f"{head} {name}(double x, int n)\n{{\n\tdouble s = {rng.random():.6f};\n\n"
            f"\tfor (int i = 1; i < n; i++) {{\n\t\ts += x / i * {rng.randrange(1, 99)};\n"
            f"\t\tif (s > {rng.randrange(100, 9999)})\n\t\t\ts = s / {rng.randrange(2, 50)}.5;\n"
            "\t}\n\treturn s;\n}\n\n")


def c_project(n):
    """n files of C, a program that calls them all, and its Makefile."""
    rng = random.Random(7)
    for i in range(n):
        text = "#include <math.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n\n"
        text += "".join(c_function(rng, f"t{k}", "static double") for k in range(10))
        calls = " + ".join(f"t{k}(x, {rng.randrange(5, 50)})" for k in range(10))
        write(f"f{i}.c", text + f"double f{i}(double x)\n{{\n\treturn {calls};\n}}\n")
    text = "#include <stdio.h>\n\n" + "".join(f"double f{i}(double);\n" for i in range(n))
    text += "\nint main(void)\n{\n\tdouble s = 0;\n\n"
    text += "".join(f"\ts = s / 2 + f{i}(s);\n" for i in range(n))
    write("main.c", text + '\tprintf("%.9f\\n", s);\n\treturn 0;\n}\n')
    objects = " ".join(f"f{i}.o" for i in range(n))
    write("Makefile", f"O = main.o {objects}\nCFLAGS = -O2 -g\n\nprog: $(O)\n\t$(CC) -o $@ $(O) -lm\n\n"
          "clean:\n\trm -f prog *.o\n")


def c_file(n):
    """One file of n functions."""
    rng = random.Random(8)
    write("big.c", "".join(c_function(rng, f"f{i}") for i in range(n)))


def git_repository(commits):
    """A history with merges, many versions of many files, all of it in loose objects and small packs."""
    rng = random.Random(9)
    files = [f"dir{i % 7}/file{i}" for i in range(60)]
    contents = {name: [f"{rng.random()}" for _ in range(200)] for name in files}
    stream = []
    for c in range(1, commits + 1):
        branch = "side" if c % 10 in (4, 5, 6) else "main"
        stream.append(f"commit refs/heads/{branch}\nmark :{c}\n"
                      f"committer A U Thor <author@example.com> {1700000000 + c * 60} +0000\n"
                      f"data {len(str(c)) + 7}\ncommit {c}\n")
        if c > 1:
            stream.append(f"from :{c - 1}\n")
        for name in rng.sample(files, 5):
            lines = contents[name]
            for _ in range(4):
                lines[rng.randrange(len(lines))] = f"{rng.random()}"
            text = "\n".join(lines) + "\n"
            stream.append(f"M 100644 inline {name}\ndata {len(text)}\n{text}\n")
    subprocess.run(["git", "init", "-q", "-b", "main", "new"], check=True)
    for key, value in (("fastimport.unpackLimit", "0"), ("gc.auto", "0"), ("gc.pruneExpire", "now")):
        subprocess.run(["git", "-C", "new", "config", key, value], check=True)
    subprocess.run(["git", "-C", "new", "fast-import", "--quiet"], input="".join(stream).encode(),
                   check=True)
