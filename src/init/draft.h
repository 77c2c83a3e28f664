/*
 * draft: the text of a configuration while it is being made of something else.
 *
 * It consists of blocks: sections that belong together, and comments.  When it is
 * finished, it is checked as a file is; a block with a fault is then left out: its lines
 * become comments, with the reason.  What is left out is also reported as a warning.
 */
#ifndef DRAFT_H
#define DRAFT_H

#include "error.h"

/* The longest name of a section, with its NUL. */
#define DRAFT_NAME_MAX 32
/* The value of 'allow' with which every machine may connect. */
#define DRAFT_ALLOW_ALL "0.0.0.0/0 ::/0"

struct block;
struct settings;
struct draft;

/* file: the source, which warnings name; kept.  NULL when out of memory. */
struct draft *draft_new(const char *file);
void draft_free(struct draft *d);

/* Begins a block, which was made of that line of the source (0: of none). */
void draft_block(struct draft *d, int line);
/* Makes all lines of the block comments, without a warning. */
void draft_disable(struct draft *d);
/*
 * Makes all lines of the block comments, with a warning.  what: the part of the source that is
 * left out, in any characters, as in draft_lost().
 */
void draft_leave_out(struct draft *d, const char *what, const char *fmt, ...)
    PRINTF(3, 4);
/* A comment in the block; long lines are wrapped. */
void draft_comment(struct draft *d, const char *fmt, ...) PRINTF(2, 3);
/* Says in a comment and in a warning that a part of the source is left out. */
void draft_lost(struct draft *d, int line, const char *what, const char *fmt,
    ...) PRINTF(4, 5);
/* A warning, and a comment, about what is different from the source. */
void draft_warn(struct draft *d, int line, const char *fmt, ...) PRINTF(3, 4);
/*
 * That every machine may connect to what the block listens on: a warning the first time,
 * and always a comment.  more: what is appended.
 */
void draft_open(struct draft *d, int line, const char *more);
/* Says that a result without a route would forward what the source does not. */
void draft_routes(struct draft *d);
/* Begins a section in the block; name NULL: a section without a name, such as [daemon]. */
void draft_section(struct draft *d, const char *type, const char *name);
/* A key of the section; what cannot be written in one line is left out. */
void draft_key(struct draft *d, const char *key, const char *fmt, ...)
    PRINTF(3, 4);
void draft_keys(struct draft *d, const struct settings *keys);
/*
 * A section that this block has in common with those that draft_share() it: the first one of
 * them that is not left out has it.  NULL when out of memory.
 */
struct block *draft_shared(struct draft *d, const char *type, const char *name,
    const struct settings *keys);
void draft_share(struct draft *d, struct block *section);
/*
 * The key 'listen' and, if other machines could connect to that address, 'allow' for all
 * networks, as other programs have it; see draft_open().
 */
void draft_listen(struct draft *d, int line, const char *address);
/* Whether other machines could connect to an address to listen on. */
bool draft_is_open(const char *address);
/* A valid name that is not used yet, made of the wanted one. */
const char *draft_name(
    struct draft *d, const char *wanted, char name[DRAFT_NAME_MAX]);

/* Leaves out the blocks with faults that there are so far, as draft_finish() does. */
void draft_check(struct draft *d);
/* Whether the section of that name, which has been written, is not left out. */
bool draft_has(const struct draft *d, const char *name);

/*
 * Checks it.  Returns the number of sections that are endpoints, with the text in *ret (to
 * be freed) and the warnings, each a line, in *warnings (to be freed); -EINVAL and err if
 * nothing would be left; -ENOMEM.
 */
int draft_finish(
    struct draft *d, char **ret, char **warnings, struct error *err);

#endif
