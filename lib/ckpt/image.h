/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The image directory: made under a temporary name, sealed by checksums, fsync and rename.
 *
 *   manifest.json   everything but memory and registers
 *   core.PID        ELF core: registers (notes), memory (PT_LOAD), and our own note with the runs
 *   data/NAME       contents with no other home
 *   seal            one line: "ebpf-ckpt-seal 1 xxh3:<32 hex digits of manifest.json>\n"
 *
 * The manifest's "files" array gives name, bytes and xxh3 of every other file (for core.PID the
 * checksum covers the head: everything before the first page; the pages have a checksum per run).
 */
#ifndef CKPT_IMAGE_H
#define CKPT_IMAGE_H

#include "err.h"
#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

#define IMAGE_FORMAT	   "ebpf-ckpt-image"
#define IMAGE_VERSION	   1
#define IMAGE_MANIFEST	   "manifest.json"
#define IMAGE_SEAL	   "seal"
#define IMAGE_DATA	   "data"
#define IMAGE_MAX_MANIFEST (1ULL << 30)

/* ---- writing ---- */

struct image_writer {
	int parent_fd;	    /* owned: the directory that holds the image */
	int dir_fd;	    /* owned: the temporary directory */
	int data_fd;	    /* owned: data/, or -1 until first used */
	char *name;	    /* final name within parent_fd */
	char *tmp_name;	    /* ".NAME.XXXXXX.tmp" */
	bool replace_empty; /* the final name exists as an empty directory */
	json_t *files;	    /* rows of "files" */
	uint64_t bytes;	    /* written so far */
};

/*
 * Make the temporary directory beside the final one, mode 0700, following no symlink in its last
 * part. Fails with CKPT_E_EXISTS when `path` exists and is not an empty directory, CKPT_E_OUTPUT
 * otherwise. The image belongs to whoever makes it, not to the process's owner: one who can alter
 * an image can make its restorer run anything, with its restorer's rights.
 */
int image_create(struct image_writer *w, const char *path, struct ckpt_err **err);
/* Open a new file data/NAME for writing (0600). The caller closes it after image_data_done(). */
int image_data_open(struct image_writer *w, const char *name, int *ret_fd, struct ckpt_err **err);
/* Checksum a data file, and note it in "files". */
int image_data_done(struct image_writer *w, const char *name, int fd, struct ckpt_err **err);
/* Convenience: write a whole small data file. */
int image_data_write(struct image_writer *w, const char *name, const void *data, size_t len,
		     struct ckpt_err **err);
/* Note a core file written through core.h: its size and the XXH3-128 of its head, as 32 hex digits.
 */
int image_note_core(struct image_writer *w, const char *name, uint64_t bytes, const char *head_xxh3,
		    struct ckpt_err **err);
/*
 * Write the manifest (borrowed; "files" is added, "format" and "version" where absent) and the
 * seal, fsync all, rename into place, fsync that. Rows without containers in them get a line each,
 * so a manifest with 10,000 areas is written in milliseconds and still readable.
 */
int image_seal(struct image_writer *w, json_t *manifest, struct ckpt_err **err);
/* Remove everything written, unless sealed; release. Safe on a zeroed or half-made writer
 * (initialise with IMAGE_WRITER_INIT). */
void image_writer_done(struct image_writer *w);
/*
 * A failed write in an image, in words that name the file and, where it can be known, the remedy:
 * disk full, quota, read-only, file-size limit. CKPT_E_OUTPUT; returns -|rc|. All writers of an
 * image expect SIGXFSZ to be blocked or ignored by the caller, so that the limit shows as EFBIG and
 * kills nobody.
 */
int image_fail_write(struct ckpt_err **err, int rc, int dir_fd, const char *name);
#define IMAGE_WRITER_INIT                                                                          \
	{                                                                                          \
		.parent_fd = -1, .dir_fd = -1, .data_fd = -1                                       \
	}

/* ---- reading ---- */

struct image {
	int dir_fd;
	json_t *manifest;
};

#define IMAGE_INIT                                                                                 \
	{                                                                                          \
		.dir_fd = -1                                                                       \
	}

/*
 * Open an image: check the seal and the manifest's checksum, parse it, check format, version and
 * required features, and check name, size and checksum of every file in "files" (heads only for
 * cores, all of it for data files). No symlink is followed inside the directory; files must be
 * regular.
 */
int image_open(struct image *im, const char *path, struct ckpt_err **err);
void image_done(struct image *im);
/* May it be trusted by its caller: does it belong to the caller or to root, and can nobody else
 * write to it? */
int image_trusted(const struct image *im, const char *path, struct ckpt_err **err);
/* Open data/NAME or core.PID for reading; refuses names with '/' or a leading '.'. */
int image_file_open(const struct image *im, bool data, const char *name, int *ret_fd,
		    struct ckpt_err **err);

/* ---- typed reading of JSON, each failing with CKPT_E_IMAGE and the member's name ---- */

int js_u64(const json_t *o, const char *key, uint64_t *ret,
	   struct ckpt_err **err); /* number, or "0x..." */
int js_i64(const json_t *o, const char *key, int64_t *ret, struct ckpt_err **err);
int js_u32(const json_t *o, const char *key, uint32_t *ret, struct ckpt_err **err);
int js_i32(const json_t *o, const char *key, int32_t *ret, struct ckpt_err **err);
int js_bool(const json_t *o, const char *key, bool *ret, struct ckpt_err **err);
/* Borrowed from o. js_str refuses embedded NULs. */
int js_str(const json_t *o, const char *key, const char **ret, struct ckpt_err **err);
int js_obj(const json_t *o, const char *key, json_t **ret, struct ckpt_err **err);
int js_arr(const json_t *o, const char *key, json_t **ret, struct ckpt_err **err);
/* Optional members: ret keeps its value (the default) when the member is absent. */
int js_opt_u64(const json_t *o, const char *key, uint64_t *ret, struct ckpt_err **err);
int js_opt_str(const json_t *o, const char *key, const char **ret, struct ckpt_err **err);

/* Writing: numbers above 2^53 or addresses are written as "0x..." strings. 0 or -ENOMEM. */
int js_set_hex(json_t *o, const char *key, uint64_t v);
int js_set_int(json_t *o, const char *key, int64_t v);
int js_set_bool(json_t *o, const char *key, bool v);
/*
 * A byte string that need not be UTF-8 (paths, names): written as it is when valid UTF-8 without
 * control characters, else as {"hex": "..."}. js_bytes gives back a malloc'd NUL-terminated copy in
 * either form.
 */
int js_set_bytes(json_t *o, const char *key, const char *s);
int js_bytes(const json_t *o, const char *key, char **ret, struct ckpt_err **err);

#endif
