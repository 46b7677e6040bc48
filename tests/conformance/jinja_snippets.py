"""Small templates, one thing each, for comparison with jinja2; a "¶" stands for a newline. VARIABLES are what they see."""

VARIABLES = {
    "s": "Hello World", "t": "  a\tb\n ", "e": "", "u": "Größe ﬁn 日本 😀", "q": "a'b\"c\\d<e>&f", "n": 42, "z": 0, "m": -7, "f": 2.5,
    "g": -0.1, "yes": True, "no": False, "nil": None, "l": [3, 1, 2], "w": ["b", "A", "c", "a"], "el": [], "ed": {},
    "d": {"b": 2, "a": 1, "C": [1, {"x": None}]}, "items": {"items": 1, "keys": 2, "get": 3, "a b": 4},
    "p": [{"name": "ann", "age": 3, "tags": ["x", "y"]}, {"name": "Bob", "age": 1}, {"name": "cid", "age": 2, "tags": []},
          {"name": "dee", "age": 3}],
    "nested": [[1, [2, [3]]], [4]], "csv": "a,b,,c", "lines": "one\ntwo\r\nthree\n", "words": "the quick  brown fox",
    "deep": {"a": {"b": {"c": "x"}}}, "mixed": [1, "1", 1.0, True, None, "a", [1], {}],
}

GROUPS = {
    "found by the grammar": r"""
{{ nested.0.1 }} {{ nested[0].1.0 }} {{ p.0.tags.1 }} {{ 1e1_0 }} {{ 1e300 }} {{ 123456789012345678901234567890.5 }} {{ '1e-310'|float }}
{{ x }}|{{　s }}
{{ “a” }}
{{ x² }}
{{ '١٢'|int }} {{ '１.5'|float }} {{ '\u20031٢\xa0'|int }} {{ '7\x1c'|int }} {{ '五'.isnumeric() }}{{ '五a'.isnumeric() }}{{ '五'.isdigit() }} {{ '9'|int(5, 1) }} {{ '9'|int(5, 'x') }}
{{ (1e308 * 10)|int }}
{{ '{:010,}|{:08,}|{:+09,}|{:06,.1f}|{:012_x}|{:#012_b}|{:09,.2f}'.format(1234, 1234, 1234, 1234.5, 65535, 5, -1234.5) }} {{ '{:<08}|{:*<08}|{:5c}|{:.6}|{:.6}|{:#.6}'.format(42, 42, 65, 100000.0, 99999.0, 100000.0) }} {% set x = 1e308 %}{{ '{:08,}'.format(x * 10) }}
{{ '{:,x}'.format(1) }}
{{ '{:+c}'.format(65) }}
{{ '{:+}'.format('a') }}
{{ '{0.real}{}'.format('a') }}
{{ p|map(attribute='zip.code', default='-')|join }} {{ p|map(attribute='zip', default=none)|list }} {{ [{'a,b': 1}]|groupby('a,b')|list }}
{{ l|sort(nope) }}
{{ l|sort('x') }}
{{ d|dictsort(reverse=none) }}
{{ dict(nope) }}
{{ 'a'.zfill(none) }}
{{ 'a b'.split(' ', none) }}
{{ lines.splitlines('x') }}
{{ l|batch(-1)|list }} {{ l|batch(0)|list }} {{ l|slice(-1)|list }} {{ l|batch(2.0)|list }} {{ 1.5|round(400) }} {{ 1.5|round(-400) }} {{ 12.34|round(1.0, 'floor') }} {{ s|truncate(1e3) }} {{ s|truncate(5, true, '', none) }}
{% print 1, s ~ 'x', none %}{% print %}
{% macro m(a, b=a, c=d) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}{{ m(1, c=2) }}{% macro m2(x=y, y=1) %}{{ x }}{{ y }}{% endmacro %}{{ m2() }}{{ m2(y=5) }}
{% macro m() %}{{ kwargs|list }}{{ kwargs.caller }}{% endmacro %}{% call m(a=1) %}{% endcall %}{% macro o() %}{% macro i() %}{{ caller() }}{% endmacro %}o{% endmacro %}{% call o() %}{% endcall %}
{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(a=1, *l) }}{{ m(*l, **d) }}
{{ dict(*[], *[]) }}
{{ range(*l, 1) }}
{{ s|a.b if false }}{{ s|a.b if false else 1 }}{{ 1 if true else s|nope }}
{{ (s|nope) ~ (1 if true) }}
{% if false %}{% for x in l %}{{ x|nope }}{% endfor %}{% endif %}
{% if false %}{% set x | nope %}{% endset %}{% endif %}
{{ ('<'|e).join([1, '<', (2, '>')]) }}
""",
    "numbers": r"""
{{ 1 }} {{ -1 }} {{ +1 }} {{ 1_000 }} {{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 00 }} {{ 1e3 }} {{ 1.5e-7 }} {{ 1_0.2_5 }} {{ 2.0 }}
{{ 1e15 }} {{ 1e16 }} {{ 123456789012345678.0 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1.0e100 }} {{ -0.0 }} {{ 3.14159 }} {{ 1e22 }} {{ 1e-5 }}
{{ 0.1 + 0.2 }} {{ 1/3 }} {{ 2/1 }} {{ 7//2 }} {{ -7//2 }} {{ 7//-2 }} {{ 7%3 }} {{ -7%3 }} {{ 7%-3 }} {{ 7.5//2 }} {{ -7.5//2 }} {{ -7.5%2 }} {{ 7.5%-2 }}
{{ 2**10 }} {{ 2**-1 }} {{ 2**0.5 }} {{ 2**3**2 }} {{ -2**2 }} {{ (-2)**3 }} {{ 0**0 }} {{ 2.0**3 }} {{ 10**18 }}
{{ 1 + 2 * 3 - 4 / 2 }} {{ (1 + 2) * 3 }} {{ 10 - 2 - 3 }} {{ 2 * 3 % 4 }} {{ 1 + true }} {{ true + true }} {{ -true }} {{ +false }} {{ true * 3 }}
{{ 9223372036854775807 }} {{ -9223372036854775807 }} {{ 9007199254740993 }} {{ 9007199254740993 / 1 }} {{ 4611686018427387904 + 4611686018427387903 }}
{{ 1 / 0 }}
{{ 1 // 0 }}
{{ 1 % 0 }}
{{ 1.0 / 0 }}
{{ 1.0 // 0 }}
{{ 1.0 % 0 }}
{{ 0 ** -1 }}
{{ 0.0 ** -1 }}
{{ 10.0 ** 400 }}
{{ 1e308 * 10 }} {{ -1e308 * 10 }} {{ 1e308 * 10 - 1e308 * 10 }}
{{ 1 + '1' }}
{{ '1' + 1 }}
{{ 1 - none }}
{{ -'a' }}
{{ +[] }}
{{ [1] - [1] }}
{{ 1 * 'ab' }} {{ 'ab' * 3 }} {{ 'ab' * 0 }} {{ 'ab' * -1 }} {{ [1, 2] * 2 }} {{ 2 * [1] }} {{ (1,) * 3 }} {{ 'a' * true }}
{{ 'a' * 1.5 }}
{{ 'a' * 'b' }}
{{ 1 ~ 2 }} {{ 1.5 ~ none ~ true ~ [] ~ nope }} {{ 1 + 2 ~ 3 + 4 }} {{ 'a' ~ 1 * 2 }}
{{ 0.1 + 0.7 }} {{ 100 * 1.1 }} {{ 1e21 + 1 }} {{ 5e-324 }} {{ 1.7976931348623157e308 }} {{ 123456.789e3 }} {{ 4.35 * 100 }}
{{ 1.foo }}
{{ 1.5.is_integer() }}
{{ 1__0 }}
{{ 0x }}
{{ 08 }}
{{ 1e }}
{{ .5 }}
{{ 5. }}
{{ 1 == 1.0 }} {{ 1 == true }} {{ 0 == false }} {{ 1 == '1' }} {{ none == false }} {{ 0.1 + 0.2 == 0.3 }} {{ 1 != 2 }}
{{ 1 < 2 }} {{ 2 <= 2 }} {{ 1 > 2 }} {{ 1.5 >= 1 }} {{ 1 < 2 < 3 }} {{ 3 > 2 > 2 }} {{ 1 == 1 == 1 }} {{ 1 < 3 > 2 }} {{ true < 2 }}
{{ 1 < 'a' }}
{{ none < 1 }}
{{ [] < {} }}
{{ {} < {} }}
{{ nope < 1 }}
{{ 'a' < 'b' }} {{ 'a' < 'B' }} {{ 'ab' < 'b' }} {{ '' < 'a' }} {{ [1, 2] < [1, 3] }} {{ [1] < [1, 0] }} {{ (1, 'a') < (1, 'b') }} {{ 'é' > 'z' }}
{{ [1, 'a'] < [1, 2] }}
{{ [1] < (1,) }}
""",
    "literals": r"""
{{ true }} {{ false }} {{ none }} {{ True }} {{ False }} {{ None }} {{ 'a' }} {{ "b" }} {{ 'a' "b" 'c' }} {{ [] }} {{ {} }} {{ () }} {{ (1) }} {{ (1,) }} {{ 1, 2 }} {{ [1, [2, (3, 4)], {'a': none}] }}
{{ 'a\nb' }} {{ 'a\tb' }} {{ '\\' }} {{ '\'' }} {{ "\"" }} {{ '\x41\u00e9\U0001F600\101' }} {{ '\d\w' }} {{ 'a\
b' }} {{ '\a\b\f\v\0' }}
{{ '\x4' }}
{{ '\u12' }}
{{ ['a\nb', "it's", 'say "x"', 'both \' and "', '\\', '\t', '\x01\x7f', 'é', '\u200b', '\ud7ff', '😀', '\xa0', '\u2028'] }}
{{ {'a': 1, "b": [1], 3: 4, none: 5, 1.5: 6, true: 7} }} {{ {1: 'a', 1.0: 'b', true: 'c'} }} {{ {'a': 1, 'a': 2} }}
{{ {(1, 2): 3} }} {{ {(1, (2, 'a')): 3}[(1.0, (2, 'a'))] }} {{ (1, 2) in {(1, 2): 3} }} {{ {(1, 2): 3}.get((1, 3)) }}
{{ {(1, []): 1} }}
{{ {[]: 1} }}
{{ {'a': 1,} }} {{ [1,] }} {{ (1,2,) }} {{ [1,2,][0] }}
{{ [1 2] }}
{{ {'a' 1} }}
{{ {'a'} }}
{{ 'unclosed }}
{{ (1 }}
{{ ) }}
{{ }}
{{ 1 2 }}
{{ a b }}
{{ "a" if }}
{{ 1 + }}
{{ * 2 }}
{{ not }}
{{ x = 1 }}
{{ 1 ? 2 }}
{{ a.1 }}
{{ $ }}
{{ 1 ! 2 }}
{{ [1, 2, 3] is iterable }} {{ range(3) }} {{ range(1, 3) }} {{ range(0, 10, 3) }} {{ range(10)[2:5] }} {{ range(5)[-1] }} {{ d.items() }} {{ d.keys() }} {{ d.values() }} {{ {}.items() }}
{{ namespace(a=1) }} {{ true is true }} {{ dict(a=1, b=2) }} {{ dict({'a': 1}, c=3) }} {{ dict([('a', 1), ['b', 2]]) }} {{ dict() }}
{{ dict(1) }}
{{ range() }}
{{ range('a') }}
{{ range(1, 2, 0) }}
{{ range(1.5) }}
{{ range(100000)|length }} {{ range(5, 0, -2)|list }} {{ range(-3)|list }} {{ range(true)|list }}
{{ range(100001) }}
{{ namespace({'a': 1}, b=2).b }} {{ namespace(a=1)['a'] }} {{ namespace(a=1).x }}|
{{ range(3) == range(3) }} {{ range(0, 3, 2) == range(0, 4, 2) }} {{ [1, 2] == (1, 2) }} {{ {'a': 1} == {'a': 1.0} }} {{ [1] == [true] }} {{ nope == nope2 }} {{ nope == none }}
""",
    "undefined": r"""
{{ nope }}|{{ nope is defined }}{{ d.nope is defined }}{{ d['nope'] is undefined }}{{ l[9] is defined }}|{{ d.nope }}|{{ l[9] }}|{{ s[99] }}|{{ n.x }}|{{ nil.x }}|{{ e.x }}
{{ nope.x }}
{{ d.nope.x }}
{{ nope[0] }}
{{ nope() }}
{{ nope + 1 }}
{{ 1 + nope }}
{{ 'a' + nope }}
{{ nope * 2 }}
{{ -nope }}
{{ nope > 1 }}
{{ nope in [1] }} {{ 1 in nope }} {{ nope == '' }} {{ not nope }} {{ nope or 'x' }} {{ nope and 'x' }}| {{ nope|default('y') }} {{ nope|d }}| {{ nope|length }} {{ nope|list }} {{ nope|string }}| {{ nope|upper }}| {{ nope|trim }}| {{ nope|join }}|
{{ nope in 'abc' }}
{{ nope|int }}
{{ nope|float }}
{{ nope|abs }}
{{ nope|round }}
{{ nope|tojson }}
{{ nope|items|list }} {{ nope|first }}| {{ nope|last }}| {{ nope|sort }} {{ nope|map('upper')|list }} {{ nope|sum }} {{ nope|unique|list }} {{ nope|reverse|list }} {{ nope|replace('a', 'b') }}| {{ nope|e }}|
{{ nope|dictsort }}
{{ nope|title }}|{{ nope|capitalize }}|{{ nope|lower }}|{{ nope|wordcount }}|{{ nope|min }}|{{ nope|max }}|{{ nope|batch(2)|list }}|{{ nope|groupby('x') }}|{{ nope|indent }}|{{ nope|safe }}|{{ nope|center(4) }}|{{ nope|truncate }}|
{% for x in nope %}x{% else %}none{% endfor %}{{ [nope] }}{{ {'a': nope} }}{{ nope ~ 'a' }}{{ '%s' % nope }}{{ '{}'.format(nope) }}
{{ '%d' % nope }}
{{ s.replace(nope, 'a') }}
{{ s.split(nope) }}
{{ s[nope] }}|{{ d[nope] }}|
{{ l[nope] }}|
{{ (nope if false) }}|{{ 'a' if false }}|{{ ('a' if false) is defined }}{{ (1 if nope else 2) }}
{{ ('a' if false) + 'b' }}
{{ nope is none }}{{ nope is string }}{{ nope is number }}{{ nope is iterable }}{{ nope is mapping }}{{ nope is sequence }}{{ nope is callable }}{{ nope is true }}{{ nope is sameas nope }}{{ nope is eq nope }}
{{ nope is odd }}
{{ nope is lt 1 }}
{{ nope is lower }}{{ nope is in [1] }}
{% set x = nope %}{{ x is defined }}{{ x }}
{{ nope | selectattr('a') | list }}{{ nope|select|list }}{{ [nope, 1]|select('defined')|list }}{{ p|map(attribute='zip', default='-')|join(',') }}{{ p|map(attribute='zip')|join(',') }}
{{ d.__class__ }}|{{ s.__len__ }}|{{ l.append }}|{{ d.update }}|{{ d._x }}|{{ l.append is defined }}
{{ l.append(1) }}
{{ d.update({}) }}
{{ d.pop('a') }}
{{ d.setdefault('a', 1) }}
{{ d.clear() }}
{{ l.sort() }}
{{ l.pop() }}
{{ s.__class__.__name__ }}
{{ d.__class__() }}
""",
    "lookup": r"""
{{ d.a }} {{ d['a'] }} {{ d.C[1].x }} {{ d['C'][0] }} {{ deep.a.b.c }} {{ deep['a'].b['c'] }} {{ items.items is callable }} {{ items['items'] }} {{ items['a b'] }} {{ items.keys is callable }} {{ items.get('get') }}
{{ l[0] }} {{ l[-1] }} {{ l.0 }} {{ l[true] }} {{ s[0] }} {{ s[-1] }} {{ u[4] }} {{ u[-1] }} {{ (1, 2)[1] }} {{ 'abc'[1] }} {{ [1, 2][0] }} {{ {'a': 1}.a }} {{ {'a': 1}['a'] }} {{ p[0].tags.1 }} {{ p[0]['tags'][0] }}
{{ l['0'] }}|{{ l[1.0] }}|{{ l[none] }}|{{ s['a'] }}|{{ n[0] }}|{{ nil[0] }}|{{ d[0] }}|{{ yes.x }}
{{ l[1:] }} {{ l[:1] }} {{ l[:-1] }} {{ l[::-1] }} {{ l[::2] }} {{ l[5:] }} {{ l[-2:] }} {{ l[:] }} {{ l[1:2:1] }} {{ l[2:0:-1] }} {{ l[-100:100] }} {{ l[none:none] }} {{ l[true:] }}
{{ s[1:] }} {{ s[:-1] }} {{ s[::-1] }} {{ s[::2] }} {{ s[99:] }}| {{ s[2:4] }} {{ u[3:8] }} {{ u[::-1] }} {{ u[-4:] }} {{ s[4:1:-1] }} {{ (1, 2, 3)[1:] }} {{ s[-3:-1] }} {{ e[1:] }}|
{{ l[::0] }}
{{ l['a':] }}
{{ l[1.5:] }}
{{ d[1:] }}|
{{ n[1:] }}|
{{ l[1:2, 3] }}
{{ l[1, 2] }}
{{ l[] }}
{{ l[1 }}
{{ d.get('a') }} {{ d.get('x') }} {{ d.get('x', 5) }} {{ d.get('x', default=5) }}
{{ d.get() }}
{{ d.keys()|list }} {{ d.values()|list }} {{ d.items()|list }} {{ d.copy() }} {{ d|length }} {{ d|list }} {{ d.keys()|length }} {{ d.items()|first }}
{{ d.keys()[0] }}|
{% for k in d %}{{ k }}{% endfor %}{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d.keys() %}{{ k }}{% endfor %}{% for v in d.values() %}{{ v }}{% endfor %}
{{ 'a' in d }} {{ 'x' not in d }} {{ 1 in l }} {{ 'lo' in s }} {{ '' in s }} {{ 'a' in [] }} {{ none in mixed }} {{ [1] in mixed }} {{ 1 in d.values() }} {{ 'a' in d.keys() }} {{ 2 in range(3) }} {{ 2 in (1, 2) }} {{ 'é' in 'café' }} {{ ('a', 1) in d.items() }} {{ '' in '' }}
{{ 1 in s }}
{{ 'a' in 5 }}
{{ 'a' in none }}
{{ [] in d }}
{{ not 1 in l }} {{ 1 not in l }} {{ not not 1 }} {{ 1 and 2 }} {{ 0 or 'x' }} {{ 0 and x.y }} {{ 1 or x.y }} {{ [] or {} }} {{ '' and 1 }}| {{ not [] }} {{ not 0.0 }} {{ 1 and 0 or 3 }} {{ not 1 == 2 }} {{ true and not false }}
{{ l|attr('count') is callable }} {{ d|attr('a') }}| {{ s|attr('upper')() }} {{ deep|attr('a') }}|
{{ l.index(1) }} {{ l.count(1) }} {{ [1, 1, true, 1.0].count(1) }} {{ (1, 2, 1).count(1) }} {{ (1, 2).index(2) }} {{ range(5).index(3) }} {{ range(5).count(9) }} {{ w.copy() }}
{{ l.index(9) }}
{{ s.nope() }}
{{ s() }}
{{ n() }}
{{ s.upper.x }}|
{{ d.a.b.c }}
""",
    "string methods": r"""
{{ s.upper() }} {{ s.lower() }} {{ s.title() }} {{ s.capitalize() }} {{ s.swapcase() }} {{ s.casefold() }} {{ u.upper() }} {{ u.lower() }} {{ u.title() }} {{ u.capitalize() }} {{ u.swapcase() }} {{ u.casefold() }} {{ 'ß'.upper() }} {{ 'ßa'.title() }} {{ 'ŉ'.upper() }} {{ 'İ'.lower() }} {{ 'ΑΣ ΑΣΑ Σ'.lower() }} {{ 'ǆ'.title() }} {{ "they're bill's o'clock 1st x2y".title() }} {{ 'ﬃ'.title() }} {{ 'ΐ'.upper() }}
{{ t.strip() }}|{{ t.lstrip() }}|{{ t.rstrip() }}|{{ s.strip('Hd') }}|{{ s.lstrip('He') }}|{{ s.rstrip('dl') }}|{{ 'xxaxx'.strip('x') }}|{{ u.strip('G😀') }}|{{ '\u3000a\u2003'.strip() }}|{{ s.strip('') }}|{{ s.strip(none) }}|{{ 'abcba'.strip('ab') }}
{{ s.strip(1) }}
{{ s.strip('a', 'b') }}
{{ csv.split(',') }} {{ words.split() }} {{ words.split(' ') }} {{ words.split(none) }} {{ csv.split(',', 1) }} {{ csv.split(',', 0) }} {{ csv.split(sep=',', maxsplit=2) }} {{ words.split(maxsplit=1) }} {{ e.split() }} {{ e.split(',') }} {{ 'a--b-'.split('--') }} {{ t.split() }} {{ '  a b '.split(' ', 1) }} {{ ' a  b '.split(none, 1) }} {{ 'aaa'.split('aa') }}
{{ csv.rsplit(',') }} {{ csv.rsplit(',', 1) }} {{ words.rsplit() }} {{ words.rsplit(none, 1) }} {{ ' a b c '.rsplit(maxsplit=1) }} {{ 'aaa'.rsplit('aa') }} {{ e.rsplit(',') }}
{{ s.split('') }}
{{ s.split(1) }}
{{ lines.splitlines() }} {{ lines.splitlines(true) }} {{ e.splitlines() }} {{ 'a\n\nb'.splitlines() }} {{ 'a\x0bb\x0cc\x1cd\x85e\u2028f'.splitlines() }} {{ 'a\r\rb'.splitlines(keepends=true) }}
{{ s.partition(' ') }} {{ s.partition('x') }} {{ s.rpartition('o') }} {{ s.rpartition('x') }}
{{ s.partition('') }}
{{ s.startswith('He') }} {{ s.startswith('lo', 3) }} {{ s.startswith(('x', 'H')) }} {{ s.endswith('ld') }} {{ s.endswith(('x',)) }} {{ s.startswith('') }} {{ s.endswith('lo', 0, 5) }} {{ s.startswith('H', -99) }} {{ s.startswith('', 99) }} {{ u.startswith('fin', 6) }} {{ u.endswith('Größe', 0, 5) }}
{{ s.startswith(1) }}
{{ s.startswith(['H']) }}
{{ s.find('o') }} {{ s.find('o', 5) }} {{ s.find('x') }} {{ s.find('') }} {{ s.rfind('o') }} {{ s.rfind('o', 0, 5) }} {{ s.index('W') }} {{ s.rindex('l') }} {{ s.count('l') }} {{ s.count('') }} {{ s.count('l', 4) }} {{ u.find('日') }} {{ u.rfind('n') }} {{ u.index('ﬁ') }} {{ s.find('l', -3) }} {{ s.find('', 99) }} {{ s.rfind('') }} {{ 'aaaa'.count('aa') }} {{ u.find('本', 9, 12) }}
{{ s.index('x') }}
{{ s.rindex('x') }}
{{ s.find(1) }}
{{ s.replace('l', 'L') }} {{ s.replace('l', '', 1) }} {{ s.replace('', '-') }} {{ s.replace('x', 'y') }} {{ u.replace('日', '<日>') }} {{ s.replace('l', 'LL', 2) }} {{ s.replace('', '-', 2) }} {{ e.replace('', 'x') }} {{ 'é'.replace('', '.') }} {{ 'aaa'.replace('aa', 'b') }} {{ s.replace('l', 'x', -1) }}
{{ s.replace('a') }}
{{ s.replace(1, 2) }}
{{ s.removeprefix('Hello ') }} {{ s.removesuffix('World') }} {{ s.removeprefix('x') }} {{ s.removesuffix('') }}
{{ ','.join(w) }} {{ ''.join([]) }}| {{ ', '.join(s) }} {{ '-'.join(('a', 'b')) }} {{ '-'.join({'a': 1, 'b': 2}) }} {{ '-'.join(w|map('upper')) }}
{{ ','.join(l) }}
{{ ','.join(5) }}
{{ s.center(15) }}|{{ s.center(16, '*') }}|{{ 'a'.center(4, '.') }}|{{ 'ab'.center(5, '.') }}|{{ s.ljust(13) }}|{{ s.rjust(13, '.') }}|{{ '42'.zfill(5) }}|{{ '-42'.zfill(5) }}|{{ '+1'.zfill(4) }}|{{ 'é'.ljust(3, 'ü') }}|{{ s.zfill(3) }}|{{ 'abc'.center(6,'-') }}|{{ 'abc'.center(3) }}
{{ s.center('a') }}
{{ s.center(20, 'ab') }}
{{ s.isalpha() }}{{ 'abc'.isalpha() }}{{ 'é日'.isalpha() }}{{ '12'.isdigit() }}{{ '²'.isdigit() }}{{ '²'.isdecimal() }}{{ '½'.isnumeric() }}{{ '٣'.isdecimal() }}{{ 'a1'.isalnum() }}{{ e.isalnum() }}{{ ' \t'.isspace() }}{{ e.isspace() }}{{ 'ab'.islower() }}{{ 'aB1'.islower() }}{{ 'AB1'.isupper() }}{{ '1'.isupper() }}{{ 'Ab Cd'.istitle() }}{{ 'AB'.istitle() }}{{ 'abc'.isascii() }}{{ u.isascii() }}{{ 'a_1'.isidentifier() }}{{ '1a'.isidentifier() }}{{ 'a\n'.isprintable() }}{{ e.isprintable() }}{{ '-1'.isdigit() }}{{ '1.5'.isnumeric() }}{{ 'ª'.isalpha() }}{{ 'ªb'.islower() }}{{ '١٢'.isdigit() }}
{{ 'a\tb'.expandtabs() }}|{{ 'ab\tc\n\td'.expandtabs(4) }}|{{ 'a\tb'.expandtabs(0) }}
{{ 'x{}y{}'.format(1, 'a') }} {{ '{0}{1}{0}'.format('a', 'b') }} {{ '{a} {b}'.format(a=1, b=none) }} {{ '{{}}'.format() }} {{ '{:>5}|{:<5}|{:^5}|{:*^7}'.format('a', 'b', 'c', 'd') }} {{ '{:05d}|{:+d}|{:,}|{:_}|{:x}|{:X}|{:#x}|{:o}|{:b}|{:c}|{: d}'.format(42, 42, 1234567, 1234567, 255, 255, 255, 8, 5, 65, 3) }}
{{ '{:.2f}|{:8.3f}|{:e}|{:.3e}|{:g}|{:.3g}|{:%}|{:.1%}|{:,.2f}|{:+.1f}|{:G}|{:n}'.format(3.14159, 2.5, 12345.678, 0.00012, 1e10, 1234567.0, 0.25, 0.1234, 1234567.891, 2.0, 1e-10, 5) }}
{{ '{!r} {!s} {!a}'.format('a', 'b', 'é') }} {{ '{:.3}'.format('abcdef') }} {{ '{:5.2}|'.format('abc') }} {{ '{0[0]} {0[1]}'.format([1, 2]) }} {{ '{d[a]}'.format(d={'a': 1}) }} {{ '{:{}}|'.format('a', 4) }} {{ '{:{w}.{p}f}'.format(3.14159, w=8, p=2) }} {{ '{}'.format([1, 'a']) }} {{ '{:>6}'.format(1.5) }} {{ '{:6}|{:6}|'.format(1, true) }} {{ '{:<6}|'.format(12) }} {{ '{:d}'.format(true) }} {{ '{:.0f}'.format(2.5) }} {{ '{:f}'.format(2) }}
{{ '{}'.format() }}
{{ '{'.format(1) }}
{{ '}'.format(1) }}
{{ '{x}'.format(1) }}
{{ '{1}'.format(1) }}
{{ '{:d}'.format('a') }}
{{ '{:d}'.format(1.5) }}
{{ '{:s}'.format(1) }}
{{ '{:z}'.format(1) }}
{{ '{} {0}'.format(1) }}
{{ '{!x}'.format(1) }}
{{ '{a} {b}'.format_map({'a': 1, 'b': 2}) }}
{{ '%s' % 'a' }} {{ '%s %s' % (1, none) }} {{ '%d%%' % 50 }} {{ '%5d|%-5d|%05d|%+d|% d' % (42, 42, 42, 42, 42) }} {{ '%.2f|%8.3f|%e|%g|%G' % (3.14159, 2.5, 12345.678, 0.00001, 1e20) }} {{ '%x %X %o %#x %c %c' % (255, 255, 8, 255, 65, 'z') }} {{ '%r %a' % ('é', 'é') }} {{ '%(a)s-%(b)03d' % {'a': 1, 'b': 2} }} {{ '%*d|%-*d|' % (5, 42, 5, 42) }} {{ '%.*f' % (2, 3.14159) }} {{ '%10s|%-10s|%.2s' % ('a', 'b', 'cde') }} {{ '%d' % 3.99 }} {{ '%i' % true }} {{ '%s' % [1] }} {{ '%s' % ((1, 2),) }} {{ '%5.1f%%' % 12.34 }} {{ '' % () }} {{ 'a' % {} }} {{ '%s' % {} }} {{ '%u' % 3 }} {{ '%f' % 1 }} {{ '%s' % 1.0 }}
{{ '%s' % (1, 2) }}
{{ '%s %s' % 1 }}
{{ '%d' % 'a' }}
{{ '%z' % 1 }}
{{ '%' % 1 }}
{{ '%(a)s' % 1 }}
{{ '%(b)s' % {'a': 1} }}
{{ 'a' % 1 }}
{{ '%c' % 'ab' }}
{{ '%x' % 1.5 }}
{{ 'abc'.upper().lower().title() }} {{ 'a b'.split()[1].upper() }} {{ ('a' ~ 'b').upper() }} {{ 'a'.upper() ~ 'b' }} {{ s.split(' ')|last }} {{ 'a,b'.split(',')|join(';') }}
{{ s.upper(1) }}
{{ s.upper(x=1) }}
""",
    "filters": r"""
{{ m|abs }} {{ g|abs }} {{ true|abs }}
{{ 'a'|abs }}
{{ [1,2,3,4,5]|batch(2)|list }} {{ [1,2,3]|batch(2, 'x')|list }} {{ []|batch(3)|list }} {{ 'abc'|batch(2)|list }}
{{ [1,2,3,4,5,6,7]|slice(3)|list }} {{ [1,2,3,4,5,6,7]|slice(3, 'x')|list }} {{ []|slice(2)|list }} {{ [1]|slice(3)|list }}
{{ s|capitalize }} {{ 'aBC'|capitalize }} {{ 5|capitalize }} {{ u|capitalize }} {{ ''|capitalize }}|
{{ s|center }}| {{ 'a'|center(5) }}| {{ 'ab'|center(5) }}|
{{ nope|default }}| {{ nope|default('a') }} {{ nil|default('a') }} {{ nil|default('a', true) }} {{ e|d('x', boolean=true) }} {{ 0|default(5) }} {{ d.nope|default(1) }} {{ nope.x|default('a') if nope is defined else 'b' }} {{ e|default(default_value='q', boolean=true) }}
{{ d|dictsort }} {{ d|dictsort(true) }} {{ {'a': 2, 'b': 1}|dictsort(by='value') }} {{ {'a': 2, 'b': 1}|dictsort(false, 'value', true) }} {{ {'b': 1, 'A': 2}|dictsort(reverse=true) }} {{ {2: 'a', 1: 'b'}|dictsort }}
{{ d|dictsort(by='x') }}
{{ l|dictsort }}
{{ {1: 1, 'a': 2}|dictsort }}
{{ q|escape }} {{ q|e }} {{ q|forceescape }} {{ q|e|e }} {{ q|e|forceescape }} {{ 5|e }} {{ q|safe }} {{ q|safe|e }} {{ (q|e) ~ '<' }} {{ ('<'|safe) + '>' }} {{ '<' + ('>'|safe) }} {{ q|e|upper }} {{ q|e|length }} {{ ['<', '>'|safe]|join('&') }} {{ ['<', '>'|safe]|join('&'|safe) }} {{ ('<'|safe) ~ '<' }} {{ ('a<'|safe).upper() + '<' }} {{ '<'|safe|string + '<' }} {{ ('<'|safe) * 2 + '<' }} {{ ('%s'|safe) % '<' }} {{ ('<b>'|safe)[0] + '<' }} {{ ('<'|safe).replace('<', '&') }} {{ ('<'|safe)|trim + '<' }} {{ '<'|safe|default('x') + '<' }}
{{ 1|filesizeformat }} {{ 0|filesizeformat }} {{ 999|filesizeformat }} {{ 1000|filesizeformat }} {{ 123456789|filesizeformat }} {{ 1024|filesizeformat(true) }} {{ 1e15|filesizeformat }} {{ '5000'|filesizeformat }} {{ 1.5|filesizeformat }} {{ 1048576|filesizeformat(binary=true) }}
{{ l|first }} {{ s|first }} {{ el|first }}| {{ d|first }} {{ l|last }} {{ s|last }} {{ el|last }}| {{ d|last }} {{ e|first }}| {{ e|last }}| {{ range(3)|first }} {{ range(3)|last }}
{{ n|first }}
{{ n|last }}
{{ (l|map('string'))|last }}
{{ '1.5'|float }} {{ 'x'|float }} {{ 'x'|float(7) }} {{ 3|float }} {{ ' 2e3 '|float }} {{ 'nan'|float }} {{ '-inf'|float }} {{ 'Infinity'|float }} {{ true|float }} {{ none|float }} {{ []|float }} {{ '1_0.5'|float }} {{ '.5'|float }} {{ '5.'|float }} {{ '1e400'|float }} {{ '0x1'|float }} {{ ''|float }} {{ '1__0'|float }} {{ 'x'|float(default='d') }}
{{ '42'|int }} {{ '4.7'|int }} {{ 'x'|int }} {{ 'x'|int(-1) }} {{ 4.9|int }} {{ -4.9|int }} {{ true|int }} {{ none|int }} {{ ' 5 '|int }} {{ '1_000'|int }} {{ '0x1f'|int(base=16) }} {{ '1f'|int(0, 16) }} {{ '0b11'|int(base=2) }} {{ '101'|int(base=2) }} {{ 'zz'|int(base=36) }} {{ '0o17'|int(base=8) }} {{ '0x1f'|int(base=0) }} {{ '0x1f'|int }} {{ '1e3'|int }} {{ ''|int }} {{ []|int }} {{ '-5'|int }} {{ '+5'|int }} {{ 'inf'|int }} {{ '1e400'|int }} {{ '--5'|int }} {{ '5'|int(base=10) }} {{ 'x'|int(default='d') }}
{{ '%s-%s'|format('a', 1) }} {{ '%(a)s'|format(a=1) }} {{ '%d'|format(5) }} {{ 'x'|format }}
{{ '%s'|format(1, a=2) }}
{% for g in p|groupby('age') %}{{ g.grouper }}:{{ g.list|map(attribute='name')|join(',') }};{{ g[0] }}{{ g[1]|length }};{% endfor %}{% for k, v in p|groupby('name') %}{{ k }}{{ v|length }}{% endfor %}{% for k, v in p|groupby('zip', default='none') %}{{ k }}{{ v|length }}{% endfor %}{{ [{'a': 'X'}, {'a': 'x'}]|groupby('a')|length }}{{ [{'a': 'X'}, {'a': 'x'}]|groupby('a', case_sensitive=true)|length }}{{ (p|groupby('age'))[0] }}
{{ p|groupby('zip') }}
{{ 'a\nb\n\nc'|indent }}| {{ 'a\nb'|indent(2) }} {{ 'a\nb'|indent(2, true) }} {{ 'a\n\nb'|indent(2, blank=true) }} {{ 'a\nb'|indent('>> ') }} {{ 'a\nb'|indent(width=1, first=true) }} {{ 'a\n'|indent(2) }}| {{ ''|indent(2, true) }}| {{ 'a\r\nb'|indent(2) }} {{ 'a\n\n'|indent(3, true, true) }}|
{{ d|items|list }} {{ {}|items|list }}
{{ l|join }} {{ l|join(', ') }} {{ w|join('-') }} {{ p|join(', ', attribute='name') }} {{ s|join('.') }} {{ d|join }} {{ []|join('x') }}| {{ mixed|join('|') }} {{ [1, [2]]|join(1) }} {{ p|join(attribute='age') }} {{ ['a']|join('x') }} {{ l|join(d=';') }}
{{ n|join }}
{{ l|length }} {{ s|length }} {{ u|length }} {{ d|length }} {{ e|count }} {{ (1, 2)|length }} {{ range(3)|length }}
{{ n|length }}
{{ none|length }}
{{ (l|map('string'))|length }}
{{ 'abc'|list }} {{ d|list }} {{ (1, 2)|list }} {{ range(3)|list }} {{ u|list }}
{{ n|list }}
{{ s|lower }} {{ s|upper }} {{ 5|upper }} {{ none|lower }} {{ [1, 'A']|lower }} {{ u|upper }}
{{ l|map('string')|list }} {{ w|map('upper')|list }} {{ p|map(attribute='name')|list }} {{ p|map(attribute='tags.0')|list }} {{ p|map(attribute='zip', default=0)|list }} {{ l|map('abs')|map('string')|join }} {{ w|map('replace', 'a', 'X')|list }} {{ ['1', 'x']|map('int', default=9)|list }} {{ ['a b']|map('split') is defined }} {{ nested|map('first')|list }} {{ nested|map(attribute=0)|list }} {{ ['x']|map('default')|list }} {{ []|map('x')|list }} {{ d|map('upper')|list }} {{ s|map('lower')|join }}
{{ l|map('nope')|list }}
{{ l|map(attribute='x', foo=1)|list }}
{{ l|map(1)|list }}
{{ l|map|list }}
{{ l|items|list }}
{{ p|selectattr|list }}
{{ l|max }} {{ l|min }} {{ w|max }} {{ w|min }} {{ w|min(true) }} {{ p|max(attribute='age') }} {{ p|min(attribute='name') }} {{ []|max }}| {{ [1, 2.5]|max }} {{ s|max }} {{ [(1, 2), (1, 3)]|max }} {{ w|max(case_sensitive=true) }}
{{ [1, 'a']|max }}
{{ [1, none]|min }}
{{ l|reject('odd')|list }} {{ [0, 1, '', 'a', none]|reject|list }} {{ p|rejectattr('tags')|map(attribute='name')|list }} {{ p|rejectattr('age', 'gt', 1)|map(attribute='name')|list }} {{ p|rejectattr('tags', 'defined')|list|length }}
{{ [0, 1, '', 'a', none]|select|list }} {{ l|select('odd')|list }} {{ l|select('>', 1)|list }} {{ l|select('greaterthan', 1)|list }} {{ p|selectattr('tags')|map(attribute='name')|list }} {{ p|selectattr('age', 'equalto', 3)|list|length }} {{ p|selectattr('name', 'in', ['ann', 'Bob'])|map(attribute='age')|list }} {{ mixed|select('string')|list }} {{ mixed|select('number')|list }} {{ p|selectattr('tags.0', 'defined')|list|length }} {{ p|selectattr('nope', 'none')|list }} {{ p|selectattr('nope', 'undefined')|list|length }} {{ l|select('divisibleby', 3)|list }} {{ w|select('in', 'abc')|list }} {{ l|select('sameas', 3)|list }} {{ l|select('==', 3)|list }}
{{ l|select('nope')|list }}
{{ l|select(1)|list }}
{{ p|selectattr('age', 'nope')|list }}
{{ n|select|list }}
{{ s|replace('l', 'L') }} {{ s|replace('l', 'L', 1) }} {{ 5|replace('5', '6') }} {{ s|replace('o', 0) }} {{ s|replace('', '.') }} {{ u|replace('ö', 'oe') }}
{{ s|replace('a') }}
{{ l|reverse|list }} {{ s|reverse }} {{ u|reverse }} {{ d|reverse|list }} {{ (1, 2)|reverse|list }} {{ range(3)|reverse|list }} {{ e|reverse }}|
{{ n|reverse }}
{{ 42.55|round }} {{ 42.55|round(1) }} {{ 42.55|round(1, 'floor') }} {{ 42.51|round(1, 'ceil') }} {{ 42|round }} {{ 2.5|round }} {{ 3.5|round }} {{ -2.5|round }} {{ 2.675|round(2) }} {{ 1234|round(-2) }} {{ 1250|round(-2) }} {{ 1350|round(-2) }} {{ 1234.5|round(-2) }} {{ 0.5|round }} {{ 1e20|round }} {{ 42|round(1, 'floor') }} {{ true|round }} {{ 1.005|round(2) }} {{ 5|round(2) }} {{ 2.5|round|int }} {{ -0.4|round }} {{ 42.5|round(0, 'ceil') }} {{ 42|round(0,'ceil') }} {{ -15|round(-1) }} {{ 0.1|round(20) }}
{{ 'a'|round }}
{{ 1|round(1, 'x') }}
{{ l|sort }} {{ w|sort }} {{ w|sort(case_sensitive=true) }} {{ l|sort(reverse=true) }} {{ p|sort(attribute='age')|map(attribute='name')|list }} {{ p|sort(attribute='age', reverse=true)|map(attribute='name')|list }} {{ p|sort(attribute='age,name')|map(attribute='name')|list }} {{ p|sort(true, false, 'name')|map(attribute='name')|list }} {{ d|sort }} {{ 'hello'|sort|join }} {{ [[2, 1], [1, 3]]|sort }} {{ [1.5, 1, true]|sort }} {{ []|sort }} {{ [('b', 1), ('A', 2)]|sort(attribute=0) }} {{ [('b', 1), ('A', 2)]|sort(attribute='1') }} {{ (3, 1)|sort }} {{ ['b', 'B', 'a', 'A']|sort }} {{ ['b', 'B', 'a', 'A']|sort(reverse=true) }}
{{ [1, 'a']|sort }}
{{ [1, none]|sort }}
{{ [{}, {}]|sort }}
{{ p|sort(attribute='zip') }}
{{ 5|string }} {{ none|string }} {{ [1, 'a']|string }} {{ 1.0|string }} {{ true|string|lower }} {{ d|string }} {{ s|string }}
{{ l|sum }} {{ [1.5, 2]|sum }} {{ p|sum(attribute='age') }} {{ l|sum(start=10) }} {{ []|sum }} {{ [[1], [2]]|sum(start=[]) }} {{ [true, true]|sum }} {{ p|sum('age', 5) }}
{{ w|sum }}
{{ 'hello wORLD foo-bar (baz) x2y'|title }} {{ u|title }} {{ 'they\'re'|title }} {{ 5|title }} {{ 'a\tb\nc'|title }} {{ '[x]{y}<z>_w'|title }} {{ '-a--b'|title }}
{{ d|tojson }} {{ l|tojson }} {{ s|tojson }} {{ u|tojson }} {{ q|tojson }} {{ none|tojson }} {{ true|tojson }} {{ 1.0|tojson }} {{ 1e100|tojson }} {{ (1, 2)|tojson }} {{ {1: 2, none: 3, true: 4, 1.5: 5}|tojson }} {{ []|tojson }} {{ {}|tojson }} {{ 'a\x00\x1f\x7f\u2028\n\t\b\f\r'|tojson }} {{ ('nan'|float)|tojson }} {{ ('-inf'|float)|tojson }} {{ '</script>'|tojson }} {{ '😀'|tojson }}
{{ d|tojson(indent=2) }} {{ {'a': [], 'b': {}, 'c': [1]}|tojson(indent=1) }} {{ [1]|tojson(indent=0) }} {{ [1]|tojson(indent='--') }} {{ u|tojson(ensure_ascii=true) }} {{ d|tojson(separators=(',', ':')) }} {{ {'b': 1, 'a': {'d': 1, 'c': 2}}|tojson(sort_keys=true) }} {{ d|tojson(true) }} {{ d|tojson(indent=none) }} {{ [1, 2]|tojson(indent=2, separators=(' ,', ' :')) }} {{ [[], [1]]|tojson(indent=-1) }} {{ 'é\x7f😀'|tojson(ensure_ascii=true) }} {{ [1]|tojson(indent=true) }}
{{ nope|tojson }}
{{ [nope]|tojson }}
{{ range(3)|tojson }}
{{ d.items()|tojson }}
{{ l|map('string')|tojson }}
{{ {'a': 1, 2: 3}|tojson(sort_keys=true) }}
{{ {(1, 2): 3}|tojson }}
{{ namespace(a=1)|tojson }}
{{ t|trim }}| {{ 'xxaxx'|trim('x') }} {{ 5|trim }} {{ '\u3000a'|trim }} {{ s|trim(chars='Hd') }} {{ none|trim }}
{{ 'foo bar baz qux'|truncate(9) }} {{ 'foo bar baz qux'|truncate(9, true) }} {{ 'foo bar baz qux'|truncate(11) }} {{ 'foo bar baz qux'|truncate(11, false, '..') }} {{ 'foo bar'|truncate(3, true, '') }} {{ s|truncate }} {{ 'foo bar baz qux'|truncate(11, leeway=0) }} {{ 'abcdef ghi'|truncate(5, leeway=0) }} {{ u|truncate(6, true, '', 0) }}
{{ 'abc'|truncate(1) }}
{{ [1, 1, 2, 1.0, true]|unique|list }} {{ w|unique|list }} {{ ['a', 'A', 'b']|unique|list }} {{ ['a', 'A', 'b']|unique(true)|list }} {{ p|unique(attribute='age')|map(attribute='name')|list }} {{ 'hello'|unique|join }} {{ []|unique|list }}
{{ [[1]]|unique|list }}
{{ 'a b&c/d?é~_.-'|urlencode }} {{ {'a': 1, 'b c': 'é'}|urlencode }} {{ [('a', 1), ('b', 2)]|urlencode }} {{ 5|urlencode }}
{{ words|wordcount }} {{ e|wordcount }} {{ u|wordcount }} {{ "it's a-b c_d"|wordcount }}
{{ {'class': 'a b', 'id': none, 'x': '<', 'n': 5}|xmlattr }}| {{ {'a': 1}|xmlattr(false) }} {{ {}|xmlattr }}|
{{ {'a b': 1}|xmlattr }}
{{ s|nope }}
{{ s|upper|lower|title }} {{ -1|abs }} {{ 'a' ~ 'b'|upper }} {{ ('a' ~ 'b')|upper }} {{ 1 + 2|string|length }} {{ not e|length }} {{ s|length > 5 }} {{ l|length - 1 }} {{ l|first + l|last }} {{ 'x' in l|map('string') }} {{ '3' in l|map('string') }} {{ s|upper is upper }} {{ l|length is divisibleby 3 }} {{ 2 ** l|length }} {{ -l|length }}
{{ s|upper() }} {{ s|replace("l","L")|upper() }} {{ s | trim | length }} {{ s|upper(1) }}
{{ s|default(*['x']) }} {{ s|replace(**{'old': 'l', 'new': 'L'}) }} {{ l|join(**{'d': '+'}) }}
""",
    "generators": r"""
{% set g = l|map('string') %}{{ g|list }}{{ g|list }}
{% set g = l|select %}{{ g|first }}{{ g|list }}
{% set g = l|map('string') %}{{ '1' in g }}{{ g|list }}
{% set g = l|map('string') %}{% for x in g %}{{ x }}{% endfor %}|{% for x in g %}{{ x }}{% else %}none{% endfor %}
{% set g = l|reverse %}{{ g|list }}{{ g|list }}{% set g = d|items %}{{ g|list }}{{ g|list }}{% set g = l|batch(2) %}{{ g|list }}{{ g|list }}
{% set g = []|select %}{{ 'yes' if g else 'no' }}{{ g is iterable }}{{ g is sequence }}{{ g is mapping }}{{ g is string }}{{ g is defined }}
{% set v = d.items() %}{{ v|list }}{{ v|list }}{{ v|length }}{% set v = {}.items() %}{{ 'yes' if v else 'no' }}{{ v is sequence }}{{ v is iterable }}{{ d.keys() == d.keys() }}
{% for x in l|map('string') %}{{ loop.index }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ loop.nextitem }}{% endfor %}
{{ l|map('string')|join(',') }}{{ l|select('odd')|sum }}{{ l|map('string')|sort }}{{ l|select('odd')|max }}{{ (l|map('string')|list)[0] }}
{{ (l|map('string'))[0] }}|
{{ l|map('string') + [] }}
{{ l|map('string') == l|map('string') }}
""",
    "tests": r"""
{{ 1 is defined }} {{ 1 is odd }} {{ 2 is even }} {{ 6 is divisibleby 3 }} {{ 6 is divisibleby(4) }} {{ 1 is number }} {{ 1.5 is number }} {{ true is number }} {{ '1' is number }} {{ 1 is integer }} {{ true is integer }} {{ 1.0 is integer }} {{ 1.0 is float }} {{ 1 is float }} {{ true is boolean }} {{ 1 is boolean }} {{ true is true }} {{ 1 is true }} {{ false is false }} {{ none is none }} {{ 'a' is string }} {{ 1 is string }} {{ {} is mapping }} {{ [] is mapping }} {{ [] is iterable }} {{ 1 is iterable }} {{ 'a' is iterable }} {{ none is iterable }} {{ [] is sequence }} {{ {} is sequence }} {{ 'a' is sequence }} {{ 1 is sequence }} {{ (1,) is sequence }} {{ range is callable }} {{ 'a' is callable }} {{ s.upper is callable }} {{ namespace(a=1) is mapping }} {{ namespace() is iterable }} {{ range(3) is sequence }} {{ d.items() is iterable }} {{ d.items() is sequence }}
{{ 'abc' is lower }} {{ 'Abc' is lower }} {{ 'ABC' is upper }} {{ '1' is upper }} {{ '' is lower }} {{ 'é' is lower }} {{ 5 is lower }} {{ 'a1' is lower }}
{{ 1 is eq 1 }} {{ 1 is equalto 1.0 }} {{ 1 is == 1 }}
{{ 1 is ne 2 }} {{ 1 is lt 2 }} {{ 1 is le 1 }} {{ 2 is gt 1 }} {{ 2 is ge 3 }} {{ 1 is lessthan 2 }} {{ 1 is greaterthan(2) }} {{ 1 is in [1, 2] }} {{ 'a' is in 'abc' }} {{ 'a' is in d }} {{ 1 is not in l }} {{ 1 is sameas 1 }} {{ 1 is sameas true }} {{ none is sameas none }} {{ 1 is sameas 1.0 }} {{ l is sameas l }} {{ l is sameas [3, 1, 2] }} {{ s is sameas s }}
{{ 'upper' is filter }} {{ 'nope' is filter }} {{ 'odd' is test }} {{ 'nope' is test }} {{ '==' is test }} {{ 'a'|e is escaped }} {{ 'a' is escaped }}
{{ 1 is not odd }} {{ 2 is not defined }} {{ not 1 is odd }} {{ 1 is odd and 2 is even }} {{ 1 is odd or nope is defined }} {{ 'a' if 1 is odd else 'b' }} {{ 1 + 1 is even }} {{ (1 + 1) is even }} {{ 1 is not none }} {{ nope is not defined and true }} {{ 3 is divisibleby 3 is true }}
{{ 1 is nope }}
{{ 'a' is odd }}
{{ 1.5 is odd }} {{ 3.0 is odd }} {{ true is odd }} {{ -3 is odd }} {{ 6.0 is divisibleby 3 }}
{{ 1 is divisibleby 0 }}
{{ 1 is divisibleby }}
{{ 1 is lt 'a' }}
{{ 1 is in 5 }}
{{ 1 is sameas }}
{{ l is defined }}{{ l.x is defined }}{{ l[0] is defined }}{{ d.a is defined }}{{ d.a.b is defined }}
{{ nope.x is defined }}
{{ 1 is defined(2) }}
{{ 5 is string or 5 is number }} {{ nil is none and l is not none }} {{ mixed|map('string')|list }} {{ [1,2,3] is eq [1,2,3] }} {{ 'x' is eq('x') }} {{ 2 is eq 1 + 1 }}
""",
    "if": r"""
{% if yes %}a{% endif %}{% if no %}b{% else %}c{% endif %}{% if no %}d{% elif yes %}e{% else %}f{% endif %}{% if nil %}g{% endif %}{% if el %}h{% endif %}{% if l %}i{% endif %}{% if 0.0 %}j{% endif %}{% if ' ' %}k{% endif %}
{% if yes and not no %}a{% endif %}{% if l and l[0] > 2 %}b{% endif %}{% if (yes or nope.x) and no == false %}c{% endif %}{% if 'a' in d and d.a %}d{% endif %}{% if 1, %}e{% endif %}{% if () %}f{% endif %}
{{ 'a' if yes else 'b' }}{{ 'a' if no else 'b' if no else 'c' }}{{ ('a' if yes) ~ 'x' }}{{ [1 if yes else 2, 3] }}{{ 'a' if yes and no else 'b' }}{{ 1 + (2 if yes else 3) }}{{ 1 + 2 if no else 4 }}{{ not yes if yes else 5 }}
{% if yes %}
{% if %}x{% endif %}
{% if yes %}x{% else %}y{% else %}z{% endif %}
{% if yes %}x{% else %}y{% elif no %}z{% endif %}
{% else %}
{% endif %}
{% if yes %}x{% endfor %}
{% if yes }}x{% endif %}
{% if x = 1 %}x{% endif %}
{% unless yes %}x{% endunless %}
{% elseif yes %}
{% if yes: %}x{% endif %}
{%if yes%}a{%endif%}{%-if yes-%} b {%-endif-%} c
""",
    "for": r"""
{% for x in l %}{{ x }}{% endfor %}{% for x in el %}a{% else %}b{% endfor %}{% for x in s %}{{ x }}.{% endfor %}{% for a, b in [[1, 2], [3, 4]] %}{{ a }}{{ b }};{% endfor %}{% for (a, b) in [(1, 2)] %}{{ a + b }}{% endfor %}{% for a, (b, c) in [[1, [2, 3]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}{% for x in (1, 2) %}{{ x }}{% endfor %}{% for x in 1, 2, 3 %}{{ x }}{% endfor %}{% for x in range(3) %}{{ x }}{% endfor %}{% for (a,) in [[1]] %}{{ a }}{% endfor %}
{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.depth }}{{ loop.depth0 }}{{ loop.cycle('a', 'b') }}{{ loop.changed(x > 1) }};{% endfor %}
{% for x in l if x > 1 %}{{ x }}{{ loop.index }}/{{ loop.length }}{% else %}none{% endfor %}{% for x in l if x > 9 %}{{ x }}{% else %}none{% endfor %}{% for k, v in d.items() if v is number %}{{ k }}{% endfor %}{% for x in l if loop is defined %}a{% endfor %}
{% for x in l if loop.index > 1 %}{{ x }}{% endfor %}
{% for x in l %}{% for y in w %}{{ loop.index }}{{ loop.depth }}{% endfor %}{{ loop.index }}{% endfor %}{% for x in l %}{% set outer = loop %}{% for y in [1] %}{{ outer.index }}{{ loop.index }};{% endfor %}{% endfor %}
{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}{% for x in l %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}{% for x in l %}{% break %}{% else %}e{% endfor %}{% for x in l %}{% for y in l %}{% if y == 1 %}{% break %}{% endif %}{{ y }}{% endfor %}{{ x }}{% endfor %}
{% for i in nested recursive %}{% if i is number %}{{ i }}{% else %}({{ loop(i) }}){% endif %}{{ loop.depth }}{% endfor %}
{% for x in [{'n': 1, 'c': [{'n': 2, 'c': [{'n': 3}]}]}] recursive %}{{ loop.depth0 }}{{ x.n }}{% if x.c %}[{{ loop(x.c) }}]{% endif %}{% endfor %}
{% for x in l recursive %}{{ loop.index }}{% if loop.first and loop.depth < 3 %}<{{ loop([7, 8]) }}>{% endif %}{% endfor %}
{% for x in l %}{{ loop([1]) }}{% endfor %}
{% for x in l %}{{ loop }}{{ loop|length }}{{ loop is callable }}{{ loop is iterable }}{% endfor %}
{% for x in l %}{% set y = x %}{{ y }}{% endfor %}{{ y }}|{{ x }}|{{ loop }}|
{% set y = 0 %}{% for x in l %}{% set y = y + x %}{{ y }}{% endfor %}{{ y }}
{% set ns = namespace(y=0, z=[]) %}{% for x in l %}{% set ns.y = ns.y + x %}{% set ns.z = ns.z + [x] %}{% endfor %}{{ ns.y }}{{ ns.z }}
{% set x = 9 %}{% for x in l %}{{ x }}{% endfor %}{{ x }}
{% for x in l %}{% if x == 3 %}{% set q2 = 'q' %}{% endif %}{{ q2 }}{% endfor %}
{% for x in n %}{% endfor %}
{% for x in none %}{% endfor %}
{% for a, b in l %}{% endfor %}
{% for a, b in [[1]] %}{% endfor %}
{% for a, b in [[1, 2, 3]] %}{% endfor %}
{% for x l %}{% endfor %}
{% for x in %}{% endfor %}
{% for 1 in l %}{% endfor %}
{% for x.y in l %}{% endfor %}
{% for x in l %}
{% for x in l %}{% else %}{% else %}{% endfor %}
{% break %}
{% continue %}
{% for x in l %}{% macro f() %}{% break %}{% endmacro %}{% endfor %}
{% for x in d %}{{ x }}{{ d[x] }}{% endfor %}{% for x in d.items() %}{{ x[0] }}{{ x|length }}{% endfor %}{% for x in d|dictsort %}{{ x[0] }}{% endfor %}{% for k, v in d|items %}{{ k }}{% endfor %}
{% for x in l %}{{ loop.nope }}|{{ loop['index'] }}{% endfor %}
{% for x in l %}{{ loop.cycle() }}{% endfor %}
{% for x in l|sort(reverse=true) %}{{ x }}{% endfor %}{% for x in l[1:] + [9] %}{{ x }}{% endfor %}{% for x in l[::-1] %}{{ x }}{% endfor %}{% for x in (l if yes else el) %}{{ x }}{% endfor %}{% for x in l if x != 1 and x < 3 %}{{ x }}{% endfor %}{% for x in l or [5] %}{{ x }}{% endfor %}
{% for loop in l %}{{ loop }}{% endfor %}
{% for x in [1] %}{% for x in [2] %}{{ x }}{% endfor %}{{ x }}{% endfor %}{% for x in [1, 2] %}{% set x = x * 10 %}{{ x }}{% endfor %}{% for i in [1, 1, 2] %}{% if loop.changed(i) %}{{ i }}{% endif %}{% endfor %}
{% for x in [1, 2] %}{% for y in [1, 2] if y != x %}{{ x }}{{ y }}{% endfor %}{% endfor %}{% for x in range(3) if x is odd %}{{ x }}{{ loop.first }}{% endfor %}
""",
    "set": r"""
{% set a = 1 %}{{ a }}{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set (a, b) = (3, 4) %}{{ a }}{{ b }}{% set a = b = 5 %}
{% set a = 1, 2 %}{{ a }}{% set a = [1] %}{{ a }}{% set a %}x{{ 1 }}{% endset %}{{ a }}{% set a | upper %}x{% endset %}{{ a }}{% set a|replace('x', 'y')|upper %}x{% endset %}{{ a }}{% set a = 'x' if no else 'z' %}{{ a }}{% set _a = 1 %}{{ _a }}
{% set ns = namespace() %}{% set ns.a = 1 %}{{ ns.a }}{% set ns.a, ns.b = 2, 3 %}{{ ns.a }}{{ ns.b }}{% set ns.c %}x{% endset %}{{ ns.c }}{{ ns['a'] }}
{% set ns = namespace(a=[]) %}{% set ns.a = ns.a + [1] %}{% set ns.a = ns.a + [2] %}{{ ns.a }}{{ ns.nope }}|{{ ns.nope is defined }}{{ ns }}
{% set d.a = 1 %}
{% set nope.a = 1 %}
{% set a.b.c = 1 %}
{% set a[0] = 1 %}
{% set 1 = 2 %}
{% set true = 2 %}
{% set = 2 %}
{% set a = %}
{% set a %}
{% set a, b = 1 %}
{% set a, b = [1, 2, 3] %}
{% set a = 1 %}{% if yes %}{% set a = 2 %}{% endif %}{{ a }}{% if no %}{% set c = 2 %}{% endif %}{{ c }}|
{% set a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% set a = 3 %}{{ a }}{% endwith %}{{ a }}{% with %}{% set q9 = 1 %}{% endwith %}{{ q9 }}|
{% with x = 1 %}{{ x }}
{% set s = 'new' %}{{ s }}{% set l = l + [1] %}{{ l }}{% set l = l %}{{ l }}
{{ a }}{% set a = 1 %}{{ a }}{% macro f() %}{{ b }}{% endmacro %}{% set b = 2 %}{{ f() }}{% set b = 3 %}{{ f() }}
{% set x %}{% for i in l %}{{ i }}{% endfor %}{% endset %}{{ x }}{{ x is string }}{{ x|length }}{% set y %}{% endset %}{{ y == '' }}{% set z %} a {% endset %}[{{ z }}]{{ z + '<' }}
{% filter upper %}a{{ s }}{% endfilter %}{% filter replace('a', 'b')|title %}aaa{% endfilter %}{% filter trim %}  x {% endfilter %}{% filter escape %}<{% endfilter %}{% filter upper %}{% set v = 'x' %}{{ v }}{% endfilter %}{{ v }}|
{% filter nope %}{% endfilter %}
{% filter %}{% endfilter %}
{% generation %}a{% set b = 1 %}{{ b }}{% endgeneration %}{{ b }}|
{% generation %}a
""",
    "macros": r"""
{% macro f(a, b=2, c='x') %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(1) }} {{ f(1, 3) }} {{ f(b=5, a=4) }} {{ f() }} {{ f(1, c='z') }} {{ f(*[1, 2]) }} {{ f(**{'a': 7}) }} {{ f(1)|upper }} {{ f(1) ~ f(2) }} {{ f.name }} {{ f.arguments }} {{ f is callable }} {{ f }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(b=2) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, a=2) }}
{% macro f(a) %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, 3, x=4) }}{{ f() }}{{ f.catch_kwargs }}{{ f.catch_varargs }}{{ f.caller }}
{% macro f() %}[{{ caller() }}]{% endmacro %}{% call f() %}in{{ n }}{% endcall %}
{% macro f() %}[{{ caller(1, b=2) }}]{% endmacro %}{% call(a, b) f() %}{{ a }}{{ b }}{% endcall %}{% call(a, b=3) f() %}{{ a }}{{ b }}{% endcall %}
{% macro f() %}{{ caller is defined }}{{ caller() if caller else 'no' }}{% endmacro %}{{ f() }}{% call f() %}y{% endcall %}
{% macro f() %}{{ caller() }}{% endmacro %}{{ f() }}
{% macro f() %}x{% endmacro %}{% call f() %}y{% endcall %}
{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(4) }}
{% macro f(x) %}{% set y = x * 2 %}{{ y }}{% endmacro %}{{ f(2) }}{{ y }}|{% macro g() %}{{ s }}{% endmacro %}{{ g() }}{% set y = 5 %}{% macro h(y) %}{{ y }}{% endmacro %}{{ h() }}|{{ h(1) }}
{% macro f(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{{ f(1, 2) }}
{% macro f(a=[]) %}{{ a }}{% endmacro %}{{ f() }}{{ f([1]) }}{{ f(none) }}{{ f(nope) }}
{% macro f(a=1, b) %}{{ a }}{{ b }}{% endmacro %}{{ f(1, 2) }}
{% for x in l %}{% macro f() %}{{ x }}{% endmacro %}{{ f() }}{% endfor %}
{% macro f() %}{{ x }}{% endmacro %}{% for x in l %}{{ f() }}|{% endfor %}
{% macro f() %}{{ loop }}|{% endmacro %}{% for x in l %}{{ f() }}{% endfor %}
{% if yes %}{% macro f() %}a{% endmacro %}{% endif %}{{ f() }}
{{ f() }}{% macro f() %}a{% endmacro %}
{% macro f() %}{% macro g() %}b{% endmacro %}a{{ g() }}{% endmacro %}{{ f() }}
{% macro f() %}  a  {% endmacro %}[{{ f() }}][{{ f()|trim }}]{{ f() == '  a  ' }}{{ f()|length }}{{ f() is string }}{{ f() + '<' }}
{% macro f %}{% endmacro %}
{% macro f( %}{% endmacro %}
{% macro f(1) %}{% endmacro %}
{% macro (a) %}{% endmacro %}
{% macro f(a) %}
{% call %}{% endcall %}
{% call f %}{% endcall %}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1,) }}{{ f(a=1,) }}
{% macro f(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ f(a=1, 2) }}
{% macro f(a, a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}
{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}
{% macro m(x) %}{{ caller(x) }}{% endmacro %}{% for i in l %}{% call(v) m(i) %}{{ v }}{{ i }}{{ loop.index }};{% endcall %}{% endfor %}
{% set f = namespace(g=none) %}{% macro h(a) %}<{{ a }}>{% endmacro %}{% set f.g = h %}{{ f.g(1) }}{{ (h)(2) }}{{ [h][0](3) }}
{% macro f(x) %}{% for i in range(x) %}{{ i }}{{ loop.index }}{% endfor %}{% endmacro %}{% for y in [1, 2] %}{{ f(y) }};{% endfor %}
{{ cycler('a', 'b').next() }}{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.next() }}{{ c.reset() }}{{ c.next() }}
{% set j = joiner(', ') %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}{% set k = joiner() %}{{ k() }}a{{ k() }}b
""",
    "whitespace": r"""
a¶{% if yes %}¶b¶{% endif %}¶c
  {% if yes %}¶  b¶  {% endif %}¶c
a {%- if yes -%} b {%- endif -%} c
a¶ {%- if yes %} b {% endif -%}¶ c
a {{- s -}} b
a¶¶{{- s -}}¶¶b
  {{ s }}¶  {{ s }}¶
a {#- c -#} b
  {# c #}¶b
a {# c #} b¶
{#¶multi¶#}¶x
  {%+ if yes %}a{%+ endif %}
a  {%+ if yes +%}¶b{% endif +%}¶
{% if yes +%}¶b{% endif %}
{{+ s }}
{{ s +}}
{{ s -}}   ¶  x
{%- set x = 1 -%}   a   {{- x }}
¶¶{% set x = 1 %}¶¶a
a¶
a¶¶
a¶ ¶
  a  
	{% if yes %}	x	{% endif %}	
{% raw %}{{ s }}{% if %}{% endraw %}x
  {% raw %}¶ a ¶  {% endraw %}¶b
a {%- raw -%} b {%- endraw -%} c
{% raw %}a
{% raw x %}{% endraw %}
{%- if yes %}¶¶  a¶{%- endif %}
{% for x in l %}¶  {{ x }}¶{% endfor %}¶end
{% for x in l -%}¶  {{ x }}¶{%- endfor %}¶end
x{% if yes %}  {% if yes %}¶  y{% endif %}  ¶{% endif %}z
  x {% if yes %}¶  y  {% endif %}¶
{# a #}{# b #}¶c
 {# a #} {% if yes %}¶c{% endif %}
{{ '{{' }}{{ '}}' }}{{ "{%" }} { { } } {a} %} }} #}
{ {% if yes %}%}{% endif %}
{{ {'a': {'b': 1}}.a.b }}{{ {'a': {}} }}{{ {} }}
{{ s }}{{ s}}{{s }}{{s}}{{-s-}}
{{ - 1 }}{{-1}}{{- -1 -}}
{#- -#}a{#--#}b
{# unclosed
{% if yes
{{ s
{{ s }
{% if yes %}a{% endif %
{# a #}}
{##}x{# {# #}y
¶{%- if yes -%}¶a¶{%- endif -%}¶
a\u00a0{%- if yes %}b{% endif %}
{% if yes %}¶	 ¶{% endif %}
line1¶    {%- if yes %}¶    line2¶    {%- endif %}¶line3
{%  if yes  %}a{%	endif	%}
{%¶if yes¶%}a{%¶endif¶%}¶
{{ [1,¶2] }}¶
{{ "a¶b" }}
""",
    "tags": r"""
{% include 'x' %}
{% import 'x' as y %}
{% from 'x' import y %}
{% extends 'x' %}
{% nope %}
{% %}
{% endnope %}
{% do l.append(1) %}
{% trans %}x{% endtrans %}
{% debug %}
{% call(x) %}{% endcall %}
{{ raise_exception('oops') }}
{{ raise_exception(5) }}
{{ raise_exception() }}
{% if no %}{{ raise_exception('no') }}{% endif %}ok
{{ strftime_now('%Y-%m-%d %B %b %A %a %j %y %d %m') }}
{{ strftime_now('%%|%H|%I|%p|%e|%U|%W|%w|%u|%V|%G|%C|%n|%t|%D|%F|%R|%h|%x|%c|%Z|%z|%-d|%-m|%g|%k|%l') }}
{{ strftime_now('é %Q') is string }}
{{ strftime_now() }}
{{ strftime_now(5) }}
{{ range is defined }}{{ dict is defined }}{{ namespace is defined }}{{ cycler is defined }}{{ joiner is defined }}{{ caller is defined }}{{ loop is defined }}{{ varargs is defined }}
{% if nope is defined %}{{ 1|nope2 }}{% endif %}x
{% if no %}{{ 1 is nope2 }}{% endif %}x
{{ 'a' if yes else 1|nope2 }}
{{ 'a' if no else 1|nope2 }}
{% for x in el %}{{ x|nope2 }}{% endfor %}
""",
}

# What jinja2 knows and this library refuses, whatever the values: a sentence in the error, never another result.
REFUSED = r"""
{{ 'a'|pprint }}
{{ l|random }}
{{ 'a'|urlize }}
{{ 'a b'|wordwrap(1) }}
{{ '<b>'|striptags }}
{{ lipsum() }}
{{ '\N{DEGREE SIGN}' }}
{{ 9223372036854775807 + 1 }}
{{ 9223372036854775808 }}
{{ 2 ** 63 }}
{{ 4611686018427387904 * 2 }}
{{ -9223372036854775807 - 2 }}
{{ 1e30|int }}
{{ s.encode() }}
{{ s.translate({}) }}
{% autoescape true %}{{ '<' }}{% endautoescape %}
{% block a %}x{% endblock %}
{{ l|map('string') }}
"""


def snippets(group):
    """(name, source)."""
    held = []
    for number, line in enumerate(GROUPS[group].strip("\n").split("\n"), 1):
        held.append(line)
        if line.endswith("\\"):
            continue
        yield f"{group} {number}", "\n".join(held).replace("¶", "\n")
        held = []


# Every filter and test, and the commonest operators and accesses, on every kind of value.
VALUES = ["nope", "none", "true", "0", "-7", "3.7", "-0.0", "''", "'a b'", "'Zß é1'", "' x\\n'", "'12'", "'-3.5e2'", "[]", "[3, 1, 2]", "['b', 'A']",
          "[[1, 2], [0]]", "[none, 1]", "(1, 'a')", "{}", "{'b': 1, 'a': [2]}", "{1: 2}", "range(3)", "d.items()", "(l|map('string'))",
          "namespace(a=1)", "('<b>'|safe)", "p", "[nope]"]
FILTERS = ["abs", "batch(2)|list", "capitalize", "center(9)", "default('D')", "default('D', true)", "dictsort", "e", "filesizeformat", "first",
           "float", "forceescape", "format", "groupby(0)", "indent", "int", "items|list", "join('-')", "last", "length", "list", "lower",
           "map('string')|list", "map(attribute='a')|list", "max", "min", "reject|list", "replace('a', 'b')", "reverse|list", "round",
           "round(1, 'floor')", "safe", "select|list", "selectattr('a')|list", "slice(2)|list", "sort", "string", "sum", "title", "tojson",
           "tojson(indent=1)", "trim", "truncate(3, true, '', 0)", "unique|list", "upper", "urlencode", "wordcount", "xmlattr", "attr('a')"]
TESTS = ["boolean", "callable", "defined", "divisibleby(3)", "eq(1)", "escaped", "even", "false", "filter", "float", "ge(1)", "in([1, ''])",
         "integer", "iterable", "lower", "lt(1)", "mapping", "none", "number", "odd", "sameas(none)", "sequence", "string", "test", "true",
         "undefined", "upper"]
AFTER = ["[0]", "[-1]", "['a']", ".a", ".upper()", ".items()|list", ".split()", ".get('a')", ".count(1)", "()", " is not none"]
OPERATORS = ["+", "-", "*", "/", "//", "%", "**", "==", "<", ">=", "in", "not in", "and", "or", "~"]
OPERANDS = ["nope", "none", "true", "-7", "3.7", "-0.0", "'a b'", "[3, 1, 2]", "(1, 'a')", "{1: 2}", "range(3)", "('<b>'|safe)"]


def combinations():
    for value in VALUES:
        yield from (f"{{{{ {value}|{name} }}}}" for name in FILTERS)
        yield from (f"{{{{ {value} is {name} }}}}" for name in TESTS)
        yield from (f"{{{{ {value}{access} }}}}" for access in AFTER)
        yield f"{{% for x in {value} %}}{{{{ x }}}}{{{{ loop.index }}}}{{% else %}}none{{% endfor %}}{{% if {value} %}}y{{% endif %}}"
        yield f"{{{{ '%s %r' % ({value}, {value}) }}}}{{{{ '{{}}'.format({value}) }}}}{{{{ not {value} }}}}"
        yield f"{{{{ '%d' % {value} }}}}{{{{ -{value} }}}}"
    yield from (f"{{{{ {a} {operator} {b} }}}}" for a in OPERANDS for operator in OPERATORS for b in OPERANDS)
