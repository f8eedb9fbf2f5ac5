/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What observed processes execute: ELF files, found when they are mapped and kept open, since they
 * may be replaced or gone, and their processes ended, when somebody asks. A place in one is told by
 * its file and the offset in it. libdw reads them.
 */
#ifndef CKPT_CODE_H
#define CKPT_CODE_H

#include "ranges.h"

#include <elfutils/libdw.h>
#include <sys/types.h>

/* Registers by their DWARF numbers of x86-64; the last is the address to return to. */
#define CODE_RBX  3
#define CODE_RBP  6
#define CODE_RSP  7
#define CODE_RIP  16
#define CODE_REGS 17

struct code;

struct code *code_new(void); /* NULL: no memory */
void code_free(struct code *c);

/* Where a file is mapped. `path` is a hint: it may be in another mount namespace, or gone. */
struct code_area {
	struct range_file file;
	const char *path;
	pid_t pid;
	uint64_t start, end;
};

/* Asked again for a file that is known it does nothing. */
void code_add(struct code *c, const struct code_area *a);

enum code_how {
	CODE_SAME = 0,	/* it is what it was */
	CODE_UNDEFINED, /* not known; of the address to return to: nobody called */
	CODE_AT_CFA,	/* it lies at the CFA plus `offset` */
	CODE_IS_CFA,	/* it is the CFA plus `offset` */
};

/*
 * How the caller's registers are found, as the CFI has it. CFA: the value of the stack pointer
 * before the call.
 */
struct code_row {
	bool known;  /* there is CFI for the place */
	bool signal; /* of a signal handler: its "caller" was interrupted, and called nothing */
	bool hard;   /* it takes the evaluation of expressions: code_frame() */
	uint8_t cfa_reg;
	uint8_t how[CODE_REGS]; /* enum code_how */
	int32_t cfa_offset;
	int32_t offset[CODE_REGS];
};

const struct code_row *code_row(struct code *c, const struct range_file *file, uint64_t offset);
/* The same as libdw has it; NULL: no memory. The caller frees it. */
Dwarf_Frame *code_frame(struct code *c, const struct range_file *file, uint64_t offset);
/*
 * What a person calls the code at this place: "pool_connect (worker)", or "0x1234 (worker)" when
 * nobody knows. Returns buf.
 */
const char *code_name(struct code *c, const struct range_file *file, uint64_t offset, char *buf,
		      size_t size);

#endif
