/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What files in memory without a name have in common (memfd, anonymous shared memory, both with
 * pages of a fixed size, too): size, mode, owner and contents. Of several descriptions of one file
 * the first object has it all, the others name that object ("inode_of").
 */
#ifndef CKPT_KINDS_MEMFILE_H
#define CKPT_KINDS_MEMFILE_H

#include "../kind.h"

struct memfile {
	uint64_t size;
	uint64_t page_bytes; /* of hugetlbfs, else 0 */
	uint32_t mode, uid, gid;
};

/* A description of our own, for reading: nothing of the program's one moves. */
int memfile_open_own(const struct kind_file *f, int *ret_fd, struct ckpt_err **err);
/* Is it in hugetlbfs, whose files can be read but not written? */
bool memfile_is_huge(const struct kind_file *f);
/*
 * "inode_of", or size, mode, owner and (when contents are wanted) data/PREFIX-ID, read from
 * `from`, a description of our own.
 */
int memfile_save(struct kind_dump *d, const struct kind_file *f, const char *prefix, int from,
		 json_t *o, struct ckpt_err **err);
int memfile_parse(const json_t *o, struct memfile *m, struct ckpt_err **err);
/* need() of such a kind. */
int memfile_need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err);
/* Size, contents and owner into a new file. */
int memfile_fill(const struct kind_restore *r, const json_t *o, const struct memfile *m, int fd,
		 struct ckpt_err **err);
/* Contents into a map of huge pages, where those of zeros are left unmade. */
int memfile_fill_map(int from, void *mem, uint64_t size, struct ckpt_err **err);
/*
 * The description that the program had, of a file complete and open for reading and writing. Takes
 * `fd` over on success.
 */
int memfile_describe(const json_t *o, int *fd, int *ret_fd, struct ckpt_err **err);
/* Flags of mmap(2) and memfd_create(2) that ask for huge pages of this size; 0: ordinary ones. */
unsigned int memfile_huge_flags(const struct memfile *m, unsigned int huge_flag);
/* A failure to get huge pages, with the remedy. */
int memfile_no_pages(const struct memfile *m, const char *what, struct ckpt_err **err);
/* A process outside of the dump that has the file, too: CKPT_E_UNSUPPORTED naming it. */
int memfile_not_outside(const struct kind_dump *d, const struct kind_file *f,
			struct ckpt_err **err);

#endif
