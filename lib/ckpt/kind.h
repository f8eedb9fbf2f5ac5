/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kinds of open files. A kind is one file in kinds/ and one row in kinds/table.c; check, attach,
 * restore, verify and show all go through that table, and nothing else in the engine switches over
 * kinds.
 *
 * An *object* is one open file description (struct file), found by identity in the snapshot:
 * through descriptors, through the memory areas that map it, or as the executable, cwd or root of a
 * task. In the manifest it is a row of "objects":
 *
 *   { "id": 3, "kind": "regular", "flags": 32770, "pos": 512, "owner": {...}, ...the kind's own
 * members }
 *
 * The common members (id, kind, flags, pos, owner) are written and read by objects.c.
 */
#ifndef CKPT_KIND_H
#define CKPT_KIND_H

#include "err.h"
#include "image.h"
#include "loader.h"
#include "tree.h"

/* An open file as the snapshot shows it. All borrowed from the snapshot. */
struct kind_file {
	/* The process, or the thread that has a descriptor table of its own (tables.h). */
	pid_t tgid;
	pid_t tid;		     /* a living thread that has it: the process's first, mostly */
	int fd;			     /* one descriptor that refers to it, or -1 */
	uint64_t map_start, map_end; /* one area that maps it, or 0, 0 */
	/*
	 * "cwd" or "root": the directory of the process that is meant, not an open file at all. It
	 * is an object only when its name is gone, and `inode` has no file_id then.
	 */
	const char *place;
	const struct rec_inode *inode;
	const struct rec_file *file; /* NULL when fd is -1 */
	const char *path;
	bool path_cut;			    /* its path is too long to be known */
	bool mapped_shared, mapped_private; /* how areas map it */
	bool is_exe;			    /* the executable of a process */
};

struct objects;

/* A process of the snapshot, or this one itself. */
struct kind_pid {
	pid_t tgid;
	int pidfd; /* owned by the table */
};

/* A file that is open nowhere, but under way in a message; see ckpt_kind.in_flight. */
struct kind_flight {
	uint64_t file_id;
	int fd; /* owned: a descriptor of ours */
};

/* A file with a name whose contents are saved all the same; see kinds/mapped.c. */
struct kind_copied {
	dev_t dev;
	ino_t ino;
	uint32_t first;	 /* the object that carries them; 0: none yet */
	bool may_change; /* the program can write to it at once when it goes on */
};

/* Contents that wait to be written: of memory, or of a file. */
struct kind_deferred {
	char name[40];
	void *data; /* owned */
	size_t len;
	int fd; /* owned; -1: memory */
	struct timespec mtime;
};

/* What saving needs. The processes are frozen. */
struct kind_dump {
	struct loader *loader;
	const struct snapshot *snap;
	const struct objects *os; /* of the snapshot; set by objects.c */
	bool contents;		  /* write contents under data/; set by objects_save() */
	struct image_writer *w;	  /* NULL unless contents are written */
	uint64_t deleted_limit_bytes;
	uint64_t deleted_bytes;	    /* saved so far of unlinked contents */
	unsigned int save_mapped;   /* CKPT_MAPPED_* */
	struct kind_copied *copied; /* owned: mapped_find(), while objects are judged or saved */
	size_t n_copied;
	pid_t root;
	bool frozen; /* and what is under way in messages is known; else check() judges a first time
		      */
	struct kind_pid *pids; /* owned: kind_pids_open(); sorted by tgid */
	size_t n_pids;
	struct kind_flight *flight; /* owned: objects_collect_in_flight() */
	size_t n_flight;
	struct kind_deferred *deferred; /* owned: kind_defer_data() */
	size_t n_deferred;
	const pid_t *omit; /* borrowed: processes that are left out of the tree */
	size_t n_omit;
	const pid_t *more; /* and other roots; borrowed */
	size_t n_more;
	bool ext_unix; /* let connections of unix sockets to processes outside be made anew */
};

/* Hold every process of `tgids`, and this one. The tables of descriptors are got through them. */
int kind_pids_open(struct kind_dump *d, const pid_t *tgids, size_t n, struct ckpt_err **err);
void kind_pids_close(struct kind_dump *d);
/* Borrowed; -1: not of this dump. */
int kind_pidfd(const struct kind_dump *d, pid_t tgid);

/* A system call that only a process of the image can make itself. */
struct kind_call {
	const char *what; /* static, for messages */
	long nr;
	uint64_t arg[6];
	const void *data; /* put where it can see it, and the address into arg[data_arg]; or NULL */
	size_t data_bytes;
	unsigned int data_arg;
};

/* What restoring needs. Runs in the restoring process. */
struct kind_restore {
	struct loader *loader;
	const struct image *im;
	bool allow_changed;
	int *fd; /* by object id: open descriptors, -1: none yet */
	size_t n_fd;
	bool *made; /* by object id: open() made something that outlives us, for undo(); owned */
	json_t *objects;    /* borrowed array */
	uint32_t *next_end; /* by object id: the next end of the same pipe, 0: none; owned */
	/*
	 * A pid or tid of the image, as this process sees it; 0: there is none. Asked for 0, it
	 * gives minus the process group that the tree was in from the start. Good once the tasks
	 * exist: in open() of kinds with `needs_tasks`, and in connect().
	 */
	pid_t (*pid_now)(void *userdata, pid_t saved);
	bool *in_tasks;	 /* by object id: all tasks have it, too, under the same number; owned */
	int fd_in_tasks; /* one that they have in any case */
	/*
	 * Let a process of the image, told by its saved pid, make a system call. In connect(): it
	 * has the descriptors that are `in_tasks`; its own are not there yet, so that all other
	 * numbers are free.
	 */
	int (*call)(void *userdata, pid_t saved, const struct kind_call *c, struct ckpt_err **err);
	void *userdata;
	/* What unix sockets keep from open() to go(); released by objects_close(). */
	struct unix_net *unix_net;
	void (*unix_net_free)(struct unix_net *);
	pid_t mortal; /* stands for processes that ended (kinds/procpid.c); 0: there is none */
};

/* A System V segment, as areas attach it. */
struct kind_segment {
	int32_t id;
	uint64_t bytes; /* whole pages */
	bool read_only;
};

struct ckpt_kind {
	const char *name;   /* stable: stands in images */
	bool has_pos;	    /* the description's position is part of its state */
	bool needs_tasks;   /* opened when all tasks exist: it refers to one of them */
	bool placed;	    /* "path" is where it is, and may be another place at the restore */
	bool called_upon;   /* connect() lets tasks make calls on it, or on others by it */
	bool connects_last; /* after all others: it watches them */
	/* Does this open file belong to the kind? The first row of the table that says yes has it.
	 */
	bool (*match)(const struct kind_file *f);
	/*
	 * Can it be saved, judged without touching it, while the process runs? 0, or a failure with
	 * CKPT_E_UNSUPPORTED whose sentence tells the reason and whose hint the remedy.
	 */
	int (*check)(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err);
	/*
	 * Add the kind's members to `o`, save contents under data/ where they have no other home.
	 * Must not disturb the object (no reading that consumes).
	 */
	int (*save)(struct kind_dump *d, const struct kind_file *f, json_t *o,
		    struct ckpt_err **err);
	/* Call fn for every file that this one keeps in a queue, each time that it does; may be
	 * NULL. */
	void (*queued)(const struct snapshot *s, const struct kind_file *f,
		       void (*fn)(void *userdata, uint64_t file_id), void *userdata);
	/*
	 * Give every file that this one keeps in a queue, and that d->os does not know yet, to
	 * kind_flight_add(), in an order that depends on nothing but the queue. Frozen; may be
	 * NULL.
	 */
	int (*in_flight)(struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err);
	/* Restore, step 1: is what it needs there and unchanged? May be NULL. Changes nothing. */
	int (*need)(const struct kind_restore *r, const json_t *o, struct ckpt_err **err);
	/*
	 * Make it again. Flags that F_SETFL can set and the position are set by objects.c
	 * afterwards; the kind opens with the right access mode and open-time flags. Other objects
	 * that can only be made together with this one (the other end of a pipe) may be put into
	 * r->fd at once: those are not opened again.
	 */
	int (*open)(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err);
	/*
	 * Second pass, all objects being open and all tasks being there, of which none has run yet;
	 * may be NULL.
	 */
	int (*connect)(struct kind_restore *r, const json_t *o, int fd, struct ckpt_err **err);
	/*
	 * Third pass: memory is mapped and descriptors are in place, nothing has run yet, the proof
	 * is to come; may be NULL.
	 */
	int (*finish)(struct kind_restore *r, const json_t *o, int fd, struct ckpt_err **err);
	/* The restore failed, after open() had noted in r->made that it made something: away with
	 * it. */
	void (*undo)(const struct kind_restore *r, const json_t *o);
	/* Areas of it are not mapped but attached by shmat(2): to what. NULL otherwise. */
	int (*segment)(const struct kind_restore *r, const json_t *o, struct kind_segment *ret,
		       struct ckpt_err **err);
	/* The restored process is complete and about to go on; may be NULL. Failures are of no
	 * consequence. */
	void (*go)(struct kind_restore *r, const json_t *o, int fd);
	/*
	 * Is the restored object (`now`, what save() says of it, without saving contents) what was
	 * saved? NULL: all members must be equal but "info" and those that `volatile_members`
	 * names. Common members are objects.c's.
	 */
	int (*same)(const json_t *saved, const json_t *now, struct ckpt_err **err);
	const char *const *volatile_members; /* NULL-terminated, may be NULL */
	/* One line for a person: "regular file /tmp/x, at 512 of 4096 bytes". */
	void (*describe)(const struct kind_file *f, char *buf, size_t len);
};

/* All kinds, ended by NULL. The last row, "unsupported", matches everything and refuses it by name.
 */
extern const struct ckpt_kind *const ckpt_kinds[];
const struct ckpt_kind *kind_of(const struct kind_file *f); /* never NULL */
const struct ckpt_kind *kind_by_name(const char *name);	    /* NULL: unknown */

/* ---- objects.c: the table of objects ---- */

struct objects {
	struct object_row {
		uint32_t id;		/* number in the image, from 1 */
		uint32_t n_refs;	/* descriptors and areas that refer to it */
		uint32_t n_queued;	/* messages that carry it */
		uint32_t next_of_inode; /* id of the next object with this inode open; 0: none */
		uint32_t next_listening;
		uint64_t file_id;
		struct kind_file f;
		const struct ckpt_kind *kind;
	} * row;

	size_t n;
	struct object_slot *hash;   /* file_id -> row */
	struct object_slot *inodes; /* inode_id -> its first row */
	struct object_slot *socks;  /* sock_id -> its row */
	size_t hash_size;	    /* of all three */
	bool any_unknown;	    /* some message carries a file that is no object (yet) */
	uint32_t first_listening;   /* sockets that listen; the others by next_listening */
};

/*
 * Collect the objects of a snapshot: descriptors, file-backed areas. Numbered in order of first
 * appearance (by process as the tree is ordered, then fd, then address), so that two snapshots of
 * the same state give the same numbers.
 */
int objects_collect(struct objects *os, const struct snapshot *s, const struct tree *t,
		    struct ckpt_err **err);
/*
 * Add the files that are open nowhere but under way in messages of those that are there, and so on.
 * Their rows come after all others, and are of this process: it has got descriptors of them, and
 * `s` their records (s is d->snap). For frozen processes only.
 */
int objects_collect_in_flight(struct objects *os, struct kind_dump *d, struct snapshot *s,
			      struct ckpt_err **err);
/* Let go of these descriptors: nobody may notice that there were more for a moment. */
void objects_drop_in_flight(struct kind_dump *d);
/* For in_flight(): `fd` is taken over, whatever happens. */
int kind_flight_add(struct kind_dump *d, uint64_t file_id, int fd, struct ckpt_err **err);
bool kind_flight_has(const struct kind_dump *d, uint64_t file_id);
void objects_done(struct objects *os);
/* The number of an object, 0 when unknown. */
uint32_t objects_id(const struct objects *os, uint64_t file_id);
/* The first object that has this inode open; 0 when there is none. The others follow by
 * next_of_inode. */
uint32_t objects_by_inode(const struct objects *os, uint64_t inode_id);
/* The object whose socket this is; 0 when there is none. */
uint32_t objects_by_sock(const struct objects *os, uint64_t sock_id);
/* The row of a number from 1 on. */
const struct object_row *objects_row(const struct objects *os, uint32_t id);
/* One finding per descriptor and per mapped file that no descriptor has; appended to f. */
int objects_check(const struct objects *os, const struct kind_dump *d, struct ckpt_findings *f,
		  struct ckpt_err **err);
/* The "objects" array. With `contents` false nothing is written under data/ (for the final
 * comparison). */
int objects_save(const struct objects *os, struct kind_dump *d, bool contents, json_t **ret,
		 struct ckpt_err **err);
/*
 * For save(): write contents as data/NAME, but not before the processes go on. `data` was
 * malloc'd, and is taken over, whatever happens.
 */
int kind_defer_data(struct kind_dump *d, const char *name, void *data, size_t len,
		    struct ckpt_err **err);
/*
 * The same of the first `len` bytes of the file `fd`, which is taken over, whatever happens. It is
 * an error if the file is written to until then. Not for more than KIND_DEFERRED_FILES: they are
 * held open.
 */
#define KIND_DEFERRED_FILES 200
int kind_defer_file(struct kind_dump *d, const char *name, int fd, uint64_t len,
		    struct ckpt_err **err);
/* ... which is now. */
int objects_write_deferred(struct kind_dump *d, struct ckpt_err **err);
/* need() of every row; all findings are gathered into one chain (the first five named). */
int objects_need(const struct kind_restore *r, struct ckpt_err **err);
/* The arrays by object id, of r->objects. */
int objects_number(struct kind_restore *r, struct ckpt_err **err);
/* Before the tasks are made: open() of every row whose kind does not need them. */
int objects_open(struct kind_restore *r, struct ckpt_err **err);
/* Once the tasks exist: open() of the others, then connect() of every row, flags and position set.
 */
int objects_connect(struct kind_restore *r, struct ckpt_err **err);
/* Is its kind one of those whose files have a place? */
bool objects_row_is_placed(const json_t *o);
/* Is its kind one that is called upon in tasks? */
bool objects_called_upon(const struct kind_restore *r, uint32_t id);
void objects_close(struct kind_restore *r);
/* undo() of every row that made something: the restore failed. */
void objects_undo(const struct kind_restore *r);
/* Are areas of this object attached by shmat(2)? 1: yes, to this segment; 0: no. */
int objects_segment(const struct kind_restore *r, uint32_t id, struct kind_segment *ret,
		    struct ckpt_err **err);
/* The tasks are complete: give descriptions their owners (F_SETOWN), then finish() of every row. */
int objects_finish(struct kind_restore *r, struct ckpt_err **err);
/* go() of every row: what may change the world outside, done when nothing can fail any more. */
void objects_go(struct kind_restore *r);
/* Compare the rows of two "objects" arrays, saved and now. */
int objects_same(const json_t *saved, const json_t *now, struct ckpt_err **err);
/* For a kind's same(): is one member equal, or absent from both? CKPT_E_DIFFERENT naming it. */
int objects_same_member(const json_t *saved, const json_t *now, const char *key,
			struct ckpt_err **err);

/* ---- helpers shared by kinds of files with a path (kinds/path.c) ---- */

/*
 * A file named by path: "path", and under "info" what it was (dev, ino, size, mtime_ns, mode,
 * fstype), which path_need() compares. Used for regular files, executables, directories, cwd and
 * root.
 */
int path_save(const struct rec_inode *ino, const char *path, json_t *o, struct ckpt_err **err);
/* Is the path there and what it was? CKPT_E_FILE_GONE, CKPT_E_FILE_CHANGED naming it and what
 * differs. */
int path_need(const json_t *o, bool allow_changed, struct ckpt_err **err);
/* ---- mapped.c: files whose contents are saved because they are mapped ---- */

/* Which files d->save_mapped means. mapped_forget(d) whatever happens. */
int mapped_find(struct kind_dump *d, const struct objects *os, struct ckpt_err **err);
void mapped_forget(struct kind_dump *d);
/*
 * Decide which of the saved contents are needed, and make the rows of "objects" say so: a file that
 * is not there with these contents becomes one that was deleted, which is made again.
 */
int mapped_settle(const struct image *im, json_t *manifest, struct ckpt_err **err);
/* ---- directory.c: where a process is ---- */

/* Is it a file, or directory, of a process in /proc? (kinds/procpid.c) */
bool procpid_is(const struct rec_inode *ino, const char *path);
/* The process that stands for those that ended ends, too. */
void procpid_mortal_end(struct kind_restore *r);
/* A working or root directory: "path" and "info", or "object" when its name is gone. */
int place_save(const struct objects *os, const struct snap_path *p, json_t *row,
	       struct ckpt_err **err);
int place_need(const json_t *row, struct ckpt_err **err);
/* *ret_fd: of the object, borrowed. */
int place_object(const struct kind_restore *r, const json_t *row, int *ret_fd,
		 struct ckpt_err **err);

/* Append a row about the process `pid`, or about none (0); strings are copied, formatted by the
 * caller. 0 or -ENOMEM with err. */
int findings_add(struct ckpt_findings *f, enum ckpt_verdict v, pid_t pid, const char *subject,
		 const char *what, const char *why, const char *remedy, struct ckpt_err **err);
/* Forget rows: drop[i] says which, of f->n. */
void findings_drop(struct ckpt_findings *f, const bool *drop);

#endif
