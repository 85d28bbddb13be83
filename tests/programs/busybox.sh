# needs: busybox
# busybox's shell: pipelines, here-documents, functions, traps, job control, and some fifty applets.
exec busybox sh -eu <<'SCRIPT'
echo one two three | busybox tr ' ' '\n' | busybox sort -r | busybox head -2
busybox cat <<HERE
expanded: $((6 * 7))
HERE
trap 'echo trapped' USR1
kill -USR1 $$
(exit 3) || echo "code $?"
busybox sleep 0.1 & wait $!; echo "waited $?"
seq 3 | while read -r n; do echo "n$n"; done
f() { local x=$1; echo "f $x"; }; f y
mkdir -p d/e; echo hello > d/e/f; cp d/e/f d/g; mv d/g d/h; ln -s h d/l; ls d; readlink d/l; cat d/l
find d -type f | sort; wc -c d/h; md5sum d/h; sha256sum d/h | cut -c1-16; cksum d/h
printf 'b\na\nb\n' | sort | uniq -c | awk '{print $1 $2}'
echo abc | sed s/b/X/ ; echo abc | grep -c b; echo hello | rev; echo hello | od -c | head -1
tar cf t.tar d; tar tf t.tar | sort; gzip -k t.tar; gunzip -c t.tar.gz | cmp - t.tar && echo same
expr 2 + 3; basename /a/b; dirname /a/b; test -d d && echo dir; stat -c '%a %s' d/h
dd if=/dev/zero of=z bs=1k count=4 2>/dev/null; du -k z | cut -f1; truncate -s 10 z; wc -c < z
echo 'x=1;y=2' | tr ';' '\n' | cut -d= -f2; yes | head -2; seq 1 3 | tac; nl d/h; paste d/h d/h; echo a:b | tr : ' '
env -i A=1 env; id -u >/dev/null; uname -s; pwd | grep -c .; date -u -d @0 +%Y; cal 1 2000 | head -1; hexdump -C d/h | head -1
split -b 2 d/h part; ls part*; cat part* | cmp - d/h && echo joined; rm -r d part* z t.tar*; ls | wc -l
SCRIPT
