/*
 * gensio: splits the names of gensios, such as "telnet(rfc2217),tcp,localhost,2000".
 */
#ifndef GENSIO_H
#define GENSIO_H

#include "settings.h"

#define GENSIO_LAYERS_MAX 8

struct gensio_layer {
	char *type;
	struct settings options;
};

/* From the outermost layer to what is below all others. */
struct gensio {
	struct gensio_layer layer[GENSIO_LAYERS_MAX];
	unsigned n;
	char *
	    rest; /* what follows the type of the last layer, without the comma */
};

/*
 * A layer on top of others is of one of the filters, a NULL-terminated list; the first
 * type that is not is the last layer.  Text that begins with a type that is none of the
 * types is an address of TCP.  -EINVAL: invalid syntax; -ENOMEM.
 */
int gensio_parse(const char *text, int line, const char *const *filters,
    const char *const *types, struct gensio *ret);
void gensio_free(struct gensio *g);
/* The last layer. */
static inline const struct gensio_layer *
gensio_base(const struct gensio *g)
{
	return &g->layer[g->n - 1];
}

/* Whether an option is set: "NAME", "NAME=true", "NAME=on", ... */
bool gensio_is_true(const char *value);
/* Takes the next word, up to one of the separators, outside of quotes; NULL at the end. */
char *gensio_word(char **text, const char *separators);

#endif
