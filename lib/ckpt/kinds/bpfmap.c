// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * BPF maps of simple types that nobody but the checkpointed processes has: type, sizes, flags,
 * name, contents, and whether it is frozen. A map gets another id. What programs of the kernel use,
 * or what is pinned, cannot be taken along.
 */
#include "../safe.h"
#include "../util.h"
#include "kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <xxhash.h>

#define ENTRIES_MAX (1u << 28)
#define BYTES_MAX   (1u << 26) /* of a key or a value, on all CPUs */

/* Types that hold plain bytes. */
static const struct map_type {
	const char *name;
	uint32_t type;
	bool array, per_cpu;
} types[] = {
	{ "array", BPF_MAP_TYPE_ARRAY, true, false },
	{ "percpu_array", BPF_MAP_TYPE_PERCPU_ARRAY, true, true },
	{ "hash", BPF_MAP_TYPE_HASH, false, false },
	{ "percpu_hash", BPF_MAP_TYPE_PERCPU_HASH, false, true },
	{ "lpm_trie", BPF_MAP_TYPE_LPM_TRIE, false, false },
};

/* The others by name, as bpftool(8) has them. */
static const char *const other_types[] = {
	[BPF_MAP_TYPE_PROG_ARRAY] = "prog_array",
	[BPF_MAP_TYPE_PERF_EVENT_ARRAY] = "perf_event_array",
	[BPF_MAP_TYPE_STACK_TRACE] = "stack_trace",
	[BPF_MAP_TYPE_CGROUP_ARRAY] = "cgroup_array",
	[BPF_MAP_TYPE_LRU_HASH] = "lru_hash",
	[BPF_MAP_TYPE_LRU_PERCPU_HASH] = "lru_percpu_hash",
	[BPF_MAP_TYPE_ARRAY_OF_MAPS] = "array_of_maps",
	[BPF_MAP_TYPE_HASH_OF_MAPS] = "hash_of_maps",
	[BPF_MAP_TYPE_DEVMAP] = "devmap",
	[BPF_MAP_TYPE_SOCKMAP] = "sockmap",
	[BPF_MAP_TYPE_CPUMAP] = "cpumap",
	[BPF_MAP_TYPE_XSKMAP] = "xskmap",
	[BPF_MAP_TYPE_SOCKHASH] = "sockhash",
	[BPF_MAP_TYPE_QUEUE] = "queue",
	[BPF_MAP_TYPE_STACK] = "stack",
	[BPF_MAP_TYPE_SK_STORAGE] = "sk_storage",
	[BPF_MAP_TYPE_STRUCT_OPS] = "struct_ops",
	[BPF_MAP_TYPE_RINGBUF] = "ringbuf",
	[BPF_MAP_TYPE_INODE_STORAGE] = "inode_storage",
	[BPF_MAP_TYPE_TASK_STORAGE] = "task_storage",
	[BPF_MAP_TYPE_BLOOM_FILTER] = "bloom_filter",
};

static const struct map_type *type_by_number(uint32_t type)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (types[i].type == type)
			return &types[i];
	return NULL;
}

static int sys_bpf(enum bpf_cmd cmd, union bpf_attr *attr)
{
	int rc = (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));

	return rc < 0 ? -errno : rc;
}

static bool match(const struct kind_file *f)
{
	return !strcmp(f->inode->fstype, "anon_inodefs") && !strcmp(f->inode->dname, "bpf-map");
}

/* ---- elements, through a descriptor of our own ---- */

struct map {
	const struct map_type *type;
	uint32_t key_bytes, value_bytes, max_entries, flags, numa_node;
	uint64_t extra;
	char name[16];
	bool frozen;
	size_t value_room;	  /* of a value as bpf(2) hands it over */
	int fd;			  /* owned, or -1 */
	char *key, *next, *value; /* owned */
};

#define MAP_INIT                                                                                   \
	{                                                                                          \
		.fd = -1                                                                           \
	}

static void map_done(struct map *m)
{
	close_reset(&m->fd);
	free(m->key);
	free(m->next);
	free(m->value);
}

static int map_buffers(struct map *m, struct ckpt_err **err)
{
	/* Of each CPU that there can be, each value at a multiple of 8. */
	long cpus = sysconf(_SC_NPROCESSORS_CONF);

	m->value_room = m->value_bytes;
	if (m->type->per_cpu)
		m->value_room = (m->value_bytes + 7UL) / 8 * 8 * (size_t)(cpus > 0 ? cpus : 1);
	m->key = calloc(1, m->key_bytes + 1UL);
	m->next = calloc(1, m->key_bytes + 1UL);
	m->value = calloc(1, m->value_room + 1);
	return m->key && m->next && m->value ? 0 : ckpt_fail_nomem(err);
}

static int lookup(const struct map *m)
{
	union bpf_attr attr = { .map_fd = (uint32_t)m->fd,
				.key = (uintptr_t)m->key,
				.value = (uintptr_t)m->value };

	return sys_bpf(BPF_MAP_LOOKUP_ELEM, &attr);
}

/* The key after the one in m->key, or the first, into m->key; -ENOENT at the end. */
static int advance(struct map *m, bool first)
{
	union bpf_attr attr = { .map_fd = (uint32_t)m->fd,
				.key = first ? 0 : (uintptr_t)m->key,
				.next_key = (uintptr_t)m->next };
	int rc = sys_bpf(BPF_MAP_GET_NEXT_KEY, &attr);

	if (rc == 0)
		memcpy(m->key, m->next, m->key_bytes);
	return rc;
}

struct sum {
	uint64_t n, xxh3; /* of all elements, whatever their order */
};

static uint64_t element_hash(const struct map *m)
{
	return XXH3_64bits_withSeed(m->value, m->value_room, XXH3_64bits(m->key, m->key_bytes));
}

/* Key and value of each element one after the other; to < 0: they are only counted. */
static int copy_out(struct map *m, int to, struct sum *sum, struct ckpt_err **err)
{
	int rc;

	for (rc = advance(m, true); rc == 0; rc = advance(m, false)) {
		rc = lookup(m);
		if (rc == 0 && to >= 0)
			rc = write_all(to, m->key, m->key_bytes);
		if (rc == 0 && to >= 0)
			rc = write_all(to, m->value, m->value_room);
		if (rc < 0)
			break;
		sum->xxh3 += element_hash(m);
		if (++sum->n > m->max_entries)
			return ckpt_fail(err, EAGAIN, CKPT_E_CHANGING,
					 "the map changed while it was read");
	}
	return rc == -ENOENT ? 0 : ckpt_fail_errno(err, rc, CKPT_E_SYS, "read a BPF map");
}

/* ---- saving ---- */

static const struct rec_bpf_map *record(const struct kind_dump *d, const struct kind_file *f)
{
	size_t n;
	const void *const *rows = snapshot_details(d->snap, REC_BPF_MAP, f->tgid, f->fd, &n);

	return n && f->fd >= 0 ? rows[0] : NULL;
}

/* Descriptions of the same map: how many, and which object is the first. */
static uint64_t descriptions(const struct kind_dump *d, uint64_t map_id, uint32_t *ret_first)
{
	uint64_t n = 0;

	for (size_t i = 0; i < d->os->n; i++) {
		const struct kind_file *f = &d->os->row[i].f;
		const struct rec_bpf_map *r = match(f) ? record(d, f) : NULL;

		if (!r || r->map_id != map_id)
			continue;
		if (!n++)
			*ret_first = d->os->row[i].id;
	}
	return n;
}

static int fail_used(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	pid_t pid = kind_outside_holder(d, f, false);
	char who[128];

	kind_process_words(pid, who, sizeof(who));
	ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED, "%s has the map, too",
		  pid ? who : "a BPF program, a pin in bpffs or another process");
	ckpt_hint(err, "unload the programs that use the map, and unpin it, before the checkpoint");
	return -EOPNOTSUPP;
}

static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	const struct rec_bpf_map *r = record(d, f);
	const size_t n_others = sizeof(other_types) / sizeof(other_types[0]);
	uint32_t first;

	if (f->map_end)
		return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED, "a BPF map in memory");
	if (!r)
		return 0; /* running, it has closed it by now */
	if (!type_by_number(r->type))
		return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
				 "BPF maps of type %s are not supported",
				 r->type < n_others && other_types[r->type] ? other_types[r->type]
									    : "unknown");
	if (r->has_btf)
		return ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED,
				 "BPF maps with type information (BTF) are not supported");
	return r->refs > descriptions(d, r->map_id, &first) ? fail_used(d, f, err) : 0;
}

static int open_map(const struct rec_bpf_map *r, struct map *m, struct ckpt_err **err)
{
	union bpf_attr attr = { .map_id = r->id };

	*m = (struct map){ .fd = -1,
			   .type = type_by_number(r->type),
			   .key_bytes = r->key_bytes,
			   .value_bytes = r->value_bytes,
			   .max_entries = r->max_entries };
	/* Not the program's own, which it may have only for writing. */
	m->fd = sys_bpf(BPF_MAP_GET_FD_BY_ID, &attr);
	if (m->fd < 0)
		return ckpt_fail_errno(err, m->fd, CKPT_E_SYS, "open BPF map %u", r->id);
	return map_buffers(m, err);
}

static int members(const struct rec_bpf_map *r, const struct map *m, json_t *o)
{
	int rc = json_object_set_new(o, "type", json_string(m->type->name));

	rc |= js_set_bytes(o, "name", r->name);
	rc |= js_set_int(o, "key_bytes", r->key_bytes);
	rc |= js_set_int(o, "value_bytes", r->value_bytes);
	rc |= js_set_int(o, "max_entries", r->max_entries);
	rc |= js_set_hex(o, "map_flags", r->flags);
	rc |= js_set_hex(o, "extra", r->extra);
	if (r->flags & BPF_F_NUMA_NODE)
		rc |= js_set_int(o, "numa_node", r->numa_node);
	rc |= js_set_bool(o, "frozen", r->frozen != 0);
	return rc | js_set_int(o, "value_room", (int64_t)m->value_room);
}

static int save_elements(struct kind_dump *d, struct map *m, json_t *o, struct ckpt_err **err)
{
	_cleanup_close_ int to = -1;
	struct sum sum = { 0 };
	char name[40];
	int rc = 0;

	if (d->w) {
		snprintf(name, sizeof(name), "bpfmap-%lld",
			 (long long)json_integer_value(json_object_get(o, "id")));
		if (json_object_set_new(o, "data", json_string(name)))
			return ckpt_fail_nomem(err);
		rc = image_data_open(d->w, name, &to, err);
	}
	if (rc == 0)
		rc = copy_out(m, to, &sum, err);
	if (rc == 0 &&
	    (js_set_int(o, "elements", (int64_t)sum.n) || js_set_hex(o, "contents_xxh3", sum.xxh3)))
		rc = ckpt_fail_nomem(err);
	return rc == 0 && d->w ? image_data_done(d->w, name, to, err) : rc;
}

static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	const struct rec_bpf_map *r = record(d, f);
	uint32_t first = 0, id = objects_id(d->os, f->inode->file_id);
	struct map m = MAP_INIT;
	int rc;

	if (!r || !type_by_number(r->type))
		return ckpt_fail(err, EIO, CKPT_E_BPF, "nothing is known of a BPF map");
	descriptions(d, r->map_id, &first);
	if (first != id)
		return js_set_int(o, "map_of", first) ? ckpt_fail_nomem(err) : 0;
	rc = open_map(r, &m, err);
	if (rc == 0 && members(r, &m, o))
		rc = ckpt_fail_nomem(err);
	if (rc == 0)
		rc = save_elements(d, &m, o, err);
	map_done(&m);
	return rc;
}

/* ---- restoring ---- */

static int parse_numbers(const json_t *o, struct map *m, struct ckpt_err **err)
{
	uint64_t flags = 0, node = 0;
	int rc = js_u32(o, "key_bytes", &m->key_bytes, err);

	if (rc == 0)
		rc = js_u32(o, "value_bytes", &m->value_bytes, err);
	if (rc == 0)
		rc = js_u32(o, "max_entries", &m->max_entries, err);
	if (rc == 0)
		rc = js_u64(o, "map_flags", &flags, err);
	if (rc == 0)
		rc = js_u64(o, "extra", &m->extra, err);
	if (rc == 0)
		rc = js_opt_u64(o, "numa_node", &node, err);
	if (rc == 0)
		rc = js_bool(o, "frozen", &m->frozen, err);
	m->flags = (uint32_t)flags;
	m->numa_node = (uint32_t)node;
	return rc;
}

static int parse(const json_t *o, struct map *m, struct ckpt_err **err)
{
	_cleanup_free_ char *name = NULL;
	const char *type = "";
	uint64_t room = 0;
	int rc = js_str(o, "type", &type, err);

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcmp(types[i].name, type))
			m->type = &types[i];
	if (rc == 0)
		rc = js_bytes(o, "name", &name, err);
	if (rc == 0)
		rc = parse_numbers(o, m, err);
	if (rc == 0)
		rc = js_u64(o, "value_room", &room, err);
	if (rc < 0)
		return rc;
	if (!m->type || strlen(name) >= sizeof(m->name) || m->key_bytes > BYTES_MAX ||
	    m->value_bytes > BYTES_MAX || m->max_entries > ENTRIES_MAX)
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a BPF map is not sound");
	strcpy(m->name, name);
	rc = map_buffers(m, err);
	if (rc == 0 && room != m->value_room)
		rc = ckpt_fail(
			err, EOPNOTSUPP, CKPT_E_MACHINE,
			"a BPF map with a value for each CPU comes from a machine with another "
			"number of them");
	return rc;
}

static int open_elements(const struct kind_restore *r, const json_t *o, const struct map *m,
			 uint64_t *ret_n, int *ret_fd, struct ckpt_err **err)
{
	int rc = js_u64(o, "elements", ret_n, err);

	if (rc == 0 && *ret_n > m->max_entries)
		rc = ckpt_fail(err, EBADMSG, CKPT_E_IMAGE, "a BPF map has too many elements");
	return rc < 0 ? rc
		      : kind_open_data(r, o, *ret_n * (m->key_bytes + m->value_room), ret_fd, err);
}

static int need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err)
{
	_cleanup_close_ int from = -1;
	struct map m = MAP_INIT;
	uint64_t n;
	int rc;

	if (json_object_get(o, "map_of"))
		return 0;
	rc = parse(o, &m, err);
	if (rc == 0)
		rc = open_elements(r, o, &m, &n, &from, err);
	map_done(&m);
	return rc;
}

static int create(struct map *m, struct ckpt_err **err)
{
	union bpf_attr attr = { .map_type = m->type->type,
				.key_size = m->key_bytes,
				.value_size = m->value_bytes,
				.max_entries = m->max_entries,
				.map_flags = m->flags,
				.numa_node = m->numa_node,
				.map_extra = m->extra };

	memcpy(attr.map_name, m->name, sizeof(m->name));
	m->fd = sys_bpf(BPF_MAP_CREATE, &attr);
	if (m->fd >= 0)
		return 0;
	ckpt_fail_errno(err, m->fd, CKPT_E_RESTORE, "make a BPF map of type %s", m->type->name);
	if (m->fd == -EPERM)
		ckpt_hint(err, "run as root, or with CAP_BPF");
	return m->fd;
}

static int fill(const struct kind_restore *r, const json_t *o, struct map *m, struct ckpt_err **err)
{
	_cleanup_close_ int from = -1;
	union bpf_attr attr = { .map_fd = (uint32_t)m->fd,
				.key = (uintptr_t)m->key,
				.value = (uintptr_t)m->value };
	uint64_t n = 0, at = 0;
	int rc = open_elements(r, o, m, &n, &from, err);

	if (rc < 0)
		return rc;
	for (uint64_t i = 0; rc == 0 && i < n; i++) {
		rc = pread_all(from, m->key, m->key_bytes, at);
		if (rc == 0)
			rc = pread_all(from, m->value, m->value_room, at + m->key_bytes);
		if (rc == 0)
			rc = sys_bpf(BPF_MAP_UPDATE_ELEM, &attr);
		at += m->key_bytes + m->value_room;
	}
	if (rc == 0 && m->frozen) {
		attr = (union bpf_attr){ .map_fd = (uint32_t)m->fd };
		rc = sys_bpf(BPF_MAP_FREEZE, &attr);
	}
	return rc < 0 ? ckpt_fail_errno(err, rc, CKPT_E_RESTORE, "fill a BPF map") : 0;
}

/* Another description of a map, with the access that the saved one had. */
static int describe_again(const json_t *o, int fd, int *ret_fd, struct ckpt_err **err)
{
	struct bpf_map_info info = { 0 };
	union bpf_attr attr = { .info = { .bpf_fd = (uint32_t)fd,
					  .info_len = sizeof(info),
					  .info = (uintptr_t)&info } };
	int flags = 0, rc = kind_open_flags(o, &flags, err);

	if (rc < 0)
		return rc;
	rc = sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr);
	attr = (union bpf_attr){ .map_id = info.id };
	attr.open_flags = (flags & O_ACCMODE) == O_RDONLY   ? BPF_F_RDONLY
			  : (flags & O_ACCMODE) == O_WRONLY ? BPF_F_WRONLY
							    : 0;
	if (rc == 0)
		rc = sys_bpf(BPF_MAP_GET_FD_BY_ID, &attr);
	if (rc < 0)
		return ckpt_fail_errno(err, rc, CKPT_E_RESTORE, "open a BPF map again");
	*ret_fd = rc;
	return 0;
}

static int open_other(const struct kind_restore *r, const json_t *o, int *ret_fd,
		      struct ckpt_err **err)
{
	uint32_t id = 0, first = 0;
	const json_t *other;
	int rc = js_u32(o, "map_of", &first, err);

	if (rc == 0)
		rc = js_u32(o, "id", &id, err);
	if (rc < 0)
		return rc;
	other = first ? json_array_get(r->objects, first - 1) : NULL;
	if (!other || first >= id || r->fd[first] < 0 ||
	    !json_equal(json_object_get(other, "kind"), json_object_get(o, "kind")))
		return ckpt_fail(err, EBADMSG, CKPT_E_IMAGE,
				 "object %u is not the map of object %u", first, id);
	return describe_again(o, r->fd[first], ret_fd, err);
}

static int open_it(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err)
{
	struct map m = MAP_INIT;
	int rc;

	if (json_object_get(o, "map_of"))
		return open_other(r, o, ret_fd, err);
	rc = parse(o, &m, err);
	if (rc == 0)
		rc = create(&m, err);
	if (rc == 0)
		rc = fill(r, o, &m, err);
	if (rc == 0)
		rc = describe_again(o, m.fd, ret_fd, err);
	map_done(&m);
	return rc;
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	(void)f;
	snprintf(buf, len, "BPF map");
}

static const char *const volatile_members[] = { "data", NULL };

const struct ckpt_kind kind_bpfmap = {
	.name = "bpfmap",
	.match = match,
	.check = check,
	.save = save,
	.need = need,
	.open = open_it,
	.volatile_members = volatile_members,
	.describe = describe,
};
