"""The ABI: the header alone, the snapshot of symbols and layouts, the Python structs, and struct sizes of other versions."""
import ctypes as c
import os
import pathlib
import shutil
import subprocess

import abi
import pytest
from llmcall import Status, _abi

ROOT = pathlib.Path(__file__).resolve().parents[2]
SNAPSHOT = ROOT / "tests" / "data" / "abi.txt"
USE = '#include "llmcall.h"\n#include "llmcall.h"\nint main(void) { LLMCALL_INIT(llmcall_request, r); return (int)r.n; }\n'
WARNINGS = ["-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only"]


@pytest.mark.parametrize("compiler,language,standard", [("cc", "c", "c99"), ("cc", "c", "c11"), ("c++", "c++", "c++17"),
                                                        ("clang", "c", "c99"), ("clang++", "c++", "c++17")])
def test_header_compiles_alone(compiler, language, standard, tmp_path):
    if not shutil.which(compiler):
        if compiler in ("cc", "c++"):
            pytest.fail(f"{compiler} is missing")
        pytest.skip(f"{compiler} is not installed")
    source = tmp_path / f"use.{'c' if language == 'c' else 'cc'}"
    source.write_text(USE)
    subprocess.run([compiler, f"-std={standard}", *WARNINGS, f"-I{ROOT / 'include'}", str(source)], check=True)


def library():
    return pathlib.Path(_abi.lib._name).resolve()


def test_snapshot():
    """After an addition: python tests/conformance/abi.py build/libllmcall.so > tests/data/abi.txt, and look at what changed."""
    assert abi.snapshot(library()) == SNAPSHOT.read_text()


def test_exports_are_the_headers_functions():
    assert abi.symbols(library()) == sorted(abi.functions())


def test_soname():
    if not shutil.which("readelf"):
        pytest.skip("readelf is not installed")
    printed = subprocess.run(["readelf", "-d", str(library())], capture_output=True, text=True, check=True).stdout
    assert "Library soname: [libllmcall.so.0]" in printed


def test_python_structs_are_the_headers():
    sizes, _ = abi.layout()
    assert sorted(sizes) == sorted(_abi.STRUCTS)
    for name, (size, offsets) in sizes.items():
        struct = _abi.STRUCTS[name]
        assert c.sizeof(struct) == size, name
        assert {field: getattr(struct, field).offset for field, _ in struct._fields_} == offsets, name


def test_python_statuses_are_the_headers():
    _, values = abi.layout()
    expected = {name.removeprefix("LLMCALL_").removeprefix("E_"): value for name, value in values.items()
                if name == "LLMCALL_OK" or name.startswith("LLMCALL_E_")}
    assert {status.name: int(status) for status in Status} == expected
    for status in Status:
        assert _abi.lib.llmcall_status_name(status).decode().endswith(status.name)


# ---- Structs of other versions ----


def sized(base, size, tail=0):
    """A struct of `size` bytes that begins like base: what a caller with another version of the header would send."""
    memory = (c.c_char * max(size, c.sizeof(base)))()
    c.memmove(memory, c.byref(base), min(size, c.sizeof(base)))
    c.cast(memory, c.POINTER(c.c_uint32))[0] = size
    if size > c.sizeof(base):
        memory[size - 1] = bytes([tail])
    return memory


def start(engine, request):
    handle, error = c.c_void_p(), _abi.Error()
    status = _abi.lib.llmcall_start(engine._handle, c.cast(request, c.POINTER(_abi.Request)), c.byref(handle), c.byref(error))
    if handle:
        _abi.lib.llmcall_close(c.byref(handle))
    return status, error


@pytest.fixture
def request_struct():
    request = _abi.Request()
    _abi.lib.llmcall_request_defaults(c.byref(request))
    request.struct_size = c.sizeof(request)
    request.prompt, request.prompt_size, request.max_tokens = b"Hello", 5, 1
    return request


def test_an_older_request_works(engine, request_struct):
    assert start(engine, sized(request_struct, _abi.Request.caller.offset))[0] == Status.OK
    assert start(engine, sized(request_struct, _abi.Request.max_tokens.offset + 8))[0] == Status.OK


def test_a_newer_request_works_if_it_asks_for_nothing_new(engine, request_struct):
    size = c.sizeof(_abi.Request)
    assert start(engine, sized(request_struct, size + 64))[0] == Status.OK
    status, error = start(engine, sized(request_struct, size + 64, tail=1))
    assert status == Status.UNSUPPORTED and str(size + 63) in error.message.decode()


@pytest.mark.parametrize("size", [0, 1, 4, 2**32 - 1])
def test_a_request_without_its_size_is_refused(engine, request_struct, size):
    request_struct.struct_size = size
    status, error = start(engine, c.pointer(request_struct))
    assert status == Status.ARGUMENT and str(size) in error.message.decode()


@pytest.mark.parametrize("size", [8, 40, 312, 400])
def test_records_are_written_only_as_far_as_they_go(engine, size):
    memory = (c.c_char * 512)(*[b"\xaa"] * 512)
    c.cast(memory, c.POINTER(c.c_uint32))[0] = size
    error = _abi.Error()
    status = _abi.lib.llmcall_metrics(engine._handle, c.cast(memory, c.POINTER(_abi.Metrics)), c.byref(error))
    assert status == Status.OK
    assert c.cast(memory, c.POINTER(c.c_uint32))[0] == size
    assert memory[min(size, c.sizeof(_abi.Metrics)) :] == b"\xaa" * (512 - min(size, c.sizeof(_abi.Metrics)))


def test_an_older_error_is_not_overrun(engine):
    size = _abi.Error.param.offset
    memory = (c.c_char * 1024)(*[b"\xaa"] * 1024)
    c.cast(memory, c.POINTER(c.c_uint32))[0] = size
    n = c.c_size_t()
    status = _abi.lib.llmcall_tokenize(engine._handle, b"no such model", b"a", 1, 0, None, 0, c.byref(n),
                                       c.cast(memory, c.POINTER(_abi.Error)))
    assert status == Status.NOT_FOUND
    assert c.cast(memory, c.POINTER(_abi.Error)).contents.code == b"model_not_found"
    assert memory[size:] == b"\xaa" * (1024 - size)


def test_null_pointers_are_refused_not_followed(engine):
    lib, handle = _abi.lib, c.c_void_p()
    assert lib.llmcall_start(engine._handle, None, c.byref(handle), None) == Status.ARGUMENT
    assert lib.llmcall_start(None, None, c.byref(handle), None) == Status.ARGUMENT
    assert lib.llmcall_next(None, None, 0) == Status.ARGUMENT
    assert lib.llmcall_engine_load(engine._handle, None, None) == Status.ARGUMENT
    assert lib.llmcall_engine_load(None, None, None) == Status.ARGUMENT
    assert lib.llmcall_model_info(engine._handle, None, None, None) == Status.ARGUMENT
    assert lib.llmcall_metrics(None, None, None) == Status.ARGUMENT
    assert lib.llmcall_estimate(None, None, None, None) == Status.ARGUMENT
    assert lib.llmcall_tokenize(engine._handle, None, None, 3, 0, None, 0, None, None) == Status.ARGUMENT
    assert lib.llmcall_score(engine._handle, None, None, 3, None, 0, None) == Status.ARGUMENT
    assert lib.llmcall_usage(None, None, None) == Status.ARGUMENT
    assert lib.llmcall_timeline(None, None, 0, None, None) == Status.ARGUMENT
    lib.llmcall_cancel(None)
    lib.llmcall_close(None)
    lib.llmcall_close(c.byref(c.c_void_p()))
    lib.llmcall_engine_close(None)
    lib.llmcall_engine_close(c.byref(c.c_void_p()))


def test_the_next_functions_are_refused_by_name(engine):
    """Declared, so that the ABI is whole; served by a later version."""
    lib, error, handle = _abi.lib, _abi.Error(), c.c_void_p()
    for function, arguments in ((lib.llmcall_start_json, [engine._handle, 1, b"{}", c.c_size_t(2), None, c.byref(handle)]),
                                (lib.llmcall_prefix_save, [engine._handle, None, None, c.c_size_t(0), None, c.c_size_t(0), None]),
                                (lib.llmcall_prefix_restore, [engine._handle, None, None, c.c_size_t(0)])):
        function.restype = c.c_int32
        assert function(*arguments, c.byref(error)) == Status.UNSUPPORTED
        assert error.param and error.message


def test_a_program_links_with_nothing_else(tmp_path):
    """The header and the library are enough, and the version functions agree."""
    source, binary = tmp_path / "use.c", tmp_path / "use"
    source.write_text('#include "llmcall.h"\n#include <stdio.h>\nint main(void) { printf("%s %d.%d.%d", llmcall_version(), '
                      "LLMCALL_VERSION_MAJOR, LLMCALL_VERSION_MINOR, LLMCALL_VERSION_PATCH); return 0; }\n")
    subprocess.run([os.environ.get("CC", "cc"), f"-I{ROOT / 'include'}", str(source), str(library()), "-o", str(binary)], check=True)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library().parent)}
    run, header = subprocess.run([str(binary)], env=environment, capture_output=True, text=True, check=True).stdout.split()
    assert run == header
