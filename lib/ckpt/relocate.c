// SPDX-License-Identifier: LGPL-2.1-or-later
/* Other paths than those of the image. See relocate.h. */
#include "relocate.h"
#include "image.h"
#include "kind.h"
#include "util.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What of `path` comes after `from`, which ends at a component's end; NULL: it is not below it. */
static const char *below(const char *path, const char *from)
{
	size_t n = strlen(from);

	if (n == 1 && from[0] == '/')
		return path[0] == '/' ? path : NULL;
	return !strncmp(path, from, n) && (!path[n] || path[n] == '/') ? path + n : NULL;
}

/* Of an object with a "path", or NULL. */
static int relocate_one(json_t *o, const struct ckpt_relocation *r, size_t n, struct ckpt_err **err)
{
	_cleanup_free_ char *path = NULL;
	const char *rest = NULL, *to;
	char text[PATH_MAX];
	size_t i;
	int rc = o && json_object_get(o, "path") ? js_bytes(o, "path", &path, err) : 0;

	if (rc < 0 || !path)
		return rc;
	for (i = 0; i < n && !rest; i++)
		rest = below(path, r[i].from);
	if (!rest)
		return 0;
	i--;
	to = r[i].to;
	if (snprintf(text, sizeof(text), "%s%s", strcmp(to, "/") || !*rest ? to : "", rest) >=
	    (int)sizeof(text))
		return ckpt_fail(err, ENAMETOOLONG, CKPT_E_USAGE,
				 "a path is too long when %s becomes %s", r[i].from, r[i].to);
	return js_set_bytes(o, "path", text) ? ckpt_fail_nomem(err) : 0;
}

static int relocate_places(json_t *o, const struct ckpt_relocation *r, size_t n,
			   struct ckpt_err **err)
{
	int rc = relocate_one(json_object_get(o, "cwd"), r, n, err);

	return rc < 0 ? rc : relocate_one(json_object_get(o, "root"), r, n, err);
}

static int relocate_task(json_t *task, const struct ckpt_relocation *r, size_t n,
			 struct ckpt_err **err)
{
	json_t *threads = json_object_get(task, "threads");
	int rc = relocate_places(task, r, n, err);

	if (rc == 0)
		rc = relocate_one(json_object_get(json_object_get(task, "mm"), "exe"), r, n, err);
	for (size_t i = 0; rc == 0 && i < json_array_size(threads); i++)
		rc = relocate_places(json_object_get(json_array_get(threads, i), "fs"), r, n, err);
	return rc;
}

static int check(const struct ckpt_relocation *r, size_t n, struct ckpt_err **err)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = r[i].from ? strlen(r[i].from) : 0;

		if (!len || r[i].from[0] != '/' || !r[i].to || r[i].to[0] != '/' ||
		    (len > 1 && r[i].from[len - 1] == '/'))
			return ckpt_fail(err, EINVAL, CKPT_E_USAGE,
					 "relocation %zu is not of two absolute paths", i + 1);
	}
	return 0;
}

static int relocate_all(json_t *manifest, const struct ckpt_relocation *r, size_t n,
			struct ckpt_err **err)
{
	json_t *tasks = json_object_get(manifest, "tasks");
	json_t *objects = json_object_get(manifest, "objects");
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < json_array_size(tasks); i++)
		rc = relocate_task(json_array_get(tasks, i), r, n, err);
	for (size_t i = 0; rc == 0 && i < json_array_size(objects); i++) {
		json_t *o = json_array_get(objects, i);

		if (objects_row_is_placed(o))
			rc = relocate_one(o, r, n, err);
	}
	return rc;
}

int relocate(json_t *manifest, const struct ckpt_relocation *r, size_t n, struct ckpt_err **err)
{
	_cleanup_free_ struct ckpt_relocation *named = calloc(n + 1, sizeof(*named));
	int rc = named ? check(r, n, err) : ckpt_fail_nomem(err);

	if (rc < 0 || !n)
		return rc;
	/* As the kernel will name them. One that does not exist is told of when it is needed. */
	for (size_t i = 0; i < n; i++) {
		char *real = realpath(r[i].to, NULL);

		named[i] = (struct ckpt_relocation){ r[i].from, real ? real : r[i].to };
	}
	rc = relocate_all(manifest, named, n, err);
	for (size_t i = 0; i < n; i++)
		if (named[i].to != r[i].to)
			free((char *)(uintptr_t)named[i].to);
	return rc;
}
