//! Two homes, one life: the same things done on SQLite and on PostgreSQL come to the same, and are seen the same.

#![allow(clippy::expect_used, clippy::panic, reason = "a broken expectation is to stop its test")]

mod database;
mod life;

use tertulia_store::Write;
use tertulia_store::conformance::world::World;

use crate::database::Cluster;
use crate::life::{Chance, InMemory, begin, notify, seen, told, write};

#[tokio::test]
async fn the_same_life_is_the_same_in_both_homes() {
    const ROUNDS: usize = 60;
    let cluster = Cluster::start();
    for seed in 1..=4 {
        let worlds = [World::open(&InMemory).await, World::open(&cluster.log()).await];
        let mut things = [begin(&worlds[0]).await, begin(&worlds[1]).await];
        let mut chances = [Chance(seed), Chance(seed)];
        for round in 0..ROUNDS {
            let mut results = Vec::new();
            for ((world, things), chance) in worlds.iter().zip(&mut things).zip(&mut chances) {
                let writes: Vec<Write> = (0..=chance.below(8)).map(|_| write(world, things, chance)).collect();
                let mut told: Vec<String> = world.burst(writes.clone()).await.iter().map(told).collect();
                told.push(notify(world, things, chance).await);
                results.push((writes, told));
            }
            let [sqlite, postgres] = &results[..] else { panic!("two homes") };
            for (at, (one, other)) in sqlite.1.iter().zip(&postgres.1).enumerate() {
                assert_eq!(one, other, "seed {seed}, round {round}: {:?}", sqlite.0.get(at));
            }
            if round % 10 == 9 {
                let (now, people) = (worlds[0].now(), things[0].people.clone());
                worlds[1].now();
                for person in people {
                    let [one, other] = [
                        seen(&worlds[0], person, &things[0], now).await,
                        seen(&worlds[1], person, &things[1], now).await,
                    ];
                    for (one, other) in one.iter().zip(&other) {
                        assert_eq!(one, other, "seed {seed}, round {round}");
                    }
                }
            }
        }
        let postgres = worlds[1].store.job_counts().await.expect("the store reads");
        assert_eq!(worlds[0].store.job_counts().await.expect("the store reads"), postgres);
    }
}
