// SPDX-License-Identifier: LGPL-2.1-or-later
// The timeline: which part of time is seen, how it is moved, and what is under the pointer.
'use strict';

const SPAN_MIN = 200; // ns
const NEAR = 5; // pixels

class Timeline {
	constructor(model, rows, painter, on) {
		Object.assign(this, { model, rows, painter, on });
		this.canvas = $('timeline');
		this.scroller = $('scroll');
		this.labels = $('labels');
		this.spacer = $('spacer');
		const pad = Math.max((model.max - model.min) * 0.02, 1000);
		this.min = model.min - pad / 4;
		this.max = model.max + pad;
		this.from = this.min;
		this.to = this.max;
		this.selected = null;
		this.current = 0; // row of the keyboard
		this.pool = [];
		this.losses = model.losses;
		this.audits = model.audits;
		this.signals = model.signals;
		this.times = Float64Array.from(model.events.filter(e => !isHead(e)), e => model.at(e)).sort();
		this.listen();
	}
	get off() {
		return this.rows.off;
	}
	x(t) {
		return (t - this.from) / (this.to - this.from) * this.width;
	}
	t(x) {
		return this.from + x / this.width * (this.to - this.from);
	}

	// ---- moving ----
	show(from, to) {
		const whole = this.max - this.min;
		let span = Math.min(Math.max(to - from, SPAN_MIN), whole);
		if (to - from < SPAN_MIN)
			from = (from + to - span) / 2;
		from = Math.min(Math.max(from, this.min), this.max - span);
		this.from = from;
		this.to = from + span;
		this.dirty();
	}
	zoom(factor, x) {
		const t = this.t(x ?? this.width / 2);
		this.show(t - (t - this.from) * factor, t + (this.to - t) * factor);
	}
	pan(part) {
		const d = (this.to - this.from) * part;
		this.show(this.from + d, this.to + d);
	}
	reset() {
		this.show(this.min, this.max);
	}
	around(t0, t1) {
		const margin = Math.max((t1 - t0) * 0.15, 2000);
		this.show(t0 - margin, t1 + margin);
	}
	scrollTo(row) {
		const y = this.rows.y[row], h = HEIGHT[this.rows.list[row].type];
		if (y < this.scroller.scrollTop || y + h > this.scroller.scrollTop + this.height)
			this.scroller.scrollTop = y - this.height / 3;
		this.dirty();
	}
	select(what, reveal) {
		this.selected = what;
		if (what && reveal) {
			const row = this.rows.reveal(what instanceof Item ? what : what.ev ? this.markTask(what) : what);
			if (row >= 0) {
				this.current = row;
				this.scrollTo(row);
			}
			const t0 = what.t0 ?? what.t, t1 = what.t1 ?? what.t;
			if (t1 < this.from || t0 > this.to)
				this.around(t0, t1);
		}
		this.dirty();
		this.on.select(what);
	}
	markTask(m) {
		for (const p of this.model.procs)
			for (const t of [p, ...p.threads.values()])
				if (t.marks.includes(m))
					return t;
		return null;
	}

	// ---- scales ----
	ticks() {
		if (this.ticked && this.ticked.from === this.from && this.ticked.to === this.to &&
			this.ticked.width === this.width)
			return this.ticked;
		const rough = (this.to - this.from) / Math.max(this.width / 110, 1);
		const power = 10 ** Math.floor(Math.log10(rough));
		const step = [1, 2, 5, 10].map(n => n * power).find(s => s >= rough);
		const list = [];
		for (let n = Math.ceil(this.from / step); n * step <= this.to; n++)
			list.push(n * step);
		this.ticked = Object.assign(list, { step, from: this.from, to: this.to, width: this.width });
		return list;
	}
	digits() {
		const big = Math.max(Math.abs(this.to), Math.abs(this.from)), step = this.ticks().step;
		const [unit, name] = big < 1e4 ? [1, 'ns'] : big < 1e7 ? [1e3, 'µs'] : big < 1e10 ? [1e6, 'ms'] : [1e9, 's'];
		const places = Math.max(0, Math.ceil(Math.log10(unit / step) - 1e-9));
		return t => `${(t / unit).toFixed(places).replace(/^-(?=[0.]*$)/, '')} ${name}`;
	}
	bins(w) {
		w = Math.max(1, Math.floor(w));
		if (this.binned?.length !== w) {
			this.binned = new Float64Array(w);
			const scale = w / (this.max - this.min);
			for (const t of this.times)
				this.binned[Math.min(w - 1, Math.max(0, Math.floor((t - this.min) * scale)))]++;
		}
		return this.binned;
	}
	signalsIn() {
		let n = 0;
		for (const s of this.signals)
			n += s.t0 <= this.to && (s.t1 ?? s.t0) >= this.from;
		return n;
	}

	// ---- painting ----
	dirty() {
		if (!this.waiting)
			this.waiting = requestAnimationFrame(() => {
				this.waiting = 0;
				this.paint();
			});
	}
	measure() {
		const gutter = this.labels.offsetWidth;
		this.width = Math.max(50, this.scroller.clientWidth - gutter);
		this.height = Math.max(20, this.scroller.clientHeight);
		$('stage').style.setProperty('--gutter-now', gutter + 'px');
	}
	paint() {
		const began = performance.now();
		this.measure();
		this.spacer.style.height = Math.max(this.rows.height, this.height) + 'px';
		const top = this.scroller.scrollTop, p = this.painter;
		const g = p.sheet(this.canvas, this.width, this.height);
		p.rows(g, this, this.rows, top, this.selected);
		this.crosshair(g);
		p.axis(p.sheet($('axis'), this.width, 24), this, 24);
		const w = this.width, h = 40;
		p.overview(p.sheet($('overview'), w, h), this, w, h);
		this.paintLabels(top);
		this.tell(began);
	}
	crosshair(g) {
		if (this.zone) {
			const [a, b] = this.zone;
			g.globalAlpha = 0.16;
			g.fillStyle = this.painter.c.accent;
			g.fillRect(Math.min(a, b), 0, Math.abs(b - a), this.height);
			g.globalAlpha = 1;
		} else if (this.hoverX !== undefined) {
			g.fillStyle = this.painter.c['task-edge'];
			g.globalAlpha = 0.5;
			g.fillRect(this.hoverX, 0, 1, this.height);
			g.globalAlpha = 1;
		}
	}
	tell(began) {
		const d = this.canvas.dataset;
		d.from = Math.round(this.from);
		d.to = Math.round(this.to);
		d.rows = this.rows.list.length;
		d.hits = this.rows.hits;
		d.drawn = this.painter.drawn;
		d.frameMs = (performance.now() - began).toFixed(1);
		this.on.view(this);
	}

	// ---- labels: as many elements as are seen ----
	paintLabels(top) {
		const list = this.rows.list;
		const seen = new Map();
		for (let i = Math.max(0, this.rows.at(top)); i < list.length && this.rows.y[i] < top + this.height; i++)
			seen.set(i, list[i]);
		let n = 0;
		for (const [i, r] of seen) {
			const el = this.pool[n] || this.newLabel(n);
			n++;
			if (el.row !== r)
				this.fillLabel(el, r);
			el.style.transform = `translateY(${this.rows.y[i]}px)`;
			el.hidden = false;
			el.tabIndex = i === this.current ? 0 : -1;
			el.setAttribute('aria-selected', String(i === this.current));
		}
		if (n && !seen.has(this.current))
			this.pool[0].tabIndex = 0;
		for (; n < this.pool.length; n++)
			this.pool[n].hidden = true;
	}
	newLabel(n) {
		const el = this.pool[n] = document.createElement('div');
		el.setAttribute('role', 'treeitem');
		el.append(make('span', 'fold'), make('span', 'name'), make('span', 'more'));
		this.labels.append(el);
		return el;
	}
	fillLabel(el, r) {
		const [name, more] = rowLabel(r);
		el.row = r;
		el.className = 'label ' + r.type;
		el.style.height = HEIGHT[r.type] + 'px';
		el.style.setProperty('--depth', Math.min(r.proc.depth, 5));
		el.setAttribute('aria-level', r.level);
		const open = r.fold ? r.open : null;
		if (open === null)
			el.removeAttribute('aria-expanded');
		else
			el.setAttribute('aria-expanded', String(open));
		el.children[0].textContent = open === null ? '' : open ? '▾' : '▸';
		el.children[1].textContent = name;
		el.children[2].textContent = more;
		el.title = more ? `${name}  ${more}` : name;
		el.dataset.row = r.index;
		el.dataset.pid = r.proc.pid;
		el.dataset.group = r.cls || (r.lane ? r.lane.group.cls : r.type);
	}
	refreshLabels() {
		for (const el of this.pool)
			el.row = null;
		this.current = Math.min(this.current, Math.max(0, this.rows.list.length - 1));
		this.dirty();
	}
	fold(row, open) {
		const r = this.rows.list[row];
		if (!r?.fold)
			return;
		this.rows.toggle(r.fold, open ?? !r.open);
		this.current = row;
		this.refreshLabels();
	}

	// ---- what is there ----
	hit(x, y) {
		const row = this.rows.at(y + this.scroller.scrollTop), r = this.rows.list[row];
		if (!r)
			return null;
		const t0 = this.t(x - NEAR), t1 = this.t(x + NEAR), t = this.t(x);
		if (r.type === 'lane')
			return this.hitItems(r, t, t0, t1);
		if (r.type === 'group')
			return { row: r, what: null, group: r, t };
		return this.hitTask(r, t, t0, t1);
	}
	hitItems(r, t, t0, t1) {
		const items = r.lane.items, under = [];
		for (let n = firstAlive(items, t0); n < items.length && items[n].t0 <= t1 && under.length < 500; n++)
			if (items[n].shown)
				under.push(items[n]);
		under.sort((a, b) => distance(a, t) - distance(b, t));
		return { row: r, what: under[0] || null, others: under.length - 1, t };
	}
	hitTask(r, t, t0, t1) {
		const under = [], marks = r.task.marks;
		for (let n = firstMark(marks, t0); n < marks.length && marks[n].t <= t1 && under.length < 500; n++)
			if (marks[n].shown)
				under.push(marks[n]);
		under.sort((a, b) => Math.abs(a.t - t) - Math.abs(b.t - t));
		const alive = t1 >= r.task.t0 && t0 <= r.task.t1;
		return { row: r, what: under[0] || (alive ? r.task : null), others: Math.max(0, under.length - 1), t };
	}

	// ---- pointer and keys ----
	listen() {
		new ResizeObserver(() => this.dirty()).observe($('stage'));
		this.scroller.addEventListener('scroll', () => this.dirty(), { passive: true });
		this.canvas.addEventListener('wheel', e => this.wheel(e), { passive: false });
		$('axis').addEventListener('wheel', e => this.wheel(e), { passive: false });
		drag(this.canvas, this.dragStart.bind(this));
		drag($('axis'), e => this.panStart(e));
		drag($('overview'), e => this.overviewStart(e));
		$('overview').addEventListener('wheel', e => this.wheel(e, true), { passive: false });
		this.canvas.addEventListener('pointermove', e => this.hover(e));
		this.canvas.addEventListener('pointerleave', () => this.leave());
		this.canvas.addEventListener('dblclick', e => this.zoomOn(this.hit(e.offsetX, e.offsetY)));
		this.canvas.addEventListener('keydown', e => this.key(e));
		this.labels.addEventListener('click', e => this.labelClick(e));
		this.labels.addEventListener('keydown', e => this.labelKey(e));
		this.painter.dark.addEventListener('change', () => {
			this.painter.readColours();
			this.dirty();
		});
	}
	wheel(e, whole) {
		e.preventDefault();
		const lines = e.deltaMode === 1 ? 20 : 1;
		if (e.altKey)
			this.scroller.scrollTop += e.deltaY * lines;
		else if (e.shiftKey || Math.abs(e.deltaX) > Math.abs(e.deltaY))
			this.pan((e.deltaX || e.deltaY) * lines / 1000);
		else
			this.zoom(Math.exp(Math.max(-1, Math.min(1, e.deltaY * lines / 400))), whole ? undefined : e.offsetX);
	}
	dragStart(e) {
		if (e.pointerType === 'touch' || e.shiftKey || e.button === 1)
			return this.panStart(e);
		const x0 = e.offsetX;
		return {
			move: m => {
				this.zone = [x0, Math.min(Math.max(this.local(m), 0), this.width)];
				this.dirty();
			},
			end: (m, moved) => {
				const zone = this.zone;
				this.zone = null;
				if (!moved)
					this.click(e);
				else if (zone && Math.abs(zone[1] - zone[0]) > 3)
					this.show(this.t(Math.min(...zone)), this.t(Math.max(...zone)));
				this.dirty();
			},
		};
	}
	local(e) {
		return e.clientX - this.canvas.getBoundingClientRect().left;
	}
	panStart(e) {
		const from = this.from, span = this.to - this.from, top = this.scroller.scrollTop;
		return {
			move: m => {
				const d = (m.clientX - e.clientX) / this.width * span;
				this.scroller.scrollTop = top - (m.clientY - e.clientY) * (e.target === this.canvas);
				this.show(from - d, from - d + span);
			},
			end: (m, moved) => moved || e.target !== this.canvas || this.click(e),
		};
	}
	overviewStart(e) {
		const scale = (this.max - this.min) / this.width, t0 = this.min + e.offsetX * scale;
		const inside = t0 >= this.from && t0 <= this.to && this.to - this.from < (this.max - this.min) * 0.98;
		const from = this.from, span = this.to - this.from;
		return {
			move: m => {
				const d = (m.clientX - e.clientX) * scale;
				if (inside)
					this.show(from + d, from + d + span);
				else
					this.show(Math.min(t0, t0 + d), Math.max(t0, t0 + d));
			},
			end: (m, moved) => moved || this.show(t0 - span / 2, t0 + span / 2),
		};
	}
	hover(e) {
		this.hoverX = Math.round(e.offsetX);
		if (!this.zone) {
			const hit = this.hit(e.offsetX, e.offsetY);
			this.hovered = hit?.what;
			this.on.hover(hit, e);
		}
		this.dirty();
	}
	leave() {
		this.hoverX = this.hovered = undefined;
		this.on.hover(null);
		this.dirty();
	}
	click(e) {
		const hit = this.hit(e.offsetX, e.offsetY);
		this.canvas.focus({ preventScroll: true });
		if (!hit)
			return this.select(null);
		this.current = hit.row.index;
		if (hit.group)
			this.fold(hit.row.index);
		else
			this.select(hit.what);
	}
	zoomOn(hit) {
		const what = hit?.what;
		if (what)
			this.around(what.t0 ?? what.t, what.t1 ?? what.t);
		else
			this.reset();
	}
	key(e) {
		const part = e.shiftKey ? 0.5 : 0.1;
		const keys = {
			ArrowLeft: () => this.pan(-part), ArrowRight: () => this.pan(part),
			ArrowUp: () => this.scroller.scrollTop -= 40, ArrowDown: () => this.scroller.scrollTop += 40,
			PageUp: () => this.scroller.scrollTop -= this.height * 0.9,
			PageDown: () => this.scroller.scrollTop += this.height * 0.9,
			'+': () => this.zoom(0.7), '=': () => this.zoom(0.7), '-': () => this.zoom(1 / 0.7),
			'_': () => this.zoom(1 / 0.7), '0': () => this.reset(), Home: () => this.reset(),
			n: () => this.next(1), p: () => this.next(-1),
			Enter: () => this.selected && this.around(this.selected.t0 ?? this.selected.t,
				this.selected.t1 ?? this.selected.t),
			Escape: () => this.select(null),
		};
		if (e.ctrlKey || e.metaKey || e.altKey || !Object.hasOwn(keys, e.key))
			return;
		e.preventDefault();
		keys[e.key]();
	}
	// The next thing in the row.
	next(d) {
		const r = this.rows.list[this.current];
		const list = r?.lane ? r.lane.items : r?.task ? r.task.marks : [];
		const shown = list.filter(i => i.shown);
		if (!shown.length)
			return;
		const at = shown.indexOf(this.selected);
		this.select(shown[at < 0 ? 0 : Math.min(Math.max(at + d, 0), shown.length - 1)], true);
	}
	labelClick(e) {
		const el = e.target.closest('.label');
		if (!el)
			return;
		this.current = el.row.index;
		if (el.row.fold && (el.row.type === 'group' || e.target.className === 'fold'))
			this.fold(el.row.index);
		else
			this.select(el.row.task || el.row.lane.items.find(i => i.shown) || null);
		this.dirty();
	}
	labelKey(e) {
		const at = e.target.row ? e.target.row.index : this.current;
		const go = {
			ArrowUp: () => this.focusRow(at - 1), ArrowDown: () => this.focusRow(at + 1),
			Home: () => this.focusRow(0), End: () => this.focusRow(this.rows.list.length - 1),
			ArrowRight: () => this.fold(at, true), ArrowLeft: () => this.fold(at, false),
			' ': () => this.fold(at), Enter: () => e.target.row.type === 'group' ? this.fold(at)
				: this.select(e.target.row.task || e.target.row.lane.items.find(i => i.shown)),
		};
		if (e.ctrlKey || e.metaKey || e.altKey || !Object.hasOwn(go, e.key))
			return;
		e.preventDefault();
		go[e.key]();
		requestAnimationFrame(() => this.pool.find(el => !el.hidden && el.row?.index === this.current)?.focus());
	}
	focusRow(i) {
		this.current = Math.min(Math.max(i, 0), this.rows.list.length - 1);
		this.scrollTo(this.current);
		this.paint();
	}
}

const distance = (i, t) => t < i.t0 ? i.t0 - t : t > i.t1 ? t - i.t1 : 0;

// start(event) gives {move, end}; the pointer is ours until it is let go.
function drag(el, start) {
	el.addEventListener('pointerdown', e => {
		if (e.button > 1)
			return;
		e.preventDefault();
		el.focus({ preventScroll: true });
		const d = start(e);
		let moved = false;
		const move = m => {
			moved = moved || Math.abs(m.clientX - e.clientX) + Math.abs(m.clientY - e.clientY) > 3;
			if (moved)
				d.move(m);
		};
		const end = m => {
			el.removeEventListener('pointermove', move);
			el.removeEventListener('pointerup', end);
			el.removeEventListener('pointercancel', end);
			d.end(m, moved);
		};
		el.setPointerCapture(e.pointerId);
		el.addEventListener('pointermove', move);
		el.addEventListener('pointerup', end);
		el.addEventListener('pointercancel', end);
	});
}
