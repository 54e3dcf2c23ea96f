#include <stdio.h>

int main(void)
{
	return puts("used") < 0;
}
