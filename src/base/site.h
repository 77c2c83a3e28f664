/*
 * site: what is common to the endpoints of this daemon: its name for other machines, and the
 * directory of what it keeps.
 */
#ifndef SITE_H
#define SITE_H

/* The maximum size of the name, with its NUL. */
#define SITE_HOST_MAX 64

/* name, state_dir: of the section [daemon], NULL: not given.  Both are copied. */
void site_set(const char *name, const char *state_dir);
/*
 * The name, or that of the machine if the section has none.  It has no blanks and none of the
 * characters that separate or match the levels of a topic: they are replaced by '_'.
 */
const char *site_host(void);
/* NULL: there is none. */
const char *site_state_dir(void);

#endif
