"""Which test proves which row of the tables of hostile input and of attacks: none may go without another taking its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]

ROWS: dict[str, tuple[str, ...]] = {
    # hostile input
    "a prefix of 0xFFFFFFFF": ("net/test_hostile.py::test_a_bad_message_ends_its_link", "wire/test_framing.py::test_any_other_size_is_refused_and_nothing_allocated_for_it"),
    "a message of exactly the limit": ("net/test_links.py::test_a_message_of_exactly_the_limit",),
    "a body shorter than its prefix": ("net/test_links.py::test_a_stream_that_ends_inside_a_message_is_an_error",),
    "500,000 parentheses, a million digits, bytes of 256 and -1, no UTF-8": ("net/test_hostile.py::test_a_bad_message_ends_its_link", "wire/test_sexp_read.py::test_refuses"),
    "unknown procedure, wrong arity, -1 and 2^256": ("peer/test_peer.py::test_what_is_no_request_closes_the_link_without_a_word", "attacks/test_connections.py::test_a_flood_of_bad_messages_is_counted_by_the_peer_who_sent_them"),
    "a reply of another kind, 21 contacts": ("peer/test_hostile.py::test_a_reply_of_another_kind_fails_that_request_and_closes_that_link",),
    "equal contacts, the asker's own address": ("peer/test_hostile.py::test_equal_contacts_are_one_and_the_askers_own_is_none",),
    "a value under another key": ("peer/test_hostile.py::test_a_liar_is_penalised_by_uid_and_never_by_address", "peer/test_peer.py::test_a_value_under_the_wrong_key_is_passed_over"),
    "S + L, a signature moved": ("dht/test_signature.py::",),
    "plaintext": ("net/test_hostile.py::test_plaintext_is_no_greeting",),
    "our own static key": ("net/test_hostile.py::test_the_own_key_is_refused",),
    "a FIN inside a message": ("net/test_links.py::test_a_stream_that_ends_inside_a_message_is_an_error",),
    "1,000 ref by a reader that stopped": ("attacks/test_connections.py::test_a_thousand_ref_by_a_reader_that_stopped", "net/test_hostile.py::test_a_thousand_questions_from_one_who_does_not_read"),
    "an identity shown": ("test_secret.py::test_displays", "test_secret.py::test_calls_that_fail_show_no_key"),
    # attacks
    "tampering": ("wire/test_channel_noise.py::test_every_byte_of_the_handshake_flipped", "wire/test_channel_noise.py::test_every_byte_of_200_records_flipped", "attacks/test_identity.py::test_bytes_flipped_on_a_live_wire_store_nothing"),
    "impersonation": ("attacks/test_identity.py::test_a_thousand_forged_iam_change_no_table", "attacks/test_identity.py::test_two_thousand_forged_iam_on_a_carrier_without_links"),
    "poisoning": ("attacks/test_poisoning.py::test_with_30_percent_liars_99_of_100_lookups_are_right", "dht/test_lookup_hostile.py::test_with_30_percent_liars_lookups_are_right"),
    "reflection": ("peer/test_hostile.py::test_ten_thousand_lying_contacts_cost_64_dials", "dht/test_lookup_hostile.py::test_ten_thousand_lying_contacts_cannot_make_it_flood_anybody", "attacks/test_exposure.py::test_no_name_is_ever_looked_up"),
    "Sybils": ("attacks/test_lab.py::test_at_most_one_contact_of_a_group_a_bucket",),
    "bag stuffing": ("attacks/test_lab.py::test_a_vote_counts_once_however_often_it_is_cast", "attacks/test_lab.py::test_two_of_five_lying_replicas_place_no_fake"),
    "rollback": ("peer/test_hostile.py::test_ten_thousand_replays_roll_nothing_back", "attacks/test_lab.py::test_no_replica_that_goes_back_takes_a_reader_with_it"),
    "slow handshakes": ("attacks/test_connections.py::test_500_slow_handshakes",),
    "floods": ("attacks/test_floods.py::test_a_node_keeps_256_mb_whoever_floods", "attacks/test_floods.py::test_once_half_full_8_mb_an_hour", "attacks/test_floods.py::test_24_hours_and_everything_is_gone", "attacks/test_floods.py::test_a_bag_holds_1000_values_64_of_a_publisher_and_1024_publishers_a_value", "attacks/test_floods.py::test_a_public_key_has_1024_entries", "dht/test_quota.py::test_no_hour_ever_has_more_and_a_refusal_is_deserved"),
    "parser": ("fuzz/test_fuzz.py::test_random_and_mutated_texts_raise_only_the_parse_error", "fuzz/test_worst.py::test_a_megabyte_never_takes_twenty", "benchmarks/bench_attacks.py::test_any_megabyte_is_read_within_100_ms"),
    "secrets": ("test_secrets_scan.py::test_nothing_committed_holds_a_secret_or_names_a_machine", "test_secrets_scan.py::test_the_history_holds_no_key_block_or_token", "attacks/test_exposure.py::test_logs_show_no_secret"),
    "exposure": ("attacks/test_exposure.py::test_no_public_listening_socket",),
    "odd contacts": ("attacks/test_contacts.py::test_odd_contacts",),
    "the ends of ages and sequence numbers": ("attacks/test_extremes.py::test_ages_that_are_asked_for", "attacks/test_extremes.py::test_the_last_sequence_number"),
    "clocks that are set": ("attacks/test_clocks.py::test_reading_and_writing_go_on", "attacks/test_clocks.py::test_nothing_at_it_lives_longer_than_24_hours_or_much_shorter"),
    "numbers with one hash": ("attacks/test_collisions.py::test_the_keys_of_bags", "attacks/test_collisions.py::test_the_uids_in_contacts", "attacks/test_collisions.py::test_the_uids_of_voters", "attacks/test_collisions.py::test_the_uids_of_newcomers"),
    "memory over all links": ("net/test_held.py::test_many_who_stop_reading_are_bounded_together", "net/test_held.py::test_many_messages_that_are_never_whole_are_bounded_together"),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_every_row_has_its_proof(row: str) -> None:
    for proof in ROWS[row]:
        path, _, name = proof.partition("::")
        assert re.search(rf"^def {name or 'test_'}\w*\(", (TESTS / path).read_text(), re.M), proof
