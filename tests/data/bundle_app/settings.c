#include <stdio.h>

int read_settings(const char *path)
{
	FILE *file = fopen(path, "r");

	return file && fgetc(file) != EOF && !fclose(file);
}
