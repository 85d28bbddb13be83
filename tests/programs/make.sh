# needs: make gcc
set -eu
for i in $(seq 1 30); do echo "int f$i(int x) { return x + $i; }" > f$i.c; done
{ for i in $(seq 1 30); do echo "int f$i(int);"; done; echo '#include <stdio.h>'; echo 'int main(void) { int s = 0;'; for i in $(seq 1 30); do echo "s = f$i(s);"; done; echo 'printf("%d\n", s); return 0; }'; } > main.c
printf 'OBJS := $(patsubst %%.c,%%.o,$(wildcard *.c))\nprog: $(OBJS)\n\t@$(CC) -o $@ $^\n%%.o: %%.c\n\t@$(CC) -c -o $@ $<\n' > Makefile
make -s -j4 prog; ./prog; touch f3.c; make -n prog | wc -l; ls *.o | wc -l
