// SPDX-License-Identifier: LGPL-2.1-or-later
// Which rows there are, from the model, the filter, and what is folded.
'use strict';

const HEIGHT = { proc: 26, thread: 19, group: 24, lane: 16 };
const OPEN_LANES = 16, OPEN_THREADS = 8, OPEN_ROWS = 120; // unfolded at first
const KIDS_MAX = 8; // more children are a group of their own
const FOUND_LANES = 12, FOUND_ROWS = 300; // of what is looked for, unfolded at once

class Rows {
	constructor(model) {
		this.model = model;
		this.unfolded = new Set(); // processes and groups
		this.folded = new Set(); // by the user, though they were found
		this.off = new Set(); // kinds
		this.terms = [];
		this.leaksOnly = false;
		this.order = this.tree();
		this.tops = model.procs.filter(p => !p.parent);
		this.unfoldSome();
		this.apply();
	}
	// Parents before their children, each in the order of its birth.
	tree() {
		const out = [], todo = this.model.procs.filter(p => !p.parent).reverse();
		while (todo.length) {
			const p = todo.pop();
			out.push(p);
			for (let i = p.kids.length - 1; i >= 0; i--)
				todo.push(p.kids[i]);
		}
		return out;
	}
	unfoldSome() {
		let rows = 0;
		const visit = p => {
			rows++;
			if (rows > OPEN_ROWS)
				return;
			this.unfolded.add(p);
			rows += p.groups.size;
			if (p.threads.size && p.threads.size <= OPEN_THREADS) {
				this.unfolded.add(p.threads);
				rows += p.threads.size;
			}
			for (const g of p.groups.values())
				if (g.cls !== 'area' && g.lanes.length <= OPEN_LANES && rows + g.lanes.length < OPEN_ROWS) {
					this.unfolded.add(g);
					rows += g.lanes.length;
				}
			if (p.kids.length <= KIDS_MAX)
				p.kids.forEach(visit);
		};
		(this.tops.length > KIDS_MAX ? this.tops.slice(0, KIDS_MAX) : this.tops).forEach(visit);
	}
	setFilter(text) {
		this.folded.clear();
		this.terms = text.toLowerCase().split(/\s+/).filter(Boolean).map(t => {
			const m = /^(pid|tid|fd|kind|comm|object):(.+)$/.exec(t);
			return m ? { key: m[1], value: m[2] } : { value: t };
		});
	}
	taskHit(task, term) {
		if (term.key === 'pid')
			return String(task.pid) === term.value;
		if (term.key === 'tid')
			return String(task.tid) === term.value;
		if (term.key && term.key !== 'comm')
			return false;
		if (!term.key && (String(task.pid) === term.value || String(task.tid) === term.value))
			return true;
		if (task.exe && !term.key && task.exe.toLowerCase().includes(term.value))
			return true;
		return task.names.some(n => n.text.toLowerCase().includes(term.value));
	}
	itemHit(i, term) {
		switch (term.key) {
		case 'fd':
			return String(i.fd) === term.value;
		case 'object':
			return String(i.object) === term.value;
		case 'kind':
			return i.kind.includes(term.value);
		case undefined:
			return i.text.includes(term.value);
		default:
			return false;
		}
	}
	markHit(m, term) {
		return !term.key && (m.text + ' ' + eventText(m.ev)).toLowerCase().includes(term.value);
	}
	// Set `shown` on everything, and list the rows.
	apply() {
		this.hits = 0;
		for (const p of this.order)
			p.inFilter = this.applyProcess(p);
		this.searching = this.terms.length > 0 || this.leaksOnly;
		// Backwards: children come after their parents.
		for (let i = this.order.length - 1; i >= 0; i--) {
			const p = this.order[i];
			p.below = p.kids.some(k => k.inFilter || k.below);
		}
		this.layout();
	}
	// Terms that the process does not fulfil must be fulfilled by the thing itself.
	applyProcess(p) {
		const open = this.terms.filter(t => !this.taskHit(p, t));
		let any = !open.length && !this.leaksOnly;
		for (const task of [p, ...p.threads.values()]) {
			const rest = task === p ? open : open.filter(t => !this.taskHit(task, t));
			task.shown = !rest.length && !this.leaksOnly;
			for (const m of task.marks) {
				m.shown = !this.off.has(m.kind) && !this.leaksOnly && rest.every(t => this.markHit(m, t));
				task.shown = task.shown || (m.shown && this.terms.length > 0);
			}
			any = any || task.shown;
		}
		for (const g of p.groups.values()) {
			g.shown = false;
			for (const lane of g.lanes) {
				lane.shown = false;
				for (const i of lane.items) {
					i.shown = !this.off.has(i.kind) && (!this.leaksOnly || i.leak !== '') &&
						open.every(t => this.itemHit(i, t));
					this.hits += i.shown;
					lane.shown = lane.shown || i.shown;
				}
				g.shown = g.shown || lane.shown;
			}
			any = any || g.shown;
		}
		return any;
	}
	layout() {
		const rows = [];
		this.addAll(rows, this.tops);
		this.list = rows;
		this.y = new Float64Array(rows.length + 1);
		this.rowOf = new Map();
		rows.forEach((r, i) => {
			this.y[i + 1] = this.y[i] + HEIGHT[r.type];
			r.index = i;
			if (r.task)
				this.rowOf.set(r.task, i);
			if (r.lane)
				this.rowOf.set(r.lane, i);
			if (r.group)
				this.rowOf.set(r.group, i);
		});
		this.height = this.y[rows.length];
	}
	// With their children; an array, not the stack: a line of descent may be long.
	addAll(rows, procs) {
		const todo = procs.slice().reverse();
		while (todo.length) {
			const p = todo.pop();
			if (p.inFilter)
				this.addProcess(rows, p);
			const kids = p.below ? p.kids.filter(k => k.inFilter || k.below) : [];
			if (kids.length > KIDS_MAX) {
				const open = this.unfolded.has(p.kids) || (this.searching && !this.folded.has(p.kids));
				rows.push({ type: 'group', tasks: kids, group: p.kids, proc: p, fold: p.kids, level: 2, cls: 'kids', open });
				if (!open)
					continue;
			}
			for (let i = kids.length - 1; i >= 0; i--)
				todo.push(kids[i]);
		}
	}
	isOpen(what, n, rows) {
		return this.unfolded.has(what) ||
			(this.searching && n <= FOUND_LANES && rows.length < FOUND_ROWS && !this.folded.has(what));
	}
	addGroup(rows, row, below) {
		row.open = this.isOpen(row.fold, below.length, rows);
		rows.push(row);
		if (row.open)
			rows.push(...below);
	}
	addProcess(rows, p) {
		const open = this.isOpen(p, 0, rows);
		rows.push({ type: 'proc', task: p, proc: p, fold: p, level: 1, open });
		if (!open)
			return;
		const threads = [...p.threads.values()].filter(t => t.shown);
		if (threads.length)
			this.addGroup(rows, { type: 'group', tasks: threads, group: p.threads, proc: p, fold: p.threads, level: 2,
				cls: 'thread' }, threads.map(t => ({ type: 'thread', task: t, proc: p, level: 3 })));
		for (const cls of Object.keys(GROUPS)) {
			const g = p.groups.get(cls);
			if (g && g.shown)
				this.addGroup(rows, { type: 'group', group: g, proc: p, fold: g, level: 2, cls },
					g.lanes.filter(l => l.shown).map(lane => ({ type: 'lane', lane, proc: p, level: 3 })));
		}
	}
	toggle(what, open) {
		(open ? this.unfolded : this.folded).add(what);
		(open ? this.folded : this.unfolded).delete(what);
		this.layout();
	}
	foldAll(open) {
		this.unfolded.clear();
		this.folded.clear();
		const to = open ? this.unfolded : this.folded;
		for (const p of this.order) {
			to.add(p).add(p.threads).add(p.kids);
			p.groups.forEach(g => to.add(g));
		}
		this.layout();
	}
	// Make the row of an item or task be there. Its index, or -1: the filter hides it.
	reveal(what) {
		const p = what.lane ? what.lane.group.proc : what.proc || what;
		this.unfolded.add(p);
		for (let up = p.parent; up; up = up.parent)
			this.unfolded.add(up.kids);
		if (what.lane)
			this.unfolded.add(what.lane.group);
		else if (what.proc)
			this.unfolded.add(p.threads);
		this.layout();
		return this.rowOf.get(what.lane || what) ?? -1;
	}
	// Index of the row at a height.
	at(y) {
		let lo = 0, hi = this.list.length;
		while (lo < hi) {
			const mid = lo + hi >> 1;
			if (this.y[mid + 1] <= y)
				lo = mid + 1;
			else
				hi = mid;
		}
		return lo < this.list.length ? lo : -1;
	}
}

// Label of a row: what it is, and some more in a quieter colour.
function rowLabel(r) {
	if (r.type === 'proc')
		return [`${r.proc.pid} ${r.proc.comm || '?'}`, r.proc.end ? r.proc.end.text : ''];
	if (r.type === 'thread')
		return [`${r.task.tid} ${r.task.comm || '?'}`, ''];
	if (r.tasks)
		return [r.cls === 'kids' ? `children of ${r.proc.pid}` : GROUPS.thread, count(r.tasks.length)];
	if (r.type === 'group') {
		const n = r.group.lanes.reduce((sum, l) => sum + l.items.length, 0);
		return [GROUPS[r.cls], `${n} · peak ${peakOf(r.group)}`];
	}
	const items = r.lane.items, last = items[items.length - 1];
	const more = items.length > 1 ? `×${items.length}` : last.label;
	return [r.lane.group.cls === 'fd' ? `fd ${r.lane.key}` : r.lane.group.cls === 'timer' ? `timer ${r.lane.key}`
		: last.kind, more];
}

function peakOf(group) {
	if (group.peak === undefined) {
		const all = [];
		for (const s of group.series())
			s.t.forEach((t, i) => all.push([t, s.n[i] - (i ? s.n[i - 1] : 0)]));
		all.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
		let n = 0;
		group.peak = 0;
		for (const [, d] of all)
			group.peak = Math.max(group.peak, n += d);
	}
	return group.peak;
}
