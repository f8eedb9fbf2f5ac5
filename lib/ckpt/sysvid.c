// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the objects of System V IPC have in common. See sysvid.h. */
#include "sysvid.h"
#include "image.h"
#include "util.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>

/* Another process may take the number that was meant for us: asked for again. */
#define MAKE_TRIES 20

int sysvid_save(const struct ipc_perm *p, json_t *o)
{
	int rc = js_set_int(o, "key", p->__key);

	rc |= js_set_int(o, "uid", p->uid);
	rc |= js_set_int(o, "gid", p->gid);
	rc |= js_set_int(o, "cuid", p->cuid);
	rc |= js_set_int(o, "cgid", p->cgid);
	rc |= js_set_int(o, "mode", p->mode & 0777);
	return rc;
}

int sysvid_parse(const json_t *o, struct sysvid *ret, struct ckpt_err **err)
{
	int rc = js_i32(o, "key", &ret->key, err);

	if (rc == 0)
		rc = js_u32(o, "uid", &ret->uid, err);
	if (rc == 0)
		rc = js_u32(o, "gid", &ret->gid, err);
	if (rc == 0)
		rc = js_u32(o, "cuid", &ret->cuid, err);
	if (rc == 0)
		rc = js_u32(o, "cgid", &ret->cgid, err);
	if (rc == 0)
		rc = js_u32(o, "mode", &ret->mode, err);
	if (rc == 0 && ret->mode > 0777)
		rc = ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
			       "the mode of an IPC object is not sound");
	return rc;
}

bool sysvid_same(const struct sysvid *who, const struct ipc_perm *p)
{
	return who->key == p->__key && who->cuid == p->cuid && who->cgid == p->cgid;
}

void sysvid_into(const struct sysvid *who, struct ipc_perm *p)
{
	p->uid = who->uid;
	p->gid = who->gid;
	p->mode = (unsigned short)who->mode;
}

/* ---- making ---- */

static int write_next(const char *name, int32_t id)
{
	_cleanup_close_ int fd = -1;
	char path[64], text[16];
	int n = snprintf(text, sizeof(text), "%d", id);

	snprintf(path, sizeof(path), "/proc/sys/kernel/%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 ? -errno : write_all(fd, text, (size_t)n);
}

/*
 * The creator is whoever calls: this thread alone becomes that user for the call, so not through
 * libc, whose calls change all threads.
 */
static int get_as(const struct sysvid_maker *m, const struct sysvid *who, void *arg)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int id, saved;

	if (syscall(SYS_setresgid, -1, who->cgid, -1) < 0)
		return -errno;
	if (syscall(SYS_setresuid, -1, who->cuid, -1) < 0) {
		saved = errno;
		syscall(SYS_setresgid, -1, gid, -1);
		return -saved;
	}
	id = m->get(arg);
	saved = errno;
	/* Back to what it was: cannot fail. */
	if (syscall(SYS_setresuid, -1, uid, -1) < 0 || syscall(SYS_setresgid, -1, gid, -1) < 0)
		abort();
	return id < 0 ? -saved : id;
}

int sysvid_make(const struct sysvid_maker *m, int32_t id, const struct sysvid *who, void *arg,
		struct ckpt_err **err)
{
	for (int i = 0; i < MAKE_TRIES; i++) {
		int got, rc = write_next(m->next_id, id);

		if (rc < 0) {
			ckpt_fail_errno(err, rc, CKPT_E_PRIVILEGE, "choose the number of a new %s",
					m->what);
			ckpt_hint(err, "run as root, or with CAP_CHECKPOINT_RESTORE, on a kernel "
				       "with CONFIG_CHECKPOINT_RESTORE");
			return rc;
		}
		got = get_as(m, who, arg);
		if (got == id)
			return 0;
		write_next(m->next_id, -1);
		if (got < 0)
			return ckpt_fail_errno(err, got, CKPT_E_RESTORE, "make %s %d", m->what, id);
		m->remove(got);
	}
	ckpt_fail(err, EEXIST, CKPT_E_RESTORE, "another %s stands in the place of %d", m->what, id);
	ckpt_hint(err, "see ipcs(1), and remove what is left over there by ipcrm -%c", m->option);
	return -EEXIST;
}

/* ---- refusals ---- */

int sysvid_key_free(const char *what, const struct sysvid *who, int found, char option,
		    struct ckpt_err **err)
{
	if (!who->key || found < 0)
		return 0;
	ckpt_fail(err, EEXIST, CKPT_E_RESTORE, "key %#x is that of another %s now, %d",
		  (unsigned int)who->key, what, found);
	ckpt_hint(err, "if nothing needs it: ipcrm -%c %d", option, found);
	return -EEXIST;
}

int sysvid_fail_other(const char *what, int32_t id, char option, struct ckpt_err **err)
{
	ckpt_fail(err, EEXIST, CKPT_E_RESTORE, "%s %d is another one now", what, id);
	ckpt_hint(err, "if nothing needs it: ipcrm -%c %d", option, id);
	return -EEXIST;
}

int sysvid_fail_changed(const char *what, int32_t id, char option, struct ckpt_err **err)
{
	ckpt_fail(err, ESTALE, CKPT_E_FILE_CHANGED,
		  "%s %d was made or changed since the checkpoint", what, id);
	ckpt_hint(err,
		  "--allow-changed to use it all the same, or ipcrm -%c %d to have it made anew",
		  option, id);
	return -ESTALE;
}
