// SPDX-License-Identifier: LGPL-2.1-or-later
/* Who waits for a message in a POSIX queue. See mqnotify.h; build_ipc.c restores it. */
#include "mqnotify.h"
#include "image.h"
#include "util.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

static int socket_fd(const struct snapshot *s, pid_t tgid, uint64_t sock_id)
{
	size_t first, n;

	snapshot_files_of(s, tgid, &first, &n);
	for (size_t i = first; i < first + n; i++)
		if (sock_id && s->files[i].rec->sock_id == sock_id)
			return s->files[i].rec->fd;
	return -1;
}

static int save_thread(const struct snapshot *s, const struct rec_mqueue *q, json_t *row)
{
	char text[2 * REC_MQUEUE_COOKIE + 1];
	int rc = json_object_set_new(row, "how", json_string("thread"));

	for (int i = 0; i < REC_MQUEUE_COOKIE; i++)
		snprintf(text + 2 * i, 3, "%02x", q->notify_cookie[i]);
	rc |= js_set_int(row, "socket", socket_fd(s, q->notify_tgid, q->notify_sock_id));
	return rc | json_object_set_new(row, "cookie", json_string(text));
}

static int save_one(const struct snapshot *s, const struct rec_mqueue *q, json_t *rows)
{
	json_t *row = json_object();
	int rc = json_array_append_new(rows, row);

	rc |= js_set_int(row, "fd", q->fd);
	switch (q->notify) {
	case SIGEV_SIGNAL:
		rc |= json_object_set_new(row, "how", json_string("signal"));
		rc |= js_set_int(row, "signal", q->notify_signo);
		rc |= js_set_hex(row, "value", q->notify_value);
		break;
	case SIGEV_THREAD:
		rc |= save_thread(s, q, row);
		break;
	default:
		rc |= json_object_set_new(row, "how", json_string("none"));
	}
	return rc;
}

/* Is this the first descriptor of the process for the queue? */
static bool is_first(const struct snapshot *s, const struct snap_file *f)
{
	size_t first, n;

	snapshot_files_of(s, f->rec->tgid, &first, &n);
	for (size_t i = first; i < first + n && &s->files[i] != f; i++)
		if (s->files[i].rec->inode.inode_id == f->rec->inode.inode_id)
			return false;
	return true;
}

int mqnotify_save(const struct snapshot *s, pid_t tgid, json_t *o, struct ckpt_err **err)
{
	_cleanup_json_ json_t *rows = json_array();
	size_t first, n;

	snapshot_files_of(s, tgid, &first, &n);
	for (size_t i = first; i < first + n; i++) {
		size_t n_rows;
		const void *const *row =
			snapshot_details(s, REC_MQUEUE, tgid, s->files[i].rec->fd, &n_rows);
		const struct rec_mqueue *q = n_rows ? row[0] : NULL;

		if (!q || q->what != REC_MQUEUE_QUEUE || !q->has_notify || q->notify_tgid != tgid ||
		    !is_first(s, &s->files[i]))
			continue;
		if (save_one(s, q, rows))
			return ckpt_fail_nomem(err);
	}
	if (json_array_size(rows) && json_object_set(o, "mq_notify", rows))
		return ckpt_fail_nomem(err);
	return 0;
}
