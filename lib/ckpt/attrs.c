// SPDX-License-Identifier: LGPL-2.1-or-later
/* Saving rarer attributes of threads. See attrs.h. */
#include "attrs.h"
#include "image.h"

/* PR_SET_IO_FLUSHER: PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE (include/linux/sched.h). */
#define PF_IO_FLUSHER 0x00180000u

const char *attrs_refused(const struct rec_task *t, const char **ret_remedy)
{
	*ret_remedy = "";
	if (t->landlock & REC_LANDLOCK_DOMAIN) {
		*ret_remedy = "start the program without its sandbox";
		return "it is restricted by Landlock, whose rules cannot be read back";
	}
	if (t->has_mempolicy > 1)
		return "its NUMA policy names nodes beyond the first 64";
	return NULL;
}

static int mempolicy_save(const struct rec_mempolicy *p, json_t *thread)
{
	json_t *o = json_object();
	int rc = json_object_set_new(thread, "mempolicy", o);

	rc |= js_set_int(o, "mode", p->mode);
	rc |= js_set_hex(o, "flags", p->flags);
	rc |= js_set_hex(o, "nodes", p->nodes);
	return rc;
}

static int dispatch_save(const struct trace_dispatch *d, json_t *thread)
{
	json_t *o = json_object();
	int rc = json_object_set_new(thread, "dispatch", o);

	rc |= js_set_hex(o, "selector", d->selector);
	rc |= js_set_hex(o, "offset", d->offset);
	rc |= js_set_hex(o, "len", d->len);
	return rc;
}

int attrs_save(const struct rec_task *t, const struct taken_thread *taken, json_t *thread)
{
	int rc = 0;

	if (t->has_mempolicy)
		rc |= mempolicy_save(&t->mempolicy, thread);
	if (t->speculation)
		rc |= js_set_int(thread, "speculation", t->speculation);
	if (t->pf_flags & PF_IO_FLUSHER)
		rc |= js_set_bool(thread, "io_flusher", true);
	if (taken->dispatch.mode)
		rc |= dispatch_save(&taken->dispatch, thread);
	return rc;
}
