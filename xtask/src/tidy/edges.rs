//! Which crate may know which. An arrow that is not here is a decision: it changes this table together with ARCHITECTURE.md.

use crate::workspace::Package;

const FEATURES_MAX: usize = 3;
const OURS: &str = "tertulia-";

/// Development dependencies are exempt: a test may use whatever shows the truth.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("tertulia-proto", &[]),
    ("tertulia-engine", &["tertulia-proto"]),
    ("tertulia-client-sqlite", &["tertulia-proto", "tertulia-engine"]),
    ("tertulia-client", &["tertulia-proto", "tertulia-engine", "tertulia-client-sqlite"]),
    ("tertulia-ffi", &["tertulia-client"]),
    ("tertulia-wasm", &["tertulia-client"]),
    ("tertulia-tui", &["tertulia-client", "tertulia-proto"]),
    (
        "tertulia-sim",
        &[
            "tertulia-proto",
            "tertulia-engine",
            "tertulia-client-sqlite",
            "tertulia-store",
            "tertulia-store-sqlite",
            "tertulia-realtime",
            "tertulia-core",
            "tertulia-gateway",
            "tertulia-jobs",
            "tertulia-notify",
            "tertulia-push",
            "tertulia-testkit",
        ],
    ),
    ("tertulia-store", &["tertulia-proto"]),
    ("tertulia-store-sqlite", &["tertulia-proto", "tertulia-store"]),
    ("tertulia-store-postgres", &["tertulia-proto", "tertulia-store"]),
    ("tertulia-jobs", &["tertulia-proto", "tertulia-store"]),
    ("tertulia-push", &["tertulia-proto", "tertulia-store"]),
    ("tertulia-notify", &["tertulia-proto", "tertulia-store", "tertulia-core", "tertulia-jobs", "tertulia-push"]),
    ("tertulia-realtime", &["tertulia-proto"]),
    ("tertulia-bus-redis", &["tertulia-proto", "tertulia-realtime"]),
    ("tertulia-core", &["tertulia-proto", "tertulia-store", "tertulia-realtime"]),
    ("tertulia-gateway", &["tertulia-proto", "tertulia-store", "tertulia-realtime", "tertulia-core"]),
    (
        "tertulia-server",
        &[
            "tertulia-proto",
            "tertulia-store",
            "tertulia-store-postgres",
            "tertulia-store-sqlite",
            "tertulia-realtime",
            "tertulia-bus-redis",
            "tertulia-core",
            "tertulia-gateway",
            "tertulia-jobs",
            "tertulia-notify",
            "tertulia-push",
        ],
    ),
    ("tertulia-testkit", &["tertulia-proto"]),
    ("tertulia-load", &["tertulia-proto"]),
    ("tertulia-cluster", &["tertulia-client", "tertulia-testkit"]),
    ("tertulia-history", &[]),
    ("xtask", &[]),
];

const TRANSPORT_AND_SQL: &[&str] = &["axum", "reqwest", "rusqlite", "socketioxide"];

const MAY_NOT_KNOW: &[(&str, &[&str])] = &[
    ("tertulia-client", &["axum", "rusqlite", "socketioxide"]),
    ("tertulia-ffi", TRANSPORT_AND_SQL),
    ("tertulia-wasm", TRANSPORT_AND_SQL),
    ("tertulia-engine", &["axum", "getrandom", "reqwest", "rusqlite", "socketioxide", "tokio"]),
    ("tertulia-client-sqlite", &["axum", "reqwest", "socketioxide", "tokio"]),
    ("tertulia-proto", &["axum", "getrandom", "reqwest", "rusqlite", "socketioxide", "tokio"]),
    ("tertulia-tui", &["reqwest", "rusqlite", "tokio-tungstenite"]),
    ("tertulia-store", TRANSPORT_AND_SQL),
    ("tertulia-jobs", TRANSPORT_AND_SQL),
    ("tertulia-notify", TRANSPORT_AND_SQL),
    ("tertulia-realtime", TRANSPORT_AND_SQL),
    ("tertulia-core", TRANSPORT_AND_SQL),
    ("tertulia-gateway", &["rusqlite"]),
];

pub fn findings(packages: &[Package]) -> Vec<String> {
    let mut found: Vec<String> = packages.iter().flat_map(edges_of).collect();
    let features: Vec<String> = packages
        .iter()
        .flat_map(|package| package.features.iter().map(|name| format!("{}/{name}", package.name)))
        .collect();
    if features.len() > FEATURES_MAX {
        found.push(format!("{} features, over {FEATURES_MAX}: {}", features.len(), features.join(", ")));
    }
    found
}

fn edges_of(package: &Package) -> Vec<String> {
    let name = package.name.as_str();
    let Some((_, may)) = MAY_KNOW.iter().find(|(known, _)| *known == name) else {
        return vec![format!("{name}: a crate that the table of edges does not have; say there what it may know")];
    };
    let may_not = MAY_NOT_KNOW.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, list)| list);
    let breaks = |known: &&String| {
        let known = known.as_str();
        may_not.contains(&known) || (known.starts_with(OURS) && !may.contains(&known))
    };
    package.dependencies.iter().filter(breaks).map(|known| format!("{name} may not know {known}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[&str], features: &[&str]) -> Package {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Package { name: name.to_owned(), dependencies: owned(dependencies), features: owned(features) }
    }

    #[test]
    fn an_arrow_that_runs_back_up_is_found() {
        assert_eq!(findings(&[package("tertulia-core", &["tertulia-store", "serde"], &[])]), [""; 0]);
        let wrong = package("tertulia-core", &["tertulia-gateway", "rusqlite"], &[]);
        assert_eq!(
            findings(&[wrong]),
            ["tertulia-core may not know tertulia-gateway", "tertulia-core may not know rusqlite"]
        );
        assert_eq!(findings(&[package("tertulia-gateway", &["tertulia-store-sqlite"], &[])]).len(), 1);
    }

    #[test]
    fn a_new_crate_and_a_fourth_feature_are_found() {
        assert_eq!(findings(&[package("tertulia-utils", &[], &[])]).len(), 1);
        assert_eq!(
            findings(&[package("xtask", &[], &["a", "b", "c", "d"])]),
            ["4 features, over 3: xtask/a, xtask/b, xtask/c, xtask/d"]
        );
    }
}
