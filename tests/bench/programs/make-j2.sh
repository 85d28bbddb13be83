# A C project of 30 files, built from nothing by two jobs.
set -e
case $1 in
prepare)
    make --version >/dev/null && gcc --version >/dev/null
    for i in $(seq 1 30); do
        printf '#include <stdio.h>\n#include <stdlib.h>\n#include "all.h"\nint f%d(int n)\n{\n    char text[64];\n' $i >"$2/f$i.c"
        printf '    snprintf(text, sizeof text, "%%d", n);\n    return atoi(text) + %d;\n}\n' $i >>"$2/f$i.c"
        echo "int f$i(int n);" >>"$2/all.h"
    done
    { echo '#include "all.h"'; echo 'int main(int n, char **v) { return v == 0'; for i in $(seq 1 30); do echo "+ f$i(n)"; done; echo '; }'; } >"$2/main.c"
    cat >"$2/Makefile" <<'MK'
S := $(dir $(lastword $(MAKEFILE_LIST)))
OBJECTS := $(patsubst $(S)%.c,%.o,$(wildcard $(S)*.c))
program: $(OBJECTS)
	gcc -o $@ $^
%.o: $(S)%.c $(S)all.h
	gcc -O1 -c -o $@ $<
MK
    ;;
run)
    rm -rf "$3/make" && mkdir "$3/make" && cd "$3/make"
    make -s -j2 -f "$2/Makefile"
    ;;
esac
