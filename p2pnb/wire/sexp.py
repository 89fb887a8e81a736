"""S-expressions, the text of every message: `loads(bytes)` reads one datum, `dumps(datum)` writes it.

The draft: "serialized scheme expressions compatible with `write`". What is written is one canonical text that every
Scheme reads; what is read is what real Schemes write, and nothing else. The parts: `sexp_data` (symbols, pairs, the
error), `sexp_read`, `sexp_write`, and below them `sexp_number`, `sexp_string` and `bytevector`.

    loads(b'#(ref 5)') == (Symbol("ref"), 5)        dumps([1, b"ab", "c"]) == b'(1 #u8(97 98) "c")'
"""

from p2pnb.wire.sexp_data import Pair, Reread, SexpError, Symbol, Written
from p2pnb.wire.sexp_read import loads
from p2pnb.wire.sexp_write import dumps, written

__all__ = ["Pair", "Reread", "SexpError", "Symbol", "Written", "dumps", "loads", "written"]
