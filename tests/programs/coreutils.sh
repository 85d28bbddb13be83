# needs: perl xz find awk
set -eu
mkdir tree; for i in $(seq 1 40); do mkdir -p tree/d$((i % 5)); echo "file $i" > tree/d$((i % 5))/f$i; done
find tree -name 'f*' -newer /etc/passwd | wc -l; find tree -type f -size -1k -print0 | xargs -0 -n 7 echo | wc -l
find tree -type f -exec cat {} + | sort -k2n | awk '{s += $2} END {print NR, s}'
grep -rl 'file 7$' tree; sed -n '1p;$p' <(cat tree/d1/*); 
tar czf a.tgz tree; tar cJf a.txz tree; mkdir out; tar xJf a.txz -C out; diff -r tree out/tree && echo identical; tar tzf a.tgz | wc -l
perl -e 'my %h; $h{$_ % 3}++ for 1..10; print join(",", map {"$_=$h{$_}"} sort keys %h), "\n"; open my $p, "-|", "echo from perl" or die; print <$p>; close $p; fork or exit 4; wait; print $? >> 8, "\n"'
seq 100000 | sort -rn | head -3; seq 100000 | sha256sum; ls -la tree | wc -l; stat -c %F tree tree/d1/f1
chmod 640 tree/d1/f1; stat -c %a tree/d1/f1; touch -d '2001-02-03 04:05:06 UTC' tree/d1/f1; TZ=UTC stat -c %y tree/d1/f1
ln tree/d1/f1 hard; stat -c %h hard; cp -a tree copy; diff -r tree copy && echo copied; mktemp -u | cut -c1-9; shuf -i 1-1; comm -12 <(seq 3) <(seq 2 4)
split -n 3 a.tgz p.; cat p.* | cmp - a.tgz && echo whole; dd if=a.tgz bs=512 count=1 2>/dev/null | wc -c; rm -rf tree out copy
