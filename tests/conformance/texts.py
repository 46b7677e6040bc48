"""Generated texts for tokenizers: scripts, numbers, punctuation, code, white space and any Unicode, from a seed."""
import random

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
ALPHABETS = [LETTERS, LETTERS + " " * 20, "0123456789 .,", " \t\n\r\u00a0\u3000", "'sSdDmMtTlLvVrRe ", "äöüßéèñçøåÅÄÖÜÉ ",
             "αβγδεζΑΒΓ АБВГДЕжзи ", "日本語中文字符한국어テスト、。「」", "ดีครับสวัสดี हिन्दी العربية עברית ", "😀🎉👩‍👩‍👧‍👦🏳️‍🌈🇩🇪 ",
             "!?()[]{}<>|\\/@#$%^&*-_=+~`\"'", "ﷺ½²³①Ⅷ٣٤५६ｆｕｌｌ"]
PHRASES = ["The ", "don't ", "I'll", " we've\n", "\n\n", "  ", "   x", "12345", " 3.14159", "http://", "\r\n", "e.g.", "ID42x", "naïve", " ",
           "def f(x):\n    return x\n", "HelloWorld", "JSONParser's", "ÉCOLE d'été", " 1,234,567.89", "¿Qué?", "…—“quoted”", "\t\tif (a != b) {\n",
           "Ångström", "中文 English 混ざる", "don’t", "#include <stdio.h>\n", "</tag>", "!!!\n\n", "_snake_case_", "０１２３", "the quick brown fox "]

MARKS = "\u0300\u0301\u0308\u0323\u0345\u05b0\u064b\u093c\u094d\u09cd\u0e31\u0e34\ufe0f\u20d0\u20e3\U0001d165\U000e0100\U000e01ef"
ODD = ("\0\x01\b\v\f\x1b\x1c\x1f\x7f\x80\x85\xa0\xad\u034f\u061c\u1680\u180e\u2003\u200b\u200c\u200d\u200e\u2028\u2029\u202e\u202f\u205f\u2060\u3000"
       "\ufeff\ufffd\ufffe\uffff\ufdd0\ud7ff\ue000\U0001fffe\U000f0000\U0010ffff")
LETTERS_OF_ALL = "aAzZßẞſıİŁłǅǆΣσςЖאب١٣०१๑一万〇アア한กขမ្ខਪ…—–‘’“”„‚†‰€₹№™Ⅷⅷ½²①㈠㍍ﬁﷺ｡ﾊＡｂ１𝒳𐐀𠀀𝟘"
TRICKS = ["'ſ", "I'ſ", "'S", "’s", " \n", "\n \n", "\r\n\r\n", "\t\t ", "\u00a0x", " \u3000x", "A1b2", "HTTPServer", "e\u0301te\u0301", "</s>", "<s>", "<|end|>",
          "[INST]", "▁", "▁▁a", "ĠĊ", "👩🏽‍🚀", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇯🇵", "1️⃣", "❤️‍🔥"]


def odd_text(rng):
    """What is rare and has a rule of its own: marks upon marks, joiners, controls, long rows of one character."""
    text = ""
    for _ in range(rng.choice([1, 2, 3, 5, 8])):
        kind = rng.randrange(5)
        if kind == 0:
            text += rng.choice(LETTERS_OF_ALL) + "".join(rng.choice(MARKS) for _ in range(rng.randrange(4)))
        elif kind == 1:
            text += rng.choice([rng.choice(ODD), rng.choice(LETTERS_OF_ALL), rng.choice(MARKS), " ", "\n", "a", "1", "=", "-"]) * rng.choice([2, 3, 4, 7, 16, 33, 64, 100])
        elif kind == 2:
            text += " " * rng.randrange(3) + rng.choice(TRICKS)
        else:
            text += "".join(rng.choice(LETTERS_OF_ALL if kind == 3 else ODD) for _ in range(rng.randrange(1, 6)))
    return text


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
    """n texts; that part of them odd, or of any Unicode at all."""
    rng = random.Random(seed)

    def one():
        return random_text(rng) if rng.random() >= strange else any_text(rng, rng.randrange(1, 30)) if rng.random() < 0.5 else odd_text(rng)

    return [one() for _ in range(n)]
