/*
 * types: the types of endpoints.
 */
#include <string.h>

#include "endpoint.h"

const struct endpoint_ops *const endpoint_types[] = {
	&endpoint_serial,
	&endpoint_pty,
	&endpoint_tcp_server,
	&endpoint_tcp_client,
	&endpoint_udp,
	&endpoint_mqtt,
	&endpoint_unix_server,
	&endpoint_unix_client,
	&endpoint_echo,
	NULL,
};

const struct endpoint_ops *
endpoint_type(const char *name)
{
	for (size_t i = 0; endpoint_types[i] != NULL; i++)
		if (strcmp(endpoint_types[i]->type, name) == 0)
			return endpoint_types[i];
	return NULL;
}
