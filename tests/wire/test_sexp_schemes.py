"""Live Schemes: what we write, they read as the same datum; what they write, we read as the same datum.

One process a Scheme reads many texts of ours from a file. Of each datum it writes two texts: a description of its
structure in symbols, integers and lists only (a string as the numbers of its characters), which says whether the datum
arrived as it was, and the datum itself with its own `write`, which we must read back.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from p2pnb.wire.sexp import Pair, SexpError, Symbol, dumps, loads

pytestmark = pytest.mark.scheme
S = Symbol
MARK = b"\n%%\n"


class Scheme(NamedTuple):
    command: tuple[str, ...]
    prelude: str
    characters: bool = True  # whether a string is made of characters, or of the bytes of its UTF-8
    escapes: bool = True  # whether control characters are written as we read them


SCHEMES = {
    "guile": Scheme(
        ("guile", "--no-auto-compile", "-s"),
        """
        (use-modules (rnrs bytevectors))
        (define octets? bytevector?)
        (define octets->list bytevector->u8-list)
        (define list->octets u8-list->bytevector)
        (define (input name) (open-input-file name #:encoding "UTF-8"))
        (define (output name) (open-output-file name #:encoding "UTF-8"))
        """,
        escapes=False,
    ),
    "guile --r7rs": Scheme(
        ("guile", "--no-auto-compile", "--r7rs", "-s"),
        """
        (import (scheme base) (scheme file) (scheme read) (scheme write) (only (guile) open-input-file open-output-file))
        (define octets? bytevector?)
        (define (octets->list b) (map (lambda (i) (bytevector-u8-ref b i)) (iota (bytevector-length b))))
        (define (iota n) (let loop ((n n) (all '())) (if (= n 0) all (loop (- n 1) (cons (- n 1) all)))))
        (define (list->octets all) (apply bytevector all))
        (define (input name) (open-input-file name #:encoding "UTF-8"))
        (define (output name) (open-output-file name #:encoding "UTF-8"))
        """,
    ),
    "chicken": Scheme(
        ("csi", "-s"),
        """
        (import srfi-4)
        (define octets? u8vector?)
        (define octets->list u8vector->list)
        (define list->octets list->u8vector)
        (define input open-input-file)
        (define output open-output-file)
        """,
        characters=False,
        escapes=False,
    ),
    "gambit": Scheme(
        ("gsi",),
        """
        (define octets? u8vector?)
        (define octets->list u8vector->list)
        (define list->octets list->u8vector)
        (define (input name) (open-input-file (list path: name char-encoding: 'UTF-8)))
        (define (output name) (open-output-file (list path: name char-encoding: 'UTF-8)))
        """,
    ),
}

PROGRAM = """
(define (codes text) (map char->integer (string->list text)))
(define (describe x)
  (cond ((eq? x #t) '(true))
        ((eq? x #f) '(false))
        ((symbol? x) (cons 'symbol (codes (symbol->string x))))
        ((string? x) (cons 'string (codes x)))
        ((number? x) (list 'integer x))
        ((octets? x) (cons 'octets (octets->list x)))
        ((vector? x) (cons 'vector (map describe (vector->list x))))
        ((list? x) (cons 'list (map describe x)))
        ((pair? x) (list 'pair (describe (car x)) (describe (cdr x))))
        (else (list 'unknown))))
(define out (output "out"))
(define (say x) (write x out) (display "\\n%%\\n" out))
"""

# (expression, datum): what a Scheme makes by itself and writes in its own way
MADE: list[tuple[str, Any]] = [
    ("(list)", []),
    ("(vector)", ()),
    ("(vector 'ref (expt 2 255))", (S("ref"), 2**255)),
    ("(- (expt 2 255))", -(2**255)),
    ("(cons \"127.0.0.1\" 9000)", Pair("127.0.0.1", 9000)),
    ("(cons 1 (cons 2 3))", Pair(1, Pair(2, 3))),
    ("(list #t #f)", [True, False]),
    ("(list->octets (list))", b""),
    ("(list->octets (list 0 1 9 10 99 100 127 128 255))", bytes([0, 1, 9, 10, 99, 100, 127, 128, 255])),
    ("(vector 'value (list->octets (list 31 32 33)))", (S("value"), b"\x1f !")),
    ("(list 'quote 'a)", [S("quote"), S("a")]),
    ("(list 'quasiquote (list 'a (list 'unquote 'b) (list 'unquote-splicing 'c)))",
     [S("quasiquote"), [S("a"), [S("unquote"), S("b")], [S("unquote-splicing"), S("c")]]]),
    ("(list (list 'quote) (list 'quote 1 2))", [[S("quote")], [S("quote"), 1, 2]]),
    ("(list \"a \\\\ b \\\" c\" \"\" \"tab, no tab\")", ['a \\ b " c', "", "tab, no tab"]),
    ("(list 'list->vector '+ '- '... '->x 'set! '<=?)", [S(name) for name in ("list->vector", "+", "-", "...", "->x", "set!", "<=?")]),
    ("(list 'Foo 'BAR)", [S("Foo"), S("BAR")]),
]  # fmt: skip
ODD_SYMBOLS: list[tuple[str, Any]] = [
    ('(map string->symbol (list "a b" "" "1" "+1" ".5" "a(b" "a;b" "a|b" "#foo" "(ZY)" "1/2" "+i"))',
     [S(name) for name in ("a b", "", "1", "+1", ".5", "a(b", "a;b", "a|b", "#foo", "(ZY)", "1/2", "+i")]),
]  # fmt: skip
CONTROL = '(list->string (map integer->char (list 0 1 7 8 9 10 11 12 13 27 127)))'


def run(name: str, tmp_path: Path, body: str, texts: bytes = b"") -> list[bytes]:
    """What the Scheme said, in order."""
    scheme = SCHEMES[name]
    if shutil.which(scheme.command[0]) is None:
        pytest.skip(f"{scheme.command[0]} ({name}) is not installed")
    (tmp_path / "in").write_bytes(texts)
    (tmp_path / "program.scm").write_text(scheme.prelude + PROGRAM + body + "(close-output-port out)\n", encoding="utf-8")
    ended = subprocess.run(
        [*scheme.command, "program.scm"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr.decode(errors="replace")
    return (tmp_path / "out").read_bytes().split(MARK)[:-1]


def description(datum: Any, characters: bool) -> list[Any]:
    """What `describe` must say of `datum`."""
    match datum:
        case bool():
            return [S("true" if datum else "false")]
        case int():
            return [S("integer"), datum]
        case str():
            kind = "symbol" if isinstance(datum, Symbol) else "string"
            return [S(kind), *(map(ord, datum) if characters else datum.encode())]
        case bytes():
            return [S("octets"), *datum]
        case Pair():
            return [S("pair"), description(datum.car, characters), description(datum.cdr, characters)]
    return [S("vector" if isinstance(datum, tuple) else "list"), *[description(each, characters) for each in datum]]


def some_datum(rng: random.Random, depth: int, alphabet: str) -> Any:
    match rng.randrange(9 if depth else 6):
        case 0:
            return S(rng.choice("abcxyz") + "".join(rng.choices("abcxyz0189-", k=rng.randrange(12))))
        case 1:
            return rng.choice([1, -1]) * rng.getrandbits(rng.choice([3, 8, 29, 30, 31, 61, 62, 63, 64, 256, 330]))
        case 2:
            return "".join(rng.choices(alphabet, k=rng.randrange(20)))
        case 3:
            return rng.randbytes(rng.choice([0, 1, 32, 64, 100]))
        case 4:
            return rng.random() < 0.5
        case 5:
            return [f"10.0.{rng.randrange(256)}.1", rng.randrange(65_536), rng.getrandbits(256)]
        case 6:
            return tuple([some_datum(rng, depth - 1, alphabet) for _ in range(rng.randrange(6))])
        case 7:
            return [some_datum(rng, depth - 1, alphabet) for _ in range(rng.randrange(6))]
    cars = [some_datum(rng, depth - 1, alphabet) for _ in range(rng.randint(1, 3))]
    return reduce(lambda rest, car: Pair(car, rest), cars, rng.choice([1, "end", (), b"\1", True]))


PRINTABLE = "".join(map(chr, range(32, 127))) + "éλ日😀\u00a0\u2028" + '"\\\a\b\t\n\r'
CONTROLS = "".join(map(chr, (0, 1, 11, 12, 27, 31, 127, 128))) + "\ufeff\U0010ffff"


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("seed", [1])
def test_they_read_what_we_write_and_we_read_what_they_write(name: str, seed: int, tmp_path: Path) -> None:
    rng, scheme = random.Random(seed), SCHEMES[name]
    data = [some_datum(rng, 5, PRINTABLE + CONTROLS) for _ in range(300)]
    data += [some_datum(rng, 5, PRINTABLE if scheme.escapes else PRINTABLE[:95]) for _ in range(300)]
    data += [(S("value"), bytes(range(256))), 10**100 - 1, "\n\n", [[]] * 100, reduce(lambda inner, _: [inner], range(30), ())]
    body = """
    (define in (input "in"))
    (let loop ()
      (let ((x (read in)))
        (if (not (eof-object? x)) (begin (say (describe x)) (say x) (loop)))))
    """
    said = run(name, tmp_path, body, b"\n".join(map(dumps, data)))
    assert len(said) == 2 * len(data), f"seed {seed}"
    for at, datum in enumerate(data):
        assert loads(said[2 * at]) == description(datum, scheme.characters), f"seed {seed}, {dumps(datum)!r}"
        if at >= 300 or scheme.escapes:
            assert repr(loads(said[2 * at + 1])) == repr(datum), f"seed {seed}, {said[2 * at + 1]!r}"


@pytest.mark.parametrize("name", SCHEMES)
def test_we_read_what_they_make(name: str, tmp_path: Path) -> None:
    made = MADE + (ODD_SYMBOLS if not name.startswith("guile") else [])  # Guile writes `#{a b}#`, which only Guile reads
    said = run(name, tmp_path, "".join([f"(say {expression})\n" for expression, _ in made]))
    assert [repr(loads(text)) for text in said] == [repr(datum) for _, datum in made]


@pytest.mark.parametrize("name", SCHEMES)
def test_control_characters_as_they_write_them(name: str, tmp_path: Path) -> None:
    """Read exactly, or refused; Chicken and plain Guile write an escape that no other Scheme reads as they do."""
    [text] = run(name, tmp_path, f"(say {CONTROL})")
    if SCHEMES[name].escapes:
        assert loads(text) == "\x00\x01\a\b\t\n\v\f\r\x1b\x7f"
    else:
        with pytest.raises(SexpError):
            loads(text)


@pytest.mark.parametrize("name", SCHEMES)
def test_objects_without_a_text_are_refused(name: str, tmp_path: Path) -> None:
    said = run(name, tmp_path, "(say (if #f #f)) (say car) (say #\\a) (say (list 1.5)) (say (/ 1 3))")
    assert len(said) == 5
    for text in said:
        with pytest.raises(SexpError):
            loads(text)
