/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Unwinding a copied user stack: by the CFI of the files that are mapped, and where that does not
 * lead on, by frame pointers.
 */
#ifndef CKPT_UNWIND_H
#define CKPT_UNWIND_H

#include "code.h"
#include "ranges.h"

#define UNWIND_FRAMES_MAX 64
#define UNWIND_WORDS_MAX  128

/* A stack as it was: registers, and what lay from the stack pointer on. */
struct unwind_stack {
	uint64_t reg[CODE_REGS];
	const uint8_t *bytes; /* borrowed */
	size_t n_bytes;
};

struct unwind_frame {
	struct range_file file; /* zero: code of no file */
	uint64_t place; /* offset in the file, or an address; of the call, not of what follows it */
	uint64_t address; /* as it stands on the stack, or in the register */
	bool signal;	  /* of no function: a signal handler was called here */
	bool call;	  /* it is one to return to: the place is before it */
};

/* A word of the stack by which the unwinding went. */
struct unwind_word {
	uint64_t at, value; /* bytes from the stack pointer */
};

struct unwound {
	struct unwind_frame frame[UNWIND_FRAMES_MAX]; /* innermost first */
	size_t n;
	struct unwind_word word[UNWIND_WORDS_MAX];
	size_t n_words;
	bool with_bp; /* it went by rbp's value at the beginning, too */
	bool partial; /* it went by more than is told here */
};

/* `areas`: what was mapped then. There is one frame at least, unless nothing is known. */
void unwind(struct code *c, const struct ranges *areas, const struct unwind_stack *s,
	    struct unwound *ret);
/* What the address is of now; `call`: of a return address. False: of no code. */
bool unwind_place(const struct ranges *areas, uint64_t address, bool call,
		  struct unwind_frame *ret);

#endif
