/*
 * config: reads an INI file, or words of the command line, into checked plain structs.
 * Opens no other files; reports every fault with its line.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include <time.h>

#include "endpoint.h"
#include "route.h"
#include "tls.h"

#define CONFIG_DEFAULT_PATH "/etc/ttybridge/ttybridge.conf"
#define CONFIG_WORDS "command line" /* the "file" of words */
#define CONFIG_MAX_ENDPOINTS 4096
#define CONFIG_MAX_ROUTES 1024
#define CONFIG_MAX_FAULTS 1000 /* stored; further ones are only counted */

enum access { ACCESS_DEFAULT = -1, ACCESS_READ, ACCESS_FULL };

struct daemon_conf {
	int line;		 /* 0: there is no such section */
	const char *file;	 /* borrowed; NULL: no file was read */
	struct timespec written; /* the st_mtim of the file when it was read */
	char *name;
	int log_level;		/* index into log_level_words */
	uint64_t drain_timeout; /* ns */
	char *state_dir;
};
extern const struct key daemon_keys[];

/* A section [control NAME] or [http NAME]. */
struct control_conf {
	const char *type; /* "control" or "http" */
	bool http;
	char *name;
	char *text;
	const char *file; /* file that contains it, for messages */
	int line;
	char *listen;
	int access;    /* READ or FULL once checked */
	char *allow;   /* CIDR list, NULL: loopback only */
	uint64_t mode; /* 0: not given */
	char *group;
	uint64_t max_clients;
	uint64_t stall_timeout; /* of a watch, ns, 0: none */
	struct tls_conf tls;
	char *full; /* names of certificates, NULL: not given */
	struct tls_context *context; /* NULL: no TLS */
	/* Of [http]: */
	char *hosts;		  /* besides addresses and localhost, or NULL */
	char *token_file;	  /* NULL: not given */
	char *token;		  /* its contents, NULL: none is required */
	bool token_is_public;	  /* other users may read the file */
	uint64_t request_timeout; /* ns */
};
extern const struct key control_keys[], http_keys[];
/* The keys of the section. */
const struct key *control_conf_keys(const struct control_conf *conf);
/*
 * Reads the file of the token, if there is one, and replaces conf->token; -errno and err
 * on failure.
 */
int control_conf_load(struct control_conf *conf, struct error *err);
void control_conf_free(struct control_conf *conf);

/* Writes its section, such as "[control full]"; the name of a section without one is its
 * type.  Returns buf. */
const char *control_conf_where(
    const struct control_conf *conf, char *buf, size_t size);
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
	unsigned lost;	  /* sections of an unknown type... */
	char *lost_names; /* ...and their names, or NULL */
};

/*
 * The faults and warnings, sorted: "FILE:LINE: what is wrong", one line of text each.  If
 * there were too many, the last one has the number of the others.
 */
struct faults {
	char **text;
	unsigned n;
	/* Used only by the functions that add faults. */
	unsigned *order;
	unsigned found;	   /* total number of faults */
	unsigned warnings; /* number of warnings, "FILE:LINE: warning: ..." */
};
void faults_free(struct faults *f);

/*
 * Reads the file (NULL: none), then the words, then performs the checks that involve
 * several sections.  Returns 0 and a new config, possibly with warnings; -EINVAL and all
 * faults; -errno and a fault when the file cannot be read.  The caller must keep path for
 * as long as parts of the config are used.
 */
int config_read(const char *path, char *const *words, unsigned n,
    struct config **ret, struct faults *faults);
/*
 * The [control] sections of a file with faults, except those with faults of their own: so
 * a client finds the daemon that runs with an older file.  0 or -errno.
 */
int config_read_controls(const char *path, struct config **ret);
/*
 * The three steps of config_read().  Each adds what could be read to *ret (allocated if
 * NULL), and adds to the faults, even if it returns -EINVAL, so that the next step can
 * find more faults. The first reads the text of a file.
 */
int config_parse(const char *file, const char *text, size_t len,
    struct config **ret, struct faults *faults);
/*
 * Reads endpoint and control words.  Their file is CONFIG_WORDS, their line the number of
 * the word.
 */
int config_words(
    char *const *words, unsigned n, struct config **ret, struct faults *faults);
/*
 * The last step: checks that there is an endpoint, that names and devices are unique, and
 * the names in routes.  The absence of endpoints is reported for file.
 */
int config_check(struct config *c, const char *file, struct faults *faults);
/* The properties of the endpoint that a table of routes depends on. */
enum route_end config_route_end(const struct endpoint_conf *conf);
/* Adds warnings for a configuration without faults.  -ENOMEM. */
int config_warn(
    const struct config *c, const char *file, struct faults *faults);
/* Also frees the members that were not taken over (set to NULL). */
void config_free(struct config *c);

#endif
