# Makes a C project in the working directory: 12 modules, a static and a shared library, a program. `make` builds it.
set -e
mkdir -p src include
echo '#pragma once' > include/all.h
for i in $(seq 12); do
  echo "int f$i(int x);" >> include/all.h
  cat > src/m$i.c <<C
#include "all.h"
#include <stdio.h>
#include <stdlib.h>
static int table[1000];
int f$i(int x) { for (int i = 0; i < 1000; i++) table[i] = i * x; return table[$i] + ${i}; }
C
done
{ echo '#include "all.h"'; echo '#include <stdio.h>'; echo 'int main(void) { int sum = 0;'
  for i in $(seq 12); do echo "  sum += f$i($i);"; done
  echo '  printf("%d\n", sum); return 0; }'; } > src/main.c
cat > Makefile <<'M'
CFLAGS = -O1 -fPIC -Iinclude
PARTS = $(patsubst src/%.c,obj/%.o,$(wildcard src/m[0-9]*.c))
all: bin/static bin/shared
obj/%.o: src/%.c include/all.h | obj
	$(CC) $(CFLAGS) -c $< -o $@
bin/liball.a: $(PARTS) | bin
	rm -f $@; ar rcs $@ $^
bin/liball.so: $(PARTS) | bin
	$(CC) -shared -o $@ $^
bin/static: obj/main.o bin/liball.a
	$(CC) -o $@ $^
bin/shared: obj/main.o bin/liball.so
	$(CC) -o $@ $< -Lbin -lall -Wl,-rpath,'$$ORIGIN'
obj bin:
	mkdir -p $@
M
