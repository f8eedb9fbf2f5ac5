// SPDX-License-Identifier: LGPL-2.1-or-later
/* Unwinding. See unwind.h. */
#include "unwind.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#define EXPRESSION_MAX 64 /* operations, and depth */

/* Where a register's value comes from. */
enum origin {
	FROM_CFA = 0,	/* it is computed */
	FROM_REGISTERS, /* as it was at the beginning */
	FROM_STACK,
};

struct reg {
	bool known;
	enum origin origin;
	uint64_t value, at; /* at: FROM_STACK */
};

struct cursor {
	struct code *code;
	const struct unwind_stack *stack;
	struct unwound *ret;
	struct reg reg[CODE_REGS];
	const struct unwind_frame *frame; /* the one whose caller is looked for */
};

static void add_word(struct unwound *u, uint64_t at, uint64_t value)
{
	for (size_t i = u->n_words; i-- > 0;)
		if (u->word[i].at == at)
			return;
	if (u->n_words == UNWIND_WORDS_MAX)
		u->partial = true;
	else
		u->word[u->n_words++] = (struct unwind_word){ at, value };
}

static bool read_word(const struct cursor *c, uint64_t address, uint64_t *ret)
{
	uint64_t at = address - c->stack->reg[CODE_RSP];

	if (at > c->stack->n_bytes || c->stack->n_bytes - at < sizeof(*ret))
		return false;
	memcpy(ret, c->stack->bytes + at, sizeof(*ret));
	return true;
}

/* The way on depends on this register. */
static bool use(struct cursor *c, uint64_t reg, uint64_t *ret)
{
	const struct reg *r = reg < CODE_REGS ? &c->reg[reg] : NULL;

	if (!r || !r->known)
		return false;
	if (r->origin == FROM_STACK)
		add_word(c->ret, r->at, r->value);
	if (r->origin == FROM_REGISTERS && reg == CODE_RBP)
		c->ret->with_bp = true;
	else if (r->origin == FROM_REGISTERS && reg != CODE_RSP && reg != CODE_RIP)
		c->ret->partial = true;
	*ret = r->value;
	return true;
}

static struct reg saved_at(const struct cursor *c, uint64_t address)
{
	struct reg r = { .origin = FROM_STACK, .at = address - c->stack->reg[CODE_RSP] };

	r.known = read_word(c, address, &r.value);
	return r;
}

/* ---- expressions ---- */

struct values {
	uint64_t v[EXPRESSION_MAX];
	size_t n;
};

static bool push(struct values *s, uint64_t value)
{
	if (s->n == EXPRESSION_MAX)
		return false;
	s->v[s->n++] = value;
	return true;
}

/* Two values become one. */
static bool compute(struct values *s, unsigned int op)
{
	if (s->n < 2)
		return false;
	uint64_t b = s->v[--s->n], *a = &s->v[s->n - 1];

	switch (op) {
	case DW_OP_plus:
		*a += b;
		return true;
	case DW_OP_minus:
		*a -= b;
		return true;
	case DW_OP_and:
		*a &= b;
		return true;
	case DW_OP_or:
		*a |= b;
		return true;
	case DW_OP_mul:
		*a *= b;
		return true;
	case DW_OP_shl:
		*a = b < 64 ? *a << b : 0;
		return true;
	case DW_OP_shr:
		*a = b < 64 ? *a >> b : 0;
		return true;
	case DW_OP_eq:
		*a = *a == b;
		return true;
	case DW_OP_ne:
		*a = *a != b;
		return true;
	case DW_OP_ge:
		*a = (int64_t)*a >= (int64_t)b;
		return true;
	case DW_OP_gt:
		*a = (int64_t)*a > (int64_t)b;
		return true;
	case DW_OP_le:
		*a = (int64_t)*a <= (int64_t)b;
		return true;
	case DW_OP_lt:
		*a = (int64_t)*a < (int64_t)b;
		return true;
	default:
		return false;
	}
}

static bool push_register(struct cursor *c, struct values *s, uint64_t reg, uint64_t offset)
{
	uint64_t value;

	return use(c, reg, &value) && push(s, value + offset);
}

static bool deref(struct cursor *c, struct values *s)
{
	uint64_t address = s->n ? s->v[s->n - 1] : 0;

	if (!s->n || !read_word(c, address, &s->v[s->n - 1]))
		return false;
	add_word(c->ret, address - c->stack->reg[CODE_RSP], s->v[s->n - 1]);
	return true;
}

static bool step(struct cursor *c, struct values *s, const Dwarf_Op *op, uint64_t cfa)
{
	if (op->atom >= DW_OP_lit0 && op->atom <= DW_OP_lit31)
		return push(s, op->atom - DW_OP_lit0);
	if (op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31)
		return push_register(c, s, op->atom - DW_OP_breg0, op->number);
	switch (op->atom) {
	case DW_OP_call_frame_cfa:
		return push(s, cfa);
	case DW_OP_bregx:
		return push_register(c, s, op->number, op->number2);
	case DW_OP_const1u:
	case DW_OP_const1s:
	case DW_OP_const2u:
	case DW_OP_const2s:
	case DW_OP_const4u:
	case DW_OP_const4s:
	case DW_OP_const8u:
	case DW_OP_const8s:
	case DW_OP_constu:
	case DW_OP_consts:
		return push(s, op->number);
	case DW_OP_plus_uconst:
		if (s->n)
			s->v[s->n - 1] += op->number;
		return s->n > 0;
	case DW_OP_deref:
		return deref(c, s);
	case DW_OP_dup:
		return s->n && push(s, s->v[s->n - 1]);
	case DW_OP_drop:
		return s->n && s->n--;
	case DW_OP_nop:
		return true;
	default:
		return compute(s, op->atom);
	}
}

/* *ret_value: what it gives is the value, not where that lies. */
static bool evaluate(struct cursor *c, const Dwarf_Op *ops, size_t n, uint64_t cfa, uint64_t *ret,
		     bool *ret_value)
{
	struct values s = { .n = 0 };

	*ret_value = false;
	for (size_t i = 0; i < n && i < EXPRESSION_MAX; i++) {
		if (ops[i].atom == DW_OP_stack_value)
			*ret_value = true;
		else if (!step(c, &s, &ops[i], cfa))
			return false;
	}
	if (!s.n || n > EXPRESSION_MAX)
		return false;
	*ret = s.v[s.n - 1];
	return true;
}

/* ---- one frame up ---- */

static struct reg hard_register(struct cursor *c, Dwarf_Frame *frame, int reg, uint64_t cfa)
{
	struct reg r = { .known = false };
	Dwarf_Op memory[3], *ops;
	uint64_t value;
	bool is_value;
	size_t n;

	if (dwarf_frame_register(frame, reg, memory, &ops, &n) < 0)
		return r;
	if (!n)
		return ops ? r : c->reg[reg];
	if (n == 1 && ops[0].atom == DW_OP_regx)
		return ops[0].number < CODE_REGS ? c->reg[ops[0].number] : r;
	if (!evaluate(c, ops, n, cfa, &value, &is_value))
		return r;
	return is_value ? (struct reg){ .known = true, .value = value } : saved_at(c, value);
}

static bool step_hard(struct cursor *c, uint64_t *ret_cfa, struct reg to[CODE_REGS])
{
	Dwarf_Frame *frame = code_frame(c->code, &c->frame->file, c->frame->place);
	bool is_value, ok;
	Dwarf_Op *ops;
	size_t n;

	ok = frame && dwarf_frame_cfa(frame, &ops, &n) == 0 &&
	     evaluate(c, ops, n, 0, ret_cfa, &is_value);
	for (int i = 0; ok && i < CODE_REGS; i++)
		to[i] = hard_register(c, frame, i, *ret_cfa);
	free(frame);
	return ok;
}

static bool step_plain(struct cursor *c, const struct code_row *row, uint64_t *ret_cfa,
		       struct reg to[CODE_REGS])
{
	uint64_t base;

	if (!use(c, row->cfa_reg, &base))
		return false;
	*ret_cfa = base + (uint64_t)(int64_t)row->cfa_offset;
	for (int i = 0; i < CODE_REGS; i++) {
		uint64_t place = *ret_cfa + (uint64_t)(int64_t)row->offset[i];

		switch ((enum code_how)row->how[i]) {
		case CODE_SAME:
			to[i] = c->reg[i];
			break;
		case CODE_AT_CFA:
			to[i] = saved_at(c, place);
			break;
		case CODE_IS_CFA:
			to[i] = (struct reg){ .known = true, .value = place };
			break;
		case CODE_UNDEFINED:
			to[i].known = false;
			break;
		}
	}
	return true;
}

/* rbp points to where the caller's is kept, next to the address to return to. */
static bool step_frame_pointer(struct cursor *c, uint64_t *ret_cfa, struct reg to[CODE_REGS])
{
	uint64_t bp;

	if (!use(c, CODE_RBP, &bp) || bp % sizeof(uint64_t))
		return false;
	*ret_cfa = bp + 16;
	to[CODE_RBP] = saved_at(c, bp);
	to[CODE_RIP] = saved_at(c, bp + 8);
	to[CODE_RSP] = (struct reg){ .known = true, .value = *ret_cfa };
	return true;
}

bool unwind_place(const struct ranges *areas, uint64_t address, bool call, struct unwind_frame *ret)
{
	const struct range *r = ranges_at(areas, address - call);

	if (!r || r->start > address - call || !(r->flags & RANGE_EXEC))
		return false;
	*ret = (struct unwind_frame){
		.file = r->file, .place = address - call, .address = address, .call = call
	};
	if (r->flags & RANGE_SYSV)
		ret->file = (struct range_file){ 0 };
	else if (r->file.ino)
		ret->place += r->offset - r->start;
	return true;
}

void unwind(struct code *code, const struct ranges *areas, const struct unwind_stack *s,
	    struct unwound *ret)
{
	struct cursor c = { .code = code, .stack = s, .ret = ret };
	/* The kernel returns to the instruction behind the call: that of the call is of it, too. */
	bool call = true;
	uint64_t last_cfa = 0;

	ret->n = ret->n_words = 0;
	ret->with_bp = ret->partial = false;
	for (int i = 0; i < CODE_REGS; i++)
		c.reg[i] = (struct reg){ true, FROM_REGISTERS, s->reg[i], 0 };
	while (ret->n < UNWIND_FRAMES_MAX) {
		struct unwind_frame *frame = &ret->frame[ret->n];
		struct reg to[CODE_REGS] = { 0 };
		const struct code_row *row;
		uint64_t cfa, ip;
		bool ok;

		if (!unwind_place(areas, c.reg[CODE_RIP].value, call, frame))
			break;
		ret->n++;
		c.frame = frame;
		row = code_row(code, &frame->file, frame->place);
		frame->signal = row->signal;
		ok = !row->known ? step_frame_pointer(&c, &cfa, to)
		     : row->hard ? step_hard(&c, &cfa, to)
				 : step_plain(&c, row, &cfa, to);
		/* Frames lie one above the other; an interrupted function's may be on another
		 * stack. */
		if (!ok || !to[CODE_RIP].known || (cfa <= last_cfa && !row->signal))
			break;
		call = !row->signal;
		last_cfa = cfa;
		memcpy(c.reg, to, sizeof(c.reg));
		use(&c, CODE_RIP, &ip);
	}
}
