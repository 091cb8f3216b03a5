// What POSIX promises, each as a script for bash that fails where it is broken. Transports run all of them, in an empty
// directory of a mount. `! command` would not end a script under set -e.
export const PREAMBLE = 'set -ex\nfails() { if "$@" 2>&-; then echo "$* did not fail"; exit 1; fi; }\n'
export const SCRIPTS: Readonly<Record<string, string>> = {
  'what was written is read back': `
    head -c 5000000 /dev/urandom > /tmp/cairnfs-$$; cp /tmp/cairnfs-$$ f; cmp /tmp/cairnfs-$$ f
    dd if=f iflag=direct bs=64k status=none | cmp - /tmp/cairnfs-$$; s=$?; rm /tmp/cairnfs-$$; exit $s`,
  'an empty file is empty': `: > e; [ "$(stat -c %s e)" = 0 ]; [ -z "$(cat e)" ]`,
  'appending goes to the end': `printf a > f; printf b >> f; printf c >> f; [ "$(cat f)" = abc ]`,
  'O_TRUNC empties a file': `echo long content > f; echo x > f; [ "$(cat f)" = x ]; [ "$(stat -c %s f)" = 2 ]`,
  'truncate grows with zeros and shrinks': `
    printf abc > f; truncate -s 10 f; [ "$(stat -c %s f)" = 10 ]; [ "$(od -An -tx1 f | tr -d ' \\n')" = 61626300000000000000 ]
    truncate -s 2 f; [ "$(cat f)" = ab ]; truncate -s 4 f; [ "$(od -An -tx1 f | tr -d ' ')" = 61620000 ]`,
  'a missing name is missing, then there, then missing': `fails stat n; touch n; stat n; rm n; fails stat n`,
  'rename moves, and replaces': `
    echo 1 > a; echo 2 > b; mv a c; [ ! -e a ]; [ "$(cat c)" = 1 ]; mv -f b c; [ "$(cat c)" = 2 ]; [ ! -e b ]
    mkdir d; mv c d/c; [ "$(cat d/c)" = 2 ]; mkdir e; mv d e/d; [ "$(cat e/d/c)" = 2 ]`,
  'an unlinked file lives while it is open': `
    echo kept > f; exec 3< f; rm f; [ ! -e f ]; [ "$(cat <&3)" = kept ]; exec 3<&-`,
  'hard links share a file': `
    echo 1 > a; ln a b; [ "$(stat -c %h a)" = 2 ]; echo 2 > b; [ "$(cat a)" = 2 ]; rm a; [ "$(stat -c %h b)" = 1 ]; [ "$(cat b)" = 2 ]`,
  'symbolic links are kept to the letter': `ln -s 'to  where/ever' l; [ "$(readlink l)" = 'to  where/ever' ]; echo x > t; ln -s t m; [ "$(cat m)" = x ]`,
  'directories count their links and must be empty to go': `
    mkdir d d/e; [ "$(stat -c %h d)" = 3 ]; fails rmdir d; rmdir d/e; [ "$(stat -c %h d)" = 2 ]; rmdir d; [ ! -e d ]`,
  'times are kept to the nanosecond, and before 1970': `
    touch -d '2001-02-03 04:05:06.789012345 UTC' f; [ "$(TZ=UTC stat -c %y f)" = '2001-02-03 04:05:06.789012345 +0000' ]
    touch -d '1960-01-01 00:00:00.5 UTC' f; [ "$(TZ=UTC stat -c %y f)" = '1960-01-01 00:00:00.500000000 +0000' ]
    touch f; [ $(( $(date +%s) - $(stat -c %Y f) )) -lt 5 ]`,
  'mode and owner': `touch f; chmod 640 f; chown 12:34 f; [ "$(stat -c %a:%u:%g f)" = 640:12:34 ]; (umask 077; touch g); [ "$(stat -c %a g)" = 600 ]`,
  'special files': `mkfifo p; [ -p p ]; mknod n c 1 3; [ "$(stat -c %t:%T:%F n)" = '1:3:character special file' ]`,
  'names of any bytes, up to 255': `
    n=$(printf 'x%.0s' $(seq 255)); touch "$n"; [ "$(ls)" = "$n" ]; fails touch "$n"y; rm "$n"
    touch $'new\\nline' $'\\xff\\xfe' 'ü'; [ "$(ls -U | wc -c)" -gt 0 ]; stat $'\\xff\\xfe' 'ü' $'new\\nline'`,
  'extended attributes': `
    touch f; python3 -c "
import os
os.setxattr('f', 'user.a', b'1'); os.setxattr('f', 'user.b', b'x' * 3000)
assert sorted(os.listxattr('f')) == ['user.a', 'user.b'], os.listxattr('f')
assert os.getxattr('f', 'user.a') == b'1' and os.getxattr('f', 'user.b') == b'x' * 3000
os.removexattr('f', 'user.a'); assert os.listxattr('f') == ['user.b']
"`,
  'mapped files are read and written': `
    head -c 300000 /dev/urandom > f; python3 -c "
import mmap, os
plain = open('f', 'rb').read()
f = open('f', 'r+b'); m = mmap.mmap(f.fileno(), 0)
assert m[:] == plain
m[5000:5003] = b'abc'; m.flush(); m.close(); f.close()
os.posix_fadvise(os.open('f', os.O_RDONLY), 0, 0, os.POSIX_FADV_DONTNEED)
assert open('f', 'rb').read() == plain[:5000] + b'abc' + plain[5003:]
"`,
  'direct writes show in cached reads, and the other way round': `
    printf aaaa > f; [ "$(cat f)" = aaaa ]; printf bbbb | dd of=f conv=notrunc oflag=direct status=none; [ "$(cat f)" = bbbb ]
    printf cc >> f; [ "$(dd if=f iflag=direct status=none)" = bbbbcc ]`,
  'a file that was opened with O_DIRECT can be mapped': `
    echo mapped > f; python3 -c "
import mmap, os
assert mmap.mmap(os.open('f', os.O_RDWR | os.O_DIRECT), 0)[:] == b'mapped\\n'
"`,
  'locks work between processes': `touch l; flock l sh -c '! flock -n l true'; flock -n l true`,
  'fsync and syncfs succeed': `echo x > f; sync f; sync -f f; sync .; python3 -c "import os; os.fsync(os.open('.', os.O_RDONLY))"`,
  'df answers': `[ "$(df --output=fstype . | tail -1)" = fuse.cairnfs ]`,
  'many writers at once': `
    for i in 1 2 3 4 5 6 7 8; do (mkdir d$i; for j in $(seq 20); do echo "$i $j" > d$i/f$j; done) & done; wait
    [ "$(cat d*/f* | sort -u | wc -l)" = 160 ]; rm -r d*; [ -z "$(ls)" ]`,
}
