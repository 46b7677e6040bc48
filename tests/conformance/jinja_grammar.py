#!/usr/bin/env python3
"""Random templates from a grammar, by seed: what jinja2 makes of one, the library must make too. They see jinja_snippets.VARIABLES.

jinja_grammar.py FIRST N   compares N templates from seed FIRST on, and prints those that differ
"""
import random

CHARACTERS = ["a", "b", "B", "z", " ", "  ", "0", "7", "_", "-", ",", ".", ":", "%", "{", "}", "<", "&", "/", "é", "ß", "日", "😀", "\u0301", "Σ", "ǆ"]
ESCAPES = [r"\n", r"\t", r"\\", r"\'", r"\"", r"\x41", r"\u00e9", r"\d", r"\r\n", r"\x00", r"\x1c", r"\u2028", r"\101"]
TEXTS = ["s", "t", "e", "u", "q", "csv", "'١٢'", "'五'", "'１.5'", "lines", "words", "p[0].name", "p[1]['name']", "deep.a.b.c", "w[0]", "w|first"]
NUMBERS = ["n", "z", "m", "l[0]", "s|length", "p[0].age", "loop.index", "loop.index0", "loop.length", "loop.depth", "0", "1", "2", "3", "10", "-1", "0x1F",
           "1_000", "255", "1234567"]
REALS = ["f", "g", "0.0", "1.5", "2.5", "1e16", "1e15", "123456789.125", "1e-7", "0.1", "-0.0", "3.0", "1e22", "5e-324", "0.3", "2.675", "1e300"]
TRUTHS = ["yes", "no", "true", "false", "loop.first", "loop.last", "True"]
LISTS = ["l", "w", "el", "p", "nested", "mixed", "p[0].tags", "csv.split(',')", "words.split()", "range(4)", "(1, 'a', none)", "()", "d.items()", "d.keys()",
         "d|list", "lines.splitlines()", "nested[0]", "nested.0.1", "nested[0].1.0", "range(5, 0, -2)"]
DICTS = ["d", "ed", "items", "deep", "deep.a", "p[0]", "p[1]", "{}", "{'a': 1, 'b': [2, 'x']}", "{1: 'one', 2.5: none, (1, 2): 'pair'}", "dict(x=1, y='z')"]
NOTHING = ["nil", "nope", "d.nope", "s.nope", "l[9]", "none", "p[0].nope", "nope2", "loop.previtem", "loop.nextitem"]
LOCALS = ["a", "b", "c", "x", "y"]
TO_TEXT = [".upper()", ".lower()", ".title()", ".capitalize()", ".swapcase()", ".casefold()", ".strip()", ".lstrip()", ".rstrip()", ".strip({t})", ".lstrip({t})",
           ".replace({t}, {t})", ".replace({t}, {t}, {i})", ".center({i})", ".ljust({i}, '*')", ".rjust({i})", ".zfill({i})", ".expandtabs({i})",
           ".removeprefix({t})", ".removesuffix({t})", "[{i}:]", "[:{i}]", "[{i}:{i}]", "[::{k}]", "[{i}:{i}:{k}]", "[{i}]", ".format({v}, {v}, a={v})",
           "|upper", "|lower", "|title", "|capitalize", "|trim", "|trim({t})", "|replace({t}, {t})", "|replace({t}, {t}, {i})", "|center({i})", "|indent",
           "|indent({i}, {b})", "|indent({t}, {b}, {b})", "|truncate({i})", "|truncate({i}, {b}, {t}, {i})", "|reverse", "|string", "|safe", "|e", "|forceescape",
           "|urlencode", "|default({t}, {b})", "|first", "|last", "|join({t})", ".join({L})"]
TO_LIST = [".split()", ".split({t})", ".split({t}, {i})", ".rsplit({t}, {i})", ".rsplit(none, {i})", ".splitlines()", ".splitlines({b})", ".partition({t})",
           ".rpartition({t})", "|list", "|batch({k})|list", "|slice({k})|list", "|unique|list", "|map('upper')|list"]
TO_NUMBER = [".find({t})", ".rfind({t})", ".find({t}, {i})", ".count({t})", ".count({t}, {i}, {i})", "|length", "|count", "|wordcount", "|int", "|int({i}, {k})",
             ".index({t})", ".rindex({t}, {i})"]
TO_TRUTH = [".startswith({t})", ".endswith({t})", ".startswith(({t}, {t}))", ".startswith({t}, {i})", ".endswith({t}, {i}, {i})", *(f".is{kind}()" for kind in (
    "alpha", "alnum", "digit", "decimal", "numeric", "lower", "upper", "title", "space", "ascii", "identifier", "printable"))]
OF_LISTS = ["|join({t})", "|join(', ')", "|first", "|last", "|length", "|sort", "|sort({b}, {b})", "|reverse|list", "|unique|list", "|list", "|sum", "|max", "|min",
            "|map('string')|list", "|map('upper')|join({t})", "|map('int', default={i})|list", "|select('string')|list", "|select|list", "|reject('none')|list",
            "|select({T})|list", "|rejectattr({A})|list", "|selectattr({A}, {T})|list", "|map(attribute={A})|list", "|map(attribute={A}, default={v})|list",
            "|batch({k}, {v})|list", "|slice({k}, {v})|list", "[{i}]", "[{i}:{i}]", "[::{k}]", "|tojson", "|tojson(indent={i})", "|string", "|groupby({A})|list",
            "|sort(attribute={A})", "|unique(attribute={A})|list", "|sum(attribute={A})", "|max(attribute={A})", ".index({v})", ".count({v})", ".copy()",
            " + {L}", " * {k}", "|map('default', {v})|list", "|map('truncate', {i})|list", "|map('tojson')|join"]
OF_DICTS = ["|items|list", "|dictsort", "|dictsort({b}, {by}, {b})", ".items()|list", ".keys()|list", ".values()|list", ".get({v})", ".get({v}, {v})", "|length",
            "|list", "|tojson", "|tojson(sort_keys=true)", "|tojson({b}, {i}, {sep})", "[{v}]", ".a", ".b", "|string", "|first", "|join({t})", ".copy()", "|xmlattr",
            "|urlencode", "|attr('a')"]
OF_NUMBERS = ["|abs", "|round", "|round({i})", "|round({i}, {how})", "|int", "|float", "|string", "|filesizeformat", "|filesizeformat({b})", "|tojson"]
OF_ANY = ["|string", "|tojson", "|default({v})", "|default({v}, {b})", "|d", "|list", "|length", "|upper", "|trim", "|e", "|first", "|int", "|float", ".x", "[0]",
          "|join", "|items|list", "()", "|title", "|sort", "|sum", "|reverse", "|abs", "|map('string')|list", "|center(9)", "|indent", "|wordcount"]
TESTS = ["defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "true", "false", "mapping", "iterable", "sequence", "callable",
         "lower", "upper", "odd", "even", "escaped", "sameas {v}", "eq({v})", "ne {v}", "in {L}", "divisibleby({k})", "divisibleby {k}", "gt({v})", "lt {v}", "ge({v})",
         "le({v})", "equalto {v}", "filter", "test", "in({L})"]
FLAT_TESTS = ["'string'", "'number'", "'defined'", "'none'", "'odd'", "'mapping'", "'iterable'", "'eq', 1", "'in', 'abc'", "'gt', 1", "'equalto', 'a'", "'sameas', none"]
PERCENTS = ["%s", "%d", "%5d", "%-5d|", "%05d", "%+d", "% d", "%x", "%X", "%#x", "%o", "%c", "%r", "%a", "%.2f", "%8.3f", "%e", "%g", "%G", "%.3s", "%10s|", "%-6s|",
            "%i", "%u", "%.0f", "%#o", "%#.3g", "%.4d", "%%", "%08.2f", "%+.1e", "%F"]
SPECS = ["", ":", ":>8", ":<8", ":^8", ":*^9", ":05", ":05d", ":+", ":+d", ": d", ":,", ":_", ":x", ":#X", ":b", ":#o", ":c", ":.2f", ":8.3f", ":e", ":.3g", ":g", ":%",
         ":.1%", ":,.2f", ":n", ":s", ":.3", ":6.2", "!r", "!s", "!a", "!r:>12", ":=+8", ":08.2f", ":<08", ":_x", ":,d", ":G", ":010,", ":5c", ":08,", ":+09,", ":<08,", ":06,.1f", ":.6", ":#.6", ":012_x", ":#012_b", ":5%", ":,x", ":+c", ":#.3g", ":é>5", ":020_b",
         ":015,.2f"]
MARGINS = ["", "", "", "-", "-", "+"]
DATA = ["x", " ", "\n", "\n\n", "  \n", "\n  ", "\t", "a b\n    ", "\r\n", "日", "{ ", "} ", "# ", "% ", "\n\t\n  ", "\u00a0\n", "{ { ", "x\n", " \n \n ", "\r"]


REFUSALS = ["cannot be printed", "has no real value", "integer overflow", "an integer of 64 bits", "wants an int", "takes a number, not 'float'",
            "unhashable type: 'range'", "unhashable type: 'tuple'", "'dict_", "round to that many digits",
            "slice indices must be integers", "cannot be sliced"]  # jinja2 folds ''[1.5:] to undefined, where x[1.5:] raises
MISTAKES = "AssertionError", "NameError: name 'inf'", "SyntaxError"  # of jinja2 itself


class Grammar:
    """source() is one template."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.loops, self.macros, self.in_macro, self.size = 0, [], 0, 0

    def chance(self, part):
        return self.rng.random() < part

    def pick(self, *choices):
        """Of lists and functions: an element, or what it gives."""
        choice = self.rng.choice([one for each in choices for one in (each if isinstance(each, list) else [each])])
        return choice() if callable(choice) else choice

    # ---- Expressions ----

    def literal(self):
        quote = self.rng.choice("'\"")
        body = "".join(self.rng.choice(ESCAPES) if self.chance(0.15) else self.rng.choice(CHARACTERS) for _ in range(self.rng.choice([0, 1, 1, 2, 3, 6, 12])))
        body = body.replace("\\" + quote, "").replace(quote, "")
        return quote + body + ("n" if (len(body) - len(body.rstrip("\\"))) % 2 else "") + quote

    def fill(self, form, depth):
        values = {"{t}": self.text, "{i}": self.number, "{v}": self.any, "{b}": self.truth, "{L}": self.list}
        for mark, make in values.items():
            while mark in form:
                form = form.replace(mark, make(depth - 1), 1)
        once = {"{k}": ["1", "2", "3", "7", "-1", "-2", "16"], "{T}": FLAT_TESTS, "{A}": ["'name'", "'age'", "'tags'", "'tags.0'", "0", "'nope'", "'name,age'", "1", "'a.b'"],
                "{by}": ["'key'", "'value'", "'x'"], "{how}": ["'common'", "'ceil'", "'floor'"], "{sep}": ["(',', ':')", "none", "[' ;', '=']"]}
        for mark, choices in once.items():
            while mark in form:
                form = form.replace(mark, self.rng.choice(choices), 1)
        return form

    def leaf(self, names):
        name = self.rng.choice(LOCALS) if self.chance(0.2 if self.size else 0.04) else self.rng.choice(names)
        return name if self.loops or "loop" not in name or self.chance(0.05) else self.leaf(names)

    def around(self, expression):
        """Filters and attributes bind tighter than operators."""
        return f"({expression})" if self.chance(0.5) or " " in expression else expression

    def ternary(self, make, depth):
        tail = f" else {make(depth - 1)}" if self.chance(0.8) else ""
        return f"({make(depth - 1)} if {self.truth(depth - 1)}{tail})"

    def text(self, depth=2):
        if self.chance(0.03):
            return self.any(depth)
        if depth <= 0 or self.chance(0.25):
            return self.pick(self.literal, self.literal, self.leaf(TEXTS))
        return self.pick(lambda: self.around(self.text(depth - 1)) + self.fill(self.rng.choice(TO_TEXT), depth), lambda: self.around(self.text(depth - 1)) + self.fill(
            self.rng.choice(TO_TEXT), depth), lambda: f"({self.text(depth - 1)} + {self.text(depth - 1)})", lambda: f"({self.any(depth - 1)} ~ {self.any(depth - 1)})",
            lambda: self.percent(depth), lambda: self.braces(depth), lambda: self.ternary(self.text, depth), lambda: f"({self.text(depth - 1)} * {self.small()})",
            lambda: self.around(self.any(depth - 1)) + self.rng.choice(["|string", "|tojson", "|upper", "|trim", "|e"]), self.call)

    def percent(self, depth):
        forms = [self.rng.choice(PERCENTS) for _ in range(self.rng.choice([1, 1, 2, 3]))]
        values = [self.any(depth - 1) if self.chance(0.4) else self.number(depth - 1) for form in forms if form != "%%"]
        if len(values) == 1 and self.chance(0.3):
            return f"('{forms[0]}' % {values[0]})" if self.chance(0.5) else f"('{''.join(forms)}'|format({', '.join(values)}))"
        return f"('{' '.join(forms)}' % ({', '.join(values)}{',' if len(values) == 1 else ''}))"

    def braces(self, depth):
        fields = [self.rng.choice(["", "", "0", "1", "a", "a[0]", "0.x", "b"]) + self.rng.choice(SPECS) for _ in range(self.rng.choice([1, 2]))]
        value = self.number if self.chance(0.6) else self.any
        return f"'{self.rng.choice(['', 'x', '{{', '}}'])}{'{' + '} {'.join(fields) + '}'}'.format({value(depth - 1)}, {value(depth - 1)}, a={value(depth - 1)})"

    def small(self):
        return self.rng.choice(["0", "1", "2", "3", "5", "-1", "true"])

    def number(self, depth=2):
        if self.chance(0.02):
            return self.any(depth)
        if depth <= 0 or self.chance(0.35):
            return self.pick(self.leaf(NUMBERS), self.leaf(NUMBERS), self.leaf(REALS))
        return self.pick(lambda: f"({self.number(depth - 1)} {self.rng.choice(['+', '-', '*', '/', '//', '%', '+', '-', '*'])} {self.number(depth - 1)})",
                         lambda: f"({self.leaf(NUMBERS)} ** {self.rng.choice(['0', '1', '2', '3', '-1', '0.5', '2.0', '-2'])})", lambda: f"(-{self.number(depth - 1)})",
                         lambda: f"{self.number(depth - 1)} {self.rng.choice(['+', '-', '*', '//', '%'])} {self.number(depth - 1)} + 1",
                         lambda: self.around(self.number(depth - 1)) + self.fill(self.rng.choice(OF_NUMBERS), depth), lambda: self.ternary(self.number, depth),
                         lambda: self.around(self.text(depth - 1)) + self.fill(self.rng.choice(TO_NUMBER), depth), lambda: f"({self.list(depth - 1)}|length)")

    def truth(self, depth=2):
        if depth <= 0 or self.chance(0.2):
            return self.pick(self.leaf(TRUTHS), self.leaf(TRUTHS), self.leaf(NOTHING))
        return self.pick(lambda: f"({self.any(depth - 1)} is {'not ' if self.chance(0.3) else ''}{self.fill(self.rng.choice(TESTS), depth)})", lambda: self.compare(depth),
                         lambda: f"({self.any(depth - 1)} {self.rng.choice(['and', 'or'])} {self.any(depth - 1)})", lambda: f"(not {self.any(depth - 1)})",
                         lambda: self.around(self.text(depth - 1)) + self.fill(self.rng.choice(TO_TRUTH), depth),
                         lambda: f"({self.any(depth - 1)} {self.rng.choice(['in', 'not in'])} {self.pick(self.list, self.text, self.dict)})")

    def compare(self, depth):
        make = self.pick([lambda: self.number, lambda: self.text, lambda: self.any, lambda: self.list])
        count = self.rng.choice([1, 1, 1, 2, 3])
        return "(" + make(depth - 1) + "".join(f" {self.rng.choice(['==', '!=', '<', '>', '<=', '>='])} {make(depth - 1)}" for _ in range(count)) + ")"

    def list(self, depth=2):
        if self.chance(0.02):
            return self.any(depth)
        if depth <= 0 or self.chance(0.3):
            return self.leaf(LISTS)
        return self.pick(lambda: "[" + ", ".join(self.any(depth - 1) for _ in range(self.rng.randrange(5))) + "]", lambda: self.ternary(self.list, depth),
                         lambda: "(" + "".join(self.any(depth - 1) + ", " for _ in range(self.rng.randrange(4))) + ")",
                         lambda: self.around(self.text(depth - 1)) + self.fill(self.rng.choice(TO_LIST), depth),
                         lambda: self.around(self.list(depth - 1)) + self.fill(self.rng.choice(OF_LISTS), depth),
                         lambda: self.around(self.list(depth - 1)) + self.fill(self.rng.choice(OF_LISTS), depth),
                         lambda: self.around(self.dict(depth - 1)) + self.fill(self.rng.choice(OF_DICTS), depth), lambda: f"range({self.small()}, {self.number(0)})")

    def dict(self, depth=2):
        if depth <= 0 or self.chance(0.5):
            return self.leaf(DICTS)
        return self.pick(lambda: "{" + ", ".join(f"{self.pick(self.text, self.number)}: {self.any(depth - 1)}" for _ in range(self.rng.randrange(4))) + "}",
                         lambda: f"dict({self.dict(depth - 1)}, x={self.any(depth - 1)})", lambda: self.ternary(self.dict, depth))

    def any(self, depth=2):
        if self.chance(0.06):
            return self.leaf(NOTHING)
        if depth > 0 and self.chance(0.06):
            return self.around(self.any(depth - 1)) + self.fill(self.rng.choice(OF_ANY), depth)
        if depth > 0 and self.chance(0.06):
            return self.ternary(self.any, depth)
        make = self.rng.choice([self.text, self.text, self.number, self.number, self.list, self.list, self.dict, self.truth])
        return make(depth)

    def call(self):
        if not self.macros:
            return self.literal()
        arguments = [self.any(1) for _ in range(self.rng.choice([0, 1, 1, 2, 3]))] + [f"{name}={self.any(1)}" for name in LOCALS if self.chance(0.1)]
        arguments += ["*" + self.list(0)] if self.chance(0.05) else []
        return f"{self.rng.choice(self.macros)}({', '.join(arguments)})"

    # ---- Statements ----

    def data(self):
        return "".join(self.rng.choice(DATA) for _ in range(self.rng.choice([0, 1, 1, 2, 3])))

    def tag(self, inside):
        space = self.rng.choice(["", " ", " ", " ", "\n", "\t"])
        left, right = self.rng.choice(MARGINS), self.rng.choice(MARGINS)
        return f"{{%{left}{space or ' '}{inside}{space or ' '}{right}%}}"

    def show(self):
        left, right = self.rng.choice(["", "", "", "-", "+"]), self.rng.choice(["", "", "", "-"])
        return f"{{{{{left} {self.pick(self.text, self.number, self.any, self.list, self.dict, self.truth, self.any)} {right}}}}}"

    def body(self, depth):
        return self.data() + "".join(self.statement(depth) + self.data() for _ in range(self.rng.choice([1, 1, 2, 3])))

    def branches(self, depth):
        source = self.tag("if " + self.truth()) + self.body(depth - 1)
        while self.chance(0.25):
            source += self.tag("elif " + self.truth()) + self.body(depth - 1)
        return source + (self.tag("else") + self.body(depth - 1) if self.chance(0.4) else "") + self.tag("endif")

    def loop(self, depth):
        target = self.rng.choice([*LOCALS, "x", "x, y", "(a, b)", "a, (b, c)", "k, v"])
        over = self.pick(self.list, self.list, self.dict, self.text, lambda: f"{self.dict(1)}.items()", "nested", "p|groupby('age')", "[(1, 2), (3, 4)]", "[[1, [2, 3]]]")
        condition = f" if {self.truth(1)}" if self.chance(0.2) else ""
        recursive = self.chance(0.1)
        self.loops += 1
        body = self.body(depth - 1) + (f"{{{{ loop({self.rng.choice(['x', 'a', 'nested', 'x.tags', '[]'])}) if loop.depth < 4 }}}}" if recursive else "")
        if self.chance(0.3):
            body += "{{ " + self.pick("loop.cycle('a', 2)", "loop.changed(x)", "loop.index ~ loop.revindex ~ loop.revindex0", "loop.previtem", "loop.nextitem is defined",
                                      "loop.last", "loop.depth0", "loop", "loop.length", "x", "a") + " }}"
        self.loops -= 1
        other = self.tag("else") + self.body(depth - 1) if self.chance(0.25) else ""
        return self.tag(f"for {target} in {over}{condition}{' recursive' if recursive else ''}") + body + other + self.tag("endfor")

    def apart(self, make, *arguments):
        """A body that break and continue do not leave."""
        loops, self.loops = self.loops, 0
        source = make(*arguments)
        self.loops = loops
        return source

    def macro(self, depth):
        name = self.rng.choice(["m1", "m2"])
        parameters = [*self.rng.sample(LOCALS, self.rng.choice([0, 1, 2])), *(f"{one}={self.any(1)}" for one in ["x", "y"] if self.chance(0.2))]
        parameters = [one for i, one in enumerate(parameters) if one.split("=")[0] not in [other.split("=")[0] for other in parameters[:i]]]
        macros, self.macros = self.macros, self.macros if self.chance(0.3) and name not in self.macros else []
        body = self.apart(self.body, depth - 1)
        self.macros = [*macros, name]
        extras = ["{{ varargs }}", "{{ kwargs }}", "{{ caller() if caller }}", "{{ caller(1, 2) if caller is defined }}", "{{ m1.name }}{{ m1.arguments }}", "{{ varargs|length }}"]
        body += "".join(one for one in extras if self.chance(0.15))
        return self.tag(f"macro {name}({', '.join(parameters)})") + body + self.tag("endmacro")

    def caller(self, depth):
        if not self.macros:
            return self.macro(depth)
        return self.tag(f"call{self.rng.choice(['', '', '(a)', '(a, b)', '(a, b=3)'])} {self.call()}") + self.apart(self.body, depth - 1) + self.tag("endcall")

    def assign(self, depth):
        name = self.rng.choice(LOCALS)
        return self.pick(lambda: self.tag(f"set {name} = {self.any()}"), lambda: self.tag(f"set {name} = {self.any()}"),
                         lambda: self.tag(f"set {name}, {self.rng.choice(LOCALS)} = {self.any(1)}, {self.any(1)}"),
                         lambda: self.tag(f"set {name}{self.rng.choice(['', '|trim', '|upper|replace({}, {})'.format(self.text(0), self.text(0)), '|e'])}") + self.apart(
                             self.body, depth - 1) + self.tag("endset"),
                         lambda: self.tag(f"set ns = namespace(v={self.any(1)}, u=0)"), lambda: self.tag(f"set ns.{self.rng.choice(['v', 'u'])} = {self.any(1)}") + "{{ ns.v }}")

    def statement(self, depth):
        self.size += 1
        if depth <= 0 or self.size > 12 or self.chance(0.4):
            return self.show()
        jumps = [lambda: self.tag(self.rng.choice(["break", "continue"])), lambda: "{% if " + self.truth(1) + " %}" + self.tag(self.rng.choice(["break", "continue"])) + "{% endif %}"]
        others = [lambda: self.tag("filter " + self.rng.choice(["upper", "trim", "indent(2)", "replace('a', 'b')|title", "e"])) + self.apart(self.body, depth - 1) + self.tag("endfilter"),
                  lambda: self.tag(f"with {self.rng.choice(LOCALS)} = {self.any(1)}, y = {self.any(1)}") + self.body(depth - 1) + self.tag("endwith"),
                  lambda: "{%- raw %}" + self.rng.choice(["{{ x }}", "{% if %}", "{# #}", " \n "]) + self.tag("endraw"),
                  lambda: f"{{#{self.rng.choice(MARGINS)}{self.rng.choice([' c ', '', ' {{ x }} ', chr(10)])}{self.rng.choice(MARGINS)}#}}",
                  lambda: self.tag("generation") + self.apart(self.body, depth - 1) + self.tag("endgeneration"), lambda: self.tag("set ns = namespace(v=0)"),
                  lambda: self.tag(f"print {self.any()}, {self.any()}")]
        return self.pick(lambda: self.branches(depth), lambda: self.branches(depth), lambda: self.loop(depth), lambda: self.loop(depth), lambda: self.assign(depth),
                         lambda: self.assign(depth), lambda: self.macro(depth), lambda: self.caller(depth), others, *([jumps] if self.loops else []))

    def source(self):
        head = "".join(self.tag(f"set {name} = {self.any(1)}") for name in LOCALS if self.chance(0.5))
        return head + self.data() + (self.show() if self.chance(0.4) else "".join(self.statement(3) + self.data() for _ in range(self.rng.choice([1, 2, 3, 4]))))


def main(first, count):
    import collections
    import jinja_snippets
    import llmcall
    import transformers_jinja
    variables, seen = {"messages": [], **jinja_snippets.VARIABLES}, collections.Counter()
    for seed in range(first, first + count):
        source = Grammar(seed).source()
        expected, why = transformers_jinja.compiled(source)(**variables)
        try:
            got, failure = llmcall.render_template(source, **variables), None
        except llmcall.Error as error:
            got, failure = None, error.message
        seen["raised" if expected is None else "given"] += 1
        if (why or "").startswith(MISTAKES) or got is None and expected is not None and any(reason in failure for reason in REFUSALS):
            seen["let pass"] += 1
        elif got != expected:
            seen["refused" if got is None else "wrong"] += 1
            print(f"{seed}: {source!r}\n    ours   {got!r} ({failure})\n    jinja2 {expected!r} ({why})")
    print(dict(seen))


if __name__ == "__main__":
    import sys
    main(int(sys.argv[1]), int(sys.argv[2]))
