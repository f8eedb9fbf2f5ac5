// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A small copy of the kernel's type information. What libbpf's relocations look at is copied
 * faithfully: names, sizes, members with their offsets, enumerators. Pointers all become void
 * pointers (a relocation never looks behind one), and qualifiers and typedefs of members are passed
 * over.
 */
#include "btf_subset.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NAME_SLOTS 1024 /* power of two, several times the number of types wanted */

struct name {
	const char *text;
	size_t len;
};

struct subset {
	const struct btf *kernel;
	struct btf *out;
	int *copied; /* by id in the kernel's: id in out, 0: not yet */
	struct name names[NAME_SLOTS];
	size_t n_names;
};

/* The name without a flavour: everything from "___" on. */
static size_t essential_len(const char *name)
{
	const char *flavour = strstr(name, "___");

	return flavour && flavour != name ? (size_t)(flavour - name) : strlen(name);
}

static struct name *slot_of(struct subset *s, const char *text, size_t len)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)text[i]) * 16777619u;
	for (;; hash++) {
		struct name *n = &s->names[hash % NAME_SLOTS];

		if (!n->text || (n->len == len && !memcmp(n->text, text, len)))
			return n;
	}
}

static bool has_members(const struct btf_type *t)
{
	return btf_is_composite(t) || btf_is_any_enum(t);
}

static int collect_names(struct subset *s, const struct btf *wanted)
{
	__u32 n = btf__type_cnt(wanted);

	for (__u32 id = 1; id < n; id++) {
		const struct btf_type *t = btf__type_by_id(wanted, id);
		const char *text = btf__name_by_offset(wanted, t->name_off);
		size_t len;

		if (!text || !text[0] || (!has_members(t) && !btf_is_fwd(t)))
			continue;
		len = essential_len(text);
		if (s->n_names > NAME_SLOTS / 2)
			return -E2BIG;
		struct name *slot = slot_of(s, text, len);

		s->n_names += !slot->text;
		*slot = (struct name){ text, len };
	}
	return 0;
}

static int copy(struct subset *s, __u32 id);

static int copy_members(struct subset *s, const struct btf_type *t)
{
	const struct btf_member *m = btf_members(t);

	for (__u16 i = 0; i < btf_vlen(t); i++) {
		/* Members first made are of the struct last begun: their types must be there
		 * already. */
		int type = s->copied[m[i].type], rc;

		rc = btf__add_field(s->out, btf__name_by_offset(s->kernel, m[i].name_off), type,
				    btf_member_bit_offset(t, i), btf_member_bitfield_size(t, i));
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int copy_composite(struct subset *s, __u32 id, const struct btf_type *t)
{
	const char *name = btf__name_by_offset(s->kernel, t->name_off);
	const struct btf_member *m = btf_members(t);
	int rc = 0, new_id;

	for (__u16 i = 0; rc >= 0 && i < btf_vlen(t); i++)
		rc = copy(s, m[i].type);
	if (rc < 0)
		return rc;
	new_id = btf_is_union(t) ? btf__add_union(s->out, name, t->size)
				 : btf__add_struct(s->out, name, t->size);
	if (new_id < 0)
		return new_id;
	s->copied[id] = new_id;
	rc = copy_members(s, t);
	return rc < 0 ? rc : new_id;
}

static int copy_enum(struct subset *s, const struct btf_type *t)
{
	const char *name = btf__name_by_offset(s->kernel, t->name_off);
	int id, rc = 0;

	if (btf_is_enum64(t)) {
		const struct btf_enum64 *e = btf_enum64(t);

		id = btf__add_enum64(s->out, name, t->size, btf_kflag(t));
		for (__u16 i = 0; id > 0 && rc >= 0 && i < btf_vlen(t); i++)
			rc = btf__add_enum64_value(s->out,
						   btf__name_by_offset(s->kernel, e[i].name_off),
						   btf_enum64_value(&e[i]));
	} else {
		const struct btf_enum *e = btf_enum(t);

		id = btf__add_enum(s->out, name, t->size);
		for (__u16 i = 0; id > 0 && rc >= 0 && i < btf_vlen(t); i++)
			rc = btf__add_enum_value(
				s->out, btf__name_by_offset(s->kernel, e[i].name_off), e[i].val);
	}
	return rc < 0 ? rc : id;
}

static int copy_array(struct subset *s, const struct btf_type *t)
{
	const struct btf_array *a = btf_array(t);
	int elem = copy(s, a->type), index = elem < 0 ? elem : copy(s, a->index_type);

	return index < 0 ? index : btf__add_array(s->out, index, elem, a->nelems);
}

/* Copy a type that is contained by value; its id in the copy, 0 for void. */
static int copy(struct subset *s, __u32 id)
{
	const struct btf_type *t = btf__type_by_id(s->kernel, id);
	int new_id;

	if (id == 0 || s->copied[id])
		return id ? s->copied[id] : 0;
	switch (btf_kind(t)) {
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		new_id = copy_composite(s, id, t);
		break;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		new_id = copy_enum(s, t);
		break;
	case BTF_KIND_ARRAY:
		new_id = copy_array(s, t);
		break;
	case BTF_KIND_INT:
		new_id = btf__add_int(s->out, btf__name_by_offset(s->kernel, t->name_off), t->size,
				      btf_int_encoding(t));
		break;
	case BTF_KIND_FLOAT:
		new_id = btf__add_float(s->out, btf__name_by_offset(s->kernel, t->name_off),
					t->size);
		break;
	case BTF_KIND_PTR:
		new_id = btf__add_ptr(s->out, 0);
		break;
	default: /* typedefs, qualifiers and type tags */
		new_id = t->type ? copy(s, t->type) : 0;
		break;
	}
	if (new_id > 0)
		s->copied[id] = new_id;
	return new_id;
}

static int copy_wanted(struct subset *s)
{
	__u32 n = btf__type_cnt(s->kernel);

	for (__u32 id = 1; id < n; id++) {
		const struct btf_type *t = btf__type_by_id(s->kernel, id);
		const char *text;
		int rc;

		if (!has_members(t) || !t->name_off)
			continue;
		text = btf__name_by_offset(s->kernel, t->name_off);
		if (!slot_of(s, text, essential_len(text))->text)
			continue;
		rc = copy(s, id);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int to_memfd(const struct btf *btf)
{
	__u32 size;
	const char *data = btf__raw_data(btf, &size);
	int fd = memfd_create("ckpt-btf", MFD_CLOEXEC);

	if (!data || fd < 0)
		return fd < 0 ? -errno : -ENOMEM;
	while (size > 0) {
		ssize_t n = write(fd, data, size);

		if (n <= 0) {
			close(fd);
			return -EIO;
		}
		data += n;
		size -= (__u32)n;
	}
	return fd;
}

int btf_subset(const struct btf *wanted)
{
	struct subset *s = calloc(1, sizeof(*s));
	struct btf *kernel = btf__load_vmlinux_btf();
	int rc = s && kernel ? 0 : -ENOMEM;

	if (rc == 0) {
		s->kernel = kernel;
		s->copied = calloc(btf__type_cnt(kernel), sizeof(*s->copied));
		s->out = btf__new_empty();
		rc = s->copied && s->out ? collect_names(s, wanted) : -ENOMEM;
	}
	if (rc == 0)
		rc = copy_wanted(s);
	if (rc == 0)
		rc = to_memfd(s->out);
	if (s) {
		btf__free(s->out);
		free(s->copied);
	}
	free(s);
	btf__free(kernel);
	return rc;
}
