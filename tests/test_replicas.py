"""Tests of which replica and worker this is; the numbers are in `engine/test_replication.py`."""

import tensorflow as tf

from kerasmodes import replicas


def test_one_device_holds_the_first_part():
    assert replicas.shard_index() == 0
    assert not replicas.has_shard()


def test_each_replica_holds_the_part_of_its_number(two_replicas):
    places = two_replicas.run(lambda: tf.constant(replicas.shard_index()))
    assert [place.numpy() for place in places.values] == [0, 1]


def test_a_part_that_is_given_counts_in_its_thread_while_it_is_held(two_replicas):
    def on_replica():
        with replicas.shard_scope(5, 8):
            held = replicas.shard_index(), replicas.has_shard(), replicas.num_shards()
        return tf.constant([*map(int, held), replicas.shard_index(), replicas.num_shards()])

    found = two_replicas.run(on_replica)
    assert [values.numpy().tolist() for values in found.values] == [
        [5, 1, 8, 0, 2],
        [5, 1, 8, 1, 2],
    ]


def test_a_number_of_the_only_worker_is_its_own(two_replicas):
    assert replicas.broadcast_from_chief(two_replicas, 2**63 + 5) == 2**63 + 5
    assert replicas.num_workers(two_replicas) == 1
