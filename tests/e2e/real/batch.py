# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs, and trees of them, that run to an end and say what they found."""

import glob
import os
import subprocess

from real import sources
from real.life import BIN

PYTHON = r"""
import hashlib, threading, time
def work(i):
    digest = b"%d" % i
    with open(f"part{i}", "w+") as f:
        for n in range(60000):
            digest = hashlib.sha256(digest).digest()
            text = [hex(b) for b in digest]
            f.write(" ".join(sorted(text)) + "\n")
            if n % 100 == 0:
                f.flush()
                f.seek(0)
                assert len(f.read()) > n
            if n % 1000 == 0:
                with lock:
                    done[i] = n
                time.sleep(0.01)
lock, done = threading.Lock(), {}
threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
for t in threads: t.start()
for t in threads: t.join()
total = hashlib.sha256()
for i in range(4):
    with open(f"part{i}", "rb") as f:
        total.update(f.read())
print(total.hexdigest(), sorted(done.items()))
"""

PERL = r"""
my ($x, %seen) = (12345);
for my $i (1 .. 8000000) {
    $x = ($x * 1103515245 + 12345) % 2147483648;
    $seen{$x % 5003} .= chr(97 + $x % 26);
    if ($i % 100000 == 0) {
        my $s = join '', map { length $seen{$_} } sort { $a <=> $b } keys %seen;
        printf "%d %d %s\n", $i, scalar(keys %seen), unpack('%32C*', $s);
    }
}
my $all = join ',', map { "$_=$seen{$_}" } sort keys %seen;
$all =~ s/([aeiou])([^aeiou])/$2$1/g;
print length($all), ' ', unpack('%32C*', $all), "\n";
"""

GAWK = r"""
BEGIN {
    x = 4711
    for (i = 1; i <= 6000000; i++) {
        x = (x * 16807) % 2147483647
        n[x % 10007]++
        if (i % 100000 == 0) { h = 0; for (k in n) h = (h * 31 + n[k] * k) % 1000003; print i, h }
    }
    m = asort(n)
    for (i = 1; i <= m; i += 500) printf "%d ", n[i]
    print ""
}
"""

SQL = r"""
CREATE TEMP TABLE result (a, b);
INSERT INTO result SELECT p.k % 97, sum(q.v * p.v % 1009) FROM t p JOIN t q ON q.k BETWEEN p.k AND p.k + 150
    GROUP BY 1;
SELECT * FROM result ORDER BY a;
SELECT count(*), sum(b) FROM result;
SELECT count(*), max(p.v * q.v) FROM t p JOIN t q ON q.k BETWEEN p.k AND p.k + 1500;
"""

# A shell, ten processes joined by pipes, three times over; a job in the background meanwhile.
PIPELINE = r"""
set -eu -o pipefail
trap 'echo "a signal that was not sent"; exit 1' TERM HUP
for round in 1 2 3; do
    { n=0; while [ $n -lt 40000 ]; do n=$((n + 1)); done; echo "counted to $n"; } >counted &
    cat input | tr a-f A-F | sed 's/0/zero/g' | awk '{ for (i = 1; i <= NF; i++) print $i }' |
        sort -S 4M | uniq -c | sort -rn -k1,1 -k2 | xz -0 -T1 -c | xz -dc | sha256sum
    wait $!
    cat counted
done
echo "${PIPESTATUS[*]} $(seq 1 1000 | paste -sd+ | tr -d '\n' | sha256sum)"
"""

MAKE = r"""
set -eu
make -s clean
make -s -j4
./prog
sha256sum prog *.o
"""

GIT = r"""
set -eu
rm -rf repository
cp -R new repository
cd repository
git gc --quiet --aggressive --prune=now
git repack -q -a -d -f --window=60 --depth=50
git fsck --full --strict
git count-objects -v | grep -E '^(count|in-pack|packs|garbage):'
git cat-file --batch-all-objects --batch-check | sha256sum
git log --all --stat | sha256sum
"""

# Threads, and children that talk to it through pipes.
RUBY = r"""
def work(seed, n)
  words = Hash.new { |h, k| h[k] = [] }
  n.times do |i|
    seed = (seed * 1103515245 + 12345) % 2147483648
    words[seed % 997] << (seed % 26 + 97).chr
  end
  words.sort.map { |k, v| "#{k}#{v.sort.join}" }.join.sum(64)
end
pipes = (1..3).map do |i|
  r, w = IO.pipe
  fork { r.close; 6.times { |k| w.puts work(i * 10 + k, 60000); w.flush } }
  w.close
  r
end
queue = Queue.new
threads = (1..4).map { |i| Thread.new { 3.times { |k| queue << [i, k, work(i + k, 60000)]; sleep 0.01 } } }
threads.each(&:join)
puts queue.size.times.map { queue.pop }.sort.inspect
pipes.each { |r| puts r.read.inspect }
puts Process.waitall.map { |_, status| status.exitstatus }.inspect
"""

PHP = r"""<?php
$x = 4711; $seen = []; $file = tmpfile();
for ($i = 1; $i <= 24000000; $i++) {
    $x = ($x * 16807) % 2147483647;
    $seen[$x % 5003] = ($seen[$x % 5003] ?? 0) + $i;
    if ($i % 400000 == 0) { ksort($seen); fwrite($file, json_encode($seen)); echo $i, " ", md5(serialize($seen)), "\n"; }
}
rewind($file);
echo md5(stream_get_contents($file)), "\n";
"""

LUA = r"""
local x, words, co = 4711, {}, nil
co = coroutine.wrap(function() while true do x = x * 16807 % 2147483647; coroutine.yield(x) end end)
for i = 1, 15000000 do
    local v = co()
    words[v % 5003] = (words[v % 5003] or 0) + v % 7
    if i % 500000 == 0 then
        local h = 0
        for k = 0, 5002 do h = (h * 31 + (words[k] or 0)) % 1000000007 end
        print(i, h, #string.rep("x", h % 100000))
        io.flush()
    end
end
"""

# Timers, promises, the thread pool, workers with messages.
NODE = r"""
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const crypto = require('crypto'), fs = require('fs');
if (!isMainThread) {
    let h = String(workerData);
    parentPort.on('message', (n) => {
        for (let i = 0; i < 30000; i++) h = crypto.createHash('sha256').update(h).digest('hex');
        parentPort.postMessage([n, h]);
        if (n == 9) parentPort.close();
    });
} else {
    const results = [], jobs = [];
    for (let w = 0; w < 3; w++)
        jobs.push(new Promise((done) => {
            const worker = new Worker(__filename, { workerData: w });
            worker.on('message', ([n, h]) => { results.push(`${w} ${n} ${h}`); if (n < 9) worker.postMessage(n + 1); });
            worker.on('exit', done);
            worker.postMessage(0);
        }));
    let ticks = 0;
    const timer = setInterval(() => ticks++, 7);
    jobs.push((async () => {
        let key = 'key';
        for (let i = 0; i < 40; i++) {
            key = await new Promise((ok, bad) => crypto.pbkdf2(key, 'salt', 20000, 32, 'sha512',
                (e, k) => e ? bad(e) : ok(k.toString('hex'))));
            await fs.promises.writeFile(`part${i % 4}`, key.repeat(5000));
            const text = await fs.promises.readFile(`part${i % 4}`, 'utf8');
            results.push(`key ${String(i).padStart(2, '0')} ${text.length} ${text.slice(-20)}`);
            await new Promise((ok) => setTimeout(ok, 3));
        }
    })());
    Promise.all(jobs).then(() => {
        clearInterval(timer);
        console.log(results.sort().join('\n'));
        console.log(ticks > 10 ? 'ticked' : 'the interval timer did not run');
    });
}
"""

# 300 threads that take work from one queue and give it to another, with garbage collection in between.
JAVA = r"""
import java.util.*;
import java.util.concurrent.*;

public class Work {
    static long work(int seed) {
        Map<Integer, StringBuilder> words = new HashMap<>();
        long x = seed;
        for (int i = 0; i < 12000; i++) {
            x = x * 16807 % 2147483647;
            words.computeIfAbsent((int) (x % 97), k -> new StringBuilder()).append((char) ('a' + x % 26));
        }
        long sum = 0;
        for (int k = 0; k < 97; k++)
            sum = sum * 31 + (words.containsKey(k) ? words.get(k).toString().hashCode() : 0);
        return sum;
    }

    public static void main(String[] args) throws Exception {
        BlockingQueue<Integer> todo = new LinkedBlockingQueue<>(64);
        BlockingQueue<String> done = new LinkedBlockingQueue<>();
        List<Thread> threads = new ArrayList<>();
        for (int t = 0; t < 300; t++) {
            Thread thread = new Thread(() -> {
                try {
                    for (int seed; (seed = todo.take()) > 0; )
                        done.add(String.format("%05d %d", seed, work(seed)));
                } catch (InterruptedException e) {
                    done.add("interrupted");
                }
            });
            thread.start();
            threads.add(thread);
        }
        for (int i = 1; i <= 9000; i++) {
            todo.put(i);
            if (i % 1000 == 0)
                Thread.sleep(5);
        }
        for (Thread thread : threads)
            todo.put(0);
        for (Thread thread : threads)
            thread.join();
        List<String> lines = new ArrayList<>(done);
        Collections.sort(lines);
        long sum = 0;
        for (String line : lines)
            sum = sum * 31 + line.hashCode();
        System.out.println(lines.size() + " " + lines.get(0) + " " + sum);
    }
}
"""

# A server with four clients, all of them in the tree, over a unix socket; every account must be right at the end.
POSTGRES = r"""
set -eu
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
export PGHOST=$PWD/run PGUSER=postgres PGDATABASE=postgres
rm -rf run
cp -a new run
setpriv --reuid 65534 --regid 65534 --clear-groups "$bin/postgres" -D run/data -k "$PWD/run" \
    -c listen_addresses= -c fsync=off >run/log 2>&1 &
server=$!
until "$bin/pg_isready" -q; do kill -0 $server; sleep 0.05; done
"$bin/pgbench" -i -q -s 2 2>/dev/null >/dev/null
"$bin/pgbench" -n -c 4 -j 2 -t 500 >run/bench 2>&1
grep -E 'number of (transactions actually|failed)' run/bench
"$bin/psql" -At <<'END'
SELECT count(*), sum(delta) = (SELECT sum(abalance) FROM pgbench_accounts),
    sum(delta) = (SELECT sum(tbalance) FROM pgbench_tellers), sum(delta) = (SELECT sum(bbalance) FROM pgbench_branches)
    FROM pgbench_history;
SELECT count(*) FROM pgbench_accounts a
    WHERE abalance <> (SELECT coalesce(sum(delta), 0) FROM pgbench_history h WHERE h.aid = a.aid) AND aid % 997 = 0;
SELECT md5(string_agg(x::text, ',' ORDER BY x)) FROM generate_series(1, 200000) x;
END
kill -INT $server
wait $server
grep -E 'PANIC|was terminated by signal|abnormally|invalid|corrupt' run/log || echo "it had nothing to complain of"
"""

# A server that writes what it is told to two files, by a child that has its memory, and three clients in the tree.
REDIS = r"""
import hashlib, os, random, shutil, socket, subprocess, time

class Client:
    def __init__(self):
        self.s = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + 30
        while self.s.connect_ex("redis.sock"):
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.01)
        self.f = self.s.makefile("rb")

        while self("PING") != "PONG":  # it reads its files yet
            assert time.monotonic() < deadline, "the server is not ready"
            time.sleep(0.01)

    def send(self, *words):
        words = [str(w).encode() for w in words]
        self.s.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))

    def reply(self):
        line = self.f.readline()
        kind, rest = line[:1], line[1:-2]
        assert kind and kind in b"+-:$*", line
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        if kind != b"$" or rest == b"-1":
            return rest.decode()
        return self.f.read(int(rest) + 2)[:-2].decode()

    def __call__(self, *words):
        self.send(*words)
        return self.reply()

def serve():
    return subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", os.path.abspath("redis.sock"), "--dir", "data",
        "--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--daemonize", "no", "--logfile", "log"],
        executable=shutil.which("redis-check-rdb"))

def check(client):
    for key, value in sorted(model.items()):
        got = client("GET", key)
        assert got == value, (key, value, got)
    assert int(client("DBSIZE")) == len(model)

shutil.rmtree("data", ignore_errors=True)
os.mkdir("data")
server, rng, model = serve(), random.Random(5), {}
clients = [Client() for _ in range(3)]
for round in range(240):
    for client in clients:  # pipelined: many answers are under way
        sent = []
        for _ in range(100):
            key, value = f"key{rng.randrange(3000)}", f"{rng.random()}" * rng.randrange(1, 60)
            client.send("SET", key, value)
            model[key] = value
            sent.append("OK")
        assert [client.reply() for _ in sent] == sent
    if round % 40 == 5:
        assert "ackground sav" in (answer := clients[0]("BGSAVE", "SCHEDULE")), answer
    if round % 40 == 25:
        assert "ackground append only" in (answer := clients[0]("BGREWRITEAOF")), answer
check(clients[1])
busy = ("aof_rewrite_in_progress:1", "aof_rewrite_scheduled:1", "rdb_bgsave_in_progress:1")
while any(word in (info := clients[0]("INFO", "persistence")) for word in busy):
    time.sleep(0.02)
assert "rdb_last_bgsave_status:ok" in info and "aof_last_bgrewrite_status:ok" in info, info
clients[2].send("SHUTDOWN")
assert server.wait(30) == 0
server = serve()  # from its files
client = Client()
check(client)
client.send("SHUTDOWN")
assert server.wait(30) == 0
print(len(model), hashlib.sha256(repr(sorted(model.items())).encode()).hexdigest())
"""


def postgres_setup():
    os.mkdir("new")
    os.chown("new", 65534, 65534)
    tools = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", tools[-1],
                    "-D", "new/data", "-U", "postgres", "-A", "trust", "--no-sync", "--no-locale"],
                   check=True, stdout=subprocess.DEVNULL)


def java_setup():
    sources.write("Work.java", JAVA)
    if os.spawnlp(os.P_WAIT, "javac", "javac", "-nowarn", "Work.java"):
        raise RuntimeError("javac failed")


# name: (program that must be there, set-up, shell command)
PROGRAMS = {
    "python3": ("/usr/bin/python3", lambda: sources.write("work.py", PYTHON),
                "exec /usr/bin/python3 work.py"),
    "perl": ("perl", lambda: sources.write("work.pl", PERL), "exec perl work.pl"),
    "gawk": ("gawk", lambda: sources.write("work.awk", GAWK), "exec gawk -f work.awk"),
    "sha256sum": ("sha256sum", lambda: sources.sparse(600 << 20), "exec sha256sum <input"),
    "xz": ("xz", lambda: sources.noise("input", 28 << 20, 2),
           "exec xz -T2 --block-size=2MiB -4 -c <input"),
    "sqlite3": ("sqlite3", lambda: sources.sqlite(SQL), "exec sqlite3 data.db <query.sql"),
    "threads": (os.path.join(BIN, "thread_pipeline"), lambda: None,
                f"exec '{BIN}/thread_pipeline' 50000"),
    "pipeline": ("xz", lambda: (sources.noise("input", 6 << 20, 3),
                                sources.write("work.sh", PIPELINE)), "exec bash work.sh"),
    "make": ("make", lambda: (sources.c_project(100), sources.write("work.sh", MAKE)),
             "exec bash work.sh"),
    "gcc": ("gcc", lambda: sources.c_file(1200), "gcc -O2 -g -c big.c && sha256sum big.o; echo $?"),
    "git": ("git", lambda: (sources.git_repository(400), sources.write("work.sh", GIT)),
            "exec bash work.sh"),
    "ruby": ("ruby", lambda: sources.write("work.rb", RUBY), "exec ruby work.rb"),
    "php": ("php", lambda: sources.write("work.php", PHP), "exec php work.php"),
    "lua": ("lua5.4", lambda: sources.write("work.lua", LUA), "exec lua5.4 work.lua"),
    "node": ("node", lambda: sources.write("work.js", NODE), "exec node work.js"),
    "redis": ("redis-check-rdb", lambda: sources.write("work.py", REDIS),
              "exec /usr/bin/python3 work.py"),
    "postgres": ("/usr/lib/postgresql",
                 lambda: (postgres_setup(), sources.write("work.sh", POSTGRES)),
                 "exec bash work.sh"),
    "java": ("javac", java_setup, "exec java -Xmx128m Work"),
}
