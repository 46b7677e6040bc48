"""Generated texts for tokenizers: scripts, numbers, punctuation, code, white space and any Unicode, from a seed."""
import random

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
ALPHABETS = [LETTERS, LETTERS + " " * 20, "0123456789 .,", " \t\n\r\u00a0\u3000", "'sSdDmMtTlLvVrRe ", "äöüßéèñçøåÅÄÖÜÉ ",
             "αβγδεζΑΒΓ АБВГДЕжзи ", "日本語中文字符한국어テスト、。「」", "ดีครับสวัสดี हिन्दी العربية עברית ", "😀🎉👩‍👩‍👧‍👦🏳️‍🌈🇩🇪 ",
             "!?()[]{}<>|\\/@#$%^&*-_=+~`\"'", "ﷺ½²³①Ⅷ٣٤५६ｆｕｌｌ"]
PHRASES = ["The ", "don't ", "I'll", " we've\n", "\n\n", "  ", "   x", "12345", " 3.14159", "http://", "\r\n", "e.g.", "ID42x", "naïve", " ",
           "def f(x):\n    return x\n", "HelloWorld", "JSONParser's", "ÉCOLE d'été", " 1,234,567.89", "¿Qué?", "…—“quoted”", "\t\tif (a != b) {\n",
           "Ångström", "中文 English 混ざる", "don’t", "#include <stdio.h>\n", "</tag>", "!!!\n\n", "_snake_case_", "０１２３", "the quick brown fox "]


def random_text(rng):
    text = ""
    for _ in range(rng.randrange(1, 8)):
        kind = rng.randrange(4)
        if kind == 0:
            text += rng.choice(PHRASES)
        else:
            alphabet = rng.choice(ALPHABETS)
            text += "".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 12)))
    return text


def any_text(rng, size):
    return "".join(chr(rng.choice([rng.randrange(128), rng.randrange(0x800), rng.randrange(0xD800), rng.randrange(0xE000, 0x110000)]))
                   for _ in range(size))


def many(n, seed, strange=0.2):
    """n texts; that part of them of any Unicode at all."""
    rng = random.Random(seed)
    return [any_text(rng, rng.randrange(1, 30)) if rng.random() < strange else random_text(rng) for _ in range(n)]
