// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * System V shared memory that is attached: shmget(2), shmat(2). The attached areas of a segment are
 * one object for those attached for reading and writing, one for those for reading only; the first
 * of a segment carries it.
 *
 * A segment outlives the processes that attach it, and has a number that programs remember. So
 * after a kill it is mostly still there: it is the same one if its number, key, size, creator and
 * time of change are, and then gets the contents of the image, unless others have attached it
 * meanwhile. Where it is gone it is made anew, with the same number.
 *
 * Not known to restore: the pids of creator and last user, the times of the last attach and detach.
 */
#include "../safe.h"
#include "../sysvid.h"
#include "../util.h"
#include "copy.h"
#include "kinds.h"
#include "memfile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>

#ifndef SHM_DEST
#define SHM_DEST   01000
#define SHM_LOCKED 02000
#endif
#define SHM_HUGE_PAGES 04000 /* SHM_HUGETLB of shmget(2) */
#define PAGE_BYTES     4096ULL
#define SIZE_MAX_BYTES (1ULL << 47)

static bool match(const struct kind_file *f)
{
	return S_ISREG(f->inode->mode) && f->inode->unhashed &&
	       !strncmp(f->inode->dname, "SYSV", 4) && f->path[0] == '/' &&
	       !strcmp(f->path + 1, f->inode->dname) &&
	       (!strcmp(f->inode->fstype, "tmpfs") || memfile_is_huge(f));
}

/* What of the last page lies beyond the size can be used as memory all the same. */
static uint64_t whole_pages(uint64_t bytes)
{
	return (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}

/* ---- saving ---- */

static int segment_of(const struct kind_file *f, struct shmid_ds *ret, struct ckpt_err **err)
{
	if (shmctl((int)f->inode->ino, IPC_STAT, ret) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "look at shared memory segment %d",
				       (int)f->inode->ino);
	return 0;
}

/* Areas of the snapshot that attach a segment; *ret_others: that map it in another way. */
static size_t attached(const struct kind_dump *d, const struct kind_file *f, bool *ret_others)
{
	size_t n = 0;

	*ret_others = f->fd >= 0;
	for (size_t i = 0; i < d->snap->n_vmas; i++) {
		const struct rec_vma *v = d->snap->vmas[i].rec;

		if (!v->has_file || v->inode.inode_id != f->inode->inode_id)
			continue;
		if (v->special == REC_VMA_SYSV)
			n++;
		else
			*ret_others = true;
	}
	return n;
}

static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	struct shmid_ds ds = { 0 };
	bool opened;
	size_t n = attached(d, f, &opened);
	char who[128];
	int rc = segment_of(f, &ds, err);

	if (rc < 0)
		return rc;
	if (opened)
		return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
				 "a System V shared memory segment that was opened as a file");
	if (ds.shm_nattch <= n)
		return 0;
	kind_process_words(kind_outside_mapper(d, f), who, sizeof(who));
	ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED, "%s has the segment attached, too", who);
	ckpt_hint(err, "end that process, or let it detach the segment, before the checkpoint");
	return -EOPNOTSUPP;
}

/* Beyond the size, up to the end of the last page: read through a map, as no file has it. */
static int save_rest(int from, int to, uint64_t size, struct ckpt_err **err)
{
	uint64_t end = whole_pages(size), page = end - PAGE_BYTES;
	char *mem;
	int rc;

	if (end == size)
		return 0;
	mem = mmap(NULL, PAGE_BYTES, PROT_READ, MAP_SHARED, from, (off_t)page);
	if (mem == MAP_FAILED)
		return ckpt_fail_errno(err, errno, CKPT_E_SYS, "map shared memory");
	rc = pwrite_all(to, mem + (size - page), end - size, size);
	munmap(mem, PAGE_BYTES);
	return rc < 0 ? ckpt_fail_errno(err, rc, CKPT_E_OUTPUT, "copy shared memory") : 0;
}

static int save_contents(struct kind_dump *d, const struct kind_file *f, json_t *o,
			 struct ckpt_err **err)
{
	_cleanup_close_ int from = -1, to = -1;
	char name[40];
	int rc = memfile_open_own(f, &from, err);

	if (rc < 0)
		return rc;
	snprintf(name, sizeof(name), "sysvshm-%d", (int)f->inode->ino);
	if (json_object_set_new(o, "data", json_string(name)))
		return ckpt_fail_nomem(err);
	rc = image_data_open(d->w, name, &to, err);
	if (rc == 0)
		rc = copy_sparse(from, to, f->inode->size, err);
	if (rc == 0)
		rc = save_rest(from, to, f->inode->size, err);
	return rc < 0 ? rc : image_data_done(d->w, name, to, err);
}

static int save_segment(const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	_cleanup_close_ int own = -1;
	struct shmid_ds ds = { 0 };
	struct stat st = { 0 };
	int rc = segment_of(f, &ds, err);

	if (rc == 0 && memfile_is_huge(f)) {
		rc = memfile_open_own(f, &own, err);
		if (rc == 0 && fstat(own, &st) < 0)
			rc = ckpt_fail_errno(err, errno, CKPT_E_SYS, "look at huge pages");
	}
	if (rc < 0)
		return rc;
	rc = sysvid_save(&ds.shm_perm, o);
	rc |= js_set_int(o, "size", (int64_t)ds.shm_segsz);
	rc |= js_set_int(o, "changed_s", ds.shm_ctime);
	if (memfile_is_huge(f))
		rc |= js_set_int(o, "page_bytes", st.st_blksize);
	if (ds.shm_perm.mode & SHM_DEST)
		rc |= js_set_bool(o, "removed", true);
	if (ds.shm_perm.mode & SHM_LOCKED)
		rc |= js_set_bool(o, "locked", true);
	return rc ? ckpt_fail_nomem(err) : 0;
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	uint32_t id = objects_id(d->os, f->inode->file_id);
	uint32_t first = objects_by_inode(d->os, f->inode->inode_id);
	int rc = js_set_int(o, "segment", (int)f->inode->ino);

	if (first != id)
		rc |= js_set_int(o, "inode_of", first);
	if (rc)
		return ckpt_fail_nomem(err);
	if (first != id)
		return 0;
	rc = save_segment(f, o, err);
	return rc == 0 && d->w ? save_contents(d, f, o, err) : rc;
}

/* ---- restoring ---- */

struct segment {
	int32_t id;
	struct sysvid who;
	struct memfile m; /* only size and page_bytes */
	int64_t changed_s;
	bool removed, locked;
};

static int parse(const json_t *o, struct segment *s, struct ckpt_err **err)
{
	int rc = js_i32(o, "segment", &s->id, err);

	*s = (struct segment){ .id = s->id };
	if (rc == 0)
		rc = sysvid_parse(o, &s->who, err);
	if (rc == 0)
		rc = js_u64(o, "size", &s->m.size, err);
	if (rc == 0)
		rc = js_opt_u64(o, "page_bytes", &s->m.page_bytes, err);
	if (rc == 0)
		rc = js_i64(o, "changed_s", &s->changed_s, err);
	if (rc < 0)
		return rc;
	s->removed = json_is_true(json_object_get(o, "removed"));
	s->locked = json_is_true(json_object_get(o, "locked"));
	if (s->id < 0 || s->m.size == 0 || s->m.size > SIZE_MAX_BYTES ||
	    (s->m.page_bytes &&
	     (s->m.page_bytes & (s->m.page_bytes - 1) || s->m.page_bytes < PAGE_BYTES)))
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
				 "the size of a shared memory segment is not sound");
	return 0;
}

/*
 * Is it there? 1: yes, and may be used; 0: no, and its number and key are free. Otherwise something
 * else is in its place, or others use it.
 */
static int look(const struct segment *s, bool allow_changed, struct ckpt_err **err)
{
	struct shmid_ds ds = { 0 };

	if (shmctl(s->id, IPC_STAT, &ds) < 0) {
		if (errno != EINVAL && errno != EIDRM)
			return ckpt_fail_errno(err, errno, CKPT_E_RESTORE,
					       "look at shared memory segment %d", s->id);
		return sysvid_key_free("shared memory segment", &s->who,
				       s->who.key ? shmget(s->who.key, 0, 0) : -1, 'm', err);
	}
	if (!sysvid_same(&s->who, &ds.shm_perm) || ds.shm_segsz != s->m.size)
		return sysvid_fail_other("shared memory segment", s->id, 'm', err);
	if (ds.shm_nattch > 0) {
		ckpt_fail(err, EBUSY, CKPT_E_RESTORE,
			  "shared memory segment %d is attached by others, whose contents it has",
			  s->id);
		ckpt_hint(err, "end the processes that use it (ipcs -m -p)");
		return -EBUSY;
	}
	if (ds.shm_ctime != s->changed_s && !allow_changed)
		return sysvid_fail_changed("shared memory segment", s->id, 'm', err);
	return 1;
}

static int need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	_cleanup_close_ int from = -1;
	struct segment s = { 0 };
	int rc;

	if (json_object_get(o, "inode_of"))
		return 0;
	rc = parse(o, &s, err);
	if (rc == 0)
		rc = kind_open_data(r, o, whole_pages(s.m.size), &from, err);
	if (rc == 0)
		rc = look(&s, r->allow_changed, err);
	return rc < 0 ? rc : 0;
}

static int attach(const struct segment *s, void **ret, struct ckpt_err **err)
{
	*ret = shmat(s->id, NULL, 0);
	if (*ret == (void *)-1)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE,
				       "attach shared memory segment %d", s->id);
	return 0;
}

static int get_segment(void *arg)
{
	const struct segment *s = arg;
	unsigned int huge = memfile_huge_flags(&s->m, SHM_HUGE_PAGES);

	return shmget(s->who.key, s->m.size, IPC_CREAT | IPC_EXCL | 0600 | (int)huge);
}

static int remove_segment(int id)
{
	return shmctl(id, IPC_RMID, NULL);
}

static int make(struct segment *s, struct ckpt_err **err)
{
	static const struct sysvid_maker maker = { .what = "shared memory segment",
						   .option = 'm',
						   .next_id = "shm_next_id",
						   .get = get_segment,
						   .remove = remove_segment };
	struct shmid_ds ds = { 0 };
	int rc = sysvid_make(&maker, s->id, &s->who, s, err);

	if (rc == -ENOMEM && s->m.page_bytes)
		ckpt_hint(err, "raise /proc/sys/vm/nr_hugepages");
	if (rc < 0)
		return rc;
	sysvid_into(&s->who, &ds.shm_perm);
	if (shmctl(s->id, IPC_SET, &ds) < 0) {
		rc = ckpt_fail_errno(err, errno, CKPT_E_RESTORE,
				     "give shared memory segment %d its owner", s->id);
		remove_segment(s->id);
	}
	return rc;
}

static int fill(struct kind_restore *r, const json_t *o, const struct segment *s, int fd,
		bool emptied, struct ckpt_err **err)
{
	_cleanup_close_ int from = -1;
	void *mem;
	int rc = kind_open_data(r, o, whole_pages(s->m.size), &from, err);

	if (rc == 0 && !emptied &&
	    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		      (off_t)whole_pages(s->m.size)) < 0)
		rc = ckpt_fail_errno(err, errno, CKPT_E_RESTORE, "empty shared memory segment %d",
				     s->id);
	if (rc == 0)
		rc = attach(s, &mem, err);
	if (rc < 0)
		return rc;
	rc = memfile_fill_map(from, mem, whole_pages(s->m.size), err);
	shmdt(mem);
	return rc;
}

/* A descriptor of its memory: the areas are attached, not mapped from it (kind_segment()). */
static int lend(const struct segment *s, int *ret_fd, struct ckpt_err **err)
{
	uint64_t page = s->m.page_bytes ? s->m.page_bytes : PAGE_BYTES;
	void *mem;
	int rc = attach(s, &mem, err);

	if (rc < 0)
		return rc;
	rc = kind_lend_map(mem, (s->m.size + page - 1) & ~(page - 1), ret_fd, err);
	shmdt(mem);
	return rc;
}

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	_cleanup_close_ int fd = -1;
	struct segment s = { 0 };
	uint32_t id = 0;
	int rc, there;

	if (json_object_get(o, "inode_of"))
		return kind_open_other(r, o, O_RDWR, ret_fd, err);
	rc = js_u32(o, "id", &id, err);
	if (rc == 0)
		rc = parse(o, &s, err);
	if (rc < 0)
		return rc;
	there = look(&s, r->allow_changed, err);
	if (there < 0)
		return there;
	if (!there) {
		rc = make(&s, err);
		if (rc < 0)
			return rc;
		r->made[id] = true;
	}
	rc = lend(&s, &fd, err);
	/* What was there before is written to last, when nearly nothing can fail any more. */
	if (rc == 0 && !there)
		rc = fill(r, o, &s, fd, true, err);
	if (rc == 0)
		*ret_fd = TAKE_FD(fd);
	return rc;
}

static int finish(struct kind_restore *r, const json_t *o, int fd, struct ckpt_err **err)
{
	struct segment s = { 0 };
	uint32_t id = 0;
	int rc;

	if (json_object_get(o, "inode_of"))
		return 0;
	rc = js_u32(o, "id", &id, err);
	if (rc == 0)
		rc = parse(o, &s, err);
	if (rc == 0 && !r->made[id])
		rc = fill(r, o, &s, fd, false, err);
	if (rc < 0)
		return rc;
	if (s.locked && shmctl(s.id, SHM_LOCK, NULL) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE,
				       "lock shared memory segment %d in memory", s.id);
	/* All are attached by now: it ends with the last of them. */
	if (s.removed && remove_segment(s.id) < 0)
		return ckpt_fail_errno(err, errno, CKPT_E_RESTORE,
				       "mark shared memory segment %d as removed", s.id);
	return 0;
}

static void undo(const struct kind_restore *r, const json_t *o)
{
	int32_t id;

	(void)r;
	if (js_i32(o, "segment", &id, NULL) == 0)
		remove_segment(id);
}

static int segment(const struct kind_restore *r, const json_t *o, struct kind_segment *ret,
		   struct ckpt_err **err)
{
	struct segment s = { 0 };
	uint32_t first = 0;
	uint64_t page;
	int flags = 0, rc = kind_open_flags(o, &flags, err);

	if (rc == 0 && json_object_get(o, "inode_of"))
		rc = js_u32(o, "inode_of", &first, err);
	if (rc == 0)
		rc = parse(first ? json_array_get(r->objects, first - 1) : o, &s, err);
	if (rc < 0)
		return rc;
	page = s.m.page_bytes ? s.m.page_bytes : PAGE_BYTES;
	*ret = (struct kind_segment){ .id = s.id,
				      .bytes = (s.m.size + page - 1) & ~(page - 1),
				      .read_only = (flags & O_ACCMODE) == O_RDONLY };
	return 0;
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	char name[REC_DNAME_LEN * 4];

	snprintf(buf, len, "System V shared memory segment %d (%s)%s, %" PRIu64 " bytes",
		 (int)f->inode->ino, safe_text(name, sizeof(name), f->inode->dname),
		 memfile_is_huge(f) ? " of huge pages" : "", (uint64_t)f->inode->size);
}

static const char *const volatile_members[] = { "data", "changed_s", NULL };

const struct ckpt_kind kind_sysvshm = {
	.name = "sysvshm",
	.match = match,
	.check = check,
	.save = save,
	.need = need,
	.open = open_it,
	.finish = finish,
	.undo = undo,
	.segment = segment,
	.volatile_members = volatile_members,
	.describe = describe,
};
