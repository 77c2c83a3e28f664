/*
 * config: an INI file, or words of the command line, to checked plain structs.
 * Opens nothing but the file; reports every fault with its line.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "endpoint.h"
#include "route.h"

#define CONFIG_DEFAULT_PATH "/etc/ttybridge/ttybridge.conf"

enum access { ACCESS_DEFAULT, ACCESS_READ, ACCESS_FULL };

struct daemon_conf {
	char	       *name;
	int		log_level;	/* index into log_level_words */
	uint64_t	drain_timeout;	/* ns */
	char	       *state_dir;
};

struct control_conf {
	char	       *name;
	char	       *text;
	int		line;
	char	       *listen;
	int		access;		/* READ or FULL once checked */
	char	       *allow;		/* CIDR list, NULL: loopback only */
	uint64_t	mode;		/* 0: not given */
	char	       *group;
	uint64_t	max_clients;
};

struct config {
	struct daemon_conf daemon;
	struct control_conf **controls;
	unsigned	ncontrols;
	struct endpoint_conf **endpoints;
	unsigned	nendpoints;
	struct route_conf **routes;
	unsigned	nroutes;
};

/* The faults found, one line of text each: "FILE:LINE: what is wrong". */
struct faults {
	char	      **text;
	unsigned	n;
};
void		faults_free(struct faults *f);

/*
 * Reads the file and checks all of it.  0 and a new config, or -EINVAL with
 * the faults, -errno (and a fault that says so) when it cannot be read.
 */
int		config_load(const char *path, struct config **ret,
		    struct faults *faults);
/*
 * Adds the endpoint and control words of a command line to *ret (made when NULL)
 * as sections of "command line" (the line is the word's number).
 */
int		config_words(char *const *words, unsigned n, struct config **ret,
		    struct faults *faults);
/* What can only be checked when all is read: at least one endpoint, route names. Called
 * last, after config_load or config_words. */
int		config_check(struct config *c, const char *file,
		    struct faults *faults);
/* From a buffer, as config_load does from a file: for tests and fuzzing. */
int		config_parse(const char *file, const char *text, size_t len,
		    struct config **ret, struct faults *faults);
/* Frees what has not been taken over (set those pointers to NULL). */
void		config_free(struct config *c);

#endif
