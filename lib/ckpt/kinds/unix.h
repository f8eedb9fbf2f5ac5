/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Unix sockets. What a socket is lies in several places of the kernel, and comes back in several
 * steps, each with a file of its own:
 *
 *   unix_look.c   what the snapshot says of a socket; can it be saved
 *   unix_save.c   into the manifest; messages are peeked, never taken
 *   unix_image.c  out of the manifest, checked; is it possible here; is it the same again
 *   unix_make.c   all sockets of the image at once: made, bound, listening, connected, accepted
 *   unix_name.c   names: bound out of sight, moved into place when all is done
 *   unix_actor.c  short-lived processes in whose name connections are made (SO_PEERCRED)
 *   unix_fill.c   messages, shutdowns, options
 */
#ifndef CKPT_UNIX_H
#define CKPT_UNIX_H

#include "kinds.h"

#include <sys/socket.h>
#include <sys/un.h>

/* ---- unix_look.c ---- */

/* What the snapshot says of a descriptor's socket. Borrowed from it. */
struct unix_look {
	const struct rec_unix *sk;	   /* NULL: nothing, it was closed meanwhile */
	const struct rec_unix *const *all; /* sk, and the connections that it has not accepted */
	size_t n;
	const struct rec_unix_msg *const *msg; /* of all of them, in order */
	size_t n_msgs;
	const char *path; /* of the file that it is bound to; "": none */
};

void unix_look(const struct kind_dump *d, const struct kind_file *f, struct unix_look *ret);
/* The tail of a message's record; NULL where there is none. */
const uint64_t *unix_msg_files(const struct rec_unix_msg *m);
const char *unix_msg_from(const struct rec_unix_msg *m);
const char *unix_msg_data(const struct rec_unix_msg *m);
/* The object whose socket this is; NULL: none of the dump's. */
const struct object_row *unix_row(const struct kind_dump *d, uint64_t sock_id);
/* The listening sockets of the dump, one after the other; NULL: there are no more. */
const struct object_row *unix_next_listening(const struct kind_dump *d,
					     const struct object_row *after, struct unix_look *ret);
/* The one that has not accepted this connection; NULL: none. */
const struct object_row *unix_listener_of(const struct kind_dump *d, uint64_t embryo_id);
/* Is the peer a process's outside, which may be connected to anew by its name? */
bool unix_may_reconnect(const struct kind_dump *d, const struct rec_unix *sk);
bool unix_match(const struct kind_file *f);
void unix_queued(const struct snapshot *s, const struct kind_file *f,
		 void (*fn)(void *userdata, uint64_t file_id), void *userdata);
int unix_check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err);
void unix_describe(const struct kind_file *f, char *buf, size_t len);

/* ---- unix_save.c ---- */

int unix_save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err);
int unix_in_flight(struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err);

/* ---- unix_image.c ---- */

/* What bind(2) is given, without the family. len 0: no name. A path has no NUL at its end. */
struct unix_name {
	uint8_t len;
	char bytes[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

static inline bool unix_is_abstract(const struct unix_name *n)
{
	return n->len && !n->bytes[0];
}

static inline bool unix_same_name(const struct unix_name *a, const struct unix_name *b)
{
	return a->len == b->len && !memcmp(a->bytes, b->bytes, a->len);
}

/* Who made a connection or sent a message, in the program's own numbering. */
struct unix_ident {
	bool has;
	int32_t pid; /* 0: nobody that the program can see */
	uint32_t uid, gid;
	uint32_t n_groups;
	uint32_t group[REC_UNIX_GROUPS];
};

struct unix_msg {
	uint32_t bytes;
	bool oob, oob_read;    /* sent with MSG_OOB; the byte was taken, the mark is left */
	uint32_t from;	       /* datagrams: the sending object; 0: it is gone, or outside */
	struct unix_name name; /* datagrams: of the sender */
	struct unix_ident cred;
	const json_t *files; /* array of object ids, or NULL */
};

struct unix_queue {
	struct unix_msg *msg; /* owned */
	size_t n;
	uint64_t at; /* where in the object's data its bytes begin */
	uint64_t bytes;
};

/* A connection that was not accepted. */
struct unix_pending {
	uint32_t client;       /* object; 0: it is gone */
	struct unix_name name; /* of a client that is gone */
	struct unix_ident cred;
	uint32_t shutdown, error;
	struct unix_queue queue;
	int tmp; /* owned: a client that will be gone, or -1 */
};

enum unix_peer_kind {
	UNIX_PEER_NONE,
	UNIX_PEER_OBJECT,
	UNIX_PEER_GONE,	   /* it was closed */
	UNIX_PEER_PENDING, /* not accepted yet: one of a listener's connections */
	UNIX_PEER_OUTSIDE, /* connected anew by name */
};

/* One row of the image. */
struct unix_sk {
	json_t *o; /* borrowed */
	uint32_t id;
	int type, protocol;
	uint32_t uid, gid, mode;
	bool listening;
	uint32_t backlog;
	struct unix_name name;
	bool inherited;	   /* the name is from accept(2) */
	uint32_t listener; /* ... of this object; 0: it is gone */
	/* The file that it is bound to; NULL: it has no name any more, or never had. */
	char *path; /* owned */
	uint32_t file_mode, file_uid, file_gid;
	uint64_t was_dev, was_ino;
	enum unix_peer_kind peer_kind;
	uint32_t peer; /* object: the peer, or the listener */
	struct unix_name peer_name;
	uint32_t shutdown, error;
	struct unix_ident cred;
	struct unix_queue queue;
	struct unix_pending *pending; /* owned */
	size_t n_pending;
	/* While it is being made. */
	uint32_t shut;	  /* as much of `shutdown` as was done before it was connected */
	int *fd;	  /* its place in kind_restore.fd; NULL until then */
	int tmp;	  /* owned: the other end of a pair, which will be closed; or -1 */
	uint32_t partner; /* datagrams: the object that is the other end of its pair */
	bool keeps_pair;  /* datagrams: the pair stays connected while messages are put in */
	bool peer_made;	  /* datagrams: connected as it was */
};

/* One row, checked as far as it can be alone. */
int unix_parse(json_t *o, struct unix_sk *ret, struct ckpt_err **err);
void unix_sk_done(struct unix_sk *sk);
int unix_need(const struct kind_restore *r, const json_t *o, struct ckpt_err **err);
int unix_same(const json_t *saved, const json_t *now, struct ckpt_err **err);
/* The process of a peer could not be given its number: unix_same() shall not ask for it. */
int unix_note_lost_pid(struct unix_sk *sk, struct ckpt_err **err);
/* Names as members "path" or "abstract" of an object. */
int unix_name_save(json_t *o, const char *key, const char *bytes, size_t len);
int unix_name_parse(const json_t *o, const char *key, struct unix_name *ret, struct ckpt_err **err);
/* For a person. */
const char *unix_name_words(const struct unix_name *n, char *buf, size_t len);
const char *unix_type_name(int type);

/* ---- unix_actor.c ---- */

struct unix_actors;

struct unix_actors *unix_actors_new(void);
void unix_actors_free(struct unix_actors *a); /* ends them; NULL is fine */
/*
 * The calls of that name, made by a process that has this identity as far as it can be had;
 * *ret_lost is set when it has not the pid. 0 or -errno.
 */
int unix_as_pair(struct unix_actors *a, const struct unix_ident *who, int type, int protocol,
		 int ret[2], bool *ret_lost);
int unix_as_listen(struct unix_actors *a, const struct unix_ident *who, int fd, int backlog,
		   bool *ret_lost);
int unix_as_connect(struct unix_actors *a, const struct unix_ident *who, int fd,
		    const struct sockaddr_un *to, socklen_t len, bool *ret_lost);
/*
 * Bind in a process whose root is `root`: whatever the name is, the file comes to lie in there, and
 * is moved to `dir` under the name `as`.
 */
int unix_bind_within(struct unix_actors *a, int fd, const struct unix_name *name, int root, int dir,
		     const char *as);
/* A process with this pid that does nothing: a pid that messages can be sent in the name of. */
pid_t unix_actor_stand_in(struct unix_actors *a, int32_t pid);

/* ---- unix_name.c ---- */

/* A socket's file, while it is out of sight. */
struct unix_place {
	uint32_t id;
	int parent_fd; /* owned: where it shall lie, or -1: nowhere */
	int dir_fd;    /* where it lies; owned when parent_fd is */
	char name[24]; /* there */
	char dir[32];  /* dir_fd's name in parent_fd */
	char *base;    /* owned: its name in parent_fd */
	bool moved, swapped;
};

struct unix_places {
	struct unix_place *place; /* owned */
	size_t n;
	int fs_fd; /* owned: a file system of our own for those that have no name any more, or -1 */
	int root_fd; /* owned: a directory in it */
	uint32_t n_tmp;
	bool keep;
};

void unix_places_init(struct unix_places *p);
/* Undoes what was not kept. */
void unix_places_done(struct unix_places *p);
/* Bind a socket as it was; its file, where it has one, lies out of sight. */
int unix_place_bind(struct unix_places *p, struct unix_actors *a, const struct unix_sk *sk, int fd,
		    struct ckpt_err **err);
/* Bind one that exists for the time of the restore only. */
int unix_place_bind_tmp(struct unix_places *p, struct unix_actors *a, const struct unix_name *name,
			int fd, uint32_t *ret_id, struct ckpt_err **err);
/* Where a bound socket can be found by connect(2) and sendto(2) meanwhile. */
socklen_t unix_place_addr(const struct unix_places *p, uint32_t id, const struct unix_name *name,
			  struct sockaddr_un *ret);
/* Move all files to where they shall lie, undone by unix_places_done(). */
int unix_places_move(struct unix_places *p, const struct kind_restore *r, struct ckpt_err **err);
/* What is there may stay. */
void unix_places_keep(struct unix_places *p);
/*
 * Is a name in use, and not just for a moment? Sockets that messages carry in a ring outlive the
 * process until the kernel finds that nobody can reach them (unix_gc()).
 */
bool unix_stays_taken(bool (*is_taken)(const char *path, const struct unix_name *name),
		      const char *path, const struct unix_name *name);
/* Does the path name nothing, or the file left by the dead process? CKPT_E_FILE_CHANGED. */
int unix_path_free(const struct unix_sk *sk, bool allow_changed, struct ckpt_err **err);
socklen_t unix_addr_of(const struct unix_name *name, struct sockaddr_un *ret);

/* ---- unix_make.c, unix_fill.c ---- */

/* All unix sockets of an image. */
struct unix_net {
	struct unix_sk *sk; /* owned, by id */
	size_t n;
	struct unix_actors *actors;
	struct unix_places places;

	struct unix_sender { /* datagram sockets that will be gone */
		struct unix_name name;
		int fd;
		uint32_t id; /* of its place */
	} * sender;	     /* owned */

	size_t n_senders;
	bool filled;
};

struct unix_sk *unix_find(const struct unix_net *net, uint32_t id); /* NULL: no unix socket */
int unix_make(struct kind_restore *r, const json_t *o, int *ret_fd, struct ckpt_err **err);
int unix_connect(struct kind_restore *r, const json_t *o, int fd, struct ckpt_err **err);
void unix_go(struct kind_restore *r, const json_t *o, int fd);

#endif
