// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Is an image whole? Everything that can be judged from the image alone: seal, checksums of every
 * file and of all pages, and whether what the manifest says fits together. Whether this machine
 * could restore it is another question.
 */
#include "build.h"
#include "seccomp.h"
#include "sysvipc.h"
#include "tasks.h"
#include "util.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct verify {
	struct ckpt_session *session;
	struct restore r;	       /* the processes as restore reads them */
	const json_t *objects, *files; /* borrowed from the manifest */
	size_t n_objects;
	uint64_t done_bytes, total_bytes;
};

static int progress(struct verify *v, uint64_t bytes, struct ckpt_err **err)
{
	struct ckpt_session *s = v->session;

	v->done_bytes += bytes;
	if (s->progress && s->progress(s->progress_data, "verify", v->done_bytes, v->total_bytes))
		return ckpt_fail(err, EINTR, CKPT_E_INTERRUPTED, "interrupted");
	return 0;
}

/* A file without a row in "files" has no checksum: nothing vouches for it. */
static int is_listed(const struct verify *v, const char *name, struct ckpt_err **err)
{
	const json_t *row;
	size_t i;

	json_array_foreach(v->files, i, row) {
		const char *s = json_string_value(json_object_get(row, "name"));

		if (s && !strcmp(s, name))
			return 0;
	}
	return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "the manifest has no checksum for %.80s",
			 name);
}

/* ---- objects ---- */

static int verify_object(const struct verify *v, const json_t *o, size_t i, struct ckpt_err **err)
{
	const struct ckpt_kind *k;
	const char *kind = "", *data = NULL;
	char name[128];
	uint32_t id = 0;
	int64_t flags;
	int rc = js_u32(o, "id", &id, err);

	if (rc == 0)
		rc = js_str(o, "kind", &kind, err);
	if (rc == 0)
		rc = js_i64(o, "flags", &flags, err);
	if (rc == 0)
		rc = js_opt_str(o, "data", &data, err);
	if (rc < 0)
		return rc;
	if (id != i + 1)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "its number is %u", id);
	k = kind_by_name(kind);
	/* The row that refuses what no other kind takes cannot be opened either. */
	if (!k || !k->open)
		return ckpt_fail(err, ENOTSUP, CKPT_E_IMAGE_VERSION,
				 "this version does not know its kind, \"%.40s\"", kind);
	if (!data)
		return 0;
	snprintf(name, sizeof(name), IMAGE_DATA "/%.100s", data);
	return is_listed(v, name, err);
}

static int verify_objects(const struct verify *v, struct ckpt_err **err)
{
	for (size_t i = 0; i < v->n_objects; i++) {
		int rc = verify_object(v, json_array_get(v->objects, i), i, err);

		if (rc < 0)
			return ckpt_wrap(err, rc, "object %zu is wrong", i + 1);
	}
	return 0;
}

/* ---- tasks ---- */

static int verify_descriptors(const struct verify *v, const json_t *task, struct ckpt_err **err);

/* Those of threads with tables of their own. */
static int verify_tables(const struct verify *v, const json_t *task, struct ckpt_err **err)
{
	const json_t *rows = json_object_get(task, "threads");
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < json_array_size(rows); i++)
		if (json_object_get(json_array_get(rows, i), "files"))
			rc = verify_descriptors(v, json_array_get(rows, i), err);
	return rc;
}

static int verify_seccomp(const json_t *task, struct ckpt_err **err)
{
	struct seccomp_table filters;
	const json_t *rows = json_object_get(task, "threads");
	int rc = seccomp_parse(&filters, task, err);

	for (size_t i = 0; rc == 0 && i < json_array_size(rows); i++) {
		uint32_t filter;
		bool strict;

		rc = seccomp_parse_thread(&filters, json_array_get(rows, i), &filter, &strict, err);
	}
	seccomp_table_done(&filters);
	return rc;
}

static int verify_descriptors(const struct verify *v, const json_t *task, struct ckpt_err **err)
{
	json_t *rows;
	int32_t last = -1;
	int rc = js_arr(task, "files", &rows, err);

	for (size_t i = 0; rc == 0 && i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		uint32_t object = 0;
		int32_t fd = -1;

		rc = js_i32(row, "fd", &fd, err);
		if (rc == 0)
			rc = js_u32(row, "object", &object, err);
		if (rc < 0)
			return rc;
		if (fd <= last)
			return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
					 "descriptor %d stands after %d", fd, last);
		if (object < 1 || object > v->n_objects)
			return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
					 "descriptor %d refers to object %u, which does not exist",
					 fd, object);
		last = fd;
	}
	return rc;
}

/* The pages; all else in the core file was read with the tree. */
static int verify_core(const struct verify *v, const struct build *b, uint64_t *ret_bytes,
		       struct ckpt_err **err)
{
	struct core_file core = { .fd = -1 };
	struct stat st;
	char name[32];
	int fd = -1, rc;

	snprintf(name, sizeof(name), "core.%d", b->vpid);
	rc = is_listed(v, name, err);
	if (rc == 0)
		rc = image_file_open(&v->r.im, false, name, &fd, err);
	if (rc < 0)
		return rc;
	*ret_bytes = fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	rc = core_open(&core, fd, err);
	if (rc == 0)
		rc = core_verify(&core, err);
	core_done(&core);
	return rc;
}

/* Every thread's registers were found when the tree was read. */
static int verify_registers(const struct build *b, struct ckpt_err **err)
{
	size_t n = b->n_threads - (b->thread[0].ended ? 1 : 0);

	if (b->core.n_threads == n)
		return 0;
	return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "it has %zu threads, and registers of %zu", n,
			 b->core.n_threads);
}

static int verify_process(struct verify *v, const struct build *b, struct ckpt_err **err)
{
	uint64_t bytes = 0;
	json_t *dir;
	int rc;

	if (b->zombie)
		return 0;
	rc = verify_registers(b, err);
	if (rc == 0)
		rc = verify_seccomp(b->task, err);
	if (rc == 0)
		rc = verify_tables(v, b->task, err);
	if (rc == 0 && b->files_owner == b)
		rc = verify_descriptors(v, b->task, err);
	if (rc == 0 && b->fs_owner == b)
		rc = js_obj(b->task, "cwd", &dir, err);
	if (rc == 0 && b->fs_owner == b)
		rc = js_obj(b->task, "root", &dir, err);
	if (rc == 0)
		rc = verify_core(v, b, &bytes, err);
	if (rc < 0)
		return ckpt_wrap(err, rc, "process %d", b->vpid);
	return progress(v, bytes, err);
}

/* The processes, by restore's own reader, the root first. */
static int verify_tree(struct verify *v, struct ckpt_err **err)
{
	int32_t root = 0;
	int rc = js_i32(v->r.im.manifest, "root_pid", &root, err);

	if (rc == 0)
		rc = build_read(&v->r, err);
	if (rc == 0 && v->r.proc[0].vpid != root)
		rc = ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "its root process %d is not there",
			       root);
	v->objects = v->r.kr.objects;
	v->n_objects = json_array_size(v->objects);
	return rc;
}

static int list_files(struct verify *v, struct ckpt_err **err)
{
	json_t *files = NULL;
	int rc = js_arr(v->r.im.manifest, "files", &files, err);

	v->files = files;
	for (size_t i = 0; rc == 0 && i < json_array_size(files); i++) {
		const json_t *row = json_array_get(files, i);
		const char *name = "";
		uint64_t bytes = 0;

		rc = js_str(row, "name", &name, err);
		if (rc == 0)
			rc = js_u64(row, "bytes", &bytes, err);
		/* The others were read when the image was opened. */
		if (rc == 0 && !strncmp(name, "core.", 5))
			v->total_bytes += bytes;
	}
	return rc;
}

static int verify(struct verify *v, struct ckpt_err **err)
{
	const json_t *m = v->r.im.manifest;
	int rc = list_files(v, err);

	if (rc == 0)
		rc = verify_tree(v, err);
	if (rc == 0)
		rc = sysvipc_need(&v->r.im, json_object_get(m, "sysv"), false, true, err);
	if (rc == 0)
		rc = verify_objects(v, err);
	for (size_t i = 0; rc == 0 && i < v->r.n_procs; i++)
		rc = verify_process(v, &v->r.proc[i], err);
	return rc;
}

int ckpt_verify(struct ckpt_session *s, const char *image, struct ckpt_err **err)
{
	struct verify v = { .session = s, .r = { .im = IMAGE_INIT } };
	int rc = image_open(&v.r.im, image, err);

	if (rc < 0)
		return rc;
	rc = verify(&v, err);
	build_read_done(&v.r);
	image_done(&v.r.im);
	return rc;
}
