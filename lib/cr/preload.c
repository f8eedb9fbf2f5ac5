// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * libcr_run and libcr_omit: loaded by cr_run into programs that know nothing of checkpoints. They
 * meet the checkpointer as libcr does, without callbacks. Built with CR_KIND and CR_LINK_ME.
 */
#include "private.h"

int CR_LINK_ME __attribute__((visibility("default")));

static __thread struct cri_thread self __attribute__((tls_model("initial-exec")));

struct cri_thread *cri_self(void)
{
	if (self.generation != cri_generation)
		self = (struct cri_thread){ .generation = cri_generation };
	return &self;
}

int cri_run_callbacks(struct cri_thread *t)
{
	return cri_arrive(t);
}

void cri_run_hook(const struct cri_thread *t, int result)
{
	(void)t;
	(void)result;
}

bool cri_holds(const struct cri_thread *t, int result)
{
	(void)t;
	(void)result;
	return true;
}

void cri_forget_callbacks(void)
{
}

void cri_forget_hooks(void)
{
}

void cri_forget_requests(void)
{
}
