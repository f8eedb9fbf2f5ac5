// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The ledger's signals: when each was sent, so that the time to its delivery is known, and what
 * became of those that were not delivered.
 */
#include "ledger.h"
#include "util.h"

#include <stdlib.h>
#include <string.h>

/* Signals from here on queue, each as often as it is sent (signal(7)). */
#define RT_FIRST 32

/* Of one process no more are remembered: those beyond are delivered without a time. */
#define WAITS_MAX 4096

/*
 * Delays by powers of two, each in PARTS: a value is known to within 1/16 of itself, and the memory
 * does not grow.
 */
#define PARTS	  16
#define PARTS_LOG 4
#define HISTOGRAM ((64 - PARTS_LOG + 1) * PARTS)

/* A signal on its way. */
struct ledger_wait {
	int signo;
	pid_t tid; /* 0: for any thread */
	uint64_t time_ns;
};

struct waits {
	size_t n, size;
	struct ledger_wait wait[];
};

static size_t bucket(uint64_t ns)
{
	if (ns < PARTS)
		return (size_t)ns;
	unsigned int log = 63u - (unsigned int)__builtin_clzll(ns);

	return (size_t)(log - PARTS_LOG + 1) * PARTS + (ns >> (log - PARTS_LOG) & (PARTS - 1));
}

/* The largest value of a bucket. */
static uint64_t bucket_end(size_t b)
{
	if (b < PARTS)
		return b;
	unsigned int shift = (unsigned int)(b / PARTS) - 1;

	return ((uint64_t)(PARTS + b % PARTS + 1) << shift) - 1;
}

static void note_delay(struct ledger_signal *s, uint64_t ns)
{
	if (!s->histogram)
		s->histogram = calloc(HISTOGRAM, sizeof(*s->histogram));
	if (!s->histogram)
		return;
	size_t b = bucket(ns);

	if (s->histogram[b] < UINT32_MAX)
		s->histogram[b]++;
	s->timed++;
	if (ns > s->max_ns)
		s->max_ns = ns;
}

uint64_t ledger_signal_quantile(const struct ledger_signal *s, double part)
{
	uint64_t want = (uint64_t)(part * (double)s->timed), seen = 0;

	if (!s->timed)
		return 0;
	for (size_t b = 0; b < HISTOGRAM; b++) {
		seen += s->histogram[b];
		if (seen > want || seen == s->timed)
			return bucket_end(b) < s->max_ns ? bucket_end(b) : s->max_ns;
	}
	return s->max_ns;
}

static void take_out(struct waits *w, size_t at)
{
	memmove(&w->wait[at], &w->wait[at + 1], (w->n - at - 1) * sizeof(*w->wait));
	w->n--;
}

static size_t find_wait(const struct waits *w, int signo, pid_t tid)
{
	size_t i = 0;

	while (i < w->n && (w->wait[i].signo != signo || w->wait[i].tid != tid))
		i++;
	return i;
}

static int remember(struct ledger_process *p, uint64_t time_ns, pid_t tid, int signo)
{
	struct waits *w = p->waits;

	if (!w || w->n == w->size) {
		size_t size = w ? w->size * 2 : 8;

		if (size > WAITS_MAX) {
			take_out(w, 0);
		} else {
			struct waits *grown =
				realloc(w, sizeof(*w) + size * sizeof(struct ledger_wait));

			if (!grown)
				return -ENOMEM;
			grown->n = w ? grown->n : 0;
			grown->size = size;
			p->waits = w = grown;
		}
	}
	w->wait[w->n++] = (struct ledger_wait){ .signo = signo, .tid = tid, .time_ns = time_ns };
	return 0;
}

int ledger_signal_sent(struct ledger *l, uint64_t time_ns, pid_t pid, pid_t target_tid, int signo,
		       enum ledger_result result, bool blocked)
{
	struct ledger_process *p = ledger_process(l, pid);

	if (signo <= 0 || signo >= LEDGER_NSIG)
		return 0;
	struct ledger_signal *s = &l->signal[signo];

	s->generated++;
	s->blocked += blocked;
	switch (result) {
	case LEDGER_DISCARDED:
		s->ignored++;
		return 0;
	case LEDGER_ALREADY_PENDING:
		s->pending++;
		return 0;
	case LEDGER_OVERFLOW:
		s->lost++;
		return 0;
	case LEDGER_QUEUED:
	case LEDGER_LOST_INFO:
		break;
	}
	if (!p)
		return 0;
	/*
	 * Of the others there is but one at a time. When it is queued anew, the one before was
	 * taken by sigwait(3) or a signalfd, which nobody reports.
	 */
	if (signo < RT_FIRST && p->waits) {
		struct waits *w = p->waits;
		size_t i = find_wait(w, signo, target_tid);

		if (i < w->n)
			take_out(w, i);
	}
	return remember(p, time_ns, target_tid, signo);
}

void ledger_signal_taken(struct ledger *l, uint64_t time_ns, pid_t pid, pid_t tid, int signo,
			 uint64_t *ret_delay_ns)
{
	struct ledger_process *p = ledger_process(l, pid);

	*ret_delay_ns = 0;
	if (signo <= 0 || signo >= LEDGER_NSIG)
		return;
	l->signal[signo].delivered++;
	if (!p)
		return;
	p->signals++;
	struct waits *w = p->waits;

	if (!w)
		return;
	/* The kernel looks at the thread's own first (dequeue_signal()). */
	size_t i = find_wait(w, signo, tid);

	if (i == w->n)
		i = find_wait(w, signo, 0);
	if (i == w->n)
		return;
	if (time_ns >= w->wait[i].time_ns) {
		*ret_delay_ns = time_ns - w->wait[i].time_ns;
		note_delay(&l->signal[signo], *ret_delay_ns);
	}
	take_out(w, i);
}

void ledger_signals_drop(struct ledger_process *p)
{
	free(p->waits);
	p->waits = NULL;
}
