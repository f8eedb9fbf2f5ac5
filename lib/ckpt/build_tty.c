// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Controlling terminals. Only a session's leader can take one, and those whom it makes afterwards
 * have it, too; nobody else can ever get it. So the leader takes it as soon as it has its session.
 * The terminal is open by then, inherited from the restoring process at the same number. Nobody is
 * told: the terminal belonged to no session, and all signals are blocked.
 */
#include "build.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

static bool leads_session(const struct build *b)
{
	return json_integer_value(json_object_get(b->task, "sid")) == b->vpid;
}

/* Its number in the process's table, where it is the same as in ours. */
static int terminal_fd(const struct build *b, const json_t *terminal, uint64_t *ret,
		       struct ckpt_err **err)
{
	const struct kind_restore *kr = &b->r->kr;
	uint32_t object = 0;
	int rc = js_u32(terminal, "object", &object, err);

	if (rc < 0)
		return rc;
	if (!object || object >= kr->n_fd || kr->fd[object] < 0)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
				 "the controlling terminal is object %u, which is none", object);
	*ret = (uint64_t)kr->fd[object];
	return 0;
}

int build_tty_take(struct build *b, struct ckpt_err **err)
{
	const json_t *terminal = json_object_get(b->task, "terminal");
	uint64_t fd = 0;
	int rc = terminal ? terminal_fd(b, terminal, &fd, err) : 0;

	if (!terminal || rc < 0)
		return rc;
	arena_op(&b->r->arena, "take a controlling terminal", SYS_ioctl, fd, TIOCSCTTY, 0, 0, 0, 0);
	return arena_run(&b->r->arena, b->pid, err);
}

static int set_foreground(struct build *b, const json_t *terminal, struct ckpt_err **err)
{
	struct arena *a = &b->r->arena;
	int32_t foreground = 0;
	uint64_t fd = 0;
	int rc = terminal_fd(b, terminal, &fd, err);

	if (rc == 0)
		rc = js_i32(terminal, "foreground", &foreground, err);
	if (rc < 0 || !foreground)
		return rc;
	arena_op(a, "set a terminal's foreground group", SYS_ioctl, fd, TIOCSPGRP,
		 arena_data(a, &foreground, sizeof(foreground)), 0, 0, 0);
	return arena_run(a, b->pid, err);
}

/* Only the terminal itself can be given up, not the other end, which may be all that is open. */
static int give_up(struct build *b, struct ckpt_err **err)
{
	static const char path[] = "/dev/tty";
	struct arena *a = &b->r->arena;
	const struct remote_op *op = arena_op(a, "open the controlling terminal", SYS_open,
					      arena_data(a, path, sizeof(path)),
					      O_RDWR | O_NOCTTY | O_CLOEXEC, 0, 0, 0, 0);
	int rc = arena_run(a, b->pid, err);
	uint64_t fd = (uint64_t)op->ret;

	if (rc < 0)
		return rc;
	arena_op(a, "give up the controlling terminal", SYS_ioctl, fd, TIOCNOTTY, 0, 0, 0, 0);
	arena_op(a, "close a descriptor", SYS_close, fd, 0, 0, 0, 0, 0);
	return arena_run(a, b->pid, err);
}

/* Has the session one, as its leader in the tree has? */
static bool session_has_terminal(const struct build *b)
{
	const json_t *sid = json_object_get(b->task, "sid");

	for (size_t i = 0; i < b->r->n_procs; i++) {
		const struct build *leader = &b->r->proc[i];

		if (leader->vpid == json_integer_value(sid))
			return json_object_get(leader->task, "terminal");
	}
	return false;
}

int build_tty_all_there(struct build *b, struct ckpt_err **err)
{
	const json_t *terminal = json_object_get(b->task, "terminal");

	if (terminal && leads_session(b))
		return set_foreground(b, terminal, err);
	return !terminal && session_has_terminal(b) ? give_up(b, err) : 0;
}
