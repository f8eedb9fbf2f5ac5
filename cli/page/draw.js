// SPDX-License-Identifier: LGPL-2.1-or-later
// Paint rows on a canvas. What is closer together than a pixel is painted once.
'use strict';

class Painter {
	constructor() {
		this.dark = matchMedia('(prefers-color-scheme: dark)');
		this.readColours();
	}
	readColours() {
		const style = getComputedStyle(document.documentElement);
		const get = name => style.getPropertyValue('--' + name).trim();
		this.c = {};
		for (const name of ['bg', 'row', 'row-proc', 'fg', 'muted', 'grid', 'task', 'task-edge', 'bad', 'warn', 'good',
			'accent', 'select'])
			this.c[name] = get(name);
		this.k = new Map([...FAMILY_ORDER.keys()].map(f => [f, get('k-' + f)]));
		this.font = get('data-font');
	}
	colour(kind) {
		return this.k.get(familyOf(kind));
	}
	// A canvas of w x h pixels of the page; its context with a clean sheet.
	sheet(canvas, w, h) {
		const ratio = devicePixelRatio || 1;
		if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
			canvas.width = Math.round(w * ratio);
			canvas.height = Math.round(h * ratio);
			canvas.style.width = w + 'px';
			canvas.style.height = h + 'px';
		}
		const g = canvas.getContext('2d');
		g.setTransform(ratio, 0, 0, ratio, 0, 0);
		g.clearRect(0, 0, w, h);
		g.font = '11px ' + this.font;
		g.textBaseline = 'middle';
		if (!this.charWidth)
			this.charWidth = g.measureText('0123456789').width / 10;
		return g;
	}
	// As much of the text as has room.
	text(g, text, x, y, room, colour) {
		const n = Math.floor(room / this.charWidth);
		if (n < 3 || !text)
			return 0;
		const cut = text.length > n ? text.slice(0, n - 1) + '…' : text;
		g.fillStyle = colour;
		g.fillText(cut, x, y);
		return cut.length * this.charWidth;
	}

	// ---- the rows ----
	rows(g, view, rows, top, selected) {
		this.drawn = 0;
		const first = Math.max(0, rows.at(top));
		for (let i = first; i < rows.list.length && rows.y[i] < top + view.height; i++)
			this.background(g, view, rows.list[i], rows.y[i] - top);
		this.grid(g, view);
		for (let i = first; i < rows.list.length && rows.y[i] < top + view.height; i++) {
			const r = rows.list[i], y = rows.y[i] - top, h = HEIGHT[r.type];
			if (r.type === 'lane')
				this.bars(g, view, r.lane.items, y, h, selected);
			else if (r.type === 'group')
				this.graph(g, view, r, y, h);
			else
				this.task(g, view, r, y, h, selected);
		}
		this.senders(g, view, rows, top);
	}
	background(g, view, r, y) {
		const h = HEIGHT[r.type];
		g.fillStyle = r.type === 'proc' ? this.c['row-proc'] : this.c.row;
		g.fillRect(0, y, view.width, h);
		if (r.type === 'proc') {
			g.fillStyle = this.c.grid;
			g.fillRect(0, y, view.width, 1);
		}
	}
	grid(g, view) {
		g.fillStyle = this.c.grid;
		for (const t of view.ticks())
			g.fillRect(Math.round(view.x(t)), 0, 1, view.height);
		for (const l of view.losses) {
			const x = view.x(l.t);
			g.globalAlpha = 0.25;
			g.fillStyle = this.c.bad;
			g.fillRect(x - 2, 0, 4, view.height);
			g.globalAlpha = 1;
		}
	}
	bars(g, view, items, y, h, selected) {
		let lastX = -1;
		for (let n = firstAlive(items, view.from); n < items.length && items[n].t0 <= view.to; n++) {
			const i = items[n];
			if (!i.shown)
				continue;
			const x0 = Math.max(view.x(i.t0), -4), x1 = Math.min(Math.max(view.x(i.t1), x0 + 1.5), view.width + 4);
			const related = selected && (i === selected || (selected.object !== undefined &&
				i.object === selected.object));
			if (x1 < lastX && !related && !i.leak)
				continue;
			lastX = Math.floor(x0) + 1;
			this.bar(g, i, x0, x1, y, h);
			if (related)
				this.outline(g, x0, x1, y, h, i === selected);
			this.drawn++;
		}
	}
	bar(g, i, x0, x1, y, h) {
		const w = x1 - x0, colour = this.colour(i.kind);
		g.fillStyle = colour;
		if (w < 5) {
			g.globalAlpha = 0.8;
			g.fillRect(x0, y + 3, w, h - 6);
		} else {
			g.globalAlpha = i.inherited || i.known || i.partial ? 0.18 : 0.34;
			g.fillRect(x0, y + 2, w, h - 4);
			g.globalAlpha = 1;
			if (!i.inherited && !i.known && !i.partial)
				g.fillRect(x0, y + 2, 2, h - 4);
		}
		g.globalAlpha = 1;
		if (i.leak) {
			g.fillStyle = this.c.bad;
			g.fillRect(x0, y + h - 3, w, 1.5);
			g.beginPath();
			g.moveTo(x1, y + 2);
			g.lineTo(x1, y + h - 1.5);
			g.lineTo(x1 - 6, y + h / 2);
			g.fill();
		}
		if (w > 36) {
			const name = !i.label ? i.kind : i.group === 'fd' ? `${i.kind} ${i.label}` : i.label;
			this.text(g, name, Math.max(x0, 0) + 5, y + h / 2 + 0.5, x1 - Math.max(x0, 0) - 14, this.c.fg);
		}
	}
	outline(g, x0, x1, y, h, strong) {
		g.strokeStyle = this.c.select;
		g.lineWidth = strong ? 2 : 1;
		g.setLineDash(strong ? [] : [3, 2]);
		g.strokeRect(x0 - 1, y + 1, Math.max(x1 - x0, 3) + 2, h - 2);
		g.setLineDash([]);
	}
	// How many of each kind there are, one upon the other.
	graph(g, view, r, y, h) {
		const series = (r.tasks ? taskSeries(r) : r.group.series()).filter(s => r.tasks || !view.off.has(s.kind));
		const peak = Math.max(1, r.tasks ? Math.max(...series[0].n) : peakOf(r.group));
		const n = Math.max(0, Math.ceil(Math.min(view.width, view.x(view.model.max)) / 2)) + 1, base = new Float64Array(n), top = new Float64Array(n);
		const low = y + h - 2, scale = (h - 6) / peak;
		for (const s of series) {
			sample(s, view, top, 2);
			for (let i = 0; i < n; i++)
				top[i] += base[i];
			g.beginPath();
			g.moveTo(0, low - base[0] * scale);
			for (let i = 0; i < n; i++) {
				g.lineTo(i * 2, low - top[i] * scale);
				g.lineTo(i * 2 + 2, low - top[i] * scale);
			}
			for (let i = n - 1; i >= 0; i--) {
				g.lineTo(i * 2 + 2, low - base[i] * scale);
				g.lineTo(i * 2, low - base[i] * scale);
			}
			g.globalAlpha = 0.5;
			g.fillStyle = r.tasks ? this.c['task-edge'] : this.colour(s.kind);
			g.fill();
			g.globalAlpha = 1;
			base.set(top);
			this.drawn++;
		}
	}
	task(g, view, r, y, h, selected) {
		const t = r.task, x0 = Math.max(view.x(t.t0), -4), x1 = Math.min(view.x(t.t1), view.width + 4);
		const pad = r.type === 'proc' ? 5 : 4;
		if (x1 >= 0 && x0 <= view.width) {
			g.globalAlpha = t.shown ? 1 : 0.45;
			g.fillStyle = this.c.task;
			g.fillRect(x0, y + pad, Math.max(x1 - x0, 1.5), h - 2 * pad);
			g.fillStyle = this.c['task-edge'];
			if (!t.known && !t.partial)
				g.fillRect(x0, y + pad, 2, h - 2 * pad);
			if (!t.open)
				g.fillRect(x1 - 2, y + pad, 2, h - 2 * pad);
			this.names(g, view, t, y + h / 2 + 0.5, x1);
			g.globalAlpha = 1;
			this.drawn++;
		}
		if (selected === t)
			this.outline(g, x0, x1, y + 1, h - 2, true);
		if (t.end && x1 < view.width)
			this.text(g, t.end.text, x1 + 5, y + h / 2 + 0.5, view.width - x1, t.end.bad ? this.c.bad : this.c.muted);
		this.marks(g, view, t, y, h, selected);
	}
	names(g, view, t, y, end) {
		t.names.forEach((n, i) => {
			const x = Math.max(view.x(n.t), 0), next = t.names[i + 1];
			const x1 = Math.min(next ? view.x(next.t) : end, view.width);
			if (x1 - x > 24)
				this.text(g, n.text, x + 6, y, x1 - x - 10, this.c.fg);
		});
	}
	marks(g, view, t, y, h, selected) {
		const lastX = new Map(), dense = this.isDense(view, t.marks);
		for (let n = firstMark(t.marks, view.from); n < t.marks.length && t.marks[n].t <= view.to; n++) {
			const m = t.marks[n];
			if (!m.shown)
				continue;
			const x = view.x(m.t), what = m.kind + (m.signal ? markShape(m) : '');
			if (x < (lastX.get(what) ?? -9) + 1 && m !== selected)
				continue;
			lastX.set(what, x);
			this.drawn++;
			if (m.signal)
				this.signal(g, view, m, x, y, h, dense);
			else
				this.moment(g, m, x, y, h);
			if (m === selected)
				this.outline(g, x - 4, x + 4, y, h, true);
		}
	}
	// So many that circles would cover each other?
	isDense(view, marks) {
		const a = firstMark(marks, view.from), b = firstMark(marks, view.to);
		return b - a > view.width / 9;
	}
	moment(g, m, x, y, h) {
		const exec = m.ev.event === 'exec';
		g.fillStyle = m.bad ? this.c.bad : exec ? this.c.accent : this.c.muted;
		g.fillRect(x - (exec ? 1 : 0.5), exec ? y + 3 : y + h - 7, exec ? 2 : 1, exec ? h - 6 : 5);
	}
	// Generated: a ring above; delivered: a disc below; the line between is the time it took.
	signal(g, view, m, x, y, h, dense) {
		const s = m.signal, generated = m.ev === s.gen;
		const colour = this.signalColour(s);
		g.strokeStyle = g.fillStyle = colour;
		if (dense) {
			g.globalAlpha = 0.75;
			g.fillRect(x, generated ? y + 3 : y + h / 2, 1, h / 2 - 3);
			g.globalAlpha = 1;
			return;
		}
		g.lineWidth = 1.5;
		g.beginPath();
		if (generated) {
			g.arc(x, y + 5, 2.5, 0, 7);
			g.stroke();
			if (s.t1 === null) { // it never came
				g.fillRect(x - 2.5, y + 4.5, 5, 1);
				return;
			}
			if (s.to === s.task) {
				g.beginPath();
				g.moveTo(x, y + 7.5);
				g.lineTo(Math.min(view.x(s.t1), view.width + 2), y + h - 7.5);
				g.stroke();
			}
		} else {
			g.arc(x, y + h - 5, 3, 0, 7);
			g.fill();
		}
	}
	signalColour(s) {
		if (s.deliver)
			return s.deliver.action === 'default' ? this.c.bad : this.k.get('signal');
		return s.gen && (s.gen.result === 'ignored' || s.gen.handler === 'ignored') ? this.c.muted : this.c.warn;
	}
	// Lines to the thread that got the signal and, of the one that is looked at, from its sender.
	senders(g, view, rows, top) {
		if (view.off.has('signal'))
			return;
		const many = view.signalsIn() > 400;
		for (const s of view.signals) {
			if ((s.t1 ?? s.t0) < view.from || s.t0 > view.to)
				continue;
			const chosen = s === view.selected?.signal || s === view.hovered?.signal;
			if (chosen)
				this.arrow(g, view, rows, top, s, s.sender, s.t0, s.task, s.t0, -1, 1);
			if (s.to && s.to !== s.task && (chosen || !many))
				this.arrow(g, view, rows, top, s, s.task, s.t0, s.to, s.t1, 1, chosen ? 1 : 0.45);
		}
	}
	arrow(g, view, rows, top, s, from, t0, to, t1, side, alpha) {
		const a = rows.rowOf.get(from), b = rows.rowOf.get(to);
		if (a === undefined || b === undefined || a === b)
			return;
		const ha = HEIGHT[rows.list[a].type], hb = HEIGHT[rows.list[b].type];
		const ya = rows.y[a] - top + (side < 0 ? ha / 2 : 7), yb = rows.y[b] - top + (side < 0 ? 2.5 : hb - 8);
		if (Math.max(ya, yb) < 0 || Math.min(ya, yb) > view.height)
			return;
		g.globalAlpha = alpha;
		g.lineWidth = alpha === 1 ? 1.5 : 1;
		g.strokeStyle = this.signalColour(s);
		g.beginPath();
		g.moveTo(view.x(t0), ya);
		g.lineTo(view.x(t1), yb);
		g.stroke();
		g.globalAlpha = 1;
	}

	// ---- axis and overview ----
	axis(g, view, h) {
		const ticks = view.ticks(), digits = view.digits();
		for (const t of ticks) {
			const x = Math.round(view.x(t));
			g.fillStyle = this.c.grid;
			g.fillRect(x, h - 6, 1, 6);
			g.fillStyle = this.c.muted;
			g.fillText(digits(t), x + 4, h / 2);
		}
		for (const a of view.audits) {
			const x = view.x(a.t);
			g.fillStyle = a.ev.balanced ? this.c.good : this.c.bad;
			g.fillRect(x - 1, 0, 2, h);
		}
		g.fillStyle = this.c.bad;
		for (const l of view.losses)
			g.fillRect(view.x(l.t) - 2, 0, 4, h);
	}
	overview(g, view, w, h) {
		const bins = view.bins(w), most = Math.max(1, ...bins);
		const whole = view.max - view.min, x = t => (t - view.min) / whole * w;
		g.fillStyle = this.c['task-edge'];
		g.globalAlpha = 0.55;
		bins.forEach((n, i) => {
			if (n) {
				const high = Math.max(1, Math.sqrt(n / most) * (h - 6));
				g.fillRect(i, h - high, 1, high);
			}
		});
		g.globalAlpha = 1;
		g.fillStyle = this.c.bad;
		for (const l of view.losses)
			g.fillRect(x(l.t) - 1, 0, 2, h);
		const a = x(view.from), b = Math.max(x(view.to), a + 2);
		g.globalAlpha = 0.72;
		g.fillStyle = this.c.bg;
		g.fillRect(0, 0, a, h);
		g.fillRect(b, 0, w - b, h);
		g.globalAlpha = 1;
		g.strokeStyle = this.c.accent;
		g.lineWidth = 1;
		g.strokeRect(Math.max(a, 0) + 0.5, 0.5, Math.min(b, w) - Math.max(a, 0) - 1, h - 1);
	}
}

const markShape = m => m.ev === m.signal.gen ? '+' : '-';

function firstAlive(items, t) {
	let lo = 0, hi = items.length;
	while (lo < hi) {
		const mid = lo + hi >> 1;
		if (items[mid].t1 < t)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

function firstMark(marks, t) {
	let lo = 0, hi = marks.length;
	while (lo < hi) {
		const mid = lo + hi >> 1;
		if (marks[mid].t < t)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

function taskSeries(r) {
	if (r.series)
		return r.series;
	const changes = [];
	for (const t of r.tasks) {
		changes.push([t.t0, 1]);
		if (!t.open)
			changes.push([t.t1, -1]);
	}
	changes.sort((a, b) => a[0] - b[0]);
	let n = 0;
	return r.series = [{ kind: 'task', t: changes.map(c => c[0]), n: changes.map(c => n += c[1]) }];
}

// The largest number in each step of `px` pixels.
function sample(s, view, out, px) {
	let i = 0, hi = s.t.length;
	while (i < hi) { // the first change after the left edge
		const mid = i + hi >> 1;
		if (s.t[mid] <= view.from)
			i = mid + 1;
		else
			hi = mid;
	}
	for (let x = 0; x < out.length; x++) {
		const end = view.t((x + 1) * px);
		let most = i ? s.n[i - 1] : 0;
		for (; i < s.t.length && s.t[i] <= end; i++)
			most = Math.max(most, s.n[i]);
		out[x] = most;
	}
}
