/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kinds share among themselves. */
#ifndef CKPT_KINDS_H
#define CKPT_KINDS_H

#include "../kind.h"
#include <limits.h>
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
extern const struct ckpt_kind kind_namespace;
extern const struct ckpt_kind kind_epoll;
extern const struct ckpt_kind kind_unix;
extern const struct ckpt_kind kind_unsupported;
extern const struct ckpt_kind kind_ptmx;
extern const struct ckpt_kind kind_opath;
extern const struct ckpt_kind kind_procpid;
extern const struct ckpt_kind kind_inotify;
extern const struct ckpt_kind kind_fanotify;
extern const struct ckpt_kind kind_procpid;

/* Superblock magics (linux/magic.h). */
#define MAGIC_PROC   0x9fa0u
#define MAGIC_PIPEFS 0x50495045u

/* struct file's f_mode */
#define FMODE_READ_BIT	0x1u
#define FMODE_WRITE_BIT 0x2u

/* O_LARGEFILE as the kernel has it: set by every open(2), but 0 in the headers of a 64-bit libc. */
#define KERNEL_O_LARGEFILE 0100000

/* ---- path.c: the program's open file ---- */

/*
 * The process's own link to an open file: /proc/PID/fd/N, /proc/PID/map_files/START-END or
 * /proc/PID/cwd.
 */
#define KIND_LINK_LEN 96
const char *kind_link(const struct kind_file *f, char buf[KIND_LINK_LEN]);
/*
 * Save the contents that `from`, a description of our own, has, as data/PREFIX-ID (ID: of the row
 * `o`), and note the name as its member "data".
 */
int kind_save_data(struct kind_dump *d, const struct kind_file *f, const char *prefix, int from,
		   json_t *o, struct ckpt_err **err);
/* The same through a map: `from` may be the program's own description. */
int kind_save_mapped(struct kind_dump *d, const struct kind_file *f, const char *prefix, int from,
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
/* The task that a row's member "pid" tells, as this process sees it; for open() of kinds with
 * `needs_tasks`. what: "a pidfd". */
int kind_row_pid(const struct kind_restore *r, const json_t *o, const char *what, pid_t *ret,
		 struct ckpt_err **err);

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

/* ---- nameless.c: files whose name was removed ---- */

/* Directories, devices, symbolic links, sockets, FIFOs: all but regular files. */
bool nameless_is(const json_t *o);
int nameless_save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err);
int nameless_need(const json_t *o, struct ckpt_err **err);
/* Make it, and open every row of this file, whatever its kind: into r->fd. */
int nameless_open(struct kind_restore *r, const json_t *o, struct ckpt_err **err);
/* Make it, and open it with these flags for no row in particular. */
int nameless_make_open(const json_t *o, int flags, int *ret_fd, struct ckpt_err **err);
/* For kind->same(): all that nameless_save() writes. */
int nameless_same(const json_t *saved, const json_t *now, struct ckpt_err **err);
/*
 * What kinds whose files come back by their path, or as files whose name was removed, have in
 * common; members of struct ckpt_kind, but for the flags that open() gets besides its own.
 */
int by_name_check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err);
int by_name_save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err);
int by_name_need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err);
int by_name_open(struct kind_restore *r, const json_t *o, int more_flags, int *ret_fd,
		 struct ckpt_err **err);
int by_name_same(const json_t *saved, const json_t *now, struct ckpt_err **err);

/*
 * A place for a name that lasts a moment: the old path if it is free, its directories being made
 * where they are gone; otherwise another name as near as can be.
 */
struct name_place {
	int dir_fd; /* owned */
	char name[NAME_MAX + 1];
	bool made;     /* set by who has made the name */
	char *path;    /* owned: of the deepest directory */
	int made_dirs; /* of it, how many were made */
};

#define NAME_PLACE_INIT                                                                            \
	{                                                                                          \
		.dir_fd = -1                                                                       \
	}
int name_place_find(struct name_place *p, const char *path, struct ckpt_err **err);
/* Remove the name, of a directory or another file, and the directories that were made. */
void name_place_done(struct name_place *p);
/* The owner and mode of a file just made there. */
int name_place_own(const struct name_place *p, uint32_t uid, uint32_t gid, uint32_t mode,
		   struct ckpt_err **err);

/* ---- othername.c: a regular file that has another name than the one it was opened by ---- */

bool othername_is(const json_t *o);
int othername_check(const struct kind_file *f, const struct stat *st, struct ckpt_err **err);
int othername_save(const struct kind_file *f, const struct stat *st, json_t *o,
		   struct ckpt_err **err);
/* The file itself, O_PATH, by whichever name; what "info" says of it must hold unless r says
 * otherwise.
 */
int othername_find(const struct kind_restore *r, const json_t *o, int *ret_fd,
		   struct ckpt_err **err);
int othername_need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err);
int othername_open(const struct kind_restore *r, const json_t *o, int flags, int *ret_fd,
		   struct ckpt_err **err);
int othername_same(const json_t *saved, const json_t *now, struct ckpt_err **err);
/*
 * name_to_handle_at(2) as "TYPE:HEX"; "" when the file system has no handles. flags: 0 or
 * AT_SYMLINK_FOLLOW.
 */
#define HANDLE_TEXT (2 * 128 + 32)
void handle_of(const char *path, int flags, char *buf, size_t len);
/* open_by_handle_at(2) of "TYPE:HEX": the descriptor or a negative errno. */
int handle_open(int mount_fd, const char *text, int flags);

/* ---- mapped.c: files whose contents are saved because they are mapped ---- */

/* Is it one of those that mapped_find() has found? st: of the file. NULL: no. */
struct kind_copied *mapped_wanted(const struct kind_dump *d, const struct stat *st);
/* Add to the row of such a file what mapped_settle() needs to make it one that was deleted. */
int mapped_save_attributes(const struct kind_dump *d, const struct kind_file *f,
			   struct kind_copied *c, json_t *o, struct ckpt_err **err);

/* chardev.c: devices that hold no state of the program; the name, or NULL. */
const char *device_stateless(unsigned int major, unsigned int minor);

/* ---- path.c: restoring ---- */

/* stat(2) of a path, which for a symbolic link (by `mode`) is that of the link itself. */
int path_stat(const char *path, uint32_t mode, struct stat *ret);
/* Is the path there, and the very file of "info", whatever became of its contents? */
int path_need_inode(const json_t *o, const char *path, bool allow_changed, struct ckpt_err **err);
/* Is this what "info" says? what: for messages. */
int path_need_stat(const json_t *o, const char *what, const struct stat *st, bool allow_changed,
		   struct ckpt_err **err);

/* File systems whose contents are made up at each reading. */
bool path_is_virtual(const char *fstype);
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
