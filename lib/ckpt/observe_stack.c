// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Stacks of observed processes: copies of them are unwound as the ledger knows the areas at that
 * place of the stream, and the programs are told by what to recognize the next one like it (bpf/
 * trace.h, struct trace_stack). What is unwound has a number, the same for the same functions.
 */
#include "observe_stack.h"
#include "unwind.h"
#include "util.h"

#include <inttypes.h>
#include <stdio.h>
#include <xxhash.h>

#define STACKS_MAX  65536  /* further ones are not told apart: nothing is said of them */
#define PLACES_MAX  262144 /* ways to get there, by which a number is found without names */
#define SAMPLES_MAX 256	   /* copies whose call's records may be still to come */
#define IDS_MAX	    0x20000000U

/* A stack that the programs know. */
struct chain {
	uint32_t id;
	struct trace_stack_key key;
	uint64_t code;			 /* ledger_mm's, when it was looked at last */
	uint64_t stack;			 /* its number */
	struct trace_stack_known *known; /* owned */
	size_t n;
	struct unwind_frame frame[];
};

struct observe_stacks {
	struct code *code; /* owned */
	char **text;	   /* owned: by number - 1 */
	size_t n, size;
	struct idmap by_places, by_text; /* numbers, by hash */

	struct {
		int32_t id;
		uint64_t stack;
	} sample[SAMPLES_MAX];

	struct chain *chain[TRACE_STACKS_KNOWN]; /* owned: by id */
	struct idmap by_key;			 /* chains, by hash of the key */
	uint32_t ids, ways;
	struct unwound unwound;
};

static void chain_free(struct chain *c)
{
	if (c)
		free(c->known);
	free(c);
}

struct observe_stacks *observe_stacks_new(void)
{
	struct observe_stacks *s = calloc(1, sizeof(*s));

	if (s && !(s->code = code_new())) {
		free(s);
		return NULL;
	}
	return s;
}

void observe_stacks_free(struct observe_stacks *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		free(s->text[i]);
	for (size_t i = 0; i < TRACE_STACKS_KNOWN; i++)
		chain_free(s->chain[i]);
	free(s->text);
	idmap_done(&s->by_places);
	idmap_done(&s->by_text);
	idmap_done(&s->by_key);
	code_free(s->code);
	free(s);
}

void observe_code(struct ckpt_observe *o, const struct range *r, const char *path, pid_t pid)
{
	const struct code_area a = {
		.file = r->file, .path = path, .pid = pid, .start = r->start, .end = r->end
	};

	if (o->stacks && r->flags & RANGE_EXEC && !(r->flags & RANGE_SYSV))
		code_add(o->stacks->code, &a);
}

/* ---- numbers ---- */

static char *make_text(struct observe_stacks *s, const struct unwound *u)
{
	char *text = NULL, name[512];
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (size_t i = 0; f && i < u->n; i++) {
		const struct unwind_frame *frame = &u->frame[i];

		if (frame->signal)
			snprintf(name, sizeof(name), "(signal)");
		else if (frame->file.ino)
			code_name(s->code, &frame->file, frame->place, name, sizeof(name));
		else
			snprintf(name, sizeof(name), "0x%" PRIx64, frame->place);
		fprintf(f, "%s%s", i ? "\n" : "", name);
	}
	if (f && fclose(f)) {
		free(text);
		text = NULL;
	}
	return text;
}

/* The number of the text, which is taken over; 0: there is no room. */
static uint64_t number_of_text(struct observe_stacks *s, char *text)
{
	_cleanup_free_ char *mine = text;
	uint64_t hash = XXH3_64bits(text, strlen(text));
	uint64_t number = (uintptr_t)idmap_get(&s->by_text, hash);

	if (number && !strcmp(s->text[number - 1], text))
		return number;
	if (number || s->n == STACKS_MAX)
		return 0;
	if (s->n == s->size) {
		size_t size = s->size ? s->size * 2 : 64;
		char **grown = reallocarray(s->text, size, sizeof(*grown));

		if (!grown)
			return 0;
		s->text = grown;
		s->size = size;
	}
	if (idmap_put(&s->by_text, hash, (void *)(uintptr_t)(s->n + 1)) < 0)
		return 0;
	s->text[s->n++] = TAKE_PTR(mine);
	return s->n;
}

/* Most were there before: then no names are looked up. */
static uint64_t number_of(struct observe_stacks *s, const struct unwound *u)
{
	uint64_t hash = 0, number;
	char *text;

	for (size_t i = 0; i < u->n; i++) {
		const struct unwind_frame *f = &u->frame[i];
		const uint64_t place[] = { f->file.ino,
					   (uint64_t)f->file.dev_major << 32 | f->file.dev_minor,
					   f->place };

		hash = XXH3_64bits_withSeed(place, sizeof(place), hash);
	}
	number = u->n ? (uintptr_t)idmap_get(&s->by_places, hash) : 0;
	if (number || !u->n)
		return number;
	text = make_text(s, u);
	number = text ? number_of_text(s, text) : 0;
	if (s->by_places.n == PLACES_MAX)
		idmap_done(&s->by_places);
	if (number)
		idmap_put(&s->by_places, hash, (void *)(uintptr_t)number);
	return number;
}

const char *observe_stack_text(const struct ckpt_observe *o, uint64_t stack)
{
	return o->stacks && stack && stack <= o->stacks->n ? o->stacks->text[stack - 1] : "";
}

void event_stack(struct ckpt_observe *o, struct event *e, uint64_t stack)
{
	const char *text = observe_stack_text(o, stack);

	if (text[0])
		event_text(e, "stack", text);
}

/* ---- what the programs know ---- */

static uint64_t key_hash(const struct trace_stack_key *key)
{
	return XXH3_64bits(key, sizeof(*key));
}

static struct chain *chain_at(const struct observe_stacks *s, const struct trace_stack_key *key)
{
	struct chain *c = idmap_get(&s->by_key, key_hash(key));

	return c && !memcmp(&c->key, key, sizeof(*key)) ? c : NULL;
}

/* Stacks like it are copied again. What of it is on its way finds it until its place is taken. */
static void forget(struct ckpt_observe *o, struct chain *c)
{
	if (chain_at(o->stacks, &c->key) != c)
		return;
	tracing_forget_stack(o->tracing, &c->key);
	idmap_remove(&o->stacks->by_key, key_hash(&c->key));
}

/*
 * Other code lies at its addresses. If that keeps its callers at the same places, it is they who
 * are there now; else how the stack was recognized means nothing any more.
 */
static bool renew(struct observe_stacks *s, const struct ledger_mm *mm, struct chain *c)
{
	struct unwound *u = &s->unwound;

	u->n = c->n;
	for (size_t i = 0; i < c->n; i++) {
		const struct unwind_frame *f = &c->frame[i];
		struct code_row was = *code_row(s->code, &f->file, f->place);

		if (!unwind_place(&mm->areas, f->address, f->call, &u->frame[i]) ||
		    memcmp(&was, code_row(s->code, &u->frame[i].file, u->frame[i].place),
			   sizeof(was)) != 0)
			return false;
		u->frame[i].signal = was.signal;
	}
	c->stack = number_of(s, u);
	memcpy(c->frame, u->frame, c->n * sizeof(*u->frame));
	return true;
}

/* Is at its addresses what was there? Else it is made so, or forgotten. */
static bool check(struct ckpt_observe *o, struct chain *c)
{
	const struct ledger_mm *mm = ledger_mm(&o->ledger, c->key.mm_id);
	struct unwind_frame now;
	bool same = mm != NULL;

	if (mm && c->code == mm->code)
		return true;
	for (size_t i = 0; same && i < c->n; i++) {
		const struct unwind_frame *f = &c->frame[i];

		same = unwind_place(&mm->areas, f->address, f->call, &now) &&
		       now.place == f->place && memcmp(&now.file, &f->file, sizeof(now.file)) == 0;
	}
	if (!mm || (!same && !renew(o->stacks, mm, c))) {
		forget(o, c);
		return false;
	}
	c->code = mm->code;
	return true;
}

static bool is_like(const struct chain *c, const struct unwind_stack *s)
{
	uint64_t word;

	if (c->known->with_bp && c->known->bp != s->reg[CODE_RBP])
		return false;
	for (size_t i = 0; i < c->known->n; i++) {
		size_t at = c->known->at[i] * sizeof(word);

		if (at + sizeof(word) > s->n_bytes)
			return false;
		memcpy(&word, s->bytes + at, sizeof(word));
		if (word != c->known->word[i])
			return false;
	}
	return true;
}

static struct trace_stack_known *make_known(const struct unwound *u, uint64_t bp)
{
	struct trace_stack_known *k = NULL;

	if (!u->partial && u->n_words <= TRACE_STACK_WORDS)
		k = calloc(1, sizeof(*k));
	if (!k)
		return NULL;
	k->with_bp = u->with_bp;
	k->bp = u->with_bp ? bp : 0;
	for (size_t i = 0; i < u->n_words; i++) {
		if (u->word[i].at % sizeof(uint64_t)) {
			free(k);
			return NULL;
		}
		k->at[i] = (uint16_t)(u->word[i].at / sizeof(uint64_t));
		k->word[i] = u->word[i].value;
		k->n++;
	}
	return k;
}

/* Let the programs know it. Without memory, or room, such stacks are copied again. */
static void learn(struct ckpt_observe *o, const struct ledger_mm *mm, struct trace_stack_key key,
		  const struct unwound *u, uint64_t stack, uint64_t bp)
{
	struct observe_stacks *s = o->stacks;
	struct trace_stack_known *known = make_known(u, bp);
	struct chain *c = known ? malloc(sizeof(*c) + u->n * sizeof(*u->frame)) : NULL, *old;

	if (!c) {
		free(known);
		return;
	}
	for (key.way = 0; key.way < TRACE_STACK_WAYS && chain_at(s, &key);)
		key.way++;
	if (key.way == TRACE_STACK_WAYS)
		key.way = s->ways++ % TRACE_STACK_WAYS;
	s->ids = s->ids % (IDS_MAX - 1) + 1;
	*c = (struct chain){ .id = s->ids,
			     .key = key,
			     .code = mm->code,
			     .stack = stack,
			     .known = known,
			     .n = u->n };
	memcpy(c->frame, u->frame, u->n * sizeof(*u->frame));
	known->id = c->id;
	if ((old = chain_at(s, &key)))
		forget(o, old);
	if ((old = s->chain[c->id % TRACE_STACKS_KNOWN]))
		forget(o, old);
	chain_free(old);
	s->chain[c->id % TRACE_STACKS_KNOWN] = c;
	if (tracing_know_stack(o->tracing, &key, known) < 0 ||
	    idmap_put(&s->by_key, key_hash(&key), c) < 0)
		tracing_forget_stack(o->tracing, &key);
}

/* ---- records ---- */

static void take_registers(uint64_t reg[CODE_REGS], const struct trace_stack *r)
{
	static const uint8_t at[CODE_REGS] = { TRACE_REG_AX,  TRACE_REG_DX,  TRACE_REG_CX,
					       TRACE_REG_BX,  TRACE_REG_SI,  TRACE_REG_DI,
					       TRACE_REG_BP,  TRACE_REG_SP,  TRACE_REG_R8,
					       TRACE_REG_R9,  TRACE_REG_R10, TRACE_REG_R11,
					       TRACE_REG_R12, TRACE_REG_R13, TRACE_REG_R14,
					       TRACE_REG_R15, TRACE_REG_IP };

	for (size_t i = 0; i < CODE_REGS; i++)
		reg[i] = r->regs[at[i]];
}

/* Many of the same may be on their way before the programs know it. */
static uint64_t known_already(struct ckpt_observe *o, struct trace_stack_key key,
			      const struct unwind_stack *s)
{
	for (key.way = 0; key.way < TRACE_STACK_WAYS; key.way++) {
		struct chain *c = chain_at(o->stacks, &key);

		if (c && is_like(c, s) && check(o, c))
			return c->stack;
	}
	return 0;
}

int observe_stack(struct ckpt_observe *o, const struct ledger_at *at,
		  const struct tracing_event *ev)
{
	const struct trace_stack *r = (const void *)ev->head;
	struct observe_stacks *s = o->stacks;
	const struct ledger_mm *mm = ledger_mm(&o->ledger, r->mm_id);
	struct unwind_stack stack = { .bytes = ev->stack, .n_bytes = r->n_bytes };
	const struct trace_stack_key key = { .mm_id = r->mm_id,
					     .ip = r->regs[TRACE_REG_IP],
					     .sp = r->regs[TRACE_REG_SP] };
	uint64_t number;

	(void)at;
	if (!s || !mm)
		return 0;
	take_registers(stack.reg, r);
	number = known_already(o, key, &stack);
	if (!number) {
		unwind(s->code, &mm->areas, &stack, &s->unwound);
		number = number_of(s, &s->unwound);
		if (number)
			learn(o, mm, key, &s->unwound, number, stack.reg[CODE_RBP]);
	}
	s->sample[r->head.stack % SAMPLES_MAX].id = r->head.stack;
	s->sample[r->head.stack % SAMPLES_MAX].stack = number;
	return 0;
}

uint64_t observe_stack_of(struct ckpt_observe *o, const struct trace_head *h)
{
	struct observe_stacks *s = o->stacks;
	struct chain *c;

	if (!s || h->stack <= 0 || h->type == TRACE_STACK)
		return 0;
	if (h->stack & TRACE_STACK_SAMPLE)
		return s->sample[h->stack % SAMPLES_MAX].id == h->stack
			       ? s->sample[h->stack % SAMPLES_MAX].stack
			       : 0;
	c = s->chain[h->stack % TRACE_STACKS_KNOWN];
	return c && c->id == (uint32_t)h->stack && check(o, c) ? c->stack : 0;
}
