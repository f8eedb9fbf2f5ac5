// SPDX-License-Identifier: LGPL-2.1-or-later
/* Sessions: what a caller of the engine holds between calls. */
#include "session.h"
#include "util.h"

#include <stdlib.h>

int ckpt_session_new(struct ckpt_session **ret, struct ckpt_err **err)
{
	struct ckpt_session *s = calloc(1, sizeof(*s));

	if (!s)
		return ckpt_fail_nomem(err);
	*ret = s;
	return 0;
}

void ckpt_session_free(struct ckpt_session *s)
{
	if (!s)
		return;
	loader_close(s->loader);
	free(s);
}

void ckpt_session_set_progress(struct ckpt_session *s, ckpt_progress_fn *fn, void *userdata)
{
	s->progress = fn;
	s->progress_data = userdata;
}

int session_loader(struct ckpt_session *s, struct loader **ret, struct ckpt_err **err)
{
	struct loader_why why = { 0 };

	if (!s->loader) {
		bool changed;
		int rc;

		/* A pinned set of another version would stay for ever: it is replaced by ours. */
		if (loader_pin_state() == LOADER_PIN_OTHER_VERSION)
			loader_pin(&changed, NULL);
		rc = loader_open(&s->loader, &why);

		if (rc < 0)
			return ckpt_fail_loader(err, rc, &why);
	}
	*ret = s->loader;
	return 0;
}

static int pin_or_unpin(int (*fn)(bool *, struct loader_why *), bool *ret_changed,
			struct ckpt_err **err)
{
	struct loader_why why = { 0 };
	bool changed = false;
	int rc = fn(&changed, &why);

	if (rc < 0)
		return ckpt_fail_loader(err, rc, &why);
	if (ret_changed)
		*ret_changed = changed;
	return 0;
}

int ckpt_load(bool *ret_changed, struct ckpt_err **err)
{
	return pin_or_unpin(loader_pin, ret_changed, err);
}

int ckpt_unload(bool *ret_changed, struct ckpt_err **err)
{
	return pin_or_unpin(loader_unpin, ret_changed, err);
}

void stage_clock_start(struct stage_clock *c, struct ckpt_stage *stages, size_t *n)
{
	*c = (struct stage_clock){ .stages = stages, .n = n };
	c->start_us = c->last_us = now_us();
}

void stage_done(struct stage_clock *c, const char *name)
{
	uint64_t now = now_us();

	if (*c->n < CKPT_STAGES_MAX)
		c->stages[(*c->n)++] = (struct ckpt_stage){ .name = name, .us = now - c->last_us };
	c->last_us = now;
}
