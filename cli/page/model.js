// SPDX-License-Identifier: LGPL-2.1-or-later
// What the lines of the stream tell: processes, and what each of them had from when to when.
'use strict';

// Kinds that look alike share a colour: --k-NAME of the style sheet.
const FAMILIES = [
	['file', ['regular', 'memfile']], ['dir', ['directory', 'opath']], ['pipe', ['pipe', 'fifo']],
	['unix', ['unix']],
	['inet', ['tcp', 'udp', 'inet', 'socket', 'packet', 'netlink', 'vsock', 'connection']],
	['event', ['eventfd', 'epoll', 'signalfd', 'timerfd', 'inotify', 'fanotify', 'pidfd', 'mqueue', 'userfaultfd']],
	['mem', ['memfd', 'secretmem', 'shmem', 'posixshm', 'sysvshm', 'hugeshm', 'map shared']],
	['tty', ['tty', 'pty', 'ptmx', 'chardev', 'blockdev']],
	['ring', ['io_uring', 'bpfmap', 'bpf', 'perf_event', 'kvm']],
	['anon', ['map anonymous']], ['area', ['map file']], ['timer', ['timer']], ['lock', ['lock']],
	['signal', ['signal']], ['task', ['task event']],
];
const FAMILY_OF = new Map(FAMILIES.flatMap(([f, kinds]) => kinds.map(k => [k, f])));
const FAMILY_ORDER = new Map([...FAMILIES.map(([f]) => f), 'other'].map((f, i) => [f, i]));
const familyOf = kind => FAMILY_OF.get(kind) || 'other';

const GROUPS = { thread: 'threads', fd: 'descriptors', conn: 'connections', area: 'memory areas',
	timer: 'timers', lock: 'locks' };

// Something that was there for a while.
class Item {
	constructor(group, kind, proc, t, made) {
		this.group = group;
		this.kind = kind;
		this.proc = proc;
		this.t0 = t;
		this.t1 = Infinity;
		this.made = made; // the event, or null: before what is told
		this.closed = null;
		this.more = null; // events in between
		this.label = '';
		this.inherited = this.known = this.partial = this.open = false;
		this.leak = ''; // 'exit', 'end': it was never closed
	}
	also(e) {
		(this.more || (this.more = [])).push(e);
	}
	events() {
		return [this.made, ...(this.more || []), this.closed].filter(Boolean);
	}
	get text() {
		if (this.lower === undefined)
			this.lower = [this.kind, this.label, ...this.events().map(eventText)].join(' ').toLowerCase();
		return this.lower;
	}
}

const SEARCHED = ['event', 'path', 'peer', 'local', 'name', 'by', 'signal', 'comm', 'state', 'to'];
function eventText(e) {
	return SEARCHED.map(k => e[k] === undefined ? '' : String(e[k])).join(' ');
}

// Rows of one sort below a process. Lanes are found by a key, or given to whoever needs one.
class Group {
	constructor(proc, cls) {
		this.proc = proc;
		this.cls = cls;
		this.lanes = [];
		this.keys = new Map();
		this.free = [];
	}
	lane(key) {
		let lane = this.keys.get(key);
		if (!lane) {
			lane = this.add();
			lane.key = key;
			this.keys.set(key, lane);
		}
		return lane;
	}
	add() {
		const lane = { group: this, items: [], n: this.lanes.length, key: null };
		this.lanes.push(lane);
		return lane;
	}
	take() {
		return this.free.length ? this.free.pop() : this.add();
	}
	give(lane) {
		this.free.push(lane);
	}
	// How many of each kind were there at which time: [{kind, t: [], n: []}], for the graph.
	series() {
		if (this.made)
			return this.made;
		const changes = new Map();
		for (const lane of this.lanes)
			for (const i of lane.items) {
				if (!changes.has(i.kind))
					changes.set(i.kind, []);
				changes.get(i.kind).push([i.t0, 1]);
				if (!i.open)
					changes.get(i.kind).push([i.t1, -1]);
			}
		this.made = [...changes].map(([kind, list]) => {
			list.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
			const t = new Float64Array(list.length), n = new Int32Array(list.length);
			let sum = 0, peak = 0;
			list.forEach(([at, d], i) => {
				t[i] = at;
				n[i] = sum += d;
				peak = Math.max(peak, sum);
			});
			return { kind, t, n, peak };
		});
		this.made.sort((a, b) => FAMILY_ORDER.get(familyOf(a.kind)) - FAMILY_ORDER.get(familyOf(b.kind)));
		return this.made;
	}
}

// A process or a thread: a row with a life, names, and what happened at moments.
class Task {
	constructor(pid, tid, t) {
		this.pid = pid;
		this.tid = tid;
		this.t0 = t;
		this.t1 = Infinity;
		this.comm = '';
		this.names = []; // {t, text}: what it was called from then on
		this.marks = []; // {t, kind, text, bad, ev, signal}
		this.partial = this.known = this.open = false;
		this.end = null; // {text, bad}
	}
	call(t, text) {
		const last = this.names[this.names.length - 1];
		this.comm = text;
		if (!last || last.text !== text)
			this.names.push({ t, text });
	}
}

class Process extends Task {
	constructor(pid, t, parent) {
		super(pid, pid, t);
		this.parent = parent || null;
		this.kids = [];
		this.depth = 0;
		this.exe = '';
		this.threads = new Map();
		this.groups = new Map();
		this.table = { fds: new Map(), owner: this, users: 1 };
		this.ranges = []; // of memory, sorted: {s, e, item}
		this.pending = new Map(); // signals by name
		if (parent) {
			parent.kids.push(this);
			this.depth = parent.depth + 1;
		}
	}
	group(cls) {
		if (!this.groups.has(cls))
			this.groups.set(cls, new Group(this, cls));
		return this.groups.get(cls);
	}
}

const INHERITED_MAX = 50000; // bars; a storm of forks with large tables would make millions
const isShared = (e, flag) => String(e.flags || '').includes(flag);

class Model {
	constructor(events, dropped) {
		this.events = events;
		this.start = events.find(e => e.event === 'start') || {};
		this.audits = [];
		this.losses = [];
		this.signals = [];
		this.procs = [];
		this.byPid = new Map();
		this.conns = new Map(); // that are not closed, by object
		this.peers = new Map(); // the same: sets, by the peer's address
		this.kinds = new Map();
		this.locks = new Map();
		this.items = [];
		this.inherited = 0;
		const first = events.find(e => !isHead(e)) || events[0];
		this.base = Number(this.start.time_ns ?? first?.time_ns ?? 0);
		this.min = dropped && first ? this.at(first) : 0;
		this.max = events.length ? this.at(events[events.length - 1]) : 0;
		for (const e of events) {
			this.max = Math.max(this.max, this.at(e));
			const take = HANDLERS.get(e.event);
			if (take)
				take.call(this, e, this.at(e));
			else if (e.pid)
				this.mark(e, 'task event', String(e.event));
		}
		this.finish();
	}
	at(e) {
		return Number(e.time_ns) - this.base;
	}
	process(pid, e) {
		let p = this.byPid.get(pid);
		if (!p)
			p = this.newProcess(pid, this.min, null, { partial: true });
		if (e && !p.comm && e.comm && e.pid === pid && (e.tid === pid || !e.tid))
			p.call(p.t0, String(e.comm));
		return p;
	}
	newProcess(pid, t, parent, more) {
		const p = Object.assign(new Process(pid, t, parent), more);
		this.byPid.set(pid, p);
		this.procs.push(p);
		return p;
	}
	task(e) {
		const p = this.process(e.pid, e);
		if (!e.tid || e.tid === e.pid)
			return p;
		let t = p.threads.get(e.tid);
		if (!t) {
			t = this.newThread(p, e.tid, p.t0);
			t.partial = true;
		}
		if (!t.comm && e.comm)
			t.call(t.t0, String(e.comm));
		return t;
	}
	newThread(p, tid, t) {
		const thread = new Task(p.pid, tid, t);
		thread.proc = p;
		p.threads.set(tid, thread);
		return thread;
	}
	kind(name) {
		this.kinds.set(name, (this.kinds.get(name) || 0) + 1);
		return name;
	}
	mark(e, kind, text, bad) {
		const m = { t: this.at(e), kind: this.kind(kind), text, bad: !!bad, ev: e };
		this.task(e).marks.push(m);
		return m;
	}
	add(group, lane, kind, p, t, e) {
		const i = new Item(group, kind, p, t, e);
		lane.items.push(i);
		i.lane = lane;
		this.kind(kind);
		this.items.push(i);
		return i;
	}
	end(i, t, e) {
		i.t1 = Math.max(t, i.t0);
		i.closed = e;
	}

	// ---- descriptors ----
	openFd(p, e, t, more) {
		const owner = p.table.owner, group = owner.group('fd');
		const i = this.add('fd', group.lane(Number(e.fd)), String(e.kind ?? 'unsupported'), owner, t, e);
		i.fd = Number(e.fd);
		i.object = e.object;
		i.label = String(e.path ?? e.peer ?? e.local ?? e.name ?? '');
		Object.assign(i, more);
		p.table.fds.set(i.fd, i);
		return i;
	}
	inherit(child, parent, t, e) {
		if (isShared(e, 'CLONE_FILES')) {
			child.table = parent.table;
			parent.table.users++;
			return;
		}
		for (const [fd, from] of parent.table.fds) {
			if (from.t1 !== Infinity || ++this.inherited > INHERITED_MAX)
				continue;
			const i = this.openFd(child, { fd, kind: from.kind, object: from.object }, t, { inherited: true });
			i.made = from.made;
			i.label = from.label;
		}
	}
	ownTable(p, t) {
		if (p.table.users < 2)
			return;
		const old = p.table;
		old.users--;
		p.table = { fds: new Map(), owner: p, users: 1 };
		if (old.owner !== p)
			for (const [fd, from] of old.fds)
				if (from.t1 === Infinity)
					this.openFd(p, { fd, kind: from.kind, object: from.object, path: from.label }, t,
						{ inherited: true });
	}
	closeFd(p, e, t) {
		let i = p.table.fds.get(Number(e.fd));
		if (!i) {
			const before = p.table.owner.group('fd').lane(Number(e.fd)).items.at(-1);
			i = this.openFd(p, e, Math.max(p.t0, this.min, before ? before.t1 : 0), { partial: true });
			i.made = null;
		}
		if (!i.label)
			i.label = String(e.path ?? '');
		this.end(i, t, e);
		if (e.by === 'exit' && mayLeak(i))
			i.leak = 'exit';
		if (e.by !== 'exit')
			p.table.fds.delete(i.fd);
	}

	// Of a socket that no descriptor refers to any more, the kernel tells the addresses alone.
	connection(e) {
		if (e.object !== undefined)
			return this.conns.get(e.object);
		for (const c of this.peers.get(e.peer) || [])
			if (e.local === undefined || c.local === e.local)
				return c;
		return undefined;
	}
	addConnection(e) {
		const c = { lane: this.process(e.pid, e).group('conn').take(), object: e.object, peer: undefined };
		if (e.object !== undefined)
			this.conns.set(e.object, c);
		return c;
	}
	setPeer(c, peer) {
		if (c.peer === peer)
			return;
		this.peers.get(c.peer)?.delete(c);
		if (this.peers.get(c.peer)?.size === 0)
			this.peers.delete(c.peer);
		c.peer = peer;
		if (peer !== undefined)
			this.peers.set(peer, (this.peers.get(peer) || new Set()).add(c));
	}

	// ---- memory ----
	// Take [s, e) out of what is known; areas without anything left end here.
	cut(p, s, e, t, ev) {
		const r = p.ranges;
		let at = lowerBound(r, s);
		if (at > 0 && r[at - 1].e > s)
			at--;
		let n = 0;
		const rest = [];
		for (; at + n < r.length && r[at + n].s < e; n++) {
			const old = r[at + n];
			old.item.ranges--;
			if (old.s < s)
				rest.push({ s: old.s, e: s, item: old.item });
			if (old.e > e)
				rest.push({ s: e, e: old.e, item: old.item });
		}
		const gone = r.splice(at, n, ...rest);
		rest.forEach(x => x.item.ranges++);
		for (const old of gone) {
			if (old.item.ranges)
				old.item.also(ev);
			else if (old.item.t1 === Infinity)
				this.endArea(old.item, t, ev);
		}
	}
	endArea(i, t, e) {
		this.end(i, t, e);
		i.lane.group.give(i.lane);
	}
	map(p, e, t) {
		const s = parseInt(e.start, 16), end = parseInt(e.end, 16);
		if (!(end > s))
			return;
		this.cut(p, s, end, t, e);
		const group = p.group('area');
		const kind = e.shared ? 'map shared' : e.path && e.path[0] === '/' ? 'map file' : 'map anonymous';
		const i = this.add('area', group.take(), kind, p, t, e);
		i.ranges = 1;
		i.label = String(e.path ?? (e.event === 'brk' ? '[heap]' : '')) + ' ' + bytes(end - s);
		i.known = isKnown(e);
		p.ranges.splice(lowerBound(p.ranges, s), 0, { s, e: end, item: i });
	}
	endAreas(p, t, e) {
		for (const r of p.ranges)
			if (r.item.t1 === Infinity)
				this.endArea(r.item, t, e);
		p.ranges = [];
	}

	// ---- the end ----
	endGroups(p, t, e, ...groups) {
		for (const cls of groups)
			for (const lane of p.groups.get(cls)?.lanes || []) {
				const i = lane.items[lane.items.length - 1];
				if (i && i.t1 === Infinity)
					this.end(i, t, e);
			}
	}
	finish() {
		for (const i of this.items)
			if (i.t1 === Infinity) {
				i.t1 = this.max;
				i.open = true;
				if (mayLeak(i))
					i.leak = 'end';
			}
		for (const p of this.procs) {
			for (const t of [p, ...p.threads.values()])
				if (t.t1 === Infinity) {
					t.open = p.t1 === Infinity || p.open;
					t.t1 = p.t1 === Infinity ? this.max : p.t1;
				}
			p.groups.get('fd')?.lanes.sort((a, b) => a.key - b.key);
			for (const g of p.groups.values()) // reports of threads may come in another order
				g.lanes.forEach(l => l.items.sort((a, b) => a.t0 - b.t0 || a.t1 - b.t1));
		}
		for (const p of this.procs)
			for (const t of [p, ...p.threads.values()])
				t.marks.sort((a, b) => a.t - b.t);
		this.leaks = this.items.filter(i => i.leak).sort((a, b) => a.t0 - b.t0);
	}
}

// Its process made it itself. Standard input and output are meant to be open until the end.
const mayLeak = i => i.group === 'fd' && i.fd > 2 && !i.known && !i.inherited && !i.partial;
const isKnown = e => e.known === true || e.by === 'snapshot' || e.by === 'known';
const isHead = e => e.event === 'start' || (e.event === 'process' && e.known);

function lowerBound(list, s) {
	let lo = 0, hi = list.length;
	while (lo < hi) {
		const mid = lo + hi >> 1;
		if (list[mid].s < s)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

function bytes(n) {
	const unit = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
	let i = 0;
	for (; n >= 1024 && i < 4; i++)
		n /= 1024;
	return (i && n % 1 ? n.toFixed(1) : n) + ' ' + unit[i];
}

// ---- one function per event ----
// Each with the model as `this`, the event, and its time since the start.
const HANDLERS = new Map(Object.entries({
	start() {},
	process(e, t) {
		const known = !!e.known, old = this.byPid.get(e.pid);
		const fresh = !old || old.t1 !== Infinity;
		const p = fresh ? this.newProcess(e.pid, known ? this.min : t, this.byPid.get(e.ppid)) : old;
		p.known = p.known || known;
		p.exe = String(e.exe ?? e.argv0 ?? '');
		p.ppid = e.ppid;
		p.told = e;
		if (e.comm)
			p.call(p.t0, String(e.comm));
	},
	fork(e, t) {
		const parent = this.process(e.pid, e);
		this.mark(e, 'task event', 'fork ' + e.child);
		const old = this.byPid.get(e.child);
		if (old && old.t1 === Infinity && old.parent === parent && !old.told?.child) {
			if (!old.table.fds.size) // told by its own line already
				this.inherit(old, parent, t, e);
			return;
		}
		const child = this.newProcess(e.child, t, parent);
		child.call(t, parent.comm);
		child.exe = parent.exe;
		child.told = e;
		this.inherit(child, parent, t, e);
	},
	thread(e, t) {
		const p = this.process(e.pid, e);
		const child = e.child ?? e.tid;
		if (child !== e.pid && !p.threads.get(child)?.known)
			this.newThread(p, child, isKnown(e) ? p.t0 : t).known = isKnown(e);
	},
	exec(e, t) {
		const p = this.process(e.pid, e), path = String(e.path ?? '');
		this.ownTable(p, t);
		this.endAreas(p, t, e);
		this.endGroups(p, t, e, 'timer');
		p.exe = path;
		p.call(t, e.comm && e.comm !== p.comm ? String(e.comm) : path.split('/').pop().slice(0, 15) || p.comm);
		this.mark({ ...e, tid: e.pid }, 'task event', 'exec ' + path);
	},
	rename(e, t) {
		const task = this.task(e);
		task.call(t, String(e.to ?? ''));
		this.mark(e, 'task event', 'renamed ' + String(e.to ?? ''));
	},
	thread_exit(e, t) {
		const task = this.task(e);
		if (task.proc)
			task.t1 = t;
	},
	exit(e, t) {
		const p = this.process(e.pid, e);
		if (p.t1 !== Infinity)
			return;
		p.t1 = t;
		p.end = e.signal ? { text: String(e.signal), bad: true }
			: { text: 'exit ' + (e.code ?? 0), bad: !!e.code };
		p.ended = e;
		this.endAreas(p, t, e);
		this.endGroups(p, t, e, 'timer', 'lock');
		if (--p.table.users > 0)
			return;
		for (const i of p.table.fds.values())
			if (i.t1 === Infinity) {
				this.end(i, t, e);
				i.leak = mayLeak(i) ? 'exit' : '';
			}
	},
	fd_new(e, t) {
		const p = this.process(e.pid, e), old = p.table.fds.get(Number(e.fd));
		const known = isKnown(e);
		if (old && old.t1 === Infinity) {
			if (old.inherited && old.object === e.object && e.by !== 'dup2' && e.by !== 'dup3') {
				old.made = e;
				return;
			}
			this.end(old, t, null);
		}
		this.openFd(p, e, known ? p.t0 : t, { known, inherited: e.by === 'fork' || e.by === 'clone' });
	},
	fd_close(e, t) {
		this.closeFd(this.process(e.pid, e), e, t);
	},
	fd_flags(e) {
		this.process(e.pid, e).table.fds.get(Number(e.fd))?.also(e);
	},
	sock_state(e, t) {
		let c = this.connection(e);
		const over = /^(tcp_)?close$/i.test(e.to);
		if (c)
			this.end(c.item, t, e);
		else if (over)
			return;
		else
			c = this.addConnection(e);
		c.local = e.local ?? c.local;
		this.setPeer(c, e.peer ?? c.peer);
		if (over) {
			this.conns.delete(c.object);
			this.setPeer(c, undefined);
			c.lane.group.give(c.lane);
			return;
		}
		c.item = this.add('conn', c.lane, 'connection', c.lane.group.proc, t, e);
		c.item.object = c.object;
		c.item.label = `${e.to} ${c.peer ?? c.local ?? ''}`;
	},
	bind: socketCall, listen: socketCall, connect: socketCall, shutdown: socketCall,
	map: area, brk: area, shmat: area, remap: area,
	unmap: unmap, shmdt: unmap,
	protect(e) {
		const p = this.process(e.pid, e), s = parseInt(e.start, 16), end = parseInt(e.end, 16);
		let at = lowerBound(p.ranges, s);
		if (at > 0 && p.ranges[at - 1].e > s)
			at--;
		for (; at < p.ranges.length && p.ranges[at].s < end; at++)
			p.ranges[at].item.also(e);
	},
	timer_new(e, t) {
		const p = this.process(e.pid, e);
		const i = this.add('timer', p.group('timer').lane(e.id), 'timer', p, t, e);
		i.label = `${e.clock ?? ''} ${e.signal ?? ''}`.trim();
		i.known = isKnown(e);
	},
	timer_set(e) {
		const lane = this.process(e.pid, e).groups.get('timer')?.keys.get(e.id);
		lane?.items[lane.items.length - 1].also(e);
	},
	timer_delete(e, t) {
		const lane = this.process(e.pid, e).groups.get('timer')?.keys.get(e.id);
		const i = lane?.items[lane.items.length - 1];
		if (i && i.t1 === Infinity)
			this.end(i, t, e);
	},
	lock(e, t) {
		const p = this.process(e.pid, e), key = `${e.pid} ${e.path}`;
		const i = this.add('lock', p.group('lock').take(), 'lock', p, t, e);
		i.label = `${e.type ?? ''} ${e.path ?? ''}`.trim();
		i.from = Number(e.start ?? 0);
		if (!this.locks.has(key))
			this.locks.set(key, []);
		this.locks.get(key).push(i);
	},
	unlock(e, t) {
		const key = `${e.pid} ${e.path}`, from = Number(e.start ?? 0);
		const end = Number(e.end ?? -1);
		const rest = (this.locks.get(key) || []).filter(i => {
			if (i.from < from || (end >= 0 && i.from > end))
				return true;
			this.endArea(i, t, e);
			return false;
		});
		this.locks.set(key, rest);
	},
	namespace(e) {
		this.mark(e, 'task event', `${e.by ?? 'namespace'} ${e.which ?? ''}`);
	},
	signal_generate(e, t) {
		const p = this.process(e.target_pid ?? e.pid, e), name = String(e.signal);
		const own = e.target_pid === undefined || e.target_pid === e.pid;
		const s = { name, t0: t, t1: null, gen: e, deliver: null, proc: p, kind: 'signal' };
		s.task = e.target_tid && e.target_tid !== p.pid ? p.threads.get(e.target_tid) || p : p;
		s.sender = own ? this.byPid.get(e.sender_pid) || null : this.process(e.pid, e);
		this.kind('signal');
		this.signals.push(s);
		s.task.marks.push({ t, kind: 'signal', text: name, bad: false, ev: e, signal: s });
		if (e.result && e.result !== 'queued')
			return;
		if (!p.pending.has(name))
			p.pending.set(name, []);
		p.pending.get(name).push(s);
	},
	signal_deliver(e, t) {
		const p = this.process(e.pid, e), task = this.task(e), list = p.pending.get(String(e.signal)) || [];
		const wanted = e.delay_ns === undefined ? null : t - e.delay_ns;
		let at = wanted === null ? -1 : list.findIndex(s => Math.abs(s.t0 - wanted) < 2000);
		if (at < 0)
			at = list.findIndex(s => !s.gen.target_tid || s.gen.target_tid === e.tid);
		let s = list[at];
		if (s)
			list.splice(at, 1);
		else
			this.signals.push(s = { name: String(e.signal), t0: wanted ?? t, gen: null, proc: p, sender: null,
				kind: 'signal' });
		s.t1 = t;
		s.deliver = e;
		s.to = task;
		s.task = s.task || task;
		this.kind('signal');
		task.marks.push({ t, kind: 'signal', text: s.name, bad: e.action === 'default', ev: e, signal: s });
	},
	lost(e, t) {
		this.losses.push({ t, ev: e, cause: String(e.cause ?? 'unknown'), n: Number(e.count) || 0 });
	},
	audit(e, t) {
		this.audits.push({ t, ev: e });
	},
}));

function socketCall(e) {
	const failed = Number(e.ret) < 0;
	const i = this.process(e.pid, e).table.fds.get(Number(e.fd));
	if (i && i.t1 === Infinity) {
		i.also(e);
		i.label = i.label || String(e.peer ?? e.local ?? '');
	}
	this.mark(e, 'task event', `${e.event} ${e.peer ?? ''}${failed ? ' failed' : ''}`, failed);
}

function area(e, t) {
	const p = this.process(e.pid, e);
	if (e.old_start !== undefined)
		this.cut(p, parseInt(e.old_start, 16), parseInt(e.old_end ?? e.old_start, 16), t, e);
	this.map(p, e, t);
}

function unmap(e, t) {
	this.cut(this.process(e.pid, e), parseInt(e.start, 16), parseInt(e.end, 16), t, e);
}

// Characters that act on a terminal, or turn text around, shown as in all other output. In JSON they
// are escapes; what stands before a doubled backslash is none.
function showControls(text) {
	if (!/\\u(?!003c)/.test(text))
		return text;
	return text.replace(/\\(?:u([0-9a-f]{4})|.)/g, (all, hex) => {
		const c = parseInt(hex, 16);
		if (c < 0x20 || (c >= 0x7f && c < 0xa0))
			return '\\\\x' + hex.slice(2);
		const turns = c === 0x200e || c === 0x200f || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) ||
			c === 0xfeff;
		return turns ? `\\\\u{${c.toString(16)}}` : all;
	});
}

// Lines of JSON; those that are none (a run that was cut) are counted.
function parseLines(text) {
	text = showControls(text.trim());
	if (!text)
		return { events: [], bad: 0 };
	try {
		return { events: JSON.parse('[' + text.replaceAll('\n', ',') + ']'), bad: 0 };
	} catch {
		const events = [];
		let bad = 0;
		for (const line of text.split('\n'))
			try {
				events.push(JSON.parse(line));
			} catch {
				bad++;
			}
		return { events: events.filter(e => e && typeof e === 'object'), bad };
	}
}
