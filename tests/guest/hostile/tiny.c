/* tiny: exits with 7, by itself. It has text, data and bss, so that its file has segments of every kind. */
char data[5000] = {7};
char bss[9000];

void _start(void)
{
	long code = data[0] + bss[8999];
	__asm__ volatile("syscall" : : "a"(231), "D"(code) : "rcx", "r11", "memory");
	__builtin_trap();
}
