//! The operator's documents say what the program does.

use crate::world::World;

/// Paths that need no token or are no API stand beside the document made from the code.
const BESIDE: [&str; 4] = ["/api/v1/openapi.json", "/healthz", "/readyz", "/metrics"];

#[test]
fn every_path_of_the_api_is_documented_and_every_documented_path_exists() {
    let world = World::supervised();
    let document = world.get("/api/v1/openapi.json").body;
    let served = document["paths"].as_object().unwrap().keys().map(String::as_str);
    let mut served: Vec<&str> = served.chain(BESIDE).collect();
    served.sort_unstable();
    let text = include_str!("../../packaging/docs/API.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let mut told: Vec<&str> = rows.filter_map(|cell| cell.split_once(' ').map(|(_, path)| path)).collect();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told, served);
}
