// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Files of code, by libdwfl: each is a Dwfl of its own with one module, whose addresses are those
 * of the file itself. The files are the programs', and may be anything, at any time: they are read,
 * not mapped, lest one that is cut short meanwhile ends us.
 */
#include "code.h"
#include "util.h"

#include <dwarf.h>
#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "idmap.h"

/* Files that are remembered; a program with more plug-ins has the rest without names. */
#define FILES_MAX 4096
/* Of these, as many are open at a time. */
#define OPEN_MAX 256
/* Larger ones are not looked into. */
#define FILE_BYTES_MAX ((off_t)4 << 30)
#define LOADS_MAX      16
/* Rows that are kept, by place. */
#define ROWS_MAX 16384

struct symbol {
	uint64_t address, size;
	const char *name; /* libdwfl's */
};

struct file {
	struct range_file id;
	char *path; /* owned */
	uint32_t number;
	bool tried; /* to open it */
	uint64_t used;
	int fd;		     /* owned; -1: it is not open */
	Dwfl *dwfl;	     /* owned */
	Dwfl_Module *module; /* dwfl's */
	GElf_Addr bias;	     /* what dwfl adds to addresses */

	struct {
		uint64_t offset, bytes, address;
	} load[LOADS_MAX];

	size_t n_loads;
	bool has_symbols;
	struct symbol *symbol; /* owned: by address */
	size_t n_symbols;
};

struct row {
	uint32_t file; /* its number; 0: free */
	uint64_t offset;
	struct code_row row;
};

struct code {
	struct idmap files; /* by hash of their identity; owned */
	size_t n_open;
	uint64_t clock;
	uint32_t numbers;
	struct row row[ROWS_MAX];
};

struct code *code_new(void)
{
	elf_version(EV_CURRENT);
	return calloc(1, sizeof(struct code));
}

/* ---- opening ---- */

static int find_elf(Dwfl_Module *mod, void **userdata, const char *name, Dwarf_Addr base,
		    char **file_name, Elf **elf)
{
	(void)mod;
	(void)name;
	(void)base;
	(void)file_name;
	*elf = *userdata;
	return -1;
}

/* Debug files are those of the machine (/usr/lib/debug/.build-id); no server is asked. */
static const Dwfl_Callbacks callbacks = {
	.find_elf = find_elf,
	.find_debuginfo = dwfl_build_id_find_debuginfo,
	.section_address = dwfl_offline_section_address,
};

static void file_close(struct code *c, struct file *f)
{
	if (f->fd < 0)
		return;
	if (f->dwfl)
		dwfl_end(f->dwfl);
	close_reset(&f->fd);
	free(f->symbol);
	f->dwfl = NULL;
	f->module = NULL;
	f->symbol = NULL;
	f->n_symbols = f->n_loads = 0;
	f->has_symbols = f->tried = false;
	c->n_open--;
}

/* Not a device or a FIFO, which would answer in ways of their own; and the right one. The device's
 * number is another one for stat(2) on some file systems. */
static int open_one(const char *path, const struct range_file *id)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_BYTES_MAX ||
	    st.st_ino != id->ino)
		return -1;
	return TAKE_FD(fd);
}

static bool take_loads(struct file *f, Elf *elf, GElf_Addr *ret_low, GElf_Addr *ret_high)
{
	GElf_Ehdr header;
	GElf_Phdr ph;
	size_t n = 0;

	if (elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &header) ||
	    header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64 ||
	    elf_getphdrnum(elf, &n) < 0)
		return false;
	*ret_low = UINT64_MAX;
	*ret_high = 0;
	for (size_t i = 0; i < n && f->n_loads < LOADS_MAX; i++) {
		if (!gelf_getphdr(elf, (int)i, &ph) || ph.p_type != PT_LOAD ||
		    ph.p_vaddr + ph.p_memsz < ph.p_vaddr)
			continue;
		f->load[f->n_loads].offset = ph.p_offset;
		f->load[f->n_loads].bytes = ph.p_filesz;
		f->load[f->n_loads++].address = ph.p_vaddr;
		*ret_low = ph.p_vaddr < *ret_low ? ph.p_vaddr & ~4095ULL : *ret_low;
		*ret_high =
			ph.p_vaddr + ph.p_memsz > *ret_high ? ph.p_vaddr + ph.p_memsz : *ret_high;
	}
	return *ret_high > *ret_low;
}

/* What is no ELF file is open without anything in it. */
static void take_elf(struct file *f)
{
	Elf *elf = elf_begin(f->fd, ELF_C_READ, NULL);
	GElf_Addr low, high;
	void **userdata;

	if (!elf || !take_loads(f, elf, &low, &high) || !(f->dwfl = dwfl_begin(&callbacks))) {
		elf_end(elf);
		return;
	}
	dwfl_report_begin(f->dwfl);
	f->module = dwfl_report_module(f->dwfl, "code", low, high);
	if (!f->module ||
	    !dwfl_module_info(f->module, &userdata, NULL, NULL, NULL, NULL, NULL, NULL)) {
		f->module = NULL;
		elf_end(elf);
		return;
	}
	*userdata = elf; /* handed over with dwfl_module_getelf() */
	dwfl_report_end(f->dwfl, NULL, NULL);
	if (!dwfl_module_getelf(f->module, &f->bias))
		f->module = NULL;
}

static void make_room(struct code *c)
{
	struct file *oldest = NULL;

	idmap_each(&c->files, s)
	{
		struct file *f = s->value;

		if (f->fd >= 0 && (!oldest || f->used < oldest->used))
			oldest = f;
	}
	if (oldest)
		file_close(c, oldest);
}

static void file_open(struct code *c, struct file *f, const struct code_area *a)
{
	char path[64];

	f->tried = true;
	f->fd = open_one(f->path, &f->id);
	if (f->fd < 0 && a && a->pid) {
		snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, a->pid,
			 a->start, a->end);
		f->fd = open_one(path, &f->id);
	}
	if (f->fd < 0)
		return;
	if (c->n_open == OPEN_MAX)
		make_room(c);
	c->n_open++;
	f->used = ++c->clock;
	take_elf(f);
}

static uint64_t hash_of(const struct range_file *id)
{
	uint64_t h = id->ino * 0x9e3779b97f4a7c15ULL;

	return (h ^ h >> 29 ^ ((uint64_t)id->dev_major << 32 | id->dev_minor)) *
	       0xbf58476d1ce4e5b9ULL;
}

static bool is_file(const struct file *f, const struct range_file *id)
{
	return f->id.ino == id->ino && f->id.dev_major == id->dev_major &&
	       f->id.dev_minor == id->dev_minor;
}

void code_add(struct code *c, const struct code_area *a)
{
	struct file *f = idmap_get(&c->files, hash_of(&a->file));

	if (f || !a->file.ino || c->files.n == FILES_MAX)
		return;
	f = calloc(1, sizeof(*f));
	if (!f)
		return;
	f->id = a->file;
	f->fd = -1;
	f->path = strdup(a->path);
	f->number = ++c->numbers;
	if (!f->path || idmap_put(&c->files, hash_of(&a->file), f) < 0) {
		free(f->path);
		free(f);
		return;
	}
	file_open(c, f, a);
}

/* NULL: unknown. It is open, if it can be. */
static struct file *find(struct code *c, const struct range_file *id)
{
	struct file *f = id->ino ? idmap_get(&c->files, hash_of(id)) : NULL;

	if (!f || !is_file(f, id))
		return NULL;
	/* Closed to make room. */
	if (f->fd < 0 && !f->tried)
		file_open(c, f, NULL);
	f->used = ++c->clock;
	return f;
}

void code_free(struct code *c)
{
	if (!c)
		return;
	idmap_each(&c->files, s)
	{
		struct file *f = s->value;

		file_close(c, f);
		free(f->path);
		free(f);
	}
	idmap_done(&c->files);
	free(c);
}

/* ---- rows ---- */

/* Where the segment that has this part of the file is meant to be. */
static bool address_of(const struct file *f, uint64_t offset, uint64_t *ret)
{
	for (size_t i = 0; i < f->n_loads; i++)
		if (offset >= f->load[i].offset && offset - f->load[i].offset < f->load[i].bytes) {
			*ret = offset - f->load[i].offset + f->load[i].address;
			return true;
		}
	return false;
}

Dwarf_Frame *code_frame(struct code *c, const struct range_file *file, uint64_t offset)
{
	struct file *f = find(c, file);
	Dwarf_Frame *frame = NULL;
	Dwarf_Addr address, bias;
	Dwarf_CFI *cfi;

	if (!f || !f->module || !address_of(f, offset, &address))
		return NULL;
	address += f->bias;
	cfi = dwfl_module_eh_cfi(f->module, &bias);
	if (cfi && !dwarf_cfi_addrframe(cfi, address - bias, &frame))
		return frame;
	cfi = dwfl_module_dwarf_cfi(f->module, &bias);
	if (cfi && !dwarf_cfi_addrframe(cfi, address - bias, &frame))
		return frame;
	return NULL;
}

/* A register's rule, unless it takes an expression. */
static bool take_rule(Dwarf_Frame *frame, int reg, struct code_row *row)
{
	Dwarf_Op memory[3], *ops;
	size_t n, at = 1;
	int64_t offset = 0;

	if (dwarf_frame_register(frame, reg, memory, &ops, &n) < 0)
		return false;
	if (!n) {
		row->how[reg] = ops ? CODE_UNDEFINED : CODE_SAME;
		return true;
	}
	if (ops[0].atom != DW_OP_call_frame_cfa)
		return false;
	if (at < n && ops[at].atom == DW_OP_plus_uconst)
		offset = (int64_t)ops[at++].number;
	row->how[reg] = CODE_AT_CFA;
	if (at < n && ops[at].atom == DW_OP_stack_value) {
		row->how[reg] = CODE_IS_CFA;
		at++;
	}
	row->offset[reg] = (int32_t)offset;
	return at == n && row->offset[reg] == offset;
}

static void take_row(Dwarf_Frame *frame, struct code_row *row)
{
	Dwarf_Op *ops;
	size_t n;
	bool signal = false;

	/* The register of the return address is the same in all code of x86-64. */
	row->known = dwarf_frame_info(frame, NULL, NULL, &signal) == CODE_RIP;
	row->signal = signal;
	if (dwarf_frame_cfa(frame, &ops, &n) < 0 || !n) {
		row->known = false;
		return;
	}
	row->hard = n != 1 || ops[0].atom != DW_OP_bregx || ops[0].number >= CODE_REGS ||
		    (int64_t)ops[0].number2 != (int32_t)ops[0].number2;
	row->cfa_reg = (uint8_t)ops[0].number;
	row->cfa_offset = (int32_t)ops[0].number2;
	for (int i = 0; i < CODE_REGS && !row->hard; i++)
		row->hard = !take_rule(frame, i, row);
}

const struct code_row *code_row(struct code *c, const struct range_file *file, uint64_t offset)
{
	static const struct code_row none;
	struct file *f = find(c, file);
	uint64_t place = f ? (offset ^ (uint64_t)f->number << 40) * 0x9e3779b97f4a7c15ULL : 0;
	struct row *r = &c->row[place >> 50];

	_Static_assert(ROWS_MAX == 1 << (64 - 50), "");
	if (!f)
		return &none;
	if (r->file == f->number && r->offset == offset)
		return &r->row;
	Dwarf_Frame *frame = code_frame(c, file, offset);

	*r = (struct row){ .file = f->number, .offset = offset };
	if (frame)
		take_row(frame, &r->row);
	free(frame);
	return &r->row;
}

/* ---- names ---- */

static int by_address(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	return x->address < y->address ? -1 : x->address > y->address;
}

/* Functions of all tables that there are: .symtab or .dynsym, the debug file's, .gnu_debugdata. */
static void take_symbols(struct file *f)
{
	int n = dwfl_module_getsymtab(f->module);

	f->has_symbols = true;
	f->symbol = n > 0 ? calloc((size_t)n, sizeof(*f->symbol)) : NULL;
	for (int i = 1; f->symbol && i < n; i++) {
		GElf_Sym sym;
		GElf_Addr address;
		const char *name =
			dwfl_module_getsym_info(f->module, i, &sym, &address, NULL, NULL, NULL);
		int type = GELF_ST_TYPE(sym.st_info);

		if (name && *name && sym.st_shndx != SHN_UNDEF && address &&
		    (type == STT_FUNC || type == STT_GNU_IFUNC))
			f->symbol[f->n_symbols++] =
				(struct symbol){ address - f->bias, sym.st_size, name };
	}
	if (f->n_symbols)
		qsort(f->symbol, f->n_symbols, sizeof(*f->symbol), by_address);
}

static const char *find_symbol(const struct file *f, uint64_t address)
{
	size_t low = 0, high = f->n_symbols;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (f->symbol[mid].address <= address)
			low = mid + 1;
		else
			high = mid;
	}
	/* Of several at one address any will do, best one without underscores; one without a size
	 * reaches to the next. */
	const struct symbol *best = NULL;

	for (size_t i = low; i-- > 0 && low - i < 8;) {
		const struct symbol *s = &f->symbol[i];

		if (best && s->address != best->address)
			break;
		if ((!s->size || address - s->address < s->size) &&
		    (!best || (best->name[0] == '_' && s->name[0] != '_')))
			best = s;
	}
	return best ? best->name : NULL;
}

const char *code_name(struct code *c, const struct range_file *file, uint64_t offset, char *buf,
		      size_t size)
{
	struct file *f = find(c, file);
	const char *name = NULL, *base = f ? strrchr(f->path, '/') : NULL;
	uint64_t address;

	if (f && f->module && address_of(f, offset, &address)) {
		if (!f->has_symbols)
			take_symbols(f);
		name = find_symbol(f, address);
	}
	base = base ? base + 1 : f ? f->path : "?";
	/* Without the symbol's version. */
	if (name)
		snprintf(buf, size, "%.*s (%s)", (int)strcspn(name, "@"), name, base);
	else
		snprintf(buf, size, "0x%" PRIx64 " (%s)", offset, base);
	return buf;
}
