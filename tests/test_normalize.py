"""Folding: every rule of normalize.py by examples, offsets, and the table both engines read."""

from __future__ import annotations

import re
import sys
import unicodedata
from importlib import resources

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostrisk import _fold_table, normalize
from hostrisk.normalize import MARK, MAX_TOKEN, SIDE, WORD, Token, fold, fold_char

# Rule -> text -> reading: words as they are, <marks>, (raw forms of leetspeak).
GOLDEN = {
    "letters lose case, width, accents and look-alikes": {
        "Kill THEM": "kill them",
        "ＫＩＬＬ ｋｉｌｌ": "kill kill",
        "кіll КІLL": "kill kill",
        "κill ΚΙLL": "kill kill",
        "𝐤𝐢𝐥𝐥 𝓴𝓲𝓵𝓵 𝕜𝕚𝕝𝕝 𝚔𝚒𝚕𝚕": "kill kill kill kill",
        "Ⓚⓘⓛⓛ 🅺🅸🅻🅻": "kill kill",
        "kíll kïll ki\u0301ll k\u0307ill ʞıll": "kill kill kill kill kill",
        "ﬁre æther Straße": "fire aether strasse",
        "１２ ٤٥ ½": "<0> <0> <0>",
        "убить вас": "yбиtb bac",
        "杀了你 죽여 \U00020000": "杀了你 죽여 \U00020000",
    },
    "what is not seen vanishes": {
        "k\u200bi\u200cl\u200dl \u2060kill\ufeff": "kill kill",
        "\u202ekill\u202c k\u200eil\u200fl": "kill kill",
        "ki\xadll": "kill",
        "k\x00ill\x7f": "kill",
        "\U000e0041kill": "kill",
        "don't don’t don`t rock'n'roll": "dont dont dont rocknroll",
    },
    "every other sign separates": {
        "stab.them,now;or(else)": "stab them now or else",
        "stab\tthem\nnow\u3000or\u2028else": "stab them now or else",
        "kill\ud800you kill\udfffyou kill\ufffdyou": "kill you kill you kill you",
        "kill_them ¡kill! ©x™": "kill them kill x",
    },
    "a letter three or more times counts once, a token of one letter keeps three": {
        "kiiiill killl yesss": "kill kil yes",
        "hello good": "hello good",
        "kkk aaaaaaa AaA": "kkk aaa aaa",
        "1000 ggg1": "<0> gi (g1)",
        "ééé": "eee",
    },
    "tokens end at 64 bytes": {
        "ab" * 40: f"{'ab' * 32} {'ab' * 8}",
        "你" * 2 + "啊你" * 12: f"{'你' * 2 + '啊你' * 9}啊 你啊你啊你",
    },
    "@ $ ! * between letters are letters": {
        "k!ll a$$hole b@d": "kill asshole bad",
        "k*ll f**k": "kll fk",
        "f***k al!!!!bo": "f k al bo",
        "kill!1 kill@ 1@1": "kill <0> kill <0> <0>",
        "$hoot $5 $$hoot": "shoot <0> shoot",
    },
    "@ and # before a word are marks, hashtags split": {
        "@BobSmith hi": "<@> bobsmith hi",
        "#KillThemAll now": "<#> kill them all now",
        "#killthem KillThem": "<#> killthem killthem",
        "# kill @ kill #1 @1": "kill kill <0> <0>",
        "@@kill #@kill .@bob": "<@> kill <@> kill <@> bob",
        "#Kill_ThemAll": "<#> kill themall",
    },
    "an address is one mark": {
        "http://x.co/kill/them you": "<://> you",
        "HTTPS://x.co\nkill": "<://> kill",
        "see(http://a.b)kill": "see <://>",
        "ftp://kill http:/kill http: //kill": "ftp kill http kill http kill",
    },
    "digits alone are one mark": {
        "2024 12/25 +1-555-0100": "<0> <0> <0> <0> <0> <0>",
        "51.5074,-0.1278": "<0> <0> <0> <0>",
        "13375 1337 7": "<0> <0> <0>",
    },
    "pictographs are marks": {
        "🔪 you🔪now🔫": "<🔪> you <🔪> now <🔫>",
        "👍🏽 ❤️": "<👍> <❤>",
        "👩\u200d👧": "<👩> <👧>",
        "kill 🇺🇸 us": "kill us",
    },
    "leetspeak keeps its raw form": {
        "k1ll sh00t 5h00t": "kill (k1ll) shoot (sh00t) shoot (5h00t)",
        "K1LL 13375p34k": "kill (k1ll) ieetspeak (13375p34k)",
        "k٣ll": "kell (k3ll)",
    },
    "other mixed tokens are marks": {
        "ak47 mp3 9mm x²": "akat (ak47) mpe (mp3) <9mm> <x2>",
        "a1b2c3d4e5f6": "<a1b2c3d4e5f6>",
        "d41d8cd98f00b204e9800998ecf8427e": "<d41d8cd98f00b204e9800998ecf8427e>",
        "AKIA1234567890 k111111ll": "<akia1234567890> kiiiiiill (k111111ll)",
        "k11111 k111111111": "<k11111> <k111111111>",
        "aGVsbG8gd29ybGQxMjM=": "<agvsbg8gd29ybgqxmjm>",
        "dQw4w9WgXcQ aB1 abcdefgh01345701": "<dqw4w9wgxcq> <ab1> abcdefghoieastoi "
        "(abcdefgh01345701)",
        "abcdefgh013457013 é1": "<abcdefgh013457013> ei (e1)",
        "你1": "<你1>",
    },
    "three one-letter tokens in a row are one": {
        "k i l l": "kill",
        "k.i.l.l k-i-l-l k_i_l_l": "killkillkill",
        "to K I L L you": "to kill you",
        "k  i\n l . l 🔪": "kill <🔪>",
        "k i ll": "k i ll",
        "i - a": "i a",
        "k 1 l l": "k <0> l l",
        "k i i i i l l": "kill",
        "a a a a": "aaa",
        "x " * 2 + "y x " * 40: f"xx{'yx' * 31} {'yx' * 9}",
    },
}  # fmt: skip
EXAMPLES = [
    pytest.param(text, reading, id=f"{rule}: {ascii(text)[:30]}")
    for rule, readings in GOLDEN.items()
    for text, reading in readings.items()
]


def read(tokens: list[Token]) -> str:
    forms = {WORD: "{}", MARK: "<{}>", SIDE: "({})"}
    return " ".join(forms[token.kind].format(token.text.decode()) for token in tokens)


@pytest.mark.parametrize(("text", "reading"), EXAMPLES)
def test_text_is_folded_by_the_rules(text: str, reading: str) -> None:
    assert read(fold(text)) == reading


# --- offsets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("I will kill  you.", ["I", "will", "kill", "you"]),
        ("to k.i.l.l, now", ["to", "k.i.l.l", "now"]),
        ("a k!ll, $hoot", ["a", "k!ll", "$hoot"]),
        ("the ki\u0301\u200bll\u200b now", ["the", "ki\u0301\u200bll", "now"]),
        ("𝐤𝐢𝐥𝐥 ﬁre", ["𝐤𝐢𝐥𝐥", "ﬁre"]),
        ("yesssss kkkkk", ["yesssss", "kkkkk"]),
        ("#KillThem @bob", ["#", "Kill", "Them", "@", "bob"]),
        ("a sh00t🔪", ["a", "sh00t", "sh00t", "🔪"]),
        ("see https://x.co/y now", ["see", "https://", "now"]),
        ("ab" * 33, ["ab" * 32, "ab"]),
    ],
)
def test_offsets_point_to_the_source(text: str, sources: list[str]) -> None:
    assert [text[token.start : token.end] for token in fold(text)] == sources


TRICKY = "aAbkilLsShtp:/.@#$!*-_ 0134579\n'’“…\x00\u200b\u0301аé²፩🔪🇺𝐚あ\ud800"
any_text = st.one_of(
    st.text(st.sampled_from(TRICKY), max_size=60),
    st.text(st.characters(), max_size=40),
    st.lists(
        st.sampled_from(["http://", "k i l l", "k1ll", "#Ab", " ", "a", "a" * 63, "é", "!", "@"]),
        max_size=30,
    ).map("".join),
)


@settings(max_examples=300, deadline=None)
@given(any_text)
def test_tokens_of_any_text_are_small_and_in_order(text: str) -> None:
    at = 0
    for token in fold(text):
        assert 0 < len(token.text) <= MAX_TOKEN
        assert token.text.decode()
        assert at <= token.start < token.end <= len(text)
        at = token.start


# --- the table -----------------------------------------------------------------------------------


def table_of_header() -> dict[str, list[int]]:
    text = (resources.files("hostrisk") / "_fold_table.h").read_text("utf-8")
    arrays = re.findall(r"(FOLD_\w+)\[\] = \{([^}]*)\}", text)
    table = {name: [int(number) for number in body.split(",")] for name, body in arrays}
    defines = re.findall(r"#define (FOLD_\w+) (\d+)", text)
    return table | {name: [int(number)] for name, number in defines}


def test_header_and_module_have_the_same_table() -> None:
    if not (resources.files("hostrisk") / "_fold_table.h").is_file():
        pytest.skip("the header is in the source only")
    table = table_of_header()
    pool, offsets = bytes(table["FOLD_POOL"]), table["FOLD_OFFSETS"]
    assert table["FOLD_LIMIT"] == [_fold_table.LIMIT]
    (first,) = table["FOLD_FIRST_STRING"]
    assert max(offsets) < 1 << 16, "offsets are uint16"
    assert max(table["FOLD_DIRECTORY"]) < 1 << 8, "blocks are numbered in a byte"
    for code in range(_fold_table.LIMIT):
        value = table["FOLD_BLOCKS"][table["FOLD_DIRECTORY"][code >> 8] << 8 | code & 255]
        folded: int | str = value
        if value >= first:
            folded = pool[offsets[value - first] : offsets[value - first + 1]].decode()
        assert folded == fold_char(chr(code)), hex(code)


def test_table_is_the_generated_one() -> None:
    pytest.importorskip("confusable_homoglyphs")
    if unicodedata.unidata_version != "14.0.0":
        pytest.skip("the table is generated from the Unicode database of Python 3.11")
    from training import fold_table

    directory, blocks, pool = fold_table.build()
    assert (directory, blocks, [item.decode() for item in pool]) == normalize._table()


def test_code_points_beyond_the_table_follow_two_rules() -> None:
    ends = {0x20000: "KEEP", 0x3FFFF: "KEEP", 0xE0000: "DROP", 0xE0FFF: "DROP"}
    ends |= dict.fromkeys([0x40000, 0xDFFFF, 0xE1000, sys.maxunicode], "SEPARATOR")
    for code, name in ends.items():
        assert fold_char(chr(code)) == getattr(normalize, name), hex(code)


def test_python_splits_text_where_the_table_has_space() -> None:
    """Pieces of text between spaces (_vectors.py) must be what the scanner takes for such."""
    spaces = {code for code in range(sys.maxunicode + 1) if chr(code).isspace()}
    assert spaces == {
        code for code in range(_fold_table.LIMIT) if fold_char(chr(code)) == normalize.SPACE
    }


def test_symbols_are_folded_to_themselves() -> None:
    """Folding twice is folding once, but for four letters left as they are until a new id."""
    left = set()
    for code in range(_fold_table.LIMIT):
        folded = fold_char(chr(code))
        for symbol in folded if isinstance(folded, str) else "":
            if fold_char(symbol) not in (symbol, normalize.KEEP):
                left.add(symbol)
    assert left == set("ʼɖωↄ")
