"""Definitions that hold for later cells: C, headers, imports, and what replaces them."""

import shutil

import pytest


def test_definitions_of_c_hold_for_later_cells(kernel):
    first = "struct held { char c; long x; };\n#define HELD_MORE(x) ((x) + HELD)\n#define HELD 2"
    assert kernel.run(first).status == "ok"
    assert kernel.run("begin { print((sizeof(struct held), HELD_MORE(40))); }").stream() == "(16, 42)\n"


def test_headers_and_imports_hold_for_later_cells(kernel, tmp_path):
    (tmp_path / "types.h").write_text("struct from_header { int x[3]; };\n#define FROM_HEADER 5\n")
    (tmp_path / "lib.bt").write_text("let @declared_in_lib = lruhash(7);\nmacro from_lib(x) { x + FROM_HEADER }\n")
    cell = kernel.run(f'#include "{tmp_path}/types.h"\nimport "{tmp_path}/lib.bt";\nbegin {{ print(1); }}')
    assert cell.stream() == "1\n"
    later = "begin { print((sizeof(struct from_header), FROM_HEADER, from_lib(1))); @declared_in_lib[1] = 1; }"
    assert kernel.run(later).stream().startswith("(12, 5, 6)\n")
    kernel.run("%drop @declared_in_lib")


def test_probes_of_an_import_run_in_the_cell_that_imports(kernel, tmp_path):
    (tmp_path / "probe.bt").write_text('begin { print("imported"); }')
    assert kernel.run(f'import "{tmp_path}/probe.bt";\nbegin {{ print("own"); }}').stream() == "imported\nown\n"
    assert kernel.run('begin { print("later"); }').stream() == "later\n"


def test_settings_hold_for_later_cells_until_another_cell_changes_them(fresh):
    fresh.run("config = { max_strlen = 16; stack_mode = perf }")
    assert fresh.run("begin { print((config.max_strlen, config.stack_mode)); }").stream() == "(16, perf)\n"
    fresh.run("config = { max_strlen = 32 }")
    assert fresh.run("begin { print((config.max_strlen, config.stack_mode)); }").stream() == "(32, perf)\n"


def test_what_replaces_a_definition_says_so(kernel):
    kernel.run("struct again { int x; };\n#define AGAIN 1\ntypedef int again_t;")
    kernel.run("macro again(x) { x }\nlet @again = hash(10);")
    same = kernel.run("struct again { int x; };\n#define AGAIN 1\ntypedef int again_t;\nmacro again(x) { x }")
    assert same.stream("stderr") == ""
    other = kernel.run(
        "struct again { long x; };\n#define AGAIN 2\ntypedef long again_t;\nlet @again = hash(20);\nmacro again(x) { x + 1 }"
    )
    assert other.status == "ok"
    text = other.stream("stderr")
    for name in ["struct again", "the macro AGAIN", "the type again_t", "@again", "the macro again"]:
        assert f"{name} was defined otherwise" in text or f"{name} was declared otherwise" in text, name
    result = "begin { print((sizeof(struct again), AGAIN, sizeof(again_t), again(1))); }"
    assert kernel.run(result).stream() == "(8, 2, 8, 2)\n"


def test_mistakes_in_an_imported_file_name_it(kernel, tmp_path):
    (tmp_path / "wrong.bt").write_text("\nbegin { print($nothing); }")
    cell = kernel.run(f'import "{tmp_path}/wrong.bt";')
    assert cell.status == "error"
    assert f"{tmp_path}/wrong.bt:2:15" in "\n".join(cell.content["traceback"])


def test_files_that_everybody_may_change_are_not_imported(kernel, tmp_path):
    folder = tmp_path / "open"
    folder.mkdir()
    (folder / "lib.bt").write_text("begin { }")
    folder.chmod(0o777)
    cell = kernel.run(f'import "{folder}/lib.bt";')
    assert cell.status == "error"
    assert "global write permissions" in "\n".join(cell.content["traceback"])


def test_a_cell_that_cannot_start_defines_nothing(kernel):
    kernel.run("macro started() { 1 }")
    failed = kernel.run("%%run -c /no/such/command\nmacro started() { 2 }\ninterval:s:1 { exit(); }")
    assert failed.status == "error"
    assert kernel.run("begin { print(started()); }").stream() == "1\n"


def test_c_sources_hold_for_later_cells(kernel, tmp_path):
    if not any(shutil.which(name) for name in ["clang", *(f"clang-{version}" for version in range(11, 23))]):
        pytest.skip("there is no clang")
    source = tmp_path / "lib.bpf.c"
    source.write_text("int from_c(int x) { return x + 1; }\n")
    assert kernel.run(f'import "{source}";').status == "ok"
    assert kernel.run("begin { print(from_c(1)); }").stream() == "2\n"
    source.write_text("int from_c(int x) { return x + 2; }\n")
    again = kernel.run(f'import "{source}";\nbegin {{ print(from_c(1)); }}')
    assert again.stream() == "3\n"
    assert f"{source} was another text in an earlier cell" in again.stream("stderr")
    assert kernel.run("begin { print(from_c(1)); }").stream() == "3\n"
    moved = tmp_path / "moved.bpf.c"
    moved.write_text("int from_c(int x) { return x + 3; }\n")
    other = kernel.run(f'import "{moved}";\nbegin {{ print(from_c(1)); }}')
    assert other.stream() == "4\n"
    assert "from_c() was defined otherwise in an earlier cell" in other.stream("stderr")
    assert kernel.run("begin { print(from_c(1)); }").stream() == "4\n"


def test_functions_hold_for_later_cells(kernel):
    kernel.run(
        "struct pair { int a; int b; };\n"
        "fn doubled($x : int64) : int64 { return $x * 2; }\n"
        "fn quadrupled($x : int64) : int64 { return doubled(doubled($x)); }\n"
        "fn unused($x : struct pair *) : int64 { return $x.a; }"
    )
    # What a function calls comes along; `unused` would not compile any more.
    kernel.run("struct pair { int b; };")
    assert kernel.run("begin { print(quadrupled(10)); }").stream() == "40\n"
    replacing = kernel.run("fn doubled($x : int64) : int64 { return $x + 1; }\nbegin { print(quadrupled(10)); }")
    assert replacing.stream() == "12\n"
    assert "the function doubled was defined otherwise" in replacing.stream("stderr")
    assert kernel.run("begin { print(doubled(1)); }").stream() == "2\n"


def test_an_error_in_an_earlier_cells_function_shows_that_cell(kernel):
    first = kernel.run("struct shape { int a; };\nfn side($x : struct shape *) : int64 { return $x.a; }")
    kernel.run("struct shape { int b; };")
    cell = kernel.run("begin { print(side((struct shape *)0)); }")
    assert cell.status == "error"
    assert f"In [{first.content['execution_count']}]:2:" in "\n".join(cell.content["traceback"])


def test_a_cell_that_fails_defines_no_function(kernel):
    assert kernel.run("fn lost() : int64 { return 1; }\nbegin { print($nothing); }").status == "error"
    assert kernel.run("begin { print(lost()); }").status == "error"
