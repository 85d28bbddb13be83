# One compilation of a C file of 3,000 lines.
set -e
case $1 in
prepare)
    gcc --version >/dev/null
    {
        echo '#include <stdio.h>'
        echo '#include <stdlib.h>'
        echo '#include <string.h>'
        for i in $(seq 1 374); do
            printf 'struct s%d { int a, b; char name[%d]; };\n' $i $((i % 60 + 4))
            printf 'static int f%d(struct s%d *s, int n)\n{\n' $i $i
            printf '    for (int i = 0; i < n; i++)\n        s->a += s->b * i + (int)strlen(s->name);\n'
            printf '    return s->a ^ %d;\n}\n' $i
        done
        echo 'int main(int n, char **v) {'
        for i in $(seq 1 374); do echo "    { struct s$i s = {n, n, \"x\"}; printf(\"%d\\n\", f$i(&s, n)); }"; done
        echo '    return v == 0; }'
    } >"$2/big.c"
    ;;
run) gcc -O1 -c -o "$3/big.o" "$2/big.c" ;;
esac
