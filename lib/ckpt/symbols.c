// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Symbol tables of ELF files (elf(5)), mapped as long as they are used. The files are the
 * program's, and may be anything: every offset and length is checked against the file's size.
 */
#include "symbols.h"
#include "util.h"

#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* Files that are remembered; a program with more plug-ins has the rest without names. */
#define FILES_MAX 2048
/* Larger ones are not looked into. */
#define FILE_BYTES_MAX ((size_t)4 << 30)

struct symbol {
	uint64_t address, size;
	const char *name; /* in the mapped file */
};

/* A mapped ELF file. */
struct elf {
	const uint8_t *map;
	size_t len;
	struct symbol *symbol; /* owned: by address */
	size_t n;
};

struct file {
	char *path;  /* owned */
	bool looked; /* for its build id */
	bool has_id;
	uint8_t build_id[SYMBOLS_BUILD_ID];
	bool opened;
	struct elf own, debug; /* that of /usr/lib/debug, when there is one */
};

struct symbols {
	struct file *file; /* owned */
	size_t n, size;
};

struct symbols *symbols_new(void)
{
	return calloc(1, sizeof(struct symbols));
}

/* ---- ELF ---- */

static const void *part(const struct elf *e, uint64_t offset, uint64_t len)
{
	return offset <= e->len && len <= e->len - offset ? e->map + offset : NULL;
}

static int elf_open(struct elf *e, const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;

	*e = (struct elf){ 0 };
	/* Not a device or a FIFO, which would answer in ways of their own. */
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_size < (off_t)sizeof(Elf64_Ehdr) || (uint64_t)st.st_size > FILE_BYTES_MAX)
		return -ENOENT;
	void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);

	if (map == MAP_FAILED)
		return -errno;
	e->map = map;
	e->len = (size_t)st.st_size;
	if (memcmp(e->map, ELFMAG, SELFMAG) != 0 || e->map[EI_CLASS] != ELFCLASS64 ||
	    e->map[EI_DATA] != ELFDATA2LSB) {
		munmap(map, e->len);
		*e = (struct elf){ 0 };
		return -ENOEXEC;
	}
	return 0;
}

static void elf_close(struct elf *e)
{
	if (e->map)
		munmap((void *)(uintptr_t)e->map, e->len);
	free(e->symbol);
	*e = (struct elf){ 0 };
}

static const Elf64_Ehdr *header(const struct elf *e)
{
	return (const void *)e->map;
}

/* Programs headers may lie anywhere: they are copied. */
static bool program_header(const struct elf *e, unsigned int i, Elf64_Phdr *ret)
{
	const Elf64_Ehdr *h = header(e);
	const void *p = i < h->e_phnum && h->e_phentsize == sizeof(*ret)
				? part(e, h->e_phoff + (uint64_t)i * sizeof(*ret), sizeof(*ret))
				: NULL;

	if (p)
		memcpy(ret, p, sizeof(*ret));
	return p != NULL;
}

static bool section_header(const struct elf *e, uint64_t i, Elf64_Shdr *ret)
{
	const Elf64_Ehdr *h = header(e);
	const void *p = i < h->e_shnum && h->e_shentsize == sizeof(*ret)
				? part(e, h->e_shoff + i * sizeof(*ret), sizeof(*ret))
				: NULL;

	if (p)
		memcpy(ret, p, sizeof(*ret));
	return p != NULL;
}

/* The build id among the notes of one segment. */
static bool note_build_id(const uint8_t *p, uint64_t len, uint8_t ret[SYMBOLS_BUILD_ID])
{
	Elf64_Nhdr n;

	while (len >= sizeof(n)) {
		memcpy(&n, p, sizeof(n));
		uint64_t name = ((uint64_t)n.n_namesz + 3) & ~3ULL;
		uint64_t desc = ((uint64_t)n.n_descsz + 3) & ~3ULL;

		if (name + desc > len - sizeof(n))
			return false;
		if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == 4 &&
		    !memcmp(p + sizeof(n), "GNU", 4) && n.n_descsz && n.n_descsz <= 20) {
			memset(ret, 0, SYMBOLS_BUILD_ID);
			memcpy(ret, p + sizeof(n) + name, n.n_descsz);
			return true;
		}
		p += sizeof(n) + name + desc;
		len -= sizeof(n) + name + desc;
	}
	return false;
}

static bool elf_build_id(const struct elf *e, uint8_t ret[SYMBOLS_BUILD_ID])
{
	Elf64_Phdr ph;

	for (unsigned int i = 0; program_header(e, i, &ph); i++) {
		const uint8_t *p = ph.p_type == PT_NOTE ? part(e, ph.p_offset, ph.p_filesz) : NULL;

		if (p && note_build_id(p, ph.p_filesz, ret))
			return true;
	}
	return false;
}

static int by_address(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	return x->address < y->address ? -1 : x->address > y->address;
}

/* Functions of one table, `strings` being its names. */
static void read_table(struct elf *e, const Elf64_Shdr *table, const Elf64_Shdr *strings)
{
	const char *text = part(e, strings->sh_offset, strings->sh_size);
	const uint8_t *p = part(e, table->sh_offset, table->sh_size);
	size_t n = table->sh_size / sizeof(Elf64_Sym);

	/* The last name must have an end. */
	if (!text || !p || !strings->sh_size || text[strings->sh_size - 1])
		return;
	struct symbol *grown = reallocarray(e->symbol, e->n + n, sizeof(*grown));

	if (!grown)
		return;
	e->symbol = grown;
	for (size_t i = 0; i < n; i++, p += sizeof(Elf64_Sym)) {
		Elf64_Sym s;

		memcpy(&s, p, sizeof(s));
		if (ELF64_ST_TYPE(s.st_info) != STT_FUNC || !s.st_value ||
		    s.st_shndx == SHN_UNDEF || s.st_name >= strings->sh_size || !text[s.st_name])
			continue;
		e->symbol[e->n++] = (struct symbol){ s.st_value, s.st_size, text + s.st_name };
	}
}

static void read_symbols(struct elf *e)
{
	Elf64_Shdr s, strings;

	for (uint64_t i = 0; section_header(e, i, &s); i++)
		if ((s.sh_type == SHT_SYMTAB || s.sh_type == SHT_DYNSYM) &&
		    section_header(e, s.sh_link, &strings))
			read_table(e, &s, &strings);
	if (e->n)
		qsort(e->symbol, e->n, sizeof(*e->symbol), by_address);
}

static const char *find_symbol(const struct elf *e, uint64_t address)
{
	size_t low = 0, high = e->n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (e->symbol[mid].address <= address)
			low = mid + 1;
		else
			high = mid;
	}
	/* Of several at one address any will do; one without a size reaches to the next. */
	for (size_t i = low; i-- > 0 && low - i < 4;) {
		const struct symbol *s = &e->symbol[i];

		if (!s->size || address - s->address < s->size)
			return s->name;
	}
	return NULL;
}

/* Where the segment that has this part of the file is meant to be. */
static bool address_of(const struct elf *e, uint64_t offset, uint64_t *ret)
{
	Elf64_Phdr ph;

	for (unsigned int i = 0; program_header(e, i, &ph); i++)
		if (ph.p_type == PT_LOAD && offset >= ph.p_offset &&
		    offset - ph.p_offset < ph.p_filesz) {
			*ret = offset - ph.p_offset + ph.p_vaddr;
			return true;
		}
	return false;
}

/* ---- files ---- */

static void file_done(struct file *f)
{
	elf_close(&f->own);
	elf_close(&f->debug);
	free(f->path);
}

void symbols_free(struct symbols *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		file_done(&s->file[i]);
	free(s->file);
	free(s);
}

void symbols_add_file(struct symbols *s, const char *path)
{
	if (path[0] != '/' || s->n == FILES_MAX)
		return;
	/* The one that was added last is asked for again at once: the segments of a library. */
	for (size_t i = s->n; i-- > 0;)
		if (!strcmp(s->file[i].path, path))
			return;
	if (s->n == s->size) {
		size_t size = s->size ? s->size * 2 : 16;
		struct file *grown = reallocarray(s->file, size, sizeof(*grown));

		if (!grown)
			return;
		s->file = grown;
		s->size = size;
	}
	s->file[s->n] = (struct file){ .path = strdup(path) };
	s->n += s->file[s->n].path != NULL;
}

static void look_at(struct file *f)
{
	struct elf e;

	f->looked = true;
	if (elf_open(&e, f->path) < 0)
		return;
	f->has_id = elf_build_id(&e, f->build_id);
	elf_close(&e);
}

static struct file *find_file(struct symbols *s, const uint8_t *build_id)
{
	for (size_t i = 0; i < s->n; i++) {
		struct file *f = &s->file[i];

		if (!f->looked)
			look_at(f);
		if (f->has_id && !memcmp(f->build_id, build_id, SYMBOLS_BUILD_ID))
			return f;
	}
	return NULL;
}

/* Both tables are used: a file without .symtab has .dynsym, its debug file the former. */
static void open_tables(struct file *f)
{
	char path[128] = "/usr/lib/debug/.build-id/";
	size_t n = strlen(path);
	uint8_t id[SYMBOLS_BUILD_ID];

	f->opened = true;
	if (!elf_open(&f->own, f->path)) {
		/* Was it replaced since? */
		if (elf_build_id(&f->own, id) && !memcmp(id, f->build_id, sizeof(id)))
			read_symbols(&f->own);
		else
			elf_close(&f->own);
	}
	for (size_t i = 0; i < SYMBOLS_BUILD_ID; i++)
		n += (size_t)snprintf(path + n, sizeof(path) - n, "%02x%s", f->build_id[i],
				      i ? "" : "/");
	snprintf(path + n, sizeof(path) - n, ".debug");
	if (!elf_open(&f->debug, path))
		read_symbols(&f->debug);
}

const char *symbols_name(struct symbols *s, const uint8_t build_id[SYMBOLS_BUILD_ID],
			 uint64_t offset, char *buf, size_t size)
{
	struct file *f = find_file(s, build_id);
	const char *name = NULL, *base = "?";
	uint64_t address;

	if (f) {
		base = strrchr(f->path, '/') + 1;
		if (!f->opened)
			open_tables(f);
		if (f->own.map && address_of(&f->own, offset, &address)) {
			name = find_symbol(&f->debug, address);
			if (!name)
				name = find_symbol(&f->own, address);
		}
	}
	if (name)
		snprintf(buf, size, "%s (%s)", name, base);
	else
		snprintf(buf, size, "0x%" PRIx64 " (%s)", offset, base);
	return buf;
}
