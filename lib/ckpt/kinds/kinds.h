/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kinds share among themselves. */
#ifndef CKPT_KINDS_H
#define CKPT_KINDS_H

#include "../kind.h"
#include <sys/stat.h>

extern const struct ckpt_kind kind_shmem;
extern const struct ckpt_kind kind_memfd;
extern const struct ckpt_kind kind_hugeshm;
extern const struct ckpt_kind kind_regular;
extern const struct ckpt_kind kind_directory;
extern const struct ckpt_kind kind_tty;
extern const struct ckpt_kind kind_chardev;
extern const struct ckpt_kind kind_pipe;
extern const struct ckpt_kind kind_fifo;
extern const struct ckpt_kind kind_sysvshm;
extern const struct ckpt_kind kind_mqueue;
extern const struct ckpt_kind kind_posixshm;
extern const struct ckpt_kind kind_bpfmap;
extern const struct ckpt_kind kind_eventfd;
extern const struct ckpt_kind kind_timerfd;
extern const struct ckpt_kind kind_signalfd;
extern const struct ckpt_kind kind_pidfds;
extern const struct ckpt_kind kind_epoll;
extern const struct ckpt_kind kind_unix;
extern const struct ckpt_kind kind_unsupported;
extern const struct ckpt_kind kind_ptmx;

/* Superblock magics (linux/magic.h). */
#define MAGIC_PROC   0x9fa0u
#define MAGIC_PIPEFS 0x50495045u

/* struct file's f_mode */
#define FMODE_READ_BIT	0x1u
#define FMODE_WRITE_BIT 0x2u

/* O_LARGEFILE as the kernel has it: set by every open(2), but 0 in the headers of a 64-bit libc. */
#define KERNEL_O_LARGEFILE 0100000

/* ---- path.c: the program's open file ---- */

/* The process's own link to an open file: /proc/PID/fd/N or /proc/PID/map_files/START-END. */
#define KIND_LINK_LEN 96
const char *kind_link(const struct kind_file *f, char buf[KIND_LINK_LEN]);
/*
 * Save the contents that `from`, a description of our own, has, as data/PREFIX-ID (ID: of the row
 * `o`), and note the name as its member "data".
 */
int kind_save_data(struct kind_dump *d, const struct kind_file *f, const char *prefix, int from,
		   json_t *o, struct ckpt_err **err);
/* A descriptor of memory that only a map makes: /proc lends it, and it outlives the map. */
int kind_lend_map(const void *mem, uint64_t size, int *ret_fd, struct ckpt_err **err);
/* A descriptor of our own for the program's open file. */
int kind_get_fd(const struct kind_dump *d, const struct kind_file *f, int *ret_fd,
		struct ckpt_err **err);

/* ---- tty.c ---- */

/*
 * The object through which the terminal of this number can be reached, as far as it is restored
 * with the dump; 0: it is somebody else's, or unknown.
 */
uint32_t tty_object(const struct snapshot *s, const struct objects *os, uint32_t tty_major,
		    uint32_t tty_minor);

/* ---- outside.c: who else ---- */

/*
 * A process outside of the dump that holds this very description, or with `same_inode` any
 * description of the file; 0 when there is none. Looked for only when the number of references
 * does not add up, unless `same_inode`.
 */
pid_t kind_outside_holder(const struct kind_dump *d, const struct kind_file *f, bool same_inode);
/* A process outside of the dump that maps the file; 0 when there is none. */
pid_t kind_outside_mapper(const struct kind_dump *d, const struct kind_file *f);
/*
 * Might what no process was found to hold be under way in a message? It is known once the dump is
 * frozen.
 */
bool kind_may_be_under_way(const struct kind_dump *d);
/* The same for a socket, by the identity of its struct sock. */
pid_t kind_outside_sock(const struct kind_dump *d, uint64_t sock_id);
/* A process other than this one that has the file open or maps it, by whatever name; 0: none. For
 * files with a name: all of /proc is looked through. */
pid_t kind_user_of(int fd);
/* "process 412 (redis-server)", "another process" for 0. */
void kind_process_words(pid_t pid, char *buf, size_t len);

/* Is the very description held by a process outside as well? Refuses, naming that. */
int kind_check_unshared(const struct kind_dump *d, const struct kind_file *f, const char *noun,
			struct ckpt_err **err);

/* ---- detail.c ---- */

/* Has the kernel no place for it in a file system, and calls it so? */
bool kind_is_anon(const struct kind_file *f, const char *name);
/* The one detail record of this type that the descriptor has; NULL when there is none of the size.
 */
const void *kind_detail(const struct kind_dump *d, const struct kind_file *f, enum rec_type type,
			size_t size);
/* The failure for that. */
int kind_fail_detail(const char *noun, struct ckpt_err **err);

/* ---- apart.c ---- */

/*
 * Run `work` in a process of its own, forked from this one, which has a table of descriptors (and
 * all else) of its own: what it does there to descriptor numbers is of no consequence here, what it
 * does to what they refer to stays. Returns what `work` does, with its error.
 */
int kind_apart(int (*work)(void *arg, struct ckpt_err **err), void *arg, struct ckpt_err **err);

/* How a file and its path stand to each other. */
enum path_state {
	PATH_SAME,	 /* the path names the file */
	PATH_UNLINKED,	 /* it has no name any more */
	PATH_OTHER_NAME, /* its name was removed, but it has another one */
	PATH_OTHER_FILE, /* the path names another file, or nothing, as seen from here */
	PATH_MOVED_ON,	 /* the process runs, and has closed it meanwhile */
};

/* *ret: of the file; *ret_path: PATH_SAME: malloc'd, NULL when out of memory; otherwise NULL. */
enum path_state path_state(const struct kind_file *f, struct stat *ret, char **ret_path);
/* Can it be found again by its path? CKPT_E_UNSUPPORTED with the reason. */
int path_check(const struct kind_file *f, struct ckpt_err **err);
int path_check_state(const struct kind_file *f, enum path_state state, struct ckpt_err **err);
/* path_save() with what is known already. */
int path_save_stat(const struct rec_inode *ino, const char *path, const struct stat *st, json_t *o,
		   struct ckpt_err **err);

/* ---- path.c: restoring ---- */

/* "path", absolute; malloc'd. */
int path_get(const json_t *o, char **ret, struct ckpt_err **err);
/*
 * A new description of what one of our descriptors refers to, with the flags of open(2). what: for
 * messages. The descriptor, or a negative errno with err.
 */
int kind_reopen(int fd, int flags, const char *what, struct ckpt_err **err);
/*
 * Another description of a file that an earlier object of the same kind ("inode_of") has made and
 * filled.
 */
int kind_open_other(const struct kind_restore *r, const json_t *o, int flags, int *ret_fd,
		    struct ckpt_err **err);
/* Flags for open(2) from the saved ones: access mode and what only open can set. */
int kind_open_flags(const json_t *o, int *ret_flags, struct ckpt_err **err);
/* The object's file in the image ("data"), which must have this size. */
int kind_open_data(const struct kind_restore *r, const json_t *o, uint64_t size, int *ret_fd,
		   struct ckpt_err **err);

#endif
