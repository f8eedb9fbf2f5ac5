// SPDX-License-Identifier: LGPL-2.1-or-later
// The panel at the side: everything about one thing, and the tables. Text is only ever set as text.
'use strict';

const TABLE_MAX = 400; // rows; more are reached by the filter

function make(name, cls, text) {
	const el = document.createElement(name);
	if (cls)
		el.className = cls;
	if (text !== undefined)
		el.textContent = text;
	return el;
}

function duration(ns, digits = 4) {
	const a = Math.abs(ns);
	const [unit, name] = a < 1e3 ? [1, 'ns'] : a < 1e6 ? [1e3, 'µs'] : a < 1e9 ? [1e6, 'ms'] : [1e9, 's'];
	if (a >= 120e9)
		return `${Math.floor(a / 60e9)} min ${Math.round(a % 60e9 / 1e9)} s`;
	return `${unit === 1 ? Math.round(ns) : Number((ns / unit).toPrecision(digits))} ${name}`;
}

const count = n => n.toLocaleString('en-US');
const moment = t => (t < 0 ? '−' : '') + (Math.abs(t) / 1e9).toFixed(6) + ' s';

class Panel {
	constructor(model, painter, on) {
		Object.assign(this, { model, painter, on });
		this.body = $('details');
		this.tabs = [...document.querySelectorAll('[role=tab]')];
		for (const tab of this.tabs) {
			tab.addEventListener('click', () => this.open(tab.dataset.tab));
			tab.addEventListener('keydown', e => this.tabKey(e));
		}
		this.filled = new Set();
		this.nothing();
	}
	open(name) {
		for (const tab of this.tabs) {
			const on = tab.dataset.tab === name;
			tab.setAttribute('aria-selected', String(on));
			tab.tabIndex = on ? 0 : -1;
			$(tab.getAttribute('aria-controls')).hidden = !on;
		}
		if (this.filled.has(name))
			return;
		this.filled.add(name);
		const fill = { resources: fillResources, signals: fillSignals, audit: fillAudit }[name];
		if (fill)
			fill(this.model, this.on);
	}
	tabKey(e) {
		const at = this.tabs.indexOf(e.target);
		const to = e.key === 'ArrowRight' ? at + 1 : e.key === 'ArrowLeft' ? at - 1 : -1;
		if (e.key !== 'ArrowRight' && e.key !== 'ArrowLeft')
			return;
		e.preventDefault();
		const tab = this.tabs[(to + this.tabs.length) % this.tabs.length];
		this.open(tab.dataset.tab);
		tab.focus();
	}
	nothing() {
		this.body.dataset.shown = '';
		this.body.replaceChildren(make('p', 'hint', 'Point at anything for its details; click to keep them here.'),
			...this.left());
	}
	// What was left open, the oldest first.
	left() {
		const leaks = this.model.leaks;
		if (!leaks.length)
			return [];
		const box = make('div', 'related');
		box.append(make('h3', '', `Left open: ${count(leaks.length)}`));
		for (const i of leaks.slice(0, 25)) {
			const b = make('button', 'link', `${i.proc.pid} ${i.proc.comm} fd ${i.fd}`), row = make('p', 'row');
			b.addEventListener('click', () => this.on.go(i));
			row.append(b, make('span', 'sub', `${i.kind} ${i.label}`));
			box.append(row);
		}
		if (leaks.length > 25)
			box.append(make('p', 'hint', `and ${count(leaks.length - 25)} more: the key l goes from one to the next`));
		return [box];
	}
	show(what) {
		if (!what)
			return this.nothing();
		const parts = what instanceof Item ? this.item(what) : what instanceof Task ? this.task(what) : this.mark(what);
		this.body.dataset.shown = parts.key;
		this.body.replaceChildren(...parts.nodes.filter(Boolean));
	}
	title(kind, text, sub) {
		const h = make('h2', '', '');
		if (kind) {
			const swatch = make('i', 'swatch');
			swatch.style.setProperty('--k', this.painter.colour(kind));
			h.append(swatch);
		}
		h.append(text);
		const box = make('div', 'title');
		box.append(h);
		if (sub)
			box.append(sub);
		return box;
	}
	who(p) {
		const b = make('button', 'link', `${p.pid} ${p.comm || '?'}`);
		b.addEventListener('click', () => this.on.go(p));
		const box = make('p', 'who', 'of ');
		box.append(b);
		return box;
	}
	item(i) {
		const name = i.group === 'fd' ? `fd ${i.fd} · ${i.kind}` : i.kind;
		const facts = [[i.inherited ? 'inherited' : i.known ? 'was there' : i.partial ? 'made' : 'made',
			i.partial ? 'before what is told here' : i.known ? 'when observing began' : moment(i.t0)],
		['closed', i.open ? 'not while observed' : moment(i.t1)], ['lasted', duration(i.t1 - i.t0) + (i.open ? ' so far' : '')]];
		const leak = i.leak === 'exit' ? 'Still open when its process ended.'
			: i.leak === 'end' ? 'Still open when observing ended.' : '';
		return { key: `${i.group} ${i.fd ?? ''}`.trim(), nodes: [this.title(i.kind, i.label || name, make('p', 'sub', name)),
			this.who(i.proc), leak && make('p', 'leak', leak), factList(facts), this.related(i), ...i.events().map(e => this.event(e))] };
	}
	// The same object elsewhere, and the other end of a pair.
	related(i) {
		if (i.object === undefined)
			return null;
		if (!this.objects) {
			this.objects = new Map();
			for (const x of this.model.items)
				if (x.object !== undefined)
					this.objects.set(x.object, [...(this.objects.get(x.object) || []).slice(0, 49), x]);
		}
		const others = (this.objects.get(i.object) || []).filter(x => x !== i);
		if (!others.length)
			return null;
		const box = make('div', 'related');
		box.append(make('h3', '', `Same object (${i.object})`));
		for (const x of others.slice(0, 12)) {
			const b = make('button', 'link', `${x.proc.pid} ${x.proc.comm} ${x.group === 'fd' ? 'fd ' + x.fd : x.label}`);
			b.addEventListener('click', () => this.on.go(x));
			box.append(b);
		}
		if (others.length > 12)
			box.append(make('p', 'hint', `and ${others.length - 12} more`));
		return box;
	}
	task(t) {
		const p = t.proc || t, thread = t.proc !== undefined;
		const facts = [['began', t.partial ? 'before what is told here' : t.known ? 'was there when observing began' : moment(t.t0)],
			['ended', t.open ? 'not while observed' : moment(t.t1)], ['lived', duration(t.t1 - t.t0) + (t.open ? ' so far' : '')]];
		if (!thread) {
			facts.push(['program', p.exe || '?'], ['threads', count(p.threads.size + 1)]);
			if (p.parent)
				facts.push(['parent', `${p.parent.pid} ${p.parent.comm}`]);
			if (p.end)
				facts.push(['end', p.end.text]);
		}
		if (t.names.length > 1)
			facts.push(['names', t.names.slice(0, 20).map(n => n.text).join(' → ')]);
		return { key: `${thread ? 'thread' : 'process'} ${t.tid}`, nodes: [
			this.title('', `${t.tid} ${t.comm || '?'}`, make('p', 'sub', thread ? 'thread' : 'process')), thread && this.who(p),
			factList(facts), ...[t.told, t.ended].filter(Boolean).map(e => this.event(e))] };
	}
	mark(m) {
		const s = m.signal;
		if (!s)
			return { key: m.ev.event, nodes: [this.title(m.kind, m.text, make('p', 'sub', m.ev.event)),
				this.who(this.model.byPid.get(m.ev.pid)), this.event(m.ev)] };
		const facts = [['generated', s.gen ? moment(s.t0) : 'not seen'],
			['delivered', s.deliver ? moment(s.t1) : s.gen.result && s.gen.result !== 'queued' ? 'no: ' + s.gen.result : 'not while observed']];
		if (s.deliver && s.gen)
			facts.push(['between', duration(s.deliver.delay_ns ?? s.t1 - s.t0)]);
		if (s.sender)
			facts.push(['sender', `${s.sender.pid} ${s.sender.comm}`]);
		return { key: 'signal ' + s.name, nodes: [this.title('signal', s.name, make('p', 'sub', 'signal')), this.who(s.proc),
			factList(facts), s.gen && this.event(s.gen), s.deliver && this.event(s.deliver)] };
	}
	event(e) {
		const box = make('section', 'event'), h = make('h3', '', e.event + ' ');
		h.append(make('span', 'when', '+' + moment(this.model.at(e))));
		box.append(h, factList(Object.entries(e).filter(([k]) => k !== 'event').map(([k, v]) => [k, valueText(k, v)])));
		return box;
	}
}

function valueText(key, v) {
	if (v !== null && typeof v === 'object')
		return JSON.stringify(v);
	if (key !== 'time_ns' && /_ns$/.test(key) && typeof v === 'number')
		return `${count(v)} (${duration(v)})`;
	return String(v);
}

function factList(facts) {
	const dl = make('dl');
	for (const [k, v] of facts)
		dl.append(make('dt', '', k), make('dd', '', v));
	return dl;
}

// A table whose columns sort it. columns: [name, is it a number?]; rows: [cells..., what to go to].
function table(id, caption, columns, rows, go) {
	const t = make('table'), body = make('tbody'), head = make('tr');
	let by = -1, down = false;
	const fill = () => {
		body.replaceChildren(...rows.slice(0, TABLE_MAX).map(r => {
			const tr = make('tr');
			r.cells.forEach((c, i) => {
				const td = make('td', (columns[i][1] ? 'n' : '') + (r.bad?.[i] ? ' bad' : ''));
				if (i === 0 && r.go) {
					const b = make('button', 'link', c);
					b.addEventListener('click', () => go(r.go));
					b.title = c;
					td.append(b);
				} else {
					td.textContent = typeof c === 'number' ? count(c) : c;
				}
				tr.append(td);
			});
			return tr;
		}));
	};
	columns.forEach(([name, number], i) => {
		const th = make('th', number ? 'n' : ''), b = make('button', '', name);
		th.scope = 'col';
		b.addEventListener('click', () => {
			down = by === i ? !down : !!number;
			by = i;
			const key = r => r.sort?.[i] ?? r.cells[i];
			rows.sort((x, y) => (key(x) < key(y) ? -1 : key(x) > key(y) ? 1 : 0) * (down ? -1 : 1));
			[...head.children].forEach(h => h.removeAttribute('aria-sort'));
			th.setAttribute('aria-sort', down ? 'descending' : 'ascending');
			fill();
		});
		th.append(b);
		head.append(th);
	});
	const thead = make('thead');
	thead.append(head);
	t.id = id;
	t.append(make('caption', '', caption), thead, body);
	fill();
	const box = make('div', 'wide'), out = [box];
	box.append(t);
	if (rows.length > TABLE_MAX)
		out.push(make('p', 'hint', `${count(rows.length - TABLE_MAX)} more rows are not listed: sort by another column.`));
	return out;
}

// Made, closed, open and peak of each process and kind.
function tally(model) {
	const rows = [];
	for (const p of model.procs)
		for (const g of p.groups.values()) {
			const kinds = new Map();
			for (const lane of g.lanes)
				for (const i of lane.items) {
					const k = kinds.get(i.kind) || { made: 0, closed: 0, open: 0, leak: 0 };
					k.made += !i.inherited && !i.known && !i.partial;
					k.closed += !i.open && i.leak !== 'exit';
					k.open += i.open || i.leak === 'exit';
					k.leak += i.leak !== '';
					kinds.set(i.kind, k);
				}
			for (const s of g.series())
				rows.push({ p, kind: s.kind, peak: s.peak, ...kinds.get(s.kind) });
		}
	return rows;
}

function fillResources(model, on) {
	if (model.totals)
		return fillTotals(model, on);
	const list = tally(model), sums = new Map();
	for (const r of list) {
		const s = sums.get(r.kind) || { made: 0, closed: 0, open: 0, leak: 0 };
		for (const k of Object.keys(s))
			s[k] += r[k];
		sums.set(r.kind, s);
	}
	const all = [...sums].map(([kind, s]) => ({ cells: [kind, s.made, s.closed, s.open, s.leak], bad: [0, 0, 0, 0, s.leak] }));
	all.sort((a, b) => b.cells[1] - a.cells[1]);
	const rows = list.map(r => ({ cells: [`${r.p.pid} ${r.p.comm}`, r.kind, r.made, r.closed, r.open, r.peak, r.leak],
		sort: [r.p.pid], bad: [0, 0, 0, 0, 0, 0, r.leak], go: r.p }));
	rows.sort((a, b) => b.cells[6] - a.cells[6] || b.cells[2] - a.cells[2]);
	$('resources').replaceChildren(
		make('p', 'hint', 'Open: still there at the end, of its process or of observing; with what was inherited. ' +
			'Left: descriptors among them that the process made itself, but 0 to 2.'),
		...table('by-kind', 'By kind', [['kind'], ['made', 1], ['closed', 1], ['open', 1], ['left', 1]], all),
		...table('by-process', 'By process and kind',
			[['process'], ['kind'], ['made', 1], ['closed', 1], ['open', 1], ['peak', 1], ['left', 1]], rows, on.go));
}

// The sums of the whole run, when its first events are not here.
function fillTotals(model, on) {
	const rows = model.totals.processes.flatMap(p => p.kinds.map(k => ({
		cells: [p.folded ? `${count(p.folded)} that ended` : `${p.pid} ${p.comm}`, k.kind, k.made, k.closed, k.open, k.peak],
		sort: [p.pid], go: p.folded ? null : model.byPid.get(p.pid) })));
	rows.sort((a, b) => b.cells[4] - a.cells[4] || b.cells[2] - a.cells[2]);
	$('resources').replaceChildren(
		make('p', 'hint', 'Of the whole run, also of the events that are not here.'),
		...table('by-process', 'By process and kind', [['process'], ['kind'], ['made', 1], ['closed', 1], ['open', 1],
			['peak', 1]], rows, on.go));
}

function signalTotals(model) {
	const rows = model.totals.signals.map(s => ({ cells: [s.signal, s.generated, s.delivered,
		...[s.median_ns, s.p99_ns, s.max_ns].map(t => t ? duration(t, 3) : '–')],
	sort: [undefined, undefined, undefined, s.median_ns, s.p99_ns, s.max_ns] }));
	return table('signal-totals', 'Of the whole run',
		[['signal'], ['sent', 1], ['taken', 1], ['median', 1], ['99th', 1], ['max', 1]], rows);
}

function fillSignals(model, on) {
	const by = new Map();
	for (const s of model.signals) {
		const key = `${s.name} ${model.procs.indexOf(s.proc)}`;
		if (!by.has(key))
			by.set(key, { name: s.name, p: s.proc, generated: 0, delivered: 0, not: 0, delays: [] });
		const r = by.get(key);
		r.generated += !!s.gen;
		r.delivered += !!s.deliver;
		r.not += !s.deliver;
		if (s.gen && s.deliver)
			r.delays.push(s.deliver.delay_ns ?? s.t1 - s.t0);
	}
	const rows = [...by.values()].map(r => {
		const d = r.delays.sort((a, b) => a - b), at = q => d.length ? d[Math.min(d.length - 1, Math.floor(q * d.length))] : -1;
		const times = [at(0.5), at(0.99), at(1)];
		return { cells: [`${r.p.pid} ${r.p.comm}`, r.name, r.generated, r.delivered, r.not,
			...times.map(t => t < 0 ? '–' : duration(t, 3))], sort: [r.p.pid, undefined, undefined, undefined, undefined, ...times],
		go: r.p };
	});
	rows.sort((a, b) => b.cells[2] - a.cells[2]);
	$('signals').replaceChildren(...(model.totals ? signalTotals(model) : []), ...(rows.length ? table('by-signal', 'Signals, and the time from generated to delivered',
		[['process'], ['signal'], ['sent', 1], ['taken', 1], ['not', 1], ['median', 1], ['99th', 1], ['max', 1]], rows, on.go)
		: [make('p', 'hint', 'There were none.')]));
}

function fillAudit(model) {
	const nodes = [];
	for (const { t, ev } of model.audits.slice().reverse()) {
		const box = make('section', 'audit');
		box.append(make('h2', ev.balanced ? 'good' : 'bad', ev.balanced ? 'The books balance' : 'The books differ'),
			make('p', 'sub', `at +${moment(t)}, after ${count(Number(ev.events) || 0)} events`));
		box.append(factList([...Object.entries(ev.checked || {}).map(([k, v]) => [`${k} checked`, count(Number(v))]),
			['moving', count(Number(ev.moving) || 0)],
			...Object.entries(ev.lost || {}).map(([k, v]) => [`lost: ${k}`, count(Number(v))])]));
		const rows = (ev.differences || []).map(d => ({ cells: [String(d.pid), String(d.what), String(d.ledger), String(d.kernel)] }));
		if (rows.length)
			box.append(...table('', 'Differences', [['pid'], ['what'], ['ledger'], ['kernel']], rows));
		nodes.push(box);
	}
	for (const l of model.losses)
		nodes.push(make('p', 'leak', `${count(l.n)} events lost at +${moment(l.t)}: ${l.cause}`));
	$('audit').replaceChildren(...(nodes.length ? nodes : [make('p', 'hint', 'The run ended without an audit.')]));
}
