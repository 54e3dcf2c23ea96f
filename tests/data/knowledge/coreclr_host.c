/* Hosts the .NET runtime in the directory argv[1], as coreclrhost.h says; given a second argument,
   has a letter put in upper case, which takes globalization. */
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

typedef int (*initialize_fn)(const char *, const char *, int, const char **, const char **, void **,
			     unsigned *);
typedef int (*create_delegate_fn)(void *, unsigned, const char *, const char *, const char *,
				  void **);
typedef char (*to_upper_fn)(char);

static char assemblies[1 << 20];

int main(int argc, char **argv)
{
	const char *names[] = {"TRUSTED_PLATFORM_ASSEMBLIES", "NATIVE_DLL_SEARCH_DIRECTORIES"};
	const char *values[] = {assemblies, argv[1]};
	DIR *directory = opendir(argv[1]);
	void *host, *to_upper;
	unsigned domain;
	char path[4096];

	if (!directory)
		return 1;
	for (struct dirent *entry; (entry = readdir(directory));) {
		if (strstr(entry->d_name, ".dll")) {
			snprintf(path, sizeof(path), "%s/%s:", argv[1], entry->d_name);
			strcat(assemblies, path);
		}
	}
	snprintf(path, sizeof(path), "%s/libcoreclr.so", argv[1]);
	void *library = dlopen(path, RTLD_NOW);
	if (!library)
		return 2;
	initialize_fn initialize = (initialize_fn)dlsym(library, "coreclr_initialize");
	create_delegate_fn create = (create_delegate_fn)dlsym(library, "coreclr_create_delegate");
	if (initialize(argv[0], "host", 2, names, values, &host, &domain))
		return 3;
	if (argc == 2)
		return 0;
	if (create(host, domain, "System.Private.CoreLib", "System.Char", "ToUpperInvariant",
		   &to_upper))
		return 4;
	printf("%c is the answer\n", ((to_upper_fn)to_upper)('x'));
	return 0;
}
