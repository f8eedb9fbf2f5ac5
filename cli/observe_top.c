// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * observe --top: a table of the observed processes in the terminal, once a second. Which columns
 * there are depends on what the processes have, and on how wide the terminal is.
 */
#include "observe_top.h"
#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

/* ncurses has macros of such common names that it comes last. */
#define NCURSES_NOMACROS
#include <ncurses.h>

#define SAMPLE_US   1000000
#define HEADER_ROWS 5

_Noreturn void top_no_memory(void)
{
	endwin();
	fputs(PROGRAM ": out of memory [CKPT_E_NOMEM]\n", stderr);
	_exit(CLI_FAILED);
}

/* ---- painting ---------------------------------------------------------------------------------
 */

enum {
	PAIR_GOOD = 1,
	PAIR_BAD,
	PAIR_WARN,
	PAIR_QUIET,
};

static void look(const struct top *t, int pair, chtype attributes)
{
	if (t->colour)
		attributes |= COLOR_PAIR(pair);
	attron((int)attributes);
}

/* Text in exactly so many columns of the screen. What the terminal's character set lacks is '?'. */
static void put_text(const char *text, int width)
{
	_cleanup_free_ char *safe = cli_escape(text, false);
	mbstate_t state = { 0 };
	int used = 0;

	for (const char *p = safe; *p && used < width;) {
		wchar_t c;
		size_t n = mbrtowc(&c, p, strlen(p), &state);
		bool good = n != (size_t)-1 && n != (size_t)-2 && n > 0;
		int w = good ? wcwidth(c) : -1;

		if (!good)
			state = (mbstate_t){ 0 };
		if (w < 0 || used + w > width) {
			addch('?');
			used++;
		} else {
			addnstr(p, (int)n);
			used += w;
		}
		p += good ? n : 1;
	}
	for (; used < width; used++)
		addch(' ');
}

static void put_number(const char *text, int width)
{
	printw(" %*.*s", width - 1, width - 1, text);
}

static void put_row(const struct top *t, const struct row *r)
{
	if (r->p->ended)
		look(t, PAIR_QUIET, A_DIM);
	for (size_t i = 0; i < t->n_columns; i++) {
		int column = t->column[i], width = top_column_width(t, column);
		char buf[CLI_NUMBER_MAX];

		if (column == COL_NAME) {
			_cleanup_free_ char *name =
				r->p->n_folded
					? cli_format(" (%" PRIu64 " that ended)", r->p->n_folded)
					: cli_format(" %s", r->p->comm);

			put_text(name, width);
			continue;
		}
		top_format_cell(buf, sizeof(buf), r, column, width - 1);
		put_number(buf, width);
	}
	attrset(A_NORMAL);
}

static void put_titles(const struct top *t)
{
	move(HEADER_ROWS - 1, 0);
	attron(A_REVERSE);
	for (size_t i = 0; i < t->n_columns; i++) {
		int column = t->column[i], width = top_column_width(t, column);

		if (column == t->sort)
			attron(A_BOLD);
		if (column == COL_NAME) {
			_cleanup_free_ char *title = cli_format(" %s", top_column_title(t, column));

			put_text(title, width);
		} else {
			put_number(top_column_title(t, column), width);
		}
		attroff(A_BOLD);
	}
	hline(' ' | A_REVERSE, t->columns);
	attrset(A_NORMAL);
}

/* A piece of a line, if there is room for it. */
static void put_piece(const struct top *t, int pair, const char *text)
{
	int x = getcurx(stdscr);

	if (x + (int)strlen(text) > t->columns)
		return;
	if (pair)
		look(t, pair, A_BOLD);
	addstr(text);
	attrset(A_NORMAL);
}

/* What must be seen comes first: whether the books are right. */
static void put_state(const struct top *t, const struct ckpt_observed *v)
{
	_cleanup_free_ char *lost = cli_format("%" PRIu64, v->lost);
	_cleanup_free_ char *age =
		cli_format(" %" PRIu64 " s ago  ", (cli_now_us() - t->audit_us) / 1000000);
	_cleanup_free_ char *processes =
		cli_format("%zu processes, %zu ended  ", t->n_living, t->n_ended);
	_cleanup_free_ char *events =
		cli_format("%" PRIu64 " events, %.0f/s", v->events, t->event_rate);

	move(1, 0);
	put_piece(t, 0, "lost: ");
	put_piece(t, v->lost ? PAIR_BAD : PAIR_GOOD, lost);
	put_piece(t, 0, "  audit: ");
	if (t->audit < 0) {
		put_piece(t, 0, "none yet  ");
	} else {
		put_piece(t, t->audit ? PAIR_GOOD : PAIR_BAD, t->audit ? "balanced" : "DIFFERS");
		put_piece(t, 0, age);
	}
	put_piece(t, 0, processes);
	put_piece(t, 0, events);
}

static void put_signals(const struct top *t, const struct ckpt_observed *v)
{
	char time[CLI_NUMBER_MAX], line[256];

	move(2, 0);
	if (!v->n_signals)
		put_piece(t, 0, "no signals");
	for (size_t i = 0; i < v->n_signals; i++) {
		const struct ckpt_observed_signal *s = &v->signal[i];

		snprintf(line, sizeof(line), "%s%s %" PRIu64 "/%" PRIu64 "%s%s", i ? "   " : "",
			 s->name, s->delivered, s->generated, s->median_ns ? " " : "",
			 s->median_ns ? cli_duration(s->median_ns / 1000, time) : "");
		put_piece(t, 0, line);
	}
}

static void put_header(const struct top *t, const struct ckpt_observed *v)
{
	char up[CLI_NUMBER_MAX];

	move(0, 0);
	attron(A_BOLD);
	put_text(PROGRAM " observe", 18);
	attrset(A_NORMAL);
	snprintf(up, sizeof(up), " %" PRIu64 ":%02" PRIu64, (v->now_ns - v->start_ns) / 60000000000,
		 (v->now_ns - v->start_ns) / 1000000000 % 60);
	int room = t->columns - 18 - (int)strlen(up);

	put_text(t->title, room > 0 ? room : 0);
	if (room > 0)
		addstr(up);
	put_state(t, v);
	put_signals(t, v);
}

static void put_footer(const struct top *t)
{
	move(HEADER_ROWS - 2, 0);
	if (t->filtering || *t->filter) {
		look(t, PAIR_WARN, A_BOLD);
		printw("filter: ");
		put_text(t->filter, (int)strlen(t->filter));
		if (t->filtering)
			addch('_');
		attrset(A_NORMAL);
	} else if (t->help) {
		put_text(
			"q quit  / filter  < > sort  p pid  n name  f fds  m made  c closed  t threads  "
			"s signals  a areas  r reverse  space pause",
			t->columns);
	} else {
		attron(A_DIM);
		put_text(t->paused ? "paused: space goes on"
				   : "q quit   / filter   < > sort   r reverse   ? keys",
			 t->columns);
		attrset(A_NORMAL);
	}
}

static void paint(struct top *t, const struct ckpt_observed *v)
{
	size_t shown = 0, room = t->lines > HEADER_ROWS ? (size_t)(t->lines - HEADER_ROWS) : 0;
	size_t n = 0;

	top_choose_columns(t);
	top_sort_rows(t);
	for (size_t i = 0; i < t->n_rows; i++)
		n += top_passes(t, &t->row[i]);
	if (t->scroll + room > n)
		t->scroll = n > room ? n - room : 0;
	erase();
	put_header(t, v);
	put_footer(t);
	put_titles(t);
	n = 0;
	for (size_t i = 0; i < t->n_rows && shown < room; i++) {
		if (!top_passes(t, &t->row[i]) || n++ < t->scroll)
			continue;
		move(HEADER_ROWS + (int)shown++, 0);
		put_row(t, &t->row[i]);
	}
	refresh();
}

/* ---- the terminal -----------------------------------------------------------------------------
 */

/* The size is asked for: signals belong to the loop that drives us. */
static bool resized(struct top *t)
{
	struct winsize ws;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) || !ws.ws_row || !ws.ws_col)
		ws = (struct winsize){ .ws_row = 24, .ws_col = 80 };
	if (t->lines == ws.ws_row && t->columns == ws.ws_col)
		return false;
	t->lines = ws.ws_row;
	t->columns = ws.ws_col;
	resizeterm(t->lines, t->columns);
	clearok(stdscr, TRUE);
	return true;
}

static int show(struct top *t, struct ckpt_observe *o, bool now)
{
	_cleanup_err_ struct ckpt_err *err = NULL;
	const struct ckpt_observed *v;
	uint64_t us = cli_now_us();
	bool due = !t->paused && us - t->sampled_us >= SAMPLE_US;

	now = resized(t) || now;
	if (!o || !(due || now))
		return 0;
	int rc = ckpt_observe_view(o, &v, &err);

	if (rc < 0) {
		endwin();
		cli_fail(NULL, "cannot read the ledger", rc, err);
		return rc;
	}
	if (due || !t->sampled_us) {
		top_sample(t, v, t->sampled_us ? (double)(us - t->sampled_us) / 1e6 : 0);
		t->sampled_us = us;
	} else {
		top_take_rows(t, v, NULL, 0);
	}
	paint(t, v);
	return 0;
}

static int top_idle(struct observe_output *self, struct ckpt_observe *o)
{
	return show((struct top *)self, o, false);
}

/* ---- keys -------------------------------------------------------------------------------------
 */

static void filter_key(struct top *t, int key)
{
	size_t len = strlen(t->filter);

	if (key == '\n' || key == '\r' || key == KEY_ENTER) {
		t->filtering = false;
	} else if (key == 27) {
		t->filtering = false;
		*t->filter = '\0';
	} else if (key == KEY_BACKSPACE || key == 127 || key == 8) {
		/* All bytes of a character. */
		while (len && ((unsigned char)t->filter[--len] & 0xc0) == 0x80)
			;
		t->filter[len] = '\0';
	} else if (key >= 32 && key < 256 && len + 1 < sizeof(t->filter)) {
		t->filter[len] = (char)key;
		t->filter[len + 1] = '\0';
	}
}

/* The column to the left or right becomes the one that sorts. */
static void move_sort(struct top *t, int d)
{
	size_t at = 0;

	for (size_t i = 0; i < t->n_columns; i++)
		if (t->column[i] == t->sort)
			at = i;
	if (d < 0 ? at > 0 : at + 1 < t->n_columns)
		t->sort = t->column[d < 0 ? at - 1 : at + 1];
}

static void scroll_by(struct top *t, int lines)
{
	if (lines < 0 && t->scroll < (size_t)-lines)
		t->scroll = 0;
	else
		t->scroll += (size_t)lines; /* paint() keeps it within the table */
}

static bool table_key(struct top *t, int key)
{
	int page = t->lines > HEADER_ROWS + 1 ? t->lines - HEADER_ROWS - 1 : 1;

	switch (key) {
	case 'q':
		return true;
	case '/':
		t->filtering = true;
		break;
	case 27:
		*t->filter = '\0';
		break;
	case '<':
	case KEY_LEFT:
		move_sort(t, -1);
		break;
	case '>':
	case KEY_RIGHT:
		move_sort(t, 1);
		break;
	case 'r':
		t->reverse = !t->reverse;
		break;
	case '?':
	case 'h':
		t->help = !t->help;
		break;
	case ' ':
		t->paused = !t->paused;
		break;
	case 12: /* Ctrl-L */
		clearok(stdscr, TRUE);
		break;
	case KEY_UP:
		scroll_by(t, -1);
		break;
	case KEY_DOWN:
		scroll_by(t, 1);
		break;
	case KEY_PPAGE:
		scroll_by(t, -page);
		break;
	case KEY_NPAGE:
		scroll_by(t, page);
		break;
	case KEY_HOME:
		t->scroll = 0;
		break;
	default:
		if (top_column_of_key(key) >= 0)
			t->sort = top_column_of_key(key);
	}
	return false;
}

static int top_input(struct observe_output *self, struct ckpt_observe *o)
{
	struct top *t = (struct top *)self;
	int key;

	while ((key = getch()) != ERR)
		if (t->filtering)
			filter_key(t, key);
		else if (table_key(t, key))
			return 1;
	return show(t, o, true);
}

/* ---- the output -------------------------------------------------------------------------------
 */

/* Does this terminal know how to go somewhere? "dumb" does not. */
static bool can_move(void)
{
	const char *cup = tigetstr("cup");

	return cup && cup != (const char *)-1;
}

static int top_start(struct observe_output *self, const struct observe_about *about)
{
	struct top *t = (struct top *)self;
	const char *term = getenv("TERM");

	setlocale(LC_CTYPE, "");
	/* newterm() ends no program, unlike initscr(). */
	if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term && *term)
		t->screen = newterm(NULL, stdout, stdin);
	if (t->screen && !can_move()) {
		endwin();
		delscreen(t->screen);
		t->screen = NULL;
	}
	if (!t->screen) {
		const char *causes[] = { "standard input and output are no terminal that it knows",
					 NULL };

		cli_complain(NULL, CKPT_E_USAGE, "cannot show the table", causes,
			     "run it in a terminal (with TERM set), or use --summary");
		return -ENOTTY;
	}
	set_term(t->screen);
	cbreak();
	noecho();
	nonl();
	nodelay(stdscr, TRUE);
	keypad(stdscr, TRUE);
	set_escdelay(25);
	curs_set(0);
	t->colour = cli_colour(STDOUT_FILENO) && start_color() == OK;
	if (t->colour) {
		use_default_colors();
		init_pair(PAIR_GOOD, COLOR_GREEN, -1);
		init_pair(PAIR_BAD, COLOR_RED, -1);
		init_pair(PAIR_WARN, COLOR_YELLOW, -1);
		init_pair(PAIR_QUIET, -1, -1);
	}
	t->title = cli_format("%s", about->title);
	return 0;
}

static int top_event(struct observe_output *self, const struct observe_line *line)
{
	struct top *t = (struct top *)self;
	const struct ckpt_member *balanced;

	if (strcmp(line->event->name, "audit"))
		return 0;
	balanced = ckpt_event_member(line->event, "balanced");
	t->audit = balanced && balanced->u;
	t->audit_us = cli_now_us();
	return 0;
}

static int top_end(struct observe_output *self, struct ckpt_observe *o)
{
	struct top *t = (struct top *)self;

	(void)o;
	endwin();
	delscreen(t->screen);
	t->screen = NULL;
	return 0;
}

static void top_free(struct observe_output *self)
{
	struct top *t = (struct top *)self;

	for (size_t i = 0; i < t->n_kinds; i++)
		free(t->kind[i]);
	free(t->before);
	free(t->row);
	free(t->title);
	free(t);
}

struct observe_output *observe_top_new(void)
{
	struct top *t = cli_alloc(sizeof(*t));

	t->out = (struct observe_output){
		.fd = STDIN_FILENO,
		.start = top_start,
		.event = top_event,
		.idle = top_idle,
		.input = top_input,
		.end = top_end,
		.free = top_free,
	};
	t->sort = COL_FDS;
	t->audit = -1;
	return &t->out;
}
