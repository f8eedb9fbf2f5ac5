/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared by image.c, which writes images, and image_read.c, which reads them. */
#ifndef CKPT_IMAGE_PRIVATE_H
#define CKPT_IMAGE_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>
#include <xxhash.h>

#define IMAGE_SEAL_WORD	  "ebpf-ckpt-seal"
#define IMAGE_SEAL_MAX	  128
#define IMAGE_CORE_PREFIX "core."

/* A checksum as 32 hex digits and NUL. */
void image_hex128(XXH128_hash_t h, char hex[33]);
/* Is it a name for a file of an image: no slash, no leading dot? */
bool image_name_ok(const char *name);
/* The checksum of the first `size` bytes of a file; 0 or -errno. */
int image_hash_file(int fd, uint64_t size, char hex[33]);

#endif
