/*
 * replay: runs a fuzz target on files, for compilers without a fuzzer.
 *
 *	replay FILE|DIRECTORY ...
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data;
	long size;

	if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (size = ftell(f)) < 0) {
		perror(path);
		return 1;
	}
	rewind(f);
	/* No byte more than the input, so that reading past it is seen. */
	data = malloc((size_t)size + (size == 0));
	if (data == NULL || fread(data, 1, (size_t)size, f) != (size_t)size) {
		perror(path);
		return 1;
	}
	fclose(f);
	LLVMFuzzerTestOneInput(data, (size_t)size);
	free(data);
	return 0;
}

static int
replay(const char *path)
{
	struct dirent **list;
	struct stat st;
	int n, status = 0;
	char *name;

	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
		return replay_file(path);
	if ((n = scandir(path, &list, NULL, alphasort)) < 0) {
		perror(path);
		return 1;
	}
	for (int i = 0; i < n; i++) {
		if (list[i]->d_name[0] != '.' &&
		    asprintf(&name, "%s/%s", path, list[i]->d_name) >= 0) {
			status |= replay(name);
			free(name);
		}
		free(list[i]);
	}
	free(list);
	return status;
}

int
main(int argc, char **argv)
{
	int status = 0;

	if (argc < 2) {
		fprintf(stderr, "usage: %s FILE|DIRECTORY ...\n", argv[0]);
		return 2;
	}
	for (int i = 1; i < argc; i++)
		status |= replay(argv[i]);
	return status;
}
