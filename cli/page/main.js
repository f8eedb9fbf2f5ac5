// SPDX-License-Identifier: LGPL-2.1-or-later
// Put the parts together.
'use strict';

const $ = id => document.getElementById(id);

// What the run says of itself: {text, state}.
function verdict(model) {
	const last = model.audits[model.audits.length - 1]?.ev;
	const lost = Object.values(last?.lost || {}).reduce((a, b) => a + Number(b), 0) ||
		model.losses.reduce((a, l) => a + l.n, 0);
	if (!last)
		return { text: 'no audit', state: 'warn' };
	const n = (last.differences || []).length;
	if (!last.balanced)
		return { text: n ? `books differ: ${count(n)}` : 'books differ', state: 'bad' };
	if (lost)
		return { text: `balanced; ${count(lost)} events lost`, state: 'warn' };
	const checked = Object.values(last.checked || {}).reduce((a, b) => a + Number(b), 0);
	return { text: checked ? `books balance: ${count(checked)} checked` : 'books balance', state: 'good' };
}

function fillHeader(model) {
	const s = model.start, facts = [];
	if (s.host)
		facts.push(['host', s.host]);
	if (s.kernel)
		facts.push(['kernel', s.kernel]);
	if (s.wall_time_ns)
		facts.push(['began', new Date(s.wall_time_ns / 1e6).toISOString().replace('T', ' ').slice(0, 19) + ' UTC']);
	facts.push(['lasted', duration(model.max - Math.min(model.min, 0))], ['processes', count(model.procs.length)],
		['events', count(model.events.length)]);
	$('facts').replaceChildren(...facts.map(([k, v]) => {
		const box = make('span');
		box.append(make('b', '', k), ' ', String(v));
		return box;
	}));
	const v = verdict(model), el = $('verdict');
	el.textContent = v.text;
	el.className = v.state;
	const leaks = $('leaks'), n = model.leaks.length;
	leaks.hidden = !n;
	leaks.textContent = `${count(n)} left open`;
	document.title = `ebpf-ckpt observe: ${v.text}`;
}

function fillNotices(model, bad, cut) {
	const texts = [];
	if (cut.dropped)
		texts.push(`Cut: the oldest ${count(cut.dropped)} events are not here; this page holds the last ` +
			`${count(model.events.length)} (limit ${count(cut.limit)}). What began earlier starts at the left edge.`);
	if (bad)
		texts.push(`${count(bad)} lines could not be read.`);
	if (model.start.missing?.length)
		texts.push('Not traced, as this kernel lacks the tracepoints: ' + model.start.missing.join(', ') + '.');
	for (const l of model.losses.slice(0, 3))
		texts.push(`${count(l.n)} events were lost at +${moment(l.t)} (${l.cause}); bars may start or end late there.`);
	if (!model.events.length)
		texts.push('There are no events.');
	$('notices').replaceChildren(...texts.map(t => make('p', '', t)));
}

// One box per kind; a click with Alt leaves only that one.
function fillKinds(model, rows, painter, changed) {
	const kinds = [...model.kinds].sort((a, b) =>
		FAMILY_ORDER.get(familyOf(a[0])) - FAMILY_ORDER.get(familyOf(b[0])) || b[1] - a[1]);
	const boxes = kinds.map(([kind, n]) => {
		const label = make('label', 'kind'), box = make('input'), swatch = make('i', 'swatch');
		box.type = 'checkbox';
		box.checked = true;
		box.dataset.kind = kind;
		swatch.style.setProperty('--k', `var(--k-${familyOf(kind)})`);
		label.append(box, swatch, make('span', '', kind), make('span', 'n', count(n)));
		label.title = 'Alt and click: this kind alone';
		label.addEventListener('click', e => {
			if (!e.altKey)
				return;
			e.preventDefault();
			const alone = boxes.every(b => b.firstChild.checked === (b === label));
			boxes.forEach(b => b.firstChild.checked = alone || b === label);
			update();
		});
		box.addEventListener('change', () => update());
		return label;
	});
	const update = () => {
		rows.off = new Set(boxes.map(b => b.firstChild).filter(b => !b.checked).map(b => b.dataset.kind));
		all.textContent = rows.off.size ? 'all' : 'none';
		changed();
	};
	const all = make('button', '', 'none');
	all.type = 'button';
	all.id = 'all-kinds';
	all.title = 'All kinds, or none';
	all.addEventListener('click', () => {
		const on = rows.off.size > 0;
		boxes.forEach(b => b.firstChild.checked = on);
		update();
	});
	$('kinds').replaceChildren(...boxes, all);
}

function tip(hit, e) {
	const el = $('tip');
	el.hidden = !hit || (!hit.what && !hit.group);
	if (el.hidden)
		return;
	const lines = tipLines(hit);
	el.replaceChildren(make('b', '', lines[0]), ...lines.slice(1).filter(Boolean).map(l => make('div', '', l)));
	const box = el.getBoundingClientRect();
	el.style.left = Math.max(4, Math.min(e.clientX + 14, innerWidth - box.width - 8)) + 'px';
	el.style.top = (e.clientY + 18 + box.height > innerHeight ? e.clientY - box.height - 10 : e.clientY + 18) + 'px';
}

function tipLines(hit) {
	const w = hit.what, others = hit.others > 0 ? `and ${count(hit.others)} more here: zoom in` : '';
	if (hit.group)
		return [rowLabel(hit.row).join('  '), `at +${moment(hit.t)}`, 'click to unfold or fold'];
	if (w instanceof Item)
		return [(w.group === 'fd' ? `fd ${w.fd} ` : '') + w.kind, w.label,
			`+${moment(w.t0)}, ${duration(w.t1 - w.t0)}${w.open ? ' so far' : ''}`,
			w.leak ? 'left open' : w.inherited ? 'inherited' : '', others];
	if (w instanceof Task)
		return [`${w.tid} ${w.comm}`, w.end ? w.end.text : '', `+${moment(w.t0)}, ${duration(w.t1 - w.t0)}`];
	if (w.signal)
		return [w.text, w.signal.deliver && w.signal.gen ? `delivered after ${duration(w.signal.deliver.delay_ns ?? w.signal.t1 - w.signal.t0)}`
			: w.signal.gen?.result || '', others];
	return [w.text, `+${moment(w.t)}`, others];
}

function status(timeline) {
	const d = timeline.digits();
	$('range').textContent = `${d(timeline.from)} – ${d(timeline.to)}  (${duration(timeline.to - timeline.from)})`;
	const n = timeline.rows.list.length;
	$('shown').textContent = `${count(n)} row${n === 1 ? '' : 's'}, ${count(timeline.rows.hits)} of ` +
		`${count(timeline.model.items.length)} resources`;
	$('empty').hidden = n > 0;
}

function connect(model, rows, timeline, panel) {
	const changed = () => {
		rows.apply();
		timeline.refreshLabels();
	};
	let delay = 0;
	$('filter').addEventListener('input', () => {
		clearTimeout(delay);
		delay = setTimeout(() => {
			rows.setFilter($('filter').value);
			changed();
		}, model.items.length > 20000 ? 150 : 0);
	});
	$('filter').addEventListener('keydown', e => e.key === 'Escape' && timeline.canvas.focus());
	$('leaks-only').addEventListener('change', () => {
		rows.leaksOnly = $('leaks-only').checked;
		changed();
	});
	fillKinds(model, rows, timeline.painter, changed);
	const leaks = { at: -1 };
	$('leaks').addEventListener('click', () => {
		leaks.at = (leaks.at + 1) % model.leaks.length;
		timeline.select(model.leaks[leaks.at], true);
		timeline.refreshLabels();
	});
	const buttons = { 'zoom-in': () => timeline.zoom(0.5), 'zoom-out': () => timeline.zoom(2), reset: () => timeline.reset(),
		unfold: () => (rows.foldAll(true), timeline.refreshLabels()), fold: () => (rows.foldAll(false), timeline.refreshLabels()),
		verdict: () => panel.open('audit'), help: () => $('help-text').showModal() };
	for (const [id, f] of Object.entries(buttons))
		$(id).addEventListener('click', f);
	document.addEventListener('keydown', e => {
		if (e.target.matches('input:not([type=checkbox])') || e.ctrlKey || e.metaKey || e.altKey)
			return;
		const keys = { '/': () => $('filter').focus(), '?': buttons.help, l: () => $('leaks').hidden || $('leaks').click() };
		if (!Object.hasOwn(keys, e.key))
			return;
		e.preventDefault();
		keys[e.key]();
	});
	drag($('grip'), e => {
		const w = $('panel').offsetWidth;
		return { move: m => $('main').style.setProperty('--panel', Math.max(220, w - (m.clientX - e.clientX)) + 'px'),
			end() {} };
	});
}

function begin() {
	const data = $('events'), cut = { dropped: Number(data.dataset.dropped) || 0, limit: Number(data.dataset.limit) || 0 };
	const { events, bad } = parseLines(data.textContent);
	const model = new Model(events, cut.dropped);
	model.totals = parseLines($('totals').textContent).events[0];
	data.remove();
	const rows = new Rows(model), painter = new Painter();
	const go = what => {
		panel.open('about');
		timeline.select(what, true);
		timeline.refreshLabels();
	};
	const panel = new Panel(model, painter, { go });
	const timeline = new Timeline(model, rows, painter, {
		select: what => {
			panel.open('about');
			panel.show(what);
		},
		hover: (hit, e) => {
			tip(hit, e);
			if (!timeline.selected)
				panel.show(hit?.what);
		},
		view: status,
	});
	fillHeader(model);
	fillNotices(model, bad, cut);
	connect(model, rows, timeline, panel);
	panel.open(model.audits.length && !model.audits.at(-1).ev.balanced ? 'audit' : 'about');
	timeline.paint();
	document.body.dataset.ready = 'true';
}

begin();
