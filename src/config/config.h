/*
 * config: an INI file, or words of the command line, to checked plain structs.
 * Opens nothing but the file; reports every fault with its line.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "endpoint.h"
#include "route.h"

#define CONFIG_DEFAULT_PATH "/etc/ttybridge/ttybridge.conf"
#define CONFIG_WORDS "command line" /* the "file" of words */
#define CONFIG_MAX_ENDPOINTS 4096
#define CONFIG_MAX_ROUTES 1024
#define CONFIG_MAX_FAULTS 1000 /* kept; the others are counted */

enum access { ACCESS_DEFAULT = -1, ACCESS_READ, ACCESS_FULL };

struct daemon_conf {
	int line; /* 0: there is no such section */
	char *name;
	int log_level;		/* index into log_level_words */
	uint64_t drain_timeout; /* ns */
	char *state_dir;
};
extern const struct key daemon_keys[];

struct control_conf {
	char *name;
	char *text;
	const char *file; /* where it stands, for messages */
	int line;
	char *listen;
	int access;    /* READ or FULL once checked */
	char *allow;   /* CIDR list, NULL: loopback only */
	uint64_t mode; /* 0: not given */
	char *group;
	uint64_t max_clients;
	uint64_t stall_timeout; /* of a watch, ns, 0: none */
};
extern const struct key control_keys[];
void control_conf_free(struct control_conf *conf);
/* The key 'framing' of every endpoint, offset into struct framing_conf. */
extern const struct key framing_key[];

struct config {
	struct daemon_conf daemon;
	struct control_conf **controls;
	unsigned ncontrols;
	struct endpoint_conf **endpoints;
	unsigned nendpoints;
	struct route_conf **routes;
	unsigned nroutes;
	unsigned lost; /* sections of a type that is not known */
};

/*
 * The faults found, and what is doubtful, sorted: "FILE:LINE: what is wrong", one line of text each.
 * The last one says how many more there were, if there were too many.
 */
struct faults {
	char **text;
	unsigned n;
	/* The rest is for whoever adds to them. */
	unsigned *order;
	unsigned found;	   /* all that there were */
	unsigned warnings; /* besides: "FILE:LINE: warning: ...", no faults */
};
void faults_free(struct faults *f);

/*
 * All in one: the file (NULL: none), then the words, then what only shows
 * when all is read.  0 and a new config, perhaps with warnings; -EINVAL and every fault; -errno and
 * a fault that says so when the file cannot be read.  path is borrowed for
 * as long as the config's parts live.
 */
int config_read(const char *path, char *const *words, unsigned n,
    struct config **ret, struct faults *faults);
/*
 * Its three steps.  Each adds to *ret (made when NULL) what could be read,
 * and to the faults, also when it returns -EINVAL: so that the next step
 * can find more.  The first reads the text of a file.
 */
int config_parse(const char *file, const char *text, size_t len,
    struct config **ret, struct faults *faults);
/*
 * Endpoint and control words.  Their file is CONFIG_WORDS, their line the
 * number of the word.
 */
int config_words(
    char *const *words, unsigned n, struct config **ret, struct faults *faults);
/* Last: at least one endpoint, names and devices used twice, names in routes.
 * file is where the want of endpoints is reported. */
int config_check(struct config *c, const char *file, struct faults *faults);
/* What a table of routes has to know of the endpoint. */
enum route_end config_route_end(const struct endpoint_conf *conf);
/* Of a configuration without faults: what is doubtful.  -ENOMEM. */
int config_warn(
    const struct config *c, const char *file, struct faults *faults);
/* Frees what has not been taken over (set those pointers to NULL). */
void config_free(struct config *c);

#endif
