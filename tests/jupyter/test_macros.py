"""Macros that live from cell to cell, and named parameters of a cell."""


def traceback(cell):
    return "\n".join(cell.content["traceback"])


def test_a_macro_holds_for_later_cells(kernel):
    assert kernel.run("macro plus_one(x) { x + 1 }\nmacro twice(x) { plus_one(x) + plus_one(x) }").status == "ok"
    assert kernel.run("begin { print(twice(2)); }").stream() == "6\n"


def test_a_macro_that_is_defined_again_replaces_the_old_one(kernel):
    kernel.run("macro word() { \"old\" }\nmacro word(x) { x }")
    kernel.run("macro word() { \"new\" }")
    assert kernel.run("begin { print(word()); print(word(7)); }").stream() == "new\n7\n"


def test_a_cell_that_fails_defines_nothing(kernel):
    assert kernel.run("macro lost() { 1 }\nbegin { print($nothing); }").status == "error"
    assert kernel.run("begin { print(lost()); }").status == "error"


def test_an_error_in_an_earlier_cells_macro_shows_both_cells(kernel):
    first = kernel.run("// a comment\nmacro broken(x) { $y = x; $y = \"text\"; $y }")
    second = kernel.run("begin {\n  print(broken(1));\n}")
    assert second.status == "error"
    text = traceback(second)
    assert f"In [{first.content['execution_count']}]:2:" in text
    assert f"In [{second.content['execution_count']}]:2:9" in text
    assert '$y = "text"' in text and "print(broken(1))" in text


def test_a_mistake_after_many_macros_is_in_its_own_cell(kernel):
    kernel.run("macro some_macro() { 1 }")
    cell = kernel.run("begin { print(some_macro + $nothing); }")
    assert f"In [{cell.content['execution_count']}]:1:28" in traceback(cell)


def test_options_of_a_cell(kernel):
    text = 'begin { printf("%d %s %d", getopt("size", 1), getopt("name", "none"), getopt("fast")); }'
    assert kernel.run(text).stream() == "1 none 0"
    assert kernel.run("%opt size=10 fast\n%opt 'name=a b'\n" + text).stream() == "10 a b 1"
    assert kernel.run(text).stream() == "1 none 0"


def test_an_option_that_nobody_asks_for(kernel):
    cell = kernel.run('%opt sise=10\nbegin { print(getopt("size", 1)); }')
    assert cell.status == "error"
    assert "--sise" in traceback(cell) and "--size" in traceback(cell)


def test_macros_that_nest_deeply(kernel):
    chain = "macro m0(x) { x }\n" + "".join(f"macro m{n}(x) {{ m{n - 1}(x) + 1 }}\n" for n in range(1, 400))
    assert kernel.run(chain + "begin { print(m300(1)); }").stream() == "301\n"
    refused = kernel.run("begin { print(m399(1)); }")
    assert refused.status == "error" and "m399" in traceback(refused)
