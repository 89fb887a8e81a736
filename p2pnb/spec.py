"""Every number of the protocol, beside the sentence that it comes from. Sizes in bytes, times in seconds.

Sentences in quotation marks are the draft's; the others are decisions, explained in PROTOCOL.md.
"""

# --- messages ---------------------------------------------------------------------------------------------------------
# "prefixed with the size of the serialized expression in network byte order", "defined to be 1 megabyte"
SIZE_PREFIX = 4
MAX_MESSAGE = 1_000_000
# whatever fits when sent as #(value #u8(…)): ten bytes around it, four for each byte of 100 to 255 and one less at the end
MAX_VALUE = 249_996
# values up to here fit in any Scheme's spelling of a bytevector
PORTABLE_VALUE = 196_608
# "the procedure used to parse messages from the network must be safe"
MAX_NESTING = 64
MAX_DIGITS = 100
MAX_DATA = 20_000

# --- identifiers and records ------------------------------------------------------------------------------------------
RECORD_VALUE = 32  # "VALUE bytevector of 32 bytes": bags and namespaces
PUBLIC_KEY = 32
SIGNATURE = 64
MAX_SEQUENCE = 2**63 - 1
NAMESPACE_CONTEXT = b"p2pnb/namespace/1"
VERSIONS_KEPT = 4

# --- channel ----------------------------------------------------------------------------------------------------------
NOISE_PROTOCOL = b"Noise_XX_25519_ChaChaPoly_SHA256"
PROLOGUE = b"p2pnb/1\x00"  # then the network's name in UTF-8
HELLO_VERSION = 1
MAX_HANDSHAKE_MESSAGE = 512
MIN_RECORD, MAX_RECORD = 17, 65_535
HANDSHAKE_TIMEOUT = 5.0
RENEW_AFTER_SECONDS = 3_600.0
RENEW_AFTER_RECORDS = 2**20

# --- requests ---------------------------------------------------------------------------------------------------------
REQUEST_TIMEOUT = 5.0  # "must wait for a reply at most 5 seconds"
MAX_UNANSWERED = 16
MAX_QUEUED = 2_000_000

# --- routing ----------------------------------------------------------------------------------------------------------
MAX_CONTACTS = 20  # "at most 20 (ip, port) pairs"
K = 20  # bucket size, 2 to 20
MIN_K = 2
ALPHA = 3
MAX_DIALS = 64  # a lookup
MAX_DIALS_AN_IP = 3  # a lookup; loopback and private ranges excepted
MAX_CHARGES = 3  # failed dials until the other hints of the same referrer are dropped
JOIN_NEAREST = 8  # a join's self-lookup ends when this many nearest have answered
LIVE_WITHIN = 900.0  # a contact counts as live this long after it was heard from
STALE_AFTER = 2  # failures in a row until a contact gives way to a replacement

# --- replication ------------------------------------------------------------------------------------------------------
REPLICATION = 5  # "The default replication factor is 5"
MIN_REPLICATION, MAX_REPLICATION = 5, 20  # "REPLICATION must be at least 5 and at most 20"
ACCEPTORS = 20  # "The maximum replication factor that must be respected globaly is 20"
MERGE_PEERS = 5  # how many of the nearest are asked for a bag or for the newest version
MERGE_QUORUM = 3

# --- upkeep -----------------------------------------------------------------------------------------------------------
REFRESH = 3_600.0
REPUBLISH = 3_600.0
EXPIRY = 86_400.0

# --- quotas -----------------------------------------------------------------------------------------------------------
STORE_BYTES = 256_000_000
PUBLISHER_BYTES_AN_HOUR = 8_000_000  # and a network group; once the store is half full
MAX_BAG_REPLY = 100
BAG_VALUES = 1_000
BAG_VALUES_A_PUBLISHER = 64
BAG_PUBLISHERS_A_VALUE = 1_024
NAMESPACE_KEYS_A_PUBLIC_KEY = 1_024
