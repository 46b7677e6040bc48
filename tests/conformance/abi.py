#!/usr/bin/env python3
"""The ABI as text: abi.py LIBRARY prints what tests/data/abi.txt holds. Exported symbols, sizes and offsets of every struct, and
values of every constant, as the compiler sees llmcall.h on a 64-bit machine. Regenerate it only when something was added."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEADER = ROOT / "include" / "llmcall.h"
CC = os.environ.get("CC", "cc")


def _source():
    return re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)


def structs():
    """{struct: [fields]} of the typedef structs that are defined in the header."""
    found = {}
    for body, name in re.findall(r"typedef struct \w+ \{(.*?)\} (\w+);", _source(), re.DOTALL):
        fields = []
        for declaration in filter(None, map(str.strip, body.split(";"))):
            pointer = re.search(r"\(\*(\w+)\)", declaration)
            names = [pointer.group(1)] if pointer else [re.sub(r"\[.*", "", part).split()[-1].lstrip("*") for part in declaration.split(",")]
            fields += names
        found[name] = fields
    return found


def constants():
    return [name for body in re.findall(r"enum \{(.*?)\}", _source(), re.DOTALL) for name in re.findall(r"(LLMCALL_\w+)\s*=", body)]


def functions():
    return re.findall(r"LLMCALL_API[^;(]*?\b(llmcall_\w+)\(", _source())


def layout():
    """{struct: (size, {field: offset})} and {constant: value}, by a compiled program."""
    lines = []
    for name, fields in structs().items():
        lines.append(f'printf("size {name} %zu\\n", sizeof({name}));')
        lines += [f'printf("field {name} {field} %zu\\n", offsetof({name}, {field}));' for field in fields]
    lines += [f'printf("value {name} %d\\n", (int){name});' for name in constants()]
    program = "#include <stdio.h>\n#include \"llmcall.h\"\nint main(void) {\n" + "\n".join(lines) + "\nreturn 0;\n}\n"
    with tempfile.TemporaryDirectory() as work:
        source, binary = pathlib.Path(work) / "abi.c", pathlib.Path(work) / "abi"
        source.write_text(program)
        subprocess.run([CC, "-std=c99", f"-I{HEADER.parent}", str(source), "-o", str(binary)], check=True)
        printed = subprocess.run([str(binary)], capture_output=True, text=True, check=True).stdout
    sizes, values = {}, {}
    for kind, name, *rest in map(str.split, printed.splitlines()):
        if kind == "size":
            sizes[name] = (int(rest[0]), {})
        elif kind == "field":
            sizes[name][1][rest[0]] = int(rest[1])
        else:
            values[name] = int(rest[0])
    return sizes, values


def symbols(library):
    """Every dynamic symbol that the library defines, versions left out."""
    printed = subprocess.run(["nm", "-D", "--defined-only", str(library)], capture_output=True, text=True, check=True).stdout
    return sorted({line.split()[-1].split("@")[0] for line in printed.splitlines() if line.split()[-2] != "A"})


def snapshot(library):
    sizes, values = layout()
    lines = [f"symbol {name}" for name in symbols(library)]
    for name, (size, offsets) in sizes.items():
        lines.append(f"struct {name} {size}")
        lines += [f"  {offset} {field}" for field, offset in offsets.items()]
    lines += [f"constant {name} {value}" for name, value in values.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(snapshot(sys.argv[1]), end="")
