/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* BPF maps: arrays, hashes, values for each CPU, prefixes; names, flags, limits; frozen; several
 * descriptions of one, for reading only. */
#include "zoo.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int bpf(enum bpf_cmd cmd, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static int make(__u32 type, const char *name, __u32 key, __u32 value, __u32 n, __u32 flags)
{
	union bpf_attr attr = { .map_type = type,
				.key_size = key,
				.value_size = value,
				.max_entries = n,
				.map_flags = flags };
	int fd;

	strcpy(attr.map_name, name);
	fd = bpf(BPF_MAP_CREATE, &attr);
	if (fd < 0 && (errno == EPERM || errno == ENOSYS))
		zoo_skip("may not make BPF maps");
	zoo_need(fd >= 0);
	return fd;
}

static int put(int fd, const void *key, const void *value)
{
	union bpf_attr attr = { .map_fd = (__u32)fd,
				.key = (unsigned long)key,
				.value = (unsigned long)value };

	return bpf(BPF_MAP_UPDATE_ELEM, &attr);
}

static int get(int fd, const void *key, void *value)
{
	union bpf_attr attr = { .map_fd = (__u32)fd,
				.key = (unsigned long)key,
				.value = (unsigned long)value };

	return bpf(BPF_MAP_LOOKUP_ELEM, &attr);
}

static struct bpf_map_info info_of(int fd)
{
	struct bpf_map_info info = { 0 };
	union bpf_attr attr = { .info = { .bpf_fd = (__u32)fd,
					  .info_len = sizeof(info),
					  .info = (unsigned long)&info } };

	zoo_need(bpf(BPF_OBJ_GET_INFO_BY_FD, &attr) == 0);
	return info;
}

static int open_again(int fd, __u32 flags)
{
	union bpf_attr attr = { .map_id = info_of(fd).id };

	attr.open_flags = flags;
	return bpf(BPF_MAP_GET_FD_BY_ID, &attr);
}

static int count(int fd, size_t key_len)
{
	char key[64], next[64];
	union bpf_attr attr = { .map_fd = (__u32)fd, .next_key = (unsigned long)next };
	int n = 0;

	while (bpf(BPF_MAP_GET_NEXT_KEY, &attr) == 0) {
		memcpy(key, next, key_len);
		attr.key = (unsigned long)key;
		n++;
	}
	return n;
}

static void check_info(int fd, const struct bpf_map_info *was)
{
	struct bpf_map_info now = info_of(fd);

	zoo_same(now.type, was->type);
	zoo_same(now.key_size, was->key_size);
	zoo_same(now.value_size, was->value_size);
	zoo_same(now.max_entries, was->max_entries);
	zoo_same(now.map_flags, was->map_flags);
	zoo_check(!strcmp(now.name, was->name), "its name is %s", now.name);
}

struct prefix {
	__u32 len;
	unsigned char addr[4];
};

int main(void)
{
	const int cpus = (int)sysconf(_SC_NPROCESSORS_CONF);
	struct prefix net = { 8, { 10, 0, 0, 0 } }, host = { 32, { 10, 1, 2, 3 } };
	int array, hash, percpu, trie, reader, writer;
	struct bpf_map_info info[4];
	uint64_t *all = calloc((size_t)cpus, sizeof(*all)), v;
	char value[24];
	__u32 k;

	zoo_start();
	array = make(BPF_MAP_TYPE_ARRAY, "zoo_array", 4, 24, 100, BPF_F_RDONLY_PROG);
	hash = make(BPF_MAP_TYPE_HASH, "zoo_hash", 13, 8, 500, BPF_F_NO_PREALLOC);
	percpu = make(BPF_MAP_TYPE_PERCPU_ARRAY, "zoo_percpu", 4, 5, 3, 0);
	trie = make(BPF_MAP_TYPE_LPM_TRIE, "", 8, 8, 10, BPF_F_NO_PREALLOC);
	for (k = 0; k < 100; k += 3) {
		zoo_fill(value, sizeof(value), k);
		zoo_need(put(array, &k, value) == 0);
	}
	for (k = 0; k < 300; k++) {
		char key[13];

		zoo_fill(key, sizeof(key), k);
		v = k * 3;
		zoo_need(put(hash, key, &v) == 0);
	}
	for (int c = 0; c < cpus; c++)
		all[c] = (uint64_t)c + 70;
	k = 1;
	zoo_need(put(percpu, &k, all) == 0);
	v = 8;
	zoo_need(put(trie, &net, &v) == 0);
	v = 32;
	zoo_need(put(trie, &host, &v) == 0);
	reader = open_again(hash, BPF_F_RDONLY);
	writer = open_again(hash, BPF_F_WRONLY);
	zoo_need(reader >= 0 && writer >= 0);
	union bpf_attr freeze = { .map_fd = (__u32)array };
	zoo_need(bpf(BPF_MAP_FREEZE, &freeze) == 0);
	info[0] = info_of(array);
	info[1] = info_of(hash);
	info[2] = info_of(percpu);
	info[3] = info_of(trie);
	zoo_ready();
	zoo_wait();

	check_info(array, &info[0]);
	check_info(hash, &info[1]);
	check_info(percpu, &info[2]);
	check_info(trie, &info[3]);
	for (k = 0; k < 100; k++) {
		char want[24] = { 0 };

		if (k % 3 == 0)
			zoo_fill(want, sizeof(want), k);
		zoo_need(get(array, &k, value) == 0);
		zoo_check(!memcmp(value, want, sizeof(want)), "element %u", k);
	}
	k = 0;
	zoo_check(put(array, &k, value) < 0 && errno == EPERM, "not frozen");
	zoo_same(count(hash, 13), 300);
	for (k = 0; k < 300; k++) {
		char key[13];

		zoo_fill(key, sizeof(key), k);
		v = 0;
		zoo_check(get(reader, key, &v) == 0 && v == k * 3, "key %u: %llu", k,
			  (unsigned long long)v);
	}
	v = 1;
	zoo_check(put(reader, "thirteen byte", &v) < 0 && errno == EPERM, "a reader writes");
	zoo_check(get(writer, "thirteen byte", &v) < 0 && errno == EPERM, "a writer reads");
	zoo_same(put(writer, "thirteen byte", &v), 0);
	zoo_same(get(hash, "thirteen byte", &v), 0);
	union bpf_attr away = { .map_fd = (__u32)hash, .key = (unsigned long)"thirteen byte" };
	zoo_same(bpf(BPF_MAP_DELETE_ELEM, &away), 0);
	k = 1;
	memset(all, 0, (size_t)cpus * sizeof(*all));
	zoo_need(get(percpu, &k, all) == 0);
	for (int c = 0; c < cpus; c++)
		zoo_same(all[c] & 0xffffffffff, c + 70);
	host.addr[3] = 9;
	zoo_need(get(trie, &host, &v) == 0);
	zoo_same(v, 8);
	host.addr[3] = 3;
	zoo_need(get(trie, &host, &v) == 0);
	zoo_same(v, 32);
	return zoo_end();
}
