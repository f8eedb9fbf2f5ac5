/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory areas: what of them goes into the manifest ("areas" of a task's "mm"), which of their
 * pages into the core file, and what one of them is for a person.
 */
#ifndef CKPT_AREAS_H
#define CKPT_AREAS_H

#include "core.h"
#include "err.h"
#include "kind.h"
#include "loader.h"
#include <jansson.h>

/* Bits of vm_area_struct.vm_flags (include/linux/mm.h), as far as we read them. */
#define VMF_READ   0x1ULL
#define VMF_WRITE  0x2ULL
#define VMF_EXEC   0x4ULL
#define VMF_SHARED 0x8ULL
/* May become writable by mprotect(2). */
#define VMF_MAYWRITE 0x20ULL
/* MAP_SHARED; of a descriptor that cannot write, VMF_SHARED is off all the same. */
#define VMF_MAYSHARE	 0x80ULL
#define VMF_GROWSDOWN	 0x100ULL
#define VMF_PFNMAP	 0x400ULL
#define VMF_LOCKED	 0x2000ULL
#define VMF_IO		 0x4000ULL
#define VMF_SEQ_READ	 0x8000ULL
#define VMF_RAND_READ	 0x10000ULL
#define VMF_DONTCOPY	 0x20000ULL
#define VMF_LOCKONFAULT	 0x80000ULL
#define VMF_NORESERVE	 0x200000ULL
#define VMF_HUGETLB	 0x400000ULL
#define VMF_SYNC	 0x800000ULL
#define VMF_WIPEONFORK	 0x2000000ULL
#define VMF_DONTDUMP	 0x4000000ULL
#define VMF_MIXEDMAP	 0x10000000ULL
#define VMF_HUGEPAGE	 0x20000000ULL
#define VMF_NOHUGEPAGE	 0x40000000ULL
#define VMF_MERGEABLE	 0x80000000ULL
#define VMF_PKEYS	 0xf00000000ULL
#define VMF_SHADOW_STACK 0x2000000000ULL
#define VMF_DROPPABLE	 0x10000000000ULL
#define VMF_SEALED	 0x40000000000ULL

/* Is it made by the kernel (vdso, vvar, rings of io_setup(2))? Such areas are made anew, and their
 * pages not saved. */
bool area_is_special(const struct rec_vma *v);
/* Must its pages be taken within the pause, because a fork does not copy them? */
bool area_not_forked(const struct rec_vma *v);
/* Can it be saved? CKPT_E_UNSUPPORTED with the reason. */
int area_check(const struct rec_vma *v, struct ckpt_err **err);
/* One line for a person: "anonymous memory, rw-, 132 KiB". */
void area_describe(const struct rec_vma *v, const char *path, char *buf, size_t len);
/* The index behind the last of the equal neighbours of area `i` that come before `end`. */
size_t area_joined_end(const struct snapshot *s, size_t i, size_t end);
/* The "areas" array of a process; equal neighbours are one row. `os` numbers the files. */
int areas_save(const struct snapshot *s, pid_t tgid, const struct objects *os, json_t **ret,
	       struct ckpt_err **err);

/*
 * A row of "areas": "START-END PROT[ @OBJECT+OFFSET][ FLAG]...[ numa=MODE:FLAGS:NODES:HOME][
 * special=NAME| name=NAME]", numbers but OBJECT in hexadecimal.
 */
struct area_row {
	uint64_t start, end;
	int prot;	 /* PROT_* */
	uint64_t flags;	 /* VMF_* */
	uint64_t object; /* 0: anonymous */
	uint64_t offset;
	struct rec_mempolicy mempolicy;
	bool has_mempolicy;
	bool special;	  /* made by the kernel, which gave the name, too */
	const char *name; /* borrowed from the row; "": none */
};

/* Read a row; values are not judged but for their form. An unknown flag is refused. */
int area_row_parse(const json_t *row, struct area_row *a, struct ckpt_err **err);

/* The runs of pages to save, and the guard ranges (MADV_GUARD_INSTALL) of a process. */
struct area_pages {
	struct core_run *run;
	size_t n_runs;
	uint64_t n_pages;

	struct area_guard {
		uint64_t start, end;
	} * guard;

	size_t n_guards;
};

/*
 * Find the pages of `mem_pid`, the twin or the frozen process itself, whose areas are those of
 * `tgid` in the snapshot.
 */
enum area_choice { AREA_ALL, AREA_FORKED, AREA_UNFORKED };

int area_pages_find(struct area_pages *p, const struct snapshot *s, pid_t tgid, pid_t mem_pid,
		    enum area_choice choice, struct ckpt_err **err);
/* Sort and join two findings. `b` is emptied. */
int area_pages_join(struct area_pages *a, struct area_pages *b, struct ckpt_err **err);
/* Write the guard ranges into the manifest's "mm". */
int area_guards_save(const struct area_pages *p, json_t *mm, struct ckpt_err **err);
void area_pages_done(struct area_pages *p);

#endif
