/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For tests that need the programs: one loader for all cases. Included once, after cmocka.h. */
#ifndef TESTS_WITH_LOADER_H
#define TESTS_WITH_LOADER_H

#include <stdio.h>

#include "loader.h"

static struct loader *loader;

static int group_setup(void **state)
{
	struct loader_why why = { 0 };

	(void)state;
	if (loader_open(&loader, &why) == 0)
		return 0;
	fprintf(stderr, "%s (%s)\n", why.what, why.remedy);
	return -1;
}

static int group_teardown(void **state)
{
	(void)state;
	loader_close(loader);
	return 0;
}

#endif
