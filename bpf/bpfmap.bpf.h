/* SPDX-License-Identifier: GPL-2.0-only */
/* BPF maps that a descriptor refers to: struct bpf_map. Part of snapshot.bpf.c. */
#ifndef EBPF_CKPT_BPFMAP_BPF_H
#define EBPF_CKPT_BPFMAP_BPF_H

static __always_inline void write_bpf_map(struct seq_file *seq, struct scratch *s,
					  const struct rec_detail *detail, struct file *file)
{
	struct rec_bpf_map *out = &s->bpf_map;
	struct bpf_map *map = BPF_CORE_READ(file, private_data);

	__builtin_memset(out, 0, sizeof(*out));
	rec_init(&out->head, REC_BPF_MAP, sizeof(*out));
	out->tgid = detail->tgid;
	out->fd = detail->fd;
	out->map_id = (__u64)map;
	out->refs = (__u64)BPF_CORE_READ(map, refcnt.counter);
	out->type = (__u32)BPF_CORE_READ(map, map_type);
	out->id = BPF_CORE_READ(map, id);
	out->key_bytes = BPF_CORE_READ(map, key_size);
	out->value_bytes = BPF_CORE_READ(map, value_size);
	out->max_entries = BPF_CORE_READ(map, max_entries);
	out->flags = BPF_CORE_READ(map, map_flags);
	out->numa_node = BPF_CORE_READ(map, numa_node);
	out->extra = BPF_CORE_READ(map, map_extra);
	out->frozen = BPF_CORE_READ(map, frozen);
	out->has_btf = BPF_CORE_READ(map, btf) != 0;
	bpf_probe_read_kernel_str(out->name, sizeof(out->name), map->name);
	bpf_seq_write(seq, out, sizeof(*out));
}

#endif
