# A C project: sources by script, a static and a shared library, make -j, run from the mount, built again in part.
# needs: gcc make ar
count=30
mkdir src
for i in $(seq "$count"); do
  printf '#include "all.h"\nint part%d(int x) { return x + %d; }\n' "$i" "$i" >"src/part$i.c"
done
for i in $(seq "$count"); do echo "int part$i(int);"; done >src/all.h
{
  printf '#include <stdio.h>\n#include "all.h"\nint main(void) {\n  int x = 0;\n'
  for i in $(seq "$count"); do echo "  x = part$i(x);"; done
  printf '  printf("%%d\\n", x);\n  return 0;\n}\n'
} >src/main.c
cat >Makefile <<'END'
PARTS := $(patsubst src/%.c,out/%.o,$(wildcard src/part*.c))
all: out/static out/shared
out/%.o: src/%.c src/all.h | out
	gcc -O1 -g -fPIC -MMD -c -o $@ $<
out:
	mkdir -p out
out/libparts.a: $(PARTS)
	ar rcs $@ $^
out/libparts.so: $(PARTS)
	gcc -shared -o $@ $^
out/static: out/main.o out/libparts.a
	gcc -o $@ $^
out/shared: out/main.o out/libparts.so
	gcc -o $@ out/main.o -Lout -lparts -Wl,-rpath,'$$ORIGIN'
END
make -s -j2
[ "$(out/static)" = 465 ]
[ "$(out/shared)" = 465 ]
# Times are fine enough for make to see that nothing, and then that one file, has to be built again.
make -q
sed -i 's/x + 7;/x + 1007;/' src/part7.c
make -s -j2
[ "$(out/static)" = 1465 ]
[ "$(out/shared)" = 1465 ]
make -q
