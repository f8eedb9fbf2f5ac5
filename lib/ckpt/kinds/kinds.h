/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kinds share among themselves. */
#ifndef CKPT_KINDS_H
#define CKPT_KINDS_H

#include "../kind.h"

extern const struct ckpt_kind kind_shmem, kind_regular, kind_directory, kind_tty, kind_chardev, kind_pipe,
	kind_fifo, kind_unsupported;

/* Superblock magics (linux/magic.h) of file systems whose files have contents of the moment. */
#define MAGIC_PROC    0x9fa0u
#define MAGIC_SYSFS   0x62656572u
#define MAGIC_DEBUGFS 0x64626720u
#define MAGIC_TRACEFS 0x74726163u
#define MAGIC_CGROUP2 0x63677270u
#define MAGIC_CGROUP  0x27e0ebu

/* struct file's f_mode */
#define FMODE_READ_BIT	0x1u
#define FMODE_WRITE_BIT 0x2u

/* A descriptor of our own for the program's open file; pidfd: of its process. */
int kind_get_fd(int pidfd, const struct kind_file *f, int *ret_fd, struct ckpt_err **err);
/* Flags for open(2) from the saved ones: access mode and what only open can set. */
int kind_open_flags(const json_t *o, int *ret_flags, struct ckpt_err **err);

#endif
