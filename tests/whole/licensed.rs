//! Whole nodes under a licence, in virtual time.

use std::time::Duration;

use exosphere::{Builder, Grant, ServeError, SigningKey, StartError};
use futures_util::{FutureExt, future::join_all};

use super::{cluster::Cluster, dice::Dice, net::Weather, simulate};

/// How soon after the end of a partition there are no more than may be.
const GIVEN_WAY: Duration = Duration::from_secs(40);

/// How long nobody takes the place of who may be on the other side: a minute, and what it takes to
/// notice.
const HELD: Duration = Duration::from_secs(65);

/// A node of a vendor's product, which has a licence for `nodes` if there is a number.
fn product(builder: Builder, nodes: Option<u32>) -> Builder {
    let vendor = SigningKey::from_bytes([7; 32]);
    let builder = builder.max_unlicensed_nodes(1, [vendor.public_key()]);
    match nodes {
        Some(nodes) => {
            let grant = Grant::new("Example Ltd", nodes).expect("it is for some nodes");
            builder.license(vendor.issue(&grant).expect("it is short"))
        }
        None => builder,
    }
}

/// Starts a machine, if its node may run.
async fn start(cluster: &Cluster, machine: usize, nodes: Option<u32>) -> Result<(), StartError> {
    cluster.try_start(machine, |builder| product(builder, nodes)).await
}

#[test]
fn as_many_whole_nodes_run_as_the_licence_of_one_of_them_is_for() {
    let refused = simulate(1, async |dice: Dice| {
        let cluster = Cluster::new(28, Weather::CALM, dice);
        let all = (0..27).map(|machine| start(&cluster, machine, (machine == 5).then_some(27)));
        let started = join_all(all).await;
        assert!(started.iter().all(Result::is_ok), "{started:?}");
        start(&cluster, 27, None).await
    });
    assert!(matches!(refused, Err(StartError::MaxLicenses { max: 27, active: 27 })), "{refused:?}");
}

#[test]
fn of_two_whole_nodes_that_start_at_once_for_the_last_place_one_does() {
    for seed in 0..20 {
        let started = simulate(seed, async |dice: Dice| {
            let cluster = Cluster::new(3, Weather::CALM, dice);
            start(&cluster, 0, Some(2)).await.expect("it is the first");
            let both = join_all([1, 2].map(|machine| start(&cluster, machine, None))).await;
            both.iter().filter(|started| started.is_ok()).count()
        });
        assert_eq!(started, 1, "seed {seed}");
    }
}

/// Goal: two sides of a partition are too many together for 40 s at most once it has healed, and nobody
/// gives way who was there before.
///
/// Method: with a licence for four, let three nodes run, part two from one, and let further nodes take
/// the places of those that are not heard of.
#[test]
fn after_a_partition_those_give_way_that_came_last() {
    for seed in 0..10 {
        simulate(seed, async |dice: Dice| {
            let cluster = Cluster::new(6, Weather::CALM, dice);
            let first = join_all([0, 1, 2].map(|machine| start(&cluster, machine, Some(4)))).await;
            assert!(first.iter().all(Result::is_ok), "seed {seed}: {first:?}");
            cluster.net.split(&[0, 1, 3, 4], &[2, 5]);
            tokio::time::sleep(Duration::from_secs(5)).await;
            start(&cluster, 3, None).await.expect("there is a place");
            let held = start(&cluster, 4, None).await;
            assert!(matches!(held, Err(StartError::MaxLicenses { max: 4, active: 4 })), "{held:?}");
            tokio::time::sleep(HELD).await;
            start(&cluster, 4, None).await.expect("there is a place, as far as it knows");
            start(&cluster, 5, None).await.expect("there is a place, as far as it knows");
            cluster.net.heal();
            tokio::time::sleep(GIVEN_WAY).await;
            let ended = |machine: &usize| cluster.node(*machine).ended().now_or_never();
            let is_over = |machine: &usize| {
                matches!(ended(machine), Some(Err(ServeError::MaxLicenses { max: 4, .. })))
            };
            let active: Vec<_> = (0..6).filter(|machine| ended(machine).is_none()).collect();
            assert_eq!(active.len(), 4, "seed {seed}: {active:?}");
            assert_eq!(active[..3], [0, 1, 2], "seed {seed}");
            assert_eq!((0..6).filter(is_over).count(), 2, "seed {seed}");
        });
    }
}
