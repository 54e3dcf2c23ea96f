/* What an image runs as /paredown/paredown-agent: starts the bundle's own Python by the bundle's own
 * dynamic loader, from wherever the bundle lies. Static and without a libc, so that it needs nothing of the image.
 *
 * The loader obeys LD_* and GLIBC_TUNABLES (ld.so(8)), which are meant for the application and name files of
 * the image. They are hidden from it by their first letter, in place; paredown_agent.environment undoes that.
 */
#include <asm/unistd.h>

#define FAILED 125 /* ExitCode.AGENT_FAILED */
#define PATH_MAX 4096
#define LONGEST_NAME 32

#if defined(__x86_64__)
static long call(long number, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	__asm__ volatile("syscall"
			 : "+a"(number)
			 : "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return number;
}
__asm__(".globl _start\n_start: xor %ebp, %ebp\nmov %rsp, %rdi\nand $-16, %rsp\ncall start\n");
#elif defined(__aarch64__)
static long call(long number, long a, long b, long c, long d)
{
	register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c, x3 __asm__("x3") = d;
	__asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	return x0;
}
__asm__(".globl _start\n_start: mov x29, #0\nmov x0, sp\nbl start\n");
#else
#error "no system call is known for this architecture"
#endif

#define AT_FDCWD -100

static long length(const char *text)
{
	long n = 0;
	while (text[n])
		n++;
	return n;
}

static int begins(const char *text, const char *with)
{
	while (*with)
		if (*text++ != *with++)
			return 0;
	return 1;
}

static _Noreturn void fail(const char *message)
{
	call(__NR_write, 2, (long)message, length(message), 0);
	for (;;)
		call(__NR_exit_group, FAILED, 0, 0, 0);
}

static void join(char *path, const char *directory, long size, const char *name)
{
	for (long i = 0; i < size; i++)
		*path++ = directory[i];
	while ((*path++ = *name++))
		;
}

static long directory_size(const char *path, long size)
{
	while (size > 0 && path[size - 1] != '/')
		size--;
	return size;
}

_Noreturn void start(long *stack)
{
	long count = stack[0];
	char **arguments = (char **)(stack + 1), **environment = arguments + count + 1;
	char self[PATH_MAX], loader[PATH_MAX + LONGEST_NAME];
	char libraries[PATH_MAX + LONGEST_NAME], python[PATH_MAX + LONGEST_NAME];

	long size = call(__NR_readlinkat, AT_FDCWD, (long)"/proc/self/exe", (long)self, PATH_MAX);
	if (size <= 0 || size >= PATH_MAX)
		fail("error: cannot start paredown-agent: /proc is not mounted\n");
	size = directory_size(self, size);
	join(loader, self, size, "lib/ld.so");
	join(libraries, self, size, "lib");
	join(python, self, size, "bin/python3");

	for (char **variable = environment; *variable; variable++) {
		if (begins(*variable, "LD_"))
			(*variable)[0] = 'l';
		else if (begins(*variable, "GLIBC_TUNABLES="))
			(*variable)[0] = 'g';
	}

	/* Isolated, without site, in UTF-8 whatever the image's locale; nothing is written beside it. */
	char *fixed[] = {loader, "--inhibit-cache", "--library-path", libraries, "--argv0", python,
			 python, "-I", "-S", "-B", "-Xutf8", "-m", "paredown_agent"};
	long given = sizeof(fixed) / sizeof(*fixed);
	char *words[given + count + 1], **word = words;
	for (long i = 0; i < given; i++)
		*word++ = fixed[i];
	for (long i = 1; i < count; i++)
		*word++ = arguments[i];
	*word = 0;
	call(__NR_execve, (long)loader, (long)words, (long)environment, 0);
	fail("error: cannot start paredown-agent: its directory is incomplete, or mounted noexec\n");
}
