// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Watching the delivery of signals: a claim on one of the ring buffers that the programs of
 * bpf/delivery.bpf.h fill. Claims of processes that have died are taken over.
 */
#include "internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct delivery {
	int senders_fd; /* borrowed: from the loader */
	int link_fd[2]; /* -1 with a pinned set */
	uint32_t slot;	/* REC_SENDERS: none */
	uint32_t secret;
	struct ring_buffer *ring;
	/* of the call under way */
	delivery_fn *fn;
	void *userdata;
};

static int on_record(void *userdata, void *data, size_t len)
{
	const struct delivery *d = userdata;

	if (len >= sizeof(struct rec_delivery) && d->fn)
		d->fn(d->userdata, data);
	return 0;
}

/* ---- claiming a ring ---- */

/* When a process started, in clock ticks; 0: there is none. */
static uint64_t start_ticks(pid_t pid)
{
	char path[32], text[1024], *at;
	uint64_t ticks = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	at = fgets(text, sizeof(text), f) ? strrchr(text, ')') : NULL;
	fclose(f);
	/* Member 22; the name, which may have anything in it, is the second. */
	for (int i = 2; at && i < 22; i++)
		at = strchr(at + 1, ' ');
	if (at)
		ticks = strtoull(at, NULL, 10);
	return ticks;
}

static uint64_t own_pid_ns(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) == 0 ? st.st_ino : 0;
}

/* Of processes in other pid namespaces nothing can be said. */
static bool has_died(const struct rec_sender *s, uint64_t pid_ns)
{
	return s->pid_ns_inum == pid_ns && start_ticks(s->pid) != s->start_ticks;
}

static int claim_slot(struct delivery *d, uint32_t slot, const struct rec_sender *me)
{
	struct rec_sender other;

	if (bpf_map_update_elem(d->senders_fd, &slot, me, BPF_NOEXIST) == 0) {
		d->slot = slot;
		return 0;
	}
	if (errno != EEXIST)
		return -errno;
	if (bpf_map_lookup_elem(d->senders_fd, &slot, &other) == 0 &&
	    has_died(&other, me->pid_ns_inum))
		bpf_map_delete_elem(d->senders_fd, &slot);
	return -EEXIST;
}

static int claim(struct delivery *d)
{
	struct rec_sender me = {
		.pid = getpid(),
		.pid_ns_inum = own_pid_ns(),
		.start_ticks = start_ticks(getpid()),
	};
	int rc = -EEXIST;

	if (getrandom(&d->secret, sizeof(d->secret), 0) != sizeof(d->secret))
		return -errno;
	d->secret &= 0xffffff;
	me.secret = d->secret;
	/* The second time, those of the dead are free. */
	for (uint32_t i = 0; rc == -EEXIST && i < 2 * REC_SENDERS; i++)
		rc = claim_slot(d, i % REC_SENDERS, &me);
	return rc == -EEXIST ? -EBUSY : rc;
}

static int attach(struct delivery *d, struct loader *l)
{
	static const enum loader_prog prog[] = { LOADER_PROG_GENERATE, LOADER_PROG_DELIVER };

	for (size_t i = 0; !l->pinned && i < 2; i++) {
		d->link_fd[i] = loader_attach(l, prog[i]);
		if (d->link_fd[i] < 0)
			return d->link_fd[i];
	}
	return 0;
}

int delivery_open(struct loader *l, struct delivery **ret, struct loader_why *why)
{
	struct delivery *d = calloc(1, sizeof(*d));
	int rc;

	if (!d)
		return why_set(why, -ENOMEM, NULL, "out of memory");
	*d = (struct delivery){
		.senders_fd = l->senders_fd,
		.link_fd = { -1, -1 },
		.slot = REC_SENDERS,
	};
	rc = claim(d);
	if (rc == 0) {
		d->ring = ring_buffer__new(l->ring_fd[d->slot], on_record, d, NULL);
		rc = d->ring ? 0 : errno ? -errno : -ENOMEM;
	}
	if (rc == 0)
		rc = attach(d, l);
	/* What is left there by the one before. */
	if (rc == 0)
		ring_buffer__consume(d->ring);
	if (rc < 0) {
		delivery_close(d);
		return why_set(why, rc, NULL, "cannot watch the delivery of signals: %s",
			       strerror(-rc));
	}
	*ret = d;
	return 0;
}

void delivery_close(struct delivery *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < 2; i++)
		if (d->link_fd[i] >= 0)
			close(d->link_fd[i]);
	ring_buffer__free(d->ring);
	if (d->slot < REC_SENDERS)
		bpf_map_delete_elem(d->senders_fd, &d->slot);
	free(d);
}

uint64_t delivery_value(const struct delivery *d, pid_t tid)
{
	return REC_DELIVERY_VALUE(d->slot, d->secret, tid);
}

int delivery_wait(struct delivery *d, int64_t timeout_ns, delivery_fn *fn, void *userdata)
{
	struct timespec left = { timeout_ns / 1000000000, timeout_ns % 1000000000 };
	struct pollfd p = { .fd = ring_buffer__epoll_fd(d->ring), .events = POLLIN };
	int n;

	if (ppoll(&p, 1, &left, NULL) < 0)
		return 0;
	d->fn = fn;
	d->userdata = userdata;
	n = ring_buffer__consume(d->ring);
	d->fn = NULL;
	return n < 0 ? 0 : n;
}
