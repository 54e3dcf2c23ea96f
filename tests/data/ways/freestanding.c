/*
 * Without any library, so that it can be all kinds of things: a program (64 or 32 bits, static or
 * with an ELF interpreter), that interpreter itself, a library. Prints "used", or the file that it
 * is given where it is built to open one.
 */
#ifdef __x86_64__
enum { READ = 0, WRITE = 1, OPEN = 2, EXIT = 60 };

static long call(long number, long a, long b, long c)
{
	long result;

	asm volatile("syscall"
		     : "=a"(result)
		     : "a"(number), "D"(a), "S"(b), "d"(c)
		     : "rcx", "r11", "memory");
	return result;
}

#define START "mov %rsp, %rdi; and $-16, %rsp; call run"
#else
enum { READ = 3, WRITE = 4, OPEN = 5, EXIT = 1 };

static long call(long number, long a, long b, long c)
{
	long result;

	asm volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
	return result;
}

#define START "mov %esp, %eax; and $-16, %esp; sub $12, %esp; push %eax; call run"
#endif

#ifdef LIBRARY
__attribute__((constructor)) static void loaded(void)
{
	char text[] = "used\n";

	call(WRITE, 1, (long)text, 5);
}
#else
asm(".globl _start; _start: " START);

__attribute__((visibility("hidden"), used)) void run(long *stack)
{
	char text[64] = "used\n";
	long size = 5;

#ifdef OPENS
	long fd = call(OPEN, stack[2], 0, 0);

	size = call(READ, fd, (long)text, sizeof(text));
#else
	(void)stack;
#endif
	call(EXIT, call(WRITE, 1, (long)text, size) != size, 0, 0);
}
#endif
