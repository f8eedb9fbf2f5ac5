/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing the image directory: everything goes into a temporary directory beside the final place;
 * only when every file is on the disk does one rename make the image appear, so it exists whole or
 * not at all.
 */
#include "image.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "core.h"
#include "image_private.h"
#include "util.h"

#define SYNC_ONE_BY_ONE 8
#define IMAGE_HASH_STEP (256U << 10)
#define IMAGE_TMP_TRIES 64

/* ---- words ---- */

/* dir/name as a path for a message; the name alone when /proc does not tell. */
static void image_path_of(int dir_fd, const char *name, char *buf, size_t len)
{
	char link[64], dir[512];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", dir_fd);
	n = readlink(link, dir, sizeof(dir) - 1);
	if (n <= 0)
		n = 0;
	dir[n] = '\0';
	snprintf(buf, len, "%s%s%s", dir, n ? "/" : "", name);
}

struct image_cause {
	int errnum;
	const char *text;
	const char *hint;
};

static const struct image_cause image_causes[] = {
	{ ENOSPC, "the disk is full", "make room, or choose another disk with --output" },
	{ EDQUOT, "the disk quota is used up", "make room, or choose another disk with --output" },
	{ EROFS, "the file system is read-only", "choose another place with --output" },
	{ EFBIG, "the file-size limit is in the way", "raise it: ulimit -f unlimited" },
	{ EACCES, "permission denied", "choose a directory that you may write, with --output" },
	{ EPERM, "not permitted", "choose another place with --output" },
};

int image_fail_write(struct ckpt_err **err, int rc, int dir_fd, const char *name)
{
	char path[1024];

	rc = rc < 0 ? -rc : rc;
	image_path_of(dir_fd, name, path, sizeof(path));
	for (size_t i = 0; i < sizeof(image_causes) / sizeof(image_causes[0]); i++) {
		const struct image_cause *c = &image_causes[i];

		if (c->errnum != rc)
			continue;
		if (err && !*err) {
			ckpt_fail(err, rc, CKPT_E_OUTPUT, "cannot write %s: %s", path, c->text);
			ckpt_hint(err, "%s", c->hint);
		}
		return -rc;
	}
	return ckpt_fail_errno(err, rc, CKPT_E_OUTPUT, "cannot write %s", path);
}

void image_hex128(XXH128_hash_t h, char hex[33])
{
	XXH128_canonical_t c;

	XXH128_canonicalFromHash(&c, h);
	for (size_t i = 0; i < sizeof(c.digest); i++)
		snprintf(hex + 2 * i, 3, "%02x", c.digest[i]);
}

/* A plain name within one directory. */
bool image_name_ok(const char *name)
{
	return name[0] && name[0] != '.' && !strchr(name, '/') && strlen(name) <= NAME_MAX;
}

/* ---- making the directory ---- */

/*
 * Split into the directory that will hold the image and its name there. A path that ends in "." or
 * ".." names a directory that cannot be renamed over, so it is refused.
 */
static int image_split(const char *path, char **ret_parent, char **ret_name, struct ckpt_err **err)
{
	_cleanup_free_ char *copy = strdup(path), *name = NULL, *parent = NULL;
	size_t len;
	char *slash;

	if (!copy)
		return ckpt_fail_nomem(err);
	len = strlen(copy);
	while (len > 1 && copy[len - 1] == '/')
		copy[--len] = '\0';
	slash = strrchr(copy, '/');
	name = strdup(slash ? slash + 1 : copy);
	if (!slash)
		parent = strdup(".");
	else
		parent = strndup(copy, slash == copy ? 1 : (size_t)(slash - copy));
	if (!name || !parent)
		return ckpt_fail_nomem(err);
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return ckpt_fail(err, EEXIST, CKPT_E_EXISTS, "\"%s\" cannot become an image", path);
	*ret_parent = TAKE_PTR(parent);
	*ret_name = TAKE_PTR(name);
	return 0;
}

/* Whether the directory holds nothing; fd is taken. */
static int image_dir_is_empty(int fd, bool *ret)
{
	DIR *d = fdopendir(fd);
	struct dirent *de;
	bool empty = true;

	if (!d) {
		int r = -errno;

		close(fd);
		return r;
	}
	while (empty && (de = readdir(d)))
		empty = strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0;
	closedir(d);
	*ret = empty;
	return 0;
}

/* The final place must be free: absent, or an empty directory that rename(2) may replace. */
static int image_check_place(struct image_writer *w, const char *path, struct ckpt_err **err)
{
	struct statx sx;
	bool empty = false;
	int fd, r;

	if (statx(w->parent_fd, w->name, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &sx) < 0) {
		if (errno == ENOENT)
			return 0;
		return image_fail_write(err, errno, w->parent_fd, w->name);
	}
	if (!S_ISDIR(sx.stx_mode))
		return ckpt_fail(err, EEXIST, CKPT_E_EXISTS, "%s exists and is not a directory",
				 path);
	if (sx.stx_attributes & STATX_ATTR_MOUNT_ROOT)
		return ckpt_fail(err, EBUSY, CKPT_E_EXISTS, "%s is a mount point", path);
	fd = openat(w->parent_fd, w->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = fd < 0 ? -errno : image_dir_is_empty(fd, &empty);
	if (r < 0)
		return ckpt_fail_errno(err, r, CKPT_E_EXISTS, "%s exists and cannot be looked into",
				       path);
	if (!empty)
		return ckpt_fail(err, ENOTEMPTY, CKPT_E_EXISTS, "%s exists and is not empty", path);
	w->replace_empty = true;
	return 0;
}

/* ".NAME.XXXXXX.tmp", the name shortened when all of it would not fit. */
static int image_tmp_name(const char *name, char **ret)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
	unsigned char rnd[6];
	char x[sizeof(rnd) + 1];
	int keep = NAME_MAX - (int)sizeof("..XXXXXX.tmp");

	if (getrandom(rnd, sizeof(rnd), 0) != sizeof(rnd))
		return -EIO;
	for (size_t i = 0; i < sizeof(rnd); i++)
		x[i] = letters[rnd[i] % 32];
	x[sizeof(rnd)] = '\0';
	return asprintf(ret, ".%.*s.%s.tmp", keep, name, x) < 0 ? -ENOMEM : 0;
}

static int image_make_tmp(struct image_writer *w, struct ckpt_err **err)
{
	for (int i = 0; i < IMAGE_TMP_TRIES; i++) {
		_cleanup_free_ char *tmp = NULL;
		int r = image_tmp_name(w->name, &tmp);

		if (r == -ENOMEM)
			return ckpt_fail_nomem(err);
		if (r < 0)
			return ckpt_fail_errno(err, r, CKPT_E_SYS, "no random numbers");
		if (mkdirat(w->parent_fd, tmp, 0700) < 0) {
			if (errno == EEXIST)
				continue;
			return image_fail_write(err, errno, w->parent_fd, tmp);
		}
		w->tmp_name = TAKE_PTR(tmp);
		w->dir_fd = openat(w->parent_fd, w->tmp_name,
				   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		/* an unusual umask may have taken rights away from ourselves */
		if (w->dir_fd < 0 || fchmod(w->dir_fd, 0700) < 0)
			return image_fail_write(err, errno, w->parent_fd, w->tmp_name);
		return 0;
	}
	return ckpt_fail(err, EEXIST, CKPT_E_OUTPUT, "no free name for a temporary directory");
}

int image_create(struct image_writer *w, const char *path, struct ckpt_err **err)
{
	_cleanup_free_ char *parent = NULL;
	int r;

	*w = (struct image_writer)IMAGE_WRITER_INIT;
	r = image_split(path, &parent, &w->name, err);
	if (r < 0)
		return r;
	w->files = json_array();
	if (!w->files) {
		image_writer_done(w);
		return ckpt_fail_nomem(err);
	}
	w->parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (w->parent_fd < 0)
		r = ckpt_fail_errno(err, errno, CKPT_E_OUTPUT, "cannot make %s: directory %s", path,
				    parent);
	if (r >= 0)
		r = image_check_place(w, path, err);
	if (r >= 0)
		r = image_make_tmp(w, err);
	if (r < 0)
		image_writer_done(w);
	return r;
}

/* ---- filling it ---- */

static int image_new_file(int dir_fd, const char *name, int *ret_fd, struct ckpt_err **err)
{
	_cleanup_close_ int fd =
		openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r = fd < 0 ? -errno : 0;

	if (r < 0)
		return image_fail_write(err, r, dir_fd, name);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int image_open_data_dir(struct image_writer *w, struct ckpt_err **err)
{
	int r = 0;

	if (w->data_fd >= 0)
		return 0;
	if (mkdirat(w->dir_fd, IMAGE_DATA, 0700) < 0)
		return image_fail_write(err, errno, w->dir_fd, IMAGE_DATA);
	w->data_fd = openat(w->dir_fd, IMAGE_DATA, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (w->data_fd < 0 || fchmod(w->data_fd, 0700) < 0)
		r = -errno;
	return r < 0 ? image_fail_write(err, r, w->dir_fd, IMAGE_DATA) : 0;
}

int image_data_open(struct image_writer *w, const char *name, int *ret_fd, struct ckpt_err **err)
{
	int r;

	if (!image_name_ok(name))
		return ckpt_fail(err, EINVAL, CKPT_E_OUTPUT, "\"%s\" is no name for a data file",
				 name);
	r = image_open_data_dir(w, err);
	if (r < 0)
		return r;
	return image_new_file(w->data_fd, name, ret_fd, err);
}

/* XXH3-128 of a whole file, which must have `size` bytes. */
int image_hash_file(int fd, uint64_t size, char hex[33])
{
	_cleanup_free_ uint8_t *buf = malloc(IMAGE_HASH_STEP);
	XXH3_state_t *h = XXH3_createState();
	int r = buf && h ? 0 : -ENOMEM;

	if (h)
		XXH3_128bits_reset(h);
	for (uint64_t done = 0; r >= 0 && done < size;) {
		size_t step = size - done < IMAGE_HASH_STEP ? size - done : IMAGE_HASH_STEP;

		r = pread_all(fd, buf, step, done);
		if (r >= 0)
			XXH3_128bits_update(h, buf, step);
		done += step;
	}
	if (r >= 0)
		image_hex128(XXH3_128bits_digest(h), hex);
	XXH3_freeState(h);
	return r;
}

static int image_note_file(struct image_writer *w, const char *dir, const char *name,
			   uint64_t bytes, const char *xxh3, struct ckpt_err **err)
{
	json_t *row = json_pack("{s:s+, s:I, s:s}", "name", dir, name, "bytes", (json_int_t)bytes,
				"xxh3", xxh3);

	if (!row || json_array_append_new(w->files, row) < 0)
		return ckpt_fail_nomem(err);
	w->bytes += bytes;
	return 0;
}

int image_data_done(struct image_writer *w, const char *name, int fd, struct ckpt_err **err)
{
	char hex[33];
	struct stat st;
	int r = 0;

	if (fstat(fd, &st) < 0)
		r = -errno;
	if (r >= 0)
		r = image_hash_file(fd, (uint64_t)st.st_size, hex);
	if (r < 0)
		return image_fail_write(err, r, w->data_fd, name);
	return image_note_file(w, IMAGE_DATA "/", name, (uint64_t)st.st_size, hex, err);
}

int image_data_write(struct image_writer *w, const char *name, const void *data, size_t len,
		     struct ckpt_err **err)
{
	_cleanup_close_ int fd = -1;
	char hex[33];
	int r;

	r = image_data_open(w, name, &fd, err);
	if (r < 0)
		return r;
	r = write_all(fd, data, len);
	if (r < 0)
		return image_fail_write(err, r, w->data_fd, name);
	image_hex128(XXH3_128bits(data, len), hex);
	return image_note_file(w, IMAGE_DATA "/", name, len, hex, err);
}

int image_note_core(struct image_writer *w, const char *name, uint64_t bytes, const char *head_xxh3,
		    struct ckpt_err **err)
{
	return image_note_file(w, "", name, bytes, head_xxh3, err);
}

/* ---- the manifest's text ---- */

/*
 * Written by hand, because jansson's own dump takes 2.5 us per area, most of it to guard against
 * loops that a manifest cannot have. Whatever needs escaping is still left to it.
 */
struct image_text {
	char *buf; /* owned */
	size_t len, size;
	bool failed; /* out of memory; what comes after is dropped */
};

static int image_text_add(const char *data, size_t len, void *userdata)
{
	struct image_text *t = userdata;

	if (!t->failed && t->size - t->len < len) {
		size_t size = t->size * 2 + len + (64U << 10);
		char *buf = realloc(t->buf, size);

		t->failed = !buf;
		if (buf) {
			t->buf = buf;
			t->size = size;
		}
	}
	if (t->failed)
		return -1;
	memcpy(t->buf + t->len, data, len);
	t->len += len;
	return 0;
}

static void image_text_break(struct image_text *t, unsigned int depth)
{
	static const char indent[] = "                ";
	size_t n = depth < sizeof(indent) ? depth : sizeof(indent) - 1;

	image_text_add("\n", 1, t);
	image_text_add(indent, n, t);
}

static void image_text_string(struct image_text *t, const char *s, size_t len)
{
	json_t *v;

	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)s[i] >= 0x20 && s[i] != '"' && s[i] != '\\')
			continue;
		v = json_stringn(s, len);
		if (!v || json_dump_callback(v, image_text_add, t, JSON_ENCODE_ANY) < 0)
			t->failed = true;
		json_decref(v);
		return;
	}
	image_text_add("\"", 1, t);
	image_text_add(s, len, t);
	image_text_add("\"", 1, t);
}

static void image_text_integer(struct image_text *t, json_int_t v)
{
	char buf[24], *p = buf + sizeof(buf);
	uint64_t n = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

	do {
		*--p = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	if (v < 0)
		*--p = '-';
	image_text_add(p, (size_t)(buf + sizeof(buf) - p), t);
}

/* Whether any child is itself an array or an object with something in it. */
static bool image_has_containers(json_t *v)
{
	const char *key;
	json_t *c;
	size_t i;

	json_array_foreach(v, i, c) {
		if (json_array_size(c) || json_object_size(c))
			return true;
	}
	json_object_foreach(v, key, c) {
		if (json_array_size(c) || json_object_size(c))
			return true;
	}
	return false;
}

/* Innermost containers take one line; the others are broken up, indented by their depth. */
static void image_text_value(struct image_text *t, json_t *v, unsigned int depth)
{
	bool array = json_is_array(v), lines;
	size_t i, n = 0;
	const char *key;
	json_t *c;

	if (json_is_string(v)) {
		image_text_string(t, json_string_value(v), json_string_length(v));
		return;
	}
	if (json_is_integer(v)) {
		image_text_integer(t, json_integer_value(v));
		return;
	}
	if (!array && !json_is_object(v)) {
		if (json_dump_callback(v, image_text_add, t, JSON_ENCODE_ANY) < 0)
			t->failed = true;
		return;
	}
	lines = image_has_containers(v);
	image_text_add(array ? "[" : "{", 1, t);
	json_array_foreach(v, i, c) {
		if (n++)
			image_text_add(",", 1, t);
		if (lines)
			image_text_break(t, depth + 1);
		image_text_value(t, c, depth + 1);
	}
	json_object_foreach(v, key, c) {
		if (n++)
			image_text_add(",", 1, t);
		if (lines)
			image_text_break(t, depth + 1);
		image_text_string(t, key, strlen(key));
		image_text_add(lines ? ": " : ":", lines ? 2 : 1, t);
		image_text_value(t, c, depth + 1);
	}
	if (lines)
		image_text_break(t, depth);
	image_text_add(array ? "]" : "}", 1, t);
}

/* The manifest with the members that belong to the image: a new object, sharing the old one's
 * members. */
static json_t *image_full_manifest(const struct image_writer *w, json_t *manifest)
{
	_cleanup_json_ json_t *m = json_object();

	if (!m || json_object_set_new(m, "format", json_string(IMAGE_FORMAT)) < 0 ||
	    json_object_set_new(m, "version", json_integer(IMAGE_VERSION)) < 0 ||
	    json_object_update(m, manifest) < 0 || json_object_set(m, "files", w->files) < 0)
		return NULL;
	return TAKE_PTR(m);
}

/* ---- sealing ---- */

static int image_put_file(const struct image_writer *w, const char *name, const char *data,
			  size_t len, struct ckpt_err **err)
{
	_cleanup_close_ int fd = -1;
	int r;

	r = image_new_file(w->dir_fd, name, &fd, err);
	if (r < 0)
		return r;
	r = write_all(fd, data, len);
	return r < 0 ? image_fail_write(err, r, w->dir_fd, name) : 0;
}

static int image_put_manifest(struct image_writer *w, json_t *manifest, struct ckpt_err **err)
{
	_cleanup_json_ json_t *full = image_full_manifest(w, manifest);
	struct image_text t = { 0 };
	_cleanup_free_ char *text = NULL;
	char hex[33], seal[IMAGE_SEAL_MAX];
	int r, n;

	if (full)
		image_text_value(&t, full, 0);
	image_text_add("\n", 1, &t);
	text = t.buf;
	if (!full || t.failed)
		return ckpt_fail_nomem(err);
	if (t.len > IMAGE_MAX_MANIFEST)
		return ckpt_fail(err, EFBIG, CKPT_E_OUTPUT, "the manifest is too large");
	r = image_put_file(w, IMAGE_MANIFEST, text, t.len, err);
	if (r < 0)
		return r;
	image_hex128(XXH3_128bits(text, t.len), hex);
	n = snprintf(seal, sizeof(seal), IMAGE_SEAL_WORD " 1 xxh3:%s\n", hex);
	r = image_put_file(w, IMAGE_SEAL, seal, (size_t)n, err);
	if (r >= 0)
		w->bytes += t.len + (size_t)n;
	return r;
}

static int image_sync_file(const struct image_writer *w, const char *name)
{
	_cleanup_close_ int fd = openat(w->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/*
 * All contents, and the directories' own entries. Only now, since most contents are written while
 * the program stands still. Each file asks for a commit of the file system's journal: of many
 * files, one call for the whole file system is sooner done.
 */
static int image_sync(const struct image_writer *w)
{
	size_t n = json_array_size(w->files);
	int r = 0;

	if (n > SYNC_ONE_BY_ONE)
		return syncfs(w->dir_fd) < 0 ? -errno : 0;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = image_sync_file(
			w, json_string_value(json_object_get(json_array_get(w->files, i), "name")));
	if (r == 0)
		r = image_sync_file(w, IMAGE_MANIFEST);
	if (r == 0)
		r = image_sync_file(w, IMAGE_SEAL);
	if (r == 0 && w->data_fd >= 0 && fsync(w->data_fd) < 0)
		r = -errno;
	return r < 0 ? r : fsync(w->dir_fd) < 0 ? -errno : 0;
}

static int image_rename(const struct image_writer *w)
{
	struct stat st;

	if (w->replace_empty)
		return renameat(w->parent_fd, w->tmp_name, w->parent_fd, w->name) < 0 ? -errno : 0;
	if (renameat2(w->parent_fd, w->tmp_name, w->parent_fd, w->name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL)
		return -errno;
	/* a file system without RENAME_NOREPLACE: all that is lost is the look and the act being
	 * one */
	if (fstatat(w->parent_fd, w->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	return renameat(w->parent_fd, w->tmp_name, w->parent_fd, w->name) < 0 ? -errno : 0;
}

int image_seal(struct image_writer *w, json_t *manifest, struct ckpt_err **err)
{
	int r;

	r = image_put_manifest(w, manifest, err);
	if (r < 0)
		return r;
	r = image_sync(w);
	if (r < 0)
		return image_fail_write(err, r, w->parent_fd, w->tmp_name);
	r = image_rename(w);
	if (r == -EEXIST || r == -ENOTEMPTY || r == -ENOTDIR)
		return ckpt_fail(err, r, CKPT_E_EXISTS,
				 "%s came into being while the image was written", w->name);
	if (r < 0)
		return image_fail_write(err, r, w->parent_fd, w->name);
	if (fsync(w->parent_fd) < 0) {
		/* not durable is not there: take it back, image_writer_done() removes it */
		r = -errno;
		renameat(w->parent_fd, w->name, w->parent_fd, w->tmp_name);
		return image_fail_write(err, r, w->parent_fd, w->name);
	}
	free(TAKE_PTR(w->tmp_name));
	return 0;
}

/* Remove the entries of a directory, one level of directories below it included. */
static void image_remove_entries(int dir_fd, int levels)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((de = readdir(d))) {
		_cleanup_close_ int sub = -1;

		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		if (unlinkat(dir_fd, de->d_name, 0) == 0 || levels == 0)
			continue;
		sub = openat(dir_fd, de->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub < 0)
			continue;
		image_remove_entries(sub, levels - 1);
		unlinkat(dir_fd, de->d_name, AT_REMOVEDIR);
	}
	closedir(d);
}

void image_writer_done(struct image_writer *w)
{
	/* a zeroed writer never opened anything: descriptor 0 is not its own */
	if (w->name) {
		if (w->tmp_name) {
			if (w->dir_fd >= 0)
				image_remove_entries(w->dir_fd, 1);
			unlinkat(w->parent_fd, w->tmp_name, AT_REMOVEDIR);
		}
		close_reset(&w->data_fd);
		close_reset(&w->dir_fd);
		close_reset(&w->parent_fd);
		json_decref(w->files);
		free(w->tmp_name);
		free(w->name);
	}
	*w = (struct image_writer)IMAGE_WRITER_INIT;
}
