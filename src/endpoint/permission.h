/*
 * permission: which clients of a server may read and write.
 *
 * A client has a role.  With 'writer', at most one of those whose role permits it has the
 * right to write:
 *
 *	first	a client takes the right by sending, and has it until it leaves
 *	last	the newest client has it; when it leaves, the newest of the others
 *	lease	as first, but the right is free when the client has sent nothing for
 *		lease_time
 *
 * A client leaves when it disconnects, or sends no more (EOF).
 */
#ifndef PERMISSION_H
#define PERMISSION_H

#include "endpoint.h"

enum role { ROLE_ALL, ROLE_READ, ROLE_WRITE };
enum writer { WRITER_ANY, WRITER_FIRST, WRITER_LAST, WRITER_LEASE };
/* What a client may do now. */
enum right {
	RIGHT_NO,
	RIGHT_FREE, /* take the right by sending */
	RIGHT_YES,
};

extern const char *const role_words[];
extern const char *const writer_words[];
extern const char *const right_words[];

struct permission_conf {
	int role; /* enum role, of clients that roles does not name */
	bool role_given;
	char *roles;	     /* NAME:ROLE ..., or NULL */
	int writer;	     /* enum writer */
	uint64_t lease_time; /* ns */
	bool lease_given;
	bool takeover;
};

/* Rows of a key table for the struct owner, whose member permission is a struct
 * permission_conf. */
#define PERMISSION_OFFSET(owner, member) offsetof(owner, permission.member)
#define PERMISSION_KEY_ROLE(owner)                                         \
	{                                                                  \
		.name = "role", .type = KEY_WORD,                          \
		.offset = PERMISSION_OFFSET(owner, role),                  \
		.given = PERMISSION_OFFSET(owner, role_given),             \
		.words = role_words, .in_place = true,                     \
		.help = "what clients may do: read what is sent to them, " \
			"write, or both"                                   \
	}
#define PERMISSION_KEY_ROLES(owner)                                     \
	{                                                               \
		.name = "roles", .type = KEY_STRING,                    \
		.offset = PERMISSION_OFFSET(owner, roles), .min = 1,    \
		.in_place = true,                                       \
		.help = "NAME:ROLE, or several, for clients whose TLS " \
			"certificate has that name"                     \
	}
#define PERMISSION_KEY_WRITER(owner)                                        \
	{                                                                   \
		.name = "writer", .type = KEY_WORD,                         \
		.offset = PERMISSION_OFFSET(owner, writer), .def = "any",   \
		.words = writer_words, .in_place = true,                    \
		.help = "which of the clients that may write can do so now" \
	}
#define PERMISSION_KEY_LEASE_TIME(owner)                                      \
	{                                                                     \
		.name = "lease_time", .type = KEY_TIME,                       \
		.offset = PERMISSION_OFFSET(owner, lease_time),               \
		.given = PERMISSION_OFFSET(owner, lease_given), .def = "10s", \
		.min = NSEC_PER_MSEC, .max = 24 * 3600 * NSEC_PER_SEC,        \
		.in_place = true,                                             \
		.help = "with writer = lease: the silence after which "       \
			"another client may write"                            \
	}
#define PERMISSION_KEY_TAKEOVER(owner)                                      \
	{                                                                   \
		.name = "takeover", .type = KEY_BOOL,                       \
		.offset = PERMISSION_OFFSET(owner, takeover), .def = "no",  \
		.in_place = true,                                           \
		.help = "at max_clients a new client replaces the one that" \
			" has been silent longest"                          \
	}

/* Checks the values, and sets the default of role.  -EINVAL and err. */
int permission_check(struct permission_conf *conf, struct error *err);
/* Sets err if the values are valid, but probably not intended. */
void permission_warn(const struct permission_conf *conf, struct error *err);

/* The rights of the clients of one endpoint (ep->permission). */
struct permission {
	struct link *writer; /* who has the right to write, or NULL */
	uint64_t used_ns;    /* the last time that it sent something */
};

/* The name of its certificate that is shown, and the version of TLS; "" if none. */
const char *link_certificate(const struct link *link);
const char *link_tls_version(const struct link *link);

/*
 * Has to be asked when a client has sent something that would have an effect: data, or a
 * command that changes the line.  Takes the right to write if it is free.
 */
bool link_may_write(struct link *link);
/* The same question without any effect. */
enum right link_right(const struct link *link, uint64_t now);
/* How long the client has the right if it sends nothing; 0: it has it not, or without a
 * limit. */
uint64_t link_lease(const struct link *link, uint64_t now);
/* The link had the right in the previous process, and sent something at that time. */
void permission_restore(struct link *link, uint64_t used_ns);

/* --- for endpoint.c, link.c and the servers ------------------------------- */

/* A connection is up, and the owner does not use it yet.  No effect if its endpoint has no
 * permissions. */
void permission_join(struct link *link);
/* The connection sends no more (read_eof), or is closed (no longer up). */
void permission_leave(struct link *link);
/* The values of the keys have changed. */
void permission_change(struct endpoint *ep);
/* The connection to be replaced by a new one: one that has sent nothing for the longest
 * time, and has not sent EOF, if there is one; NULL: there are no connections. */
struct link *permission_replaced(const struct endpoint *ep);

#endif
