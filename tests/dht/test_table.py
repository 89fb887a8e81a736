"""The routing table: exact order, the old kept, the stale replaced, one a network group, refresh by bucket."""

from __future__ import annotations

import random
import sys
from collections import Counter

import pytest
from ideal import nearest, uid_of

from p2pnb import spec
from p2pnb.dht.table import RoutingTable
from p2pnb.uid import BITS, common_prefix_length
from p2pnb.wire.contact import Contact, contact

OWN = 0
NEVER = float("-inf")


def far(number: int, ip: str = "127.0.0.1") -> Contact:
    """A contact of bucket 0 of `OWN`."""
    return contact(ip, 9000 + number, (1 << 255) + number)


def filled(k: int = 3, n: int | None = None, now: float = 0.0) -> RoutingTable:
    """A table whose bucket 0 holds `far(0)` ... heard from a second apart."""
    table = RoutingTable(OWN, k)
    for number in range(k if n is None else n):
        assert table.seen(far(number), now + number, dialled=True) is None
    return table


def random_table(seed: int, k: int, n: int) -> tuple[RoutingTable, list[Contact]]:
    rng = random.Random(seed)
    table = RoutingTable(rng.getrandbits(BITS), k)
    for port in range(n):
        table.seen(contact("127.0.0.1", 1 + port, rng.getrandbits(BITS)), rng.random(), dialled=True)
    return table, list(table)


# --- nearest ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 3, 5, 8, 20])
@pytest.mark.parametrize("size", [0, 1, 2, 20, 60, 300])
def test_nearest_is_a_full_sort(k: int, size: int) -> None:
    for seed in range(5):
        table, contacts = random_table(seed, k, size)
        rng = random.Random(-seed)
        near_own = [table.own ^ rng.getrandbits(bits) for bits in (1, 200, 248, 252)]
        for target in [table.own, *near_own, *(uid_of(each) for each in contacts[:5]), *(rng.getrandbits(BITS) for _ in range(40))]:
            for n in (1, k, 20, 21, size + 1):
                assert table.nearest(target, n) == nearest(contacts, target, n), f"seed {seed}, n {n}"


@pytest.mark.parametrize("seed", range(10))
def test_contacts_that_failed_come_last_and_only_if_needed(seed: int) -> None:
    table, contacts = random_table(seed, 20, 200)
    rng = random.Random(seed)
    failing = rng.sample(contacts, len(contacts) // 3)
    for each in failing:
        table.failed(uid_of(each), 1.0)
    good = [each for each in contacts if each not in failing]
    for _ in range(50):
        target = rng.getrandbits(BITS)
        assert table.nearest(target, 20) == nearest(good, target, 20)
        assert table.nearest(target, len(contacts)) == nearest(good, target, 999) + nearest(failing, target, 999)
        assert table.nearest(target, 20, live_only=False) == nearest(contacts, target, 20)


# --- who stays --------------------------------------------------------------------------------------------------------


def test_those_that_live_are_kept_however_many_knock() -> None:
    table = filled()
    for number in range(3, 500):
        assert table.seen(far(number), 10.0, dialled=True) is None
    assert list(table) == [far(0), far(1), far(2)]
    assert len(table) == 3
    assert far(9).uid not in table


def test_the_contact_heard_from_longest_ago_is_named_once_it_is_in_doubt() -> None:
    table = filled()
    table.seen(far(0), 5.0, dialled=True)
    late = 1.5 + spec.LIVE_WITHIN
    assert table.seen(far(7), late, dialled=True) == far(1), "far(0) was heard from again, so far(1) is the one"
    assert table.seen(far(7), 10.0 + late, dialled=True) == far(1), "all are in doubt by now, it is so for longest"
    table.seen(far(1), late, dialled=True)
    assert table.seen(far(8), late, dialled=True) is None
    table.failed(uid_of(far(2)), late)
    assert table.seen(far(9), late, dialled=True) == far(2), "it failed"
    table.seen(far(2), late, dialled=True)
    assert table.seen(far(9), late, dialled=True) is None, "it answered after all"


def test_two_failures_in_a_row_let_the_newest_of_the_cache_move_up() -> None:
    table = filled()
    for number in (5, 6, 7):
        table.seen(far(number), 10.0 + number, dialled=True)
    table.seen(far(6), 50.0, dialled=True)
    assert not table.failed(uid_of(far(1)), 60.0)
    table.seen(far(1), 61.0, dialled=True)
    assert not table.failed(uid_of(far(1)), 62.0), "not in a row"
    assert table.failed(uid_of(far(1)), 63.0)
    assert set(table) == {far(0), far(2), far(6)}
    assert table.get(uid_of(far(1))) is None


def test_a_cached_contact_that_fails_is_forgotten() -> None:
    table = filled()
    table.seen(far(5), 10.0, dialled=True)
    table.seen(far(6), 11.0, dialled=True)
    assert not table.failed(uid_of(far(6)), 12.0)
    table.remove(uid_of(far(0)))
    assert far(5) in list(table)
    table.remove(uid_of(far(5)))
    assert set(table) == {far(1), far(2)}


def test_the_cache_keeps_the_k_heard_from_last() -> None:
    table = filled(k=2)
    for number in range(5, 10):
        table.seen(far(number), float(number), dialled=True)
    table.seen(far(8), 20.0, dialled=True)
    assert {row["uid"] for row in table.rows(0.0) if row["cached"]} == {far(8).uid, far(9).uid}


def test_without_a_replacement_the_stale_keep_their_place_for_whoever_comes_next() -> None:
    table = filled()
    for moment in (10.0, 11.0, 12.0):
        assert not table.failed(uid_of(far(0)), moment)
    assert table.nearest(far(0).uid or 0, 2) == [far(1), far(2)]
    assert table.seen(far(5), 13.0, dialled=True) is None
    assert set(table) == {far(1), far(2), far(5)}


def test_the_stale_are_forgotten_after_a_day() -> None:
    table = filled(n=1)
    assert not table.failed(uid_of(far(0)), 1.0)
    assert not table.failed(uid_of(far(0)), spec.EXPIRY)
    assert table.failed(uid_of(far(0)), spec.EXPIRY + 1.0)
    assert len(table) == 0


def test_an_inbound_contact_is_dropped_at_its_first_failed_dial() -> None:
    table = RoutingTable(OWN, 3)
    table.seen(far(1), 0.0, dialled=False)
    table.seen(far(2), 0.0, dialled=False)
    table.seen(far(2), 1.0, dialled=True)
    table.seen(far(2), 2.0, dialled=False)
    assert table.failed(uid_of(far(1)), 3.0)
    assert not table.failed(uid_of(far(2)), 3.0), "its address was dialled once, that counts for good"
    assert list(table) == [far(2)]


def test_one_that_was_dialled_before_it_waited_needs_no_new_proof() -> None:
    table = filled()
    table.seen(far(5), 10.0, dialled=True)
    table.remove(uid_of(far(0)))
    table.seen(far(6), 11.0, dialled=True)
    table.seen(far(6), 12.0, dialled=False)
    table.remove(uid_of(far(1)))
    assert far(6) in list(table)
    assert not table.failed(uid_of(far(6)), 13.0)


def test_what_is_not_there_cannot_fail() -> None:
    table = filled()
    assert not table.failed(12345, 0.0)
    assert not table.failed(OWN, 0.0)
    table.remove(12345)
    table.rtt(12345, 1.0)
    assert len(table) == 3


def test_a_table_holds_neither_its_owner_nor_a_rumour() -> None:
    table = RoutingTable(OWN)
    assert table.seen(contact("127.0.0.1", 1, OWN), 0.0, dialled=True) is None
    assert len(table) == 0
    assert OWN not in table
    with pytest.raises(ValueError, match="no uid"):
        table.seen(contact("127.0.0.1", 1), 0.0, dialled=True)


@pytest.mark.parametrize("k", [0, 1, 21, -1])
def test_bucket_sizes_are_2_to_20(k: int) -> None:
    with pytest.raises(ValueError, match="2 to 20"):
        RoutingTable(OWN, k)


def test_a_contact_that_moved_is_listed_where_it_is_now() -> None:
    table = filled()
    moved = contact("127.0.0.1", 77, far(1).uid)
    table.seen(moved, 5.0, dialled=False)
    assert table.get(uid_of(far(1))) == moved
    assert len(table) == 3
    assert table.failed(uid_of(moved), 6.0), "the new address was never dialled"


# --- network groups ---------------------------------------------------------------------------------------------------


def test_one_contact_of_a_network_group_a_bucket() -> None:
    table = RoutingTable(OWN, 20)
    for number in range(1, 20):
        table.seen(far(number, f"93.184.216.{number}"), float(number), dialled=True)
    table.seen(far(50, "93.184.217.1"), 30.0, dialled=True)
    table.seen(contact("93.184.216.99", 1, 1 << 200), 31.0, dialled=True)  # another bucket
    assert set(table) == {far(1, "93.184.216.1"), far(50, "93.184.217.1"), contact("93.184.216.99", 1, 1 << 200)}
    assert sum(row["cached"] for row in table.rows(31.0)) == 1, "nor can a group fill the cache"


def test_of_a_group_another_one_moves_up_only_for_its_own() -> None:
    table = RoutingTable(OWN, 2)
    table.seen(far(1, "93.184.216.1"), 0.0, dialled=True)
    table.seen(far(2, "93.184.217.1"), 0.0, dialled=True)
    table.seen(far(3, "93.184.216.3"), 1.0, dialled=True)
    late = 2.0 + spec.LIVE_WITHIN
    assert table.seen(far(4, "93.184.216.4"), late, dialled=True) == far(1, "93.184.216.1"), "it waits for its kin's place"
    for _ in range(2):
        table.failed(far(2).uid or 0, late)
    assert far(2).uid in table, "the one that waits is of a group that is there already"
    for _ in range(2):
        table.failed(far(1).uid or 0, late)
    assert set(table) == {far(2, "93.184.217.1"), far(4, "93.184.216.4")}


def test_moving_into_the_group_of_a_neighbour_costs_the_place() -> None:
    table = RoutingTable(OWN, 2)
    table.seen(far(1, "93.184.216.1"), 0.0, dialled=True)
    table.seen(far(2, "93.184.217.1"), 0.0, dialled=True)
    table.seen(far(3, "93.184.218.1"), 0.0, dialled=True)
    table.seen(far(2, "93.184.216.2"), 1.0, dialled=True)
    assert set(table) == {far(1, "93.184.216.1"), far(3, "93.184.218.1")}


def test_groups_are_injectable_and_loopback_is_exempt() -> None:
    assert len(filled(k=20)) == 20
    table = RoutingTable(OWN, 20, group=lambda ip: ip)
    for number in range(5):
        table.seen(far(number), 0.0, dialled=True)
    assert len(table) == 1


# --- nearer -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_nearer_counts_live_contacts_one_a_group(seed: int) -> None:
    rng = random.Random(seed)
    table = RoutingTable(rng.getrandbits(BITS), 20)
    seen: dict[Contact, float] = {}
    for port in range(150):
        ip = f"93.184.{rng.randrange(30)}.7" if rng.random() < 0.5 else "127.0.0.1"
        each = contact(ip, 1 + port, table.own ^ rng.getrandbits(rng.randrange(246, 257)))
        seen[each] = rng.choice([0.0, 2 * spec.LIVE_WITHIN])
        table.seen(each, seen[each], dialled=True)
    now = 2 * spec.LIVE_WITHIN
    failing = set(rng.sample(list(table), 10))
    for each in failing:
        table.failed(uid_of(each), now)
    live = [each for each in table if now - seen[each] <= spec.LIVE_WITHIN and each not in failing]
    for _ in range(50):
        key = table.own ^ rng.getrandbits(rng.randrange(240, 257))
        for than in (table.own, rng.getrandbits(BITS)):
            nearer = [each for each in live if uid_of(each) ^ key < than ^ key]
            exempt = sum(each.ip == "127.0.0.1" for each in nearer)
            groups = len({each.ip for each in nearer if each.ip != "127.0.0.1"})
            assert table.nearer(key, than, now) == min(exempt + groups, spec.ACCEPTORS)


# --- refreshing -------------------------------------------------------------------------------------------------------


def test_an_empty_table_has_nothing_to_refresh() -> None:
    table = RoutingTable(OWN)
    assert table.due(0.0) == []
    assert table.far_buckets() == []
    assert table.random(random.Random(1)) is None


def test_buckets_are_due_down_to_the_nearest_contact() -> None:
    table = RoutingTable(OWN)
    table.seen(far(1), 0.0, dialled=True)
    table.seen(contact("127.0.0.1", 1, 1 << 250), 0.0, dialled=True)  # bucket 5
    assert table.due(0.0) == [0, 1, 2, 3, 4, 5]
    assert table.far_buckets() == [0, 1, 2, 3, 4]
    table.looked_up(1 << 253, 100.0)  # bucket 2
    assert table.due(100.0) == [0, 1, 3, 4, 5]
    table.looked_up(OWN, 200.0)
    assert table.due(200.0) == [0, 1, 3, 4], "a lookup of its own uid refreshes the surroundings"
    table.looked_up(1 << 255, 300.0)
    assert table.due(100.0 + spec.REFRESH) == [1, 2, 3, 4]
    assert table.due(300.0 + spec.REFRESH) == [0, 1, 2, 3, 4, 5]
    table.remove(1 << 250)
    assert table.due(300.0 + spec.REFRESH) == [0]


def test_a_lookup_in_an_empty_table_is_noted() -> None:
    table = RoutingTable(OWN)
    table.looked_up(OWN, 5.0)
    table.seen(far(1), 5.0, dialled=True)
    assert table.due(6.0) == []


def test_targets_of_a_refresh_lie_in_their_bucket() -> None:
    rng = random.Random(5)
    for _ in range(20):
        table = RoutingTable(rng.getrandbits(BITS))
        for bucket in (*range(30), 254, 255):
            assert common_prefix_length(table.own, table.random_in(bucket, rng)) == bucket
    assert len({table.random_in(0, rng) for _ in range(50)}) == 50


def test_random_contacts_are_live_where_there_are_any() -> None:
    table = filled()
    rng = random.Random(7)
    table.failed(uid_of(far(0)), 5.0)
    drawn = Counter(table.random(rng) for _ in range(600))
    assert set(drawn) == {far(1), far(2)}
    assert min(drawn.values()) > 200
    for number in (1, 2):
        table.failed(uid_of(far(number)), 5.0)
    assert {table.random(rng) for _ in range(100)} == {far(0), far(1), far(2)}


# --- showing ----------------------------------------------------------------------------------------------------------


def test_rows_say_all_that_is_known() -> None:
    table = filled(k=2)
    table.seen(contact("127.0.0.1", 4, 1 << 250), 3.0, dialled=False)
    table.seen(far(9), 4.0, dialled=True)
    table.failed(uid_of(far(1)), 5.0)
    table.rtt(uid_of(far(1)), 0.010)
    table.rtt(uid_of(far(1)), 0.018)
    rows = table.rows(10.0)
    assert [(row["bucket"], row["uid"], row["age_s"], row["failures"], row["dialled"], row["cached"]) for row in rows] == [
        (0, far(0).uid, 10.0, 0, True, False),
        (0, far(1).uid, 9.0, 1, True, False),
        (5, 1 << 250, 7.0, 0, False, False),
        (0, far(9).uid, 6.0, 0, True, True),
    ]
    assert rows[1]["rtt_ms"] == pytest.approx(11.0)
    assert rows[0]["rtt_ms"] != rows[0]["rtt_ms"], "nobody measured it"
    assert (rows[1]["ip"], rows[1]["port"]) == far(1).address


def test_a_table_of_a_thousand_peers_takes_5_kib() -> None:
    sizes = []
    for seed in range(10):
        table, _ = random_table(seed, 20, 1_000)
        columns = [getattr(table._live, name) for name in table._live.__slots__]
        sizes.append(sum(map(sys.getsizeof, [table, table._looked_up, table._live, *columns])))
        assert 110 < len(table) < 150
    assert sum(sizes) / len(sizes) < 5_120 + 256


# --- any schedule -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_the_rules_hold(seed: int) -> None:
    rng = random.Random(seed)
    k = rng.choice([2, 3, 5])
    table = RoutingTable(0, k)
    uids = [rng.getrandbits(256) >> rng.choice([0, 0, 1, 2]) or 1 for _ in range(60)]
    failures: Counter[int] = Counter()
    proven: set[Contact] = set()
    for step in range(600):
        uid, now = rng.choice(uids), float(step)
        was_in = uid in table
        match rng.randrange(10):
            case 0 | 1 | 2:
                failures[uid] += 1
                left = table.failed(uid, now)
                assert left == (was_in and uid not in table), f"seed {seed}, step {step}"
            case 3 if step % 7 == 0:
                table.remove(uid)
                assert uid not in table
            case _:
                ip = rng.choice(["127.0.0.1", f"93.184.{rng.randrange(3)}.1"])
                each = contact(ip, 1, uid) if rng.random() < 0.3 else table.get(uid) or contact(ip, 1, uid)
                before = set(table)
                questionable = table.seen(each, now, dialled=rng.random() < 0.8)
                proven.add(each)
                failures[uid] = 0
                assert questionable is None or questionable in before
                gone = {uid_of(other) for other in before} - {uid_of(other) for other in table} - {uid}
                assert all(failures[other] >= spec.STALE_AFTER for other in gone), f"seed {seed}, step {step}: a live one was evicted"
        rows = table.rows(now)
        by_bucket = Counter((row["cached"], row["bucket"]) for row in rows)
        assert max(by_bucket.values(), default=0) <= k
        groups = Counter((row["cached"], row["bucket"], row["ip"]) for row in rows if row["ip"] != "127.0.0.1")
        assert max(groups.values(), default=0) <= 1
        assert len({row["uid"] for row in rows}) == len(rows)
        assert all(common_prefix_length(0, row["uid"]) == row["bucket"] for row in rows)
        assert set(table) <= proven
