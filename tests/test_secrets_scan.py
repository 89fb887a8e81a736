"""No private key, token, machine path or registry address is ever committed: notebooks, docs, sources and the history.

Private-key material is what a person would paste or a cell would print: PEM and OpenSSH blocks, well-known tokens, and
32 bytes in hex, base64 or a bytes literal beside a word such as "private" or "seed". The keys of published test vectors
are meant to be read; the files that hold them are named below, each with its reason.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

BLOCKS_AND_TOKENS = {
    "a PEM private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----"),
    "an OpenSSH private key": re.compile(r"b3BlbnNzaC1rZXktdjE[A-Za-z0-9+/]{20}"),
    "an access token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22}|AKIA[0-9A-Z]{16}|xox[abprs]-[\w-]{10,})"),
}
BESIDE = r"(?i:private|secret|seed|identity)[^\n]{0,60}?"  # then the 32 bytes themselves
RAW_KEYS = {
    "a key in hex": re.compile(BESIDE + r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{64}(?![0-9A-Fa-f])"),
    "a key in base64": re.compile(BESIDE + r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{43}=(?![A-Za-z0-9+/=])"),
    "a key as a bytes literal": re.compile(BESIDE + r"b['\"](?:\\\\?x[0-9a-f]{2}[^\n\\'\"]{0,4}){16,}"),
    "a key as a bytevector": re.compile(BESIDE + r"#u8\((?:\d{1,3} ){31}\d{1,3}\)"),
}
MACHINES = {
    "a machine's path": re.compile(r"(?<![.\w])/(?:work|farm|root|home/\w+|Users/\w+|opt/pypi[\w-]*)/\w"),
    "a registry setting": re.compile(r"\bindex[-]url\b|\bfind[-]links\b|\bregistry[=]|\btrusted[-]host\b"),
    "a registry's address": re.compile(r"https?://(?:[\w.-]*\.)?(?:pypi|registry|mirrors?|artifactory|nexus)[\w.-]*[:/][\w/.-]*simple"),
}
# Files whose keys are there to be read.
PUBLISHED_KEYS = {
    "p2pnb/PROTOCOL.md": "the transcript's fixed keys, from which an implementer checks every byte",
}
# Test vectors as JSON, likewise: fixed keys of a transcript or of a standard.
PUBLISHED_VECTORS = re.compile(r"(?:p2pnb|tests)/(?:.*/)?vectors/[^/]+\.json")


def publishes_keys(name: str) -> bool:
    return name in PUBLISHED_KEYS or PUBLISHED_VECTORS.fullmatch(name) is not None


def findings(name: str, text: str) -> list[str]:
    """What must not be in the file `name` with the content `text`: "name:line: what it looks like"."""
    detectors = BLOCKS_AND_TOKENS | MACHINES | ({} if publishes_keys(name) else RAW_KEYS)
    return [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {what}"
        for what, pattern in detectors.items()
        for match in pattern.finditer(text)
    ]


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"not a git checkout: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode("utf-8", errors="replace")


def test_nothing_committed_holds_a_secret_or_names_a_machine() -> None:
    found = []
    for name in git("ls-files", "-z").split("\0"):
        path = ROOT / name
        if name and path.is_file() and b"\0" not in (content := path.read_bytes()):
            found += findings(name, content.decode("utf-8", errors="replace"))
    assert found == []


def test_the_history_holds_no_key_block_or_token() -> None:
    """What was once committed stays readable; only unmistakable material is looked for, as it could not be taken back."""
    history = git("log", "--all", "--format=commit %h", "--patch", "--unified=0", "--no-color", "--no-ext-diff")
    found = [(what, match.group()[:12]) for what, pattern in BLOCKS_AND_TOKENS.items() for match in pattern.finditer(history)]
    assert found == []


HEX = "0123456789abcdef" * 4
PLANTED = {
    "pem": ("-----BEGIN " + "PRIVATE KEY-----", "a PEM private key"),
    "rsa": ("-----BEGIN RSA " + "PRIVATE KEY-----", "a PEM private key"),
    "token": ("gh" + "p_" + "a1B2" * 9, "an access token"),
    "hex": ("priv" + f"ate_key = bytes.fromhex('{HEX}')", "a key in hex"),
    "output": ('"text/plain": "Author(se' + f'ed={HEX})"', "a key in hex"),
    "base64": ("identity sec" + "ret: " + "A1b2" * 10 + "A1b=", "a key in base64"),
    "literal": ("se" + "ed = b'" + "\\x8f" * 32 + "'", "a key as a bytes literal"),
    "notebook": ('"se' + "ed b'" + "\\\\x8fA" * 20 + "'\"", "a key as a bytes literal"),
    "scheme": ("(define priv" + "ate #u8(" + "17 " * 31 + "9))", "a key as a bytevector"),
    "path": ("see /" + "work/notes", "a machine's path"),
    "home": ("File \\\"/" + "home/ann/p2p.py", "a machine's path"),
    "setting": ("pip install --index" + "-url x", "a registry setting"),
    "mirror": ("https://py" + "pi.example.org/simple", "a registry's address"),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_what_is_planted_is_found(kind: str) -> None:
    planted, what = PLANTED[kind]
    assert findings("notebooks/x.ipynb", f"harmless\n{planted}\nharmless") == [f"notebooks/x.ipynb:2: {what}"]


@pytest.mark.parametrize(
    "harmless",
    [
        f"public_key = {HEX}",
        f"sha256 {HEX}",
        "StaticKey(<redacted>)",
        "-----BEGIN PUBLIC KEY-----",
        "a/work/b and ./root/c and /workbench/",
        "the private range 10.0.0.0/8",
        "pip install -e '.[notebooks,test]'",
    ],
)
def test_what_is_harmless_is_not(harmless: str) -> None:
    assert findings("README.md", harmless) == []


def test_published_keys_may_be_read_but_only_there() -> None:
    planted = PLANTED["hex"][0]
    assert findings("p2pnb/PROTOCOL.md", planted) == []
    assert findings("tests/wire/vectors/session.json", planted) == []
    assert findings("p2pnb/README.md", planted) != []
    assert findings("p2pnb/PROTOCOL.md", PLANTED["pem"][0]) != []
