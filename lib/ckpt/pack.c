// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * An image as a stream: a plain tar archive (ustar) of its directory, for those who want one file,
 * or a pipe. What is read is not trusted: only files with plain names are made, in the directory of
 * the image and in its data/; whether they are an image is for others to judge.
 */
#include "image.h"
#include "image_private.h"
#include "util.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define BLOCK	   512u
#define PACK_CHUNK (1u << 20)
#define DATA_DIR   "data"

/* POSIX.1-1988, "ustar interchange format". */
struct tar_head {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100];
	char magic[6], version[2], uname[32], gname[32], major[8], minor[8], prefix[155], pad[12];
};

_Static_assert(sizeof(struct tar_head) == BLOCK, "a block");

static unsigned int tar_sum(const struct tar_head *h)
{
	struct tar_head copy = *h;
	const unsigned char *p = (const unsigned char *)&copy;
	unsigned int sum = 0;

	memset(copy.sum, ' ', sizeof(copy.sum));
	for (size_t i = 0; i < BLOCK; i++)
		sum += p[i];
	return sum;
}

/* 8 GiB and more are told in binary, as GNU tar and others do it. */
static void put_size(struct tar_head *h, uint64_t size)
{
	if (size < 1ULL << 33) {
		snprintf(h->size, sizeof(h->size), "%011llo", (unsigned long long)size);
		return;
	}
	h->size[0] = (char)0x80;
	for (size_t i = 0; i < 8; i++)
		h->size[11 - i] = (char)(size >> (8 * i));
}

static int get_size(const struct tar_head *h, uint64_t *ret)
{
	uint64_t size = 0;

	if ((unsigned char)h->size[0] == 0x80) {
		for (size_t i = 4; i < 12; i++)
			size = size << 8 | (unsigned char)h->size[i];
	} else {
		for (size_t i = 0; i < 12 && h->size[i] && h->size[i] != ' '; i++) {
			if (h->size[i] < '0' || h->size[i] > '7')
				return -EINVAL;
			size = size * 8 + (uint64_t)(h->size[i] - '0');
		}
	}
	*ret = size;
	return size >> 62 ? -EINVAL : 0;
}

/* ---- writing ---- */

static int put_head(int out, const char *dir, const char *name, const struct stat *st)
{
	bool is_dir = S_ISDIR(st->st_mode);
	struct tar_head h = { .magic = "ustar", .version = { '0', '0' } };

	if (snprintf(h.name, sizeof(h.name), "%s%s%s%s", dir, *dir ? "/" : "", name,
		     is_dir ? "/" : "") >= (int)sizeof(h.name))
		return -ENAMETOOLONG;
	h.type = is_dir ? '5' : '0';
	snprintf(h.mode, sizeof(h.mode), "%07o", is_dir ? 0700U : 0600U);
	snprintf(h.uid, sizeof(h.uid), "%07o", st->st_uid & 07777777);
	snprintf(h.gid, sizeof(h.gid), "%07o", st->st_gid & 07777777);
	snprintf(h.mtime, sizeof(h.mtime), "%011llo", (unsigned long long)st->st_mtime);
	put_size(&h, is_dir ? 0 : (uint64_t)st->st_size);
	snprintf(h.sum, sizeof(h.sum), "%06o", tar_sum(&h));
	h.sum[7] = ' ';
	return write_all(out, &h, sizeof(h));
}

static int put_contents(int out, int in, uint64_t size)
{
	_cleanup_free_ char *buf = malloc(PACK_CHUNK);
	static const char zeros[BLOCK];
	uint64_t left = size;
	int rc = buf ? 0 : -ENOMEM;

	while (rc == 0 && left > 0) {
		size_t n = left < PACK_CHUNK ? (size_t)left : PACK_CHUNK;

		rc = pread_all(in, buf, n, size - left);
		if (rc == 0)
			rc = write_all(out, buf, n);
		left -= n;
	}
	if (rc == 0 && size % BLOCK)
		rc = write_all(out, zeros, BLOCK - size % BLOCK);
	return rc;
}

static int put_dir(int out, int dir_fd, const char *dir)
{
	DIR *d = fdopendir(dir_fd);
	struct dirent *e;
	int rc = 0;

	if (!d)
		return -errno;
	while (rc == 0 && (e = readdir(d))) {
		_cleanup_close_ int fd = -1;
		struct stat st;

		if (e->d_name[0] == '.')
			continue;
		fd = openat(dirfd(d), e->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st) < 0) {
			rc = -errno;
			break;
		}
		rc = put_head(out, dir, e->d_name, &st);
		if (rc == 0 && S_ISDIR(st.st_mode) && !*dir)
			rc = put_dir(out, TAKE_FD(fd), e->d_name);
		else if (rc == 0 && S_ISREG(st.st_mode))
			rc = put_contents(out, fd, (uint64_t)st.st_size);
	}
	closedir(d);
	return rc;
}

int ckpt_pack(const char *image, int out_fd, struct ckpt_err **err)
{
	static const char end[2 * BLOCK];
	int fd = open(image, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

	if (fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_OUTPUT, "open %s", image);
	rc = put_dir(out_fd, fd, "");
	if (rc == 0)
		rc = write_all(out_fd, end, sizeof(end));
	return rc < 0 ? ckpt_fail_errno(err, rc, CKPT_E_OUTPUT, "write the image") : 0;
}

/* ---- reading ---- */

/* Also from a pipe. 1: the end of the file. */
static int read_block(int fd, void *to, size_t len)
{
	char *p = to;
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, p + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return done ? -EIO : 1;
		done += (size_t)n;
	}
	return 0;
}

static int get_contents(int in, int out, uint64_t size)
{
	_cleanup_free_ char *buf = malloc(PACK_CHUNK);
	uint64_t left = (size + BLOCK - 1) / BLOCK * BLOCK;
	int rc = buf ? 0 : -ENOMEM;

	while (rc == 0 && left > 0) {
		size_t n = left < PACK_CHUNK ? (size_t)left : PACK_CHUNK;

		rc = read_block(in, buf, n);
		if (rc > 0)
			rc = -EIO;
		if (rc == 0)
			rc = write_all(out, buf, n < size ? n : (size_t)size);
		size -= n < size ? n : size;
		left -= n;
	}
	return rc;
}

static int get_file(int in, int dir_fd, const struct tar_head *h)
{
	_cleanup_close_ int data = -1, out = -1;
	char name[sizeof(h->name) + 1];
	const char *base = name;
	uint64_t size;
	int rc = get_size(h, &size);

	memcpy(name, h->name, sizeof(h->name));
	name[sizeof(h->name)] = 0;
	if (rc < 0)
		return rc;
	if (h->type == '5')
		return strcmp(name, DATA_DIR "/") != 0				? -EINVAL
		       : mkdirat(dir_fd, DATA_DIR, 0700) < 0 && errno != EEXIST ? -errno
										: 0;
	if (h->type != '0')
		return -EINVAL;
	if (!strncmp(name, DATA_DIR "/", sizeof(DATA_DIR))) {
		base = name + sizeof(DATA_DIR);
		data = openat(dir_fd, DATA_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (data < 0)
			return -EINVAL;
	}
	if (!image_name_ok(base))
		return -EINVAL;
	out = openat(data >= 0 ? data : dir_fd, base, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
		     0600);
	return out < 0 ? -errno : get_contents(in, out, size);
}

static int unpack(int in, int dir_fd)
{
	static const struct tar_head end;
	struct tar_head h;
	bool first = true;
	int rc;

	while ((rc = read_block(in, &h, sizeof(h))) == 0) {
		if (!memcmp(&h, &end, sizeof(h)))
			return first ? -EINVAL : 0;
		if (memcmp(h.magic, "ustar", 5) != 0 || strtoul(h.sum, NULL, 8) != tar_sum(&h))
			return first ? -EINVAL : -EIO;
		first = false;
		rc = get_file(in, dir_fd, &h);
		if (rc < 0)
			return rc;
	}
	/* An empty file, or one that is cut short. */
	return rc > 0 || first ? (first ? -EINVAL : -EIO) : rc;
}

int ckpt_unpack(int in_fd, const char *image, struct ckpt_err **err)
{
	_cleanup_close_ int fd = -1;
	int rc;

	if (mkdir(image, 0700) < 0 && errno != EEXIST)
		return ckpt_fail_errno(err, errno, CKPT_E_OUTPUT, "make %s", image);
	fd = open(image, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_OUTPUT, "open %s", image);
	rc = unpack(in_fd, fd);
	if (rc == -EINVAL)
		return ckpt_fail(err, EINVAL, CKPT_E_IMAGE, "it is not a context file");
	if (rc == -EIO)
		return ckpt_fail(err, EIO, CKPT_E_IMAGE, "the context file is cut short");
	return rc < 0 ? ckpt_fail_errno(err, rc, CKPT_E_IMAGE, "unpack the context file") : 0;
}
