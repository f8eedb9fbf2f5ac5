// SPDX-License-Identifier: LGPL-2.1-or-later
/* File locks of a process. See locks.h. */
#include "locks.h"
#include "util.h"

int locks_save(const struct snapshot *s, pid_t tgid, json_t **ret, struct ckpt_err **err)
{
	json_t *a = json_array();

	(void)s;
	(void)tgid;
	if (!a)
		return ckpt_fail_nomem(err);
	*ret = a;
	return 0;
}
