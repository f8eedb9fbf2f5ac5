/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * core.PID: the registers and the memory of one process as a valid ELF core file.
 *
 * Layout: ELF header; program headers (PT_NOTE, then one PT_LOAD per run of saved pages, which in
 * memory also covers the gap behind it, and one per gap at the start of an area, p_filesz 0);
 * notes; padding to 4096; pages, each run page-aligned. With more than 65,534 program headers the
 * count stands in section header 0 (PN_XNUM). Our own note, owner "EBPFCKPT", carries the table of
 * runs with checksums.
 */
#ifndef CKPT_CORE_H
#define CKPT_CORE_H

#include "err.h"
#include <signal.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#define CORE_PAGE 4096ULL

/* One thread's registers. xstate: XSAVE area as PTRACE_GETREGSET(NT_X86_XSTATE) gives it; owned. */
struct core_thread {
	pid_t tid;
	struct user_regs_struct gpr;
	void *xstate;
	size_t xstate_len;
	uint64_t blocked; /* for NT_PRSTATUS */
	uint64_t pending;
	siginfo_t info; /* NT_SIGINFO; zeroed when none */
};

/* An area for NT_FILE and PT_LOAD. */
struct core_area {
	uint64_t start, end;
	uint32_t prot; /* PROT_* */
	uint64_t pgoff_bytes;
	const char *path; /* borrowed; NULL: not a file */
};

/* A run of consecutive pages saved. */
struct core_run {
	uint64_t start; /* address */
	uint64_t n_pages;
	uint64_t offset; /* in the core file; set by the writer */
	uint64_t xxh3;	 /* XXH3-64 of the pages, set by the writer */
	uint32_t area;	 /* index of its area */
	uint32_t source; /* enum core_source */
};

enum core_source {
	CORE_FROM_READV = 0,  /* process_vm_readv of the memory task */
	CORE_FROM_MEM = 1,    /* /proc/PID/mem: no read permission, yet pages */
	CORE_FROM_BUFFER = 2, /* taken within the pause: `buffers` */
};

/* What a core is made from. */
struct core_process {
	pid_t pid, ppid, pgid, sid;
	uid_t uid;
	gid_t gid;
	char comm[16];
	char args[80];
	char state; /* R, S, T, ... */
	int nice;
	const uint64_t *auxv;
	size_t n_auxv;			   /* words */
	const struct core_thread *threads; /* leader first */
	size_t n_threads;
	const struct core_area *areas;
	size_t n_areas;
	struct core_run *runs; /* sorted by address; offset and xxh3 are filled in */
	size_t n_runs;
};

struct core_write_opts {
	bool compress;
	int level;
	bool direct;	   /* O_DIRECT where the filesystem can */
	uint64_t stash_at; /* where in stash_fd the CORE_FROM_BUFFER runs begin */
	int (*progress)(void *userdata, uint64_t done, uint64_t total); /* non-zero: give up */
	void *userdata;
};

/*
 * Write core.PID into dir_fd (0600, must not exist), memory read from `mem_pid` (the twin, or the
 * frozen process), with reading and writing overlapped in a bounded number of aligned buffers (at
 * most 24 MiB in all). CORE_FROM_BUFFER runs are read from `stash_fd`, a memfd or an
 * unlinked file in which such runs stand one after the other, in order, from opts->stash_at on.
 * *ret_bytes: file size on disk; head_xxh3: 32 hex digits and NUL.
 */
int core_write(int dir_fd, const char *name, struct core_process *p, pid_t mem_pid, int stash_fd,
	       const struct core_write_opts *opts, uint64_t *ret_bytes, char head_xxh3[33],
	       struct ckpt_err **err);

/* A core file opened for reading. Every offset and length has been checked against the file. */
struct core_file {
	int fd;
	struct core_thread *threads;
	size_t n_threads;
	struct core_run *runs; /* sorted, page-aligned, not overlapping, in user space; when
				* compressed `offset` counts in the uncompressed stream of pages */
	size_t n_runs;
	bool compressed;
	uint64_t pages_offset; /* of the first page in the file (uncompressed) */
	uint64_t n_pages;
	uint64_t *frame_table; /* compressed: pairs (offset in file, compressed length) per frame */
	size_t n_frames;
	uint64_t frame_bytes; /* uncompressed bytes per frame, the last may be shorter */
};

int core_open(struct core_file *c, int fd /* taken, also on failure */, struct ckpt_err **err);
void core_done(struct core_file *c);
/* XXH3-128 of the head (all before the first page), as core_write() gives it: 32 hex digits and
 * NUL. */
int core_head_xxh3(int fd /* borrowed */, char hex[33], struct ckpt_err **err);
/* Check the checksum of one run, whose pages are these. */
int core_verify_run(const struct core_run *r, const void *pages, struct ckpt_err **err);
/* Check the checksums of all runs. */
int core_verify(struct core_file *c, struct ckpt_err **err);
/*
 * Make the pages available uncompressed as a file: returns a descriptor (dup of c->fd when the core
 * is not compressed, else a memfd filled by decompression) and the offset at which run 0 begins
 * (runs follow each other without gaps in the order of the table). Checksums are verified when
 * `verify`.
 */
int core_pages_fd(struct core_file *c, bool verify, int *ret_fd, uint64_t *ret_offset,
		  struct ckpt_err **err);
/* Write a plain core file to out_fd. */
int core_export(struct core_file *c, int out_fd, struct ckpt_err **err);

/* Pages of a process, at `offset` of a file that has them plain. */
struct core_piece {
	uint64_t start, n_pages;
	int fd; /* borrowed */
	uint64_t offset;
};

/*
 * Write a plain core file of a process whose pages are in several files: threads and notes are
 * those of `threads`, areas and their files those of `memory` (the same core, or that of the
 * process whose memory it uses), the pages the pieces, in address order. It has no table of runs:
 * it is for debuggers.
 */
int core_compose(const struct core_file *threads, const struct core_file *memory,
		 const struct core_piece *piece, size_t n, int out_fd, struct ckpt_err **err);

#endif
