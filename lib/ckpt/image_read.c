// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Reading the image directory: it may come from anybody, so nothing in it is believed before it is
 * checked. What the manifest says beyond its own format is the business of those who wrote it.
 */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "core.h"
#include "image_private.h"
#include "util.h"

/* Features of an image that this version understands when "required" names them. */
static const char *const image_features[] = { "zstd" };

/* Open a regular file; a FIFO or a device put there must neither block nor act. */
static int image_open_regular(int dir_fd, const char *name, struct stat *st, int *ret_fd)
{
	_cleanup_close_ int fd =
		openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fstat(fd, st) < 0)
		return -errno;
	if (!S_ISREG(st->st_mode))
		return -ELOOP;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int image_fail_open(struct ckpt_err **err, int rc, const char *path, const char *name)
{
	if (rc == -ELOOP)
		return ckpt_fail(err, rc, CKPT_E_IMAGE, "%s/%s is not a regular file", path, name);
	return ckpt_fail_errno(err, rc, CKPT_E_IMAGE, "cannot open %s/%s", path, name);
}

/* The checksum that the seal has for the manifest. */
static int image_read_seal(const struct image *im, const char *path, char hex[33],
			   struct ckpt_err **err)
{
	char text[IMAGE_SEAL_MAX] = "", word[32] = "", rest = '\0';
	_cleanup_close_ int fd = -1;
	unsigned int version = 0;
	struct stat st;
	int r, n;

	r = image_open_regular(im->dir_fd, IMAGE_SEAL, &st, &fd);
	if (r == -ENOENT) {
		ckpt_fail(err, r, CKPT_E_IMAGE, "%s is not sealed: its checkpoint never finished",
			  path);
		ckpt_hint(err, "remove it and make the checkpoint again");
		return r;
	}
	if (r < 0)
		return image_fail_open(err, r, path, IMAGE_SEAL);
	if (st.st_size <= 0 || st.st_size >= IMAGE_SEAL_MAX)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "the seal of %s is damaged", path);
	r = pread_all(fd, text, (size_t)st.st_size, 0);
	if (r < 0)
		return ckpt_fail_errno(err, r, CKPT_E_IMAGE, "cannot read %s/%s", path, IMAGE_SEAL);
	n = sscanf(text, "%31s %9u xxh3:%32[0-9a-f]%c", word, &version, hex, &rest);
	if (n >= 2 && strcmp(word, IMAGE_SEAL_WORD) == 0 && version > 1)
		return ckpt_fail(err, ENOTSUP, CKPT_E_IMAGE_VERSION,
				 "%s was made by a newer version (seal %u)", path, version);
	/* And nothing behind the line. */
	if (n != 4 || strcmp(word, IMAGE_SEAL_WORD) != 0 || strlen(hex) != 32 || rest != '\n' ||
	    strchr(text, '\n') != text + st.st_size - 1)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "the seal of %s is damaged", path);
	return 0;
}

static int image_parse_manifest(struct image *im, const char *text, size_t len, const char *path,
				struct ckpt_err **err)
{
	json_error_t why;

	im->manifest = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	if (!im->manifest)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "%s/" IMAGE_MANIFEST ", line %d: %s",
				 path, why.line, why.text);
	if (!json_is_object(im->manifest))
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "%s/" IMAGE_MANIFEST " is no object",
				 path);
	return 0;
}

static int image_read_manifest(struct image *im, const char *path, struct ckpt_err **err)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int fd = -1;
	char want[33] = "", have[33];
	struct stat st;
	size_t len;
	int r;

	r = image_open_regular(im->dir_fd, IMAGE_MANIFEST, &st, &fd);
	if (r == -ENOENT)
		return ckpt_fail(err, r, CKPT_E_IMAGE,
				 "%s is not an image: it has no " IMAGE_MANIFEST, path);
	if (r < 0)
		return image_fail_open(err, r, path, IMAGE_MANIFEST);
	r = image_read_seal(im, path, want, err);
	if (r < 0)
		return r;
	if ((uint64_t)st.st_size > IMAGE_MAX_MANIFEST)
		return ckpt_fail(err, EFBIG, CKPT_E_IMAGE, "%s/" IMAGE_MANIFEST " is too large",
				 path);
	len = (size_t)st.st_size;
	text = malloc(len + 1);
	if (!text)
		return ckpt_fail_nomem(err);
	r = pread_all(fd, text, len, 0);
	if (r < 0)
		return ckpt_fail_errno(err, r, CKPT_E_IMAGE, "cannot read %s/" IMAGE_MANIFEST,
				       path);
	image_hex128(XXH3_128bits(text, len), have);
	if (strcmp(want, have) != 0)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
				 "%s/" IMAGE_MANIFEST " was altered or cut short", path);
	return image_parse_manifest(im, text, len, path, err);
}

static bool image_knows(const char *feature)
{
	for (size_t i = 0; i < sizeof(image_features) / sizeof(image_features[0]); i++) {
		if (strcmp(image_features[i], feature) == 0)
			return true;
	}
	return false;
}

static int image_check_required(const json_t *manifest, const char *path, struct ckpt_err **err)
{
	json_t *required = NULL, *row;
	size_t i;
	int r;

	if (!json_object_get(manifest, "required"))
		return 0;
	r = js_arr(manifest, "required", &required, err);
	if (r < 0)
		return r;
	json_array_foreach(required, i, row) {
		const char *feature = json_string_value(row);

		if (!feature)
			return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
					 "the manifest's \"required\" holds something else than "
					 "names");
		if (!image_knows(feature)) {
			ckpt_fail(err, ENOTSUP, CKPT_E_IMAGE_VERSION,
				  "%s needs \"%s\", which this version does not know", path,
				  feature);
			ckpt_hint(err, "restore it with a newer version of ebpf-ckpt");
			return -ENOTSUP;
		}
	}
	return 0;
}

static int image_check_format(const json_t *manifest, const char *path, struct ckpt_err **err)
{
	const char *format = NULL;
	uint64_t version = 0;
	int r;

	r = js_str(manifest, "format", &format, err);
	if (r < 0)
		return r;
	if (strcmp(format, IMAGE_FORMAT) != 0)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
				 "%s is something else than an image: its format is \"%.64s\"",
				 path, format);
	r = js_u64(manifest, "version", &version, err);
	if (r < 0)
		return r;
	if (version == 0)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "%s has version 0", path);
	if (version > IMAGE_VERSION) {
		ckpt_fail(err, ENOTSUP, CKPT_E_IMAGE_VERSION,
			  "%s has image version %llu, this program knows up to %d", path,
			  (unsigned long long)version, IMAGE_VERSION);
		ckpt_hint(err, "restore it with a newer version of ebpf-ckpt");
		return -ENOTSUP;
	}
	return image_check_required(manifest, path, err);
}

/* Whether a file in the image has this size and checksum. */
static int image_check_file(const struct image *im, const char *path, const json_t *row,
			    struct ckpt_err **err)
{
	const char *name = NULL, *want = NULL, *plain;
	_cleanup_close_ int fd = -1;
	uint64_t bytes = 0;
	char have[33] = "";
	struct stat st;
	bool data;
	int r;

	r = js_str(row, "name", &name, err);
	if (r >= 0)
		r = js_u64(row, "bytes", &bytes, err);
	if (r >= 0)
		r = js_str(row, "xxh3", &want, err);
	if (r < 0)
		return r;
	data = strncmp(name, IMAGE_DATA "/", sizeof(IMAGE_DATA)) == 0;
	plain = data ? name + sizeof(IMAGE_DATA) : name;
	r = image_file_open(im, data, plain, &fd, err);
	if (r < 0)
		return ckpt_wrap(err, r, "%s lacks a file", path);
	if (fstat(fd, &st) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_IMAGE, "cannot read %s/%s", path, name);
	if ((uint64_t)st.st_size != bytes)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
				 "%s/%s has %llu bytes, %llu were written", path, name,
				 (unsigned long long)st.st_size, (unsigned long long)bytes);
	if (!data && strncmp(name, IMAGE_CORE_PREFIX, strlen(IMAGE_CORE_PREFIX)) == 0)
		r = core_head_xxh3(fd, have, err);
	else
		r = image_hash_file(fd, bytes, have);
	if (r < 0) {
		ckpt_fail_errno(err, r, CKPT_E_IMAGE, "cannot read %s/%s", path, name);
		return ckpt_wrap(err, r, "%s/%s is damaged", path, name);
	}
	if (strcmp(want, have) != 0)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "%s/%s was altered", path, name);
	return 0;
}

static int image_check_files(const struct image *im, const char *path, struct ckpt_err **err)
{
	json_t *files = NULL, *row;
	size_t i;
	int r;

	r = js_arr(im->manifest, "files", &files, err);
	if (r < 0)
		return r;
	json_array_foreach(files, i, row) {
		r = image_check_file(im, path, row, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int image_open(struct image *im, const char *path, struct ckpt_err **err)
{
	int r;

	*im = (struct image)IMAGE_INIT;
	im->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (im->dir_fd < 0 && errno == ENOTDIR)
		return ckpt_fail(err, ENOTDIR, CKPT_E_IMAGE, "%s is not a directory", path);
	if (im->dir_fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_IMAGE, "cannot open the image %s", path);
	r = image_read_manifest(im, path, err);
	if (r >= 0)
		r = image_check_format(im->manifest, path, err);
	if (r >= 0)
		r = image_check_files(im, path, err);
	if (r < 0)
		image_done(im);
	return r;
}

/* Can nobody but root and us alter it? */
static bool image_safe_entry(int dir_fd, const char *name)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT; /* not there: not to be altered */
	return (st.st_uid == 0 || st.st_uid == geteuid()) && !(st.st_mode & (S_IWGRP | S_IWOTH));
}

static bool image_safe_files(const struct image *im)
{
	const json_t *row;
	size_t i;

	if (!image_safe_entry(im->dir_fd, ".") || !image_safe_entry(im->dir_fd, IMAGE_MANIFEST) ||
	    !image_safe_entry(im->dir_fd, IMAGE_SEAL) || !image_safe_entry(im->dir_fd, IMAGE_DATA))
		return false;
	json_array_foreach(json_object_get(im->manifest, "files"), i, row) {
		/* Names have been checked when the image was opened. */
		const char *name = json_string_value(json_object_get(row, "name"));

		if (!name || !image_safe_entry(im->dir_fd, name))
			return false;
	}
	return true;
}

int image_trusted(const struct image *im, const char *path, struct ckpt_err **err)
{
	if (image_safe_files(im))
		return 0;
	ckpt_fail(
		err, EPERM, CKPT_E_IMAGE,
		"the image %s can be altered by others (owner or mode of it or of a file in it), who could so run anything in your name",
		path);
	ckpt_hint(err, "if you trust what is in it: chown -R and chmod -R go-w it");
	return -EPERM;
}

void image_done(struct image *im)
{
	/* a zeroed image never opened anything: descriptor 0 is not its own */
	if (im->dir_fd > 0 || im->manifest)
		close_reset(&im->dir_fd);
	json_decref(im->manifest);
	*im = (struct image)IMAGE_INIT;
}

int image_file_open(const struct image *im, bool data, const char *name, int *ret_fd,
		    struct ckpt_err **err)
{
	_cleanup_close_ int data_fd = -1;
	int dir_fd = im->dir_fd;
	struct stat st;
	int r = 0;

	if (!image_name_ok(name))
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
				 "\"%.64s\" is no name for a file of an image", name);
	if (data) {
		data_fd = openat(im->dir_fd, IMAGE_DATA,
				 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		r = data_fd < 0 ? -errno : 0;
		dir_fd = data_fd;
	}
	if (r >= 0)
		r = image_open_regular(dir_fd, name, &st, ret_fd);
	if (r == -ENOENT)
		return ckpt_fail(err, r, CKPT_E_IMAGE, "%s%s is missing from the image",
				 data ? IMAGE_DATA "/" : "", name);
	if (r < 0)
		return image_fail_open(err, r, data ? IMAGE_DATA : ".", name);
	return 0;
}
