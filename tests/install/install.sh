#!/bin/sh
# install.sh ROOT BUILD -- installs into a scratch prefix and uses the library as strangers
# do: pkg-config in C11 and C++17, shared and static, CMake, a Meson subproject, README's
# example.
# shellcheck disable=SC2317 # functions are called through check
set -eu
root=$1 build=$2
# shellcheck source=tests/style/tap.sh
. "$root/tests/style/tap.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix

install_all() { meson install -C "$build" --no-rebuild --quiet --destdir "$work/dest"; }
check 'meson install' install_all
# The prefix that the build was configured with, moved under the scratch folder.
configured=$(meson introspect "$build" --buildoptions |
    tr '{' '\n' | sed -n 's/.*"name": "prefix", "value": "\([^"]*\)".*/\1/p')
mv "$work/dest$configured" "$prefix"
pc=$(find "$prefix" -name clflash.pc)
lib=$(dirname "$(dirname "$pc")")
PKG_CONFIG_PATH=$(dirname "$pc") LD_LIBRARY_PATH=$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export PKG_CONFIG_PATH LD_LIBRARY_PATH

has() { find "$prefix" -path "*/$1" | grep . || { find "$prefix"; return 1; }; }
for file in include/clflash/clflash.h include/clflash/attention.h libclflash.so 'libclflash.so.0' \
    libclflash.a pkgconfig/clflash.pc cmake/clflash/clflashConfig.cmake \
    'man1/clflash_bench.1*' bin/clflash_bench bin/clflash_run bin/clflash_info bin/clflash_tune; do
    check "installs $file" has "$file"
done
soname() { readelf -d "$lib/libclflash.so" | grep -q 'SONAME.*libclflash\.so\.0'; }
check 'soname libclflash.so.0' soname

# COMPILER STANDARD SOURCE NAME [static]
consume() {
    flags=$(pkg-config --define-variable=prefix="$prefix" --cflags --libs ${5:+--static} clflash)
    [ -z "${5:-}" ] || flags=$(echo "$flags" | sed "s|-lclflash|$lib/libclflash.a|")
    # shellcheck disable=SC2086 # a list of words
    "$1" "-std=$2" -Wall -Wextra -Wpedantic -Werror -x "${2%%[0-9]*}" "$3" -x none -o "$work/$4" \
        $sanitize $flags && "$work/$4"
}
# In a sanitized build the consumer is sanitized as well, or the library does not load.
sanitize=$(meson introspect "$build" --buildoptions | tr '{' '\n' |
    sed -n 's/.*"name": "b_sanitize", "value": "\([^"]*\)".*/\1/p')
if [ "$sanitize" = none ] || [ -z "$sanitize" ]; then sanitize=; else sanitize=-fsanitize=$sanitize; fi
cc=${CC:-cc} cxx=${CXX:-c++}
consumer=$root/tests/install/consumer.c
check 'a consumer in C11, shared' consume "$cc" c11 "$consumer" c11
check 'a consumer in C11, static' consume "$cc" c11 "$consumer" c11_static static
if command -v "$cxx" >/dev/null 2>&1; then
    check 'a consumer in C++17' consume "$cxx" c++17 "$consumer" cpp17
else
    skip 'a consumer in C++17' 'no C++ compiler'
fi

example() {
    awk '/^```c$/ { on = 1; next } /^```/ && on { exit } on' "$root/README.md" >"$work/readme.c"
    grep -q main "$work/readme.c" && consume "$cc" c11 "$work/readme.c" readme | grep 'o\[0\] = 1$'
}
check "README's example" example

with_cmake() {
    mkdir -p "$work/cmake"
    cp "$consumer" "$work/cmake/"
    cat >"$work/cmake/CMakeLists.txt" <<EOF
cmake_minimum_required(VERSION 3.16)
project(consumer C)
find_package(clflash REQUIRED)
add_executable(consumer consumer.c)
target_link_libraries(consumer PRIVATE clflash::clflash)
EOF
    cmake -S "$work/cmake" -B "$work/cmake/build" -DCMAKE_PREFIX_PATH="$prefix" \
        -DCMAKE_C_FLAGS="$sanitize" && cmake --build "$work/cmake/build" &&
        "$work/cmake/build/consumer"
}
if command -v cmake >/dev/null 2>&1; then
    check 'find_package(clflash) in CMake' with_cmake
else
    skip 'find_package(clflash) in CMake' 'no cmake'
fi

as_subproject() {
    mkdir -p "$work/outer/subprojects/clflash"
    cp "$consumer" "$work/outer/"
    (cd "$root" && tar -cf - meson.build meson_options.txt include lib host cl_kernels packaging \
        bench) | tar -xf - -C "$work/outer/subprojects/clflash"
    cat >"$work/outer/meson.build" <<'EOF'
project('consumer', 'c', default_options: ['c_std=c11'])
clflash = dependency('clflash', fallback: ['clflash', 'clflash_dep'],
  default_options: ['programs=false'])
test('consumer', executable('consumer', 'consumer.c', dependencies: clflash))
EOF
    meson setup "$work/outer/build" "$work/outer" --wrap-mode=forcefallback &&
        meson test -C "$work/outer/build" --print-errorlogs
}
check 'a Meson subproject' as_subproject
finish
