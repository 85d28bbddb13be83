# needs: gcc g++
set -eu
cat > a.c <<'C'
#include <stdio.h>
#include <pthread.h>
#include <math.h>
static void *f(void *a) { return (void *)((long)a * 2); }
int main(void) { pthread_t t; void *r; pthread_create(&t, 0, f, (void *)21L); pthread_join(t, &r); printf("%ld %.3f\n", (long)r, sqrt(2)); return 6; }
C
gcc -O2 -Wall -pthread a.c -o a -lm; ./a || echo "code $?"; gcc -static -pthread a.c -o s -lm; ./s || echo "code $?"
cat > b.cc <<'C'
#include <iostream>
#include <map>
#include <stdexcept>
#include <thread>
int main() { std::map<std::string, int> m{{"a", 1}}; try { m.at("b"); } catch (const std::out_of_range &) { std::cout << "caught\n"; } int x = 0; std::thread([&] { x = 5; }).join(); std::cout << x << std::endl; }
C
g++ -O1 b.cc -o b -pthread; ./b; echo 'int main(' > bad.c; gcc bad.c 2>/dev/null || echo "refused $?"; size a | tail -1 | awk '{print NF}'
