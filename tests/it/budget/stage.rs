//! A fleet with a budget, and the books of the one who bills.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use hal_o_swarm::protocol::budget::dollars;
use serde_json::{Value, json};

use crate::patience::wait_until;
use crate::world::World;

/// What may be spent, in micro-dollars.
pub const LIMIT: u64 = 1_000_000;

/// What is lent at a time.
pub const LEASE: u64 = 50_000;

/// Fifty turns of a debug build on a machine that others are using.
pub const LONG: Duration = Duration::from_secs(300);

pub struct Fleet {
    pub world: World,
    ledger: PathBuf,
    budgets: Value,
    nodes: Vec<String>,
}

/// How things stand, once.
#[derive(Clone, Debug)]
pub struct Stand {
    /// What was billed just before.
    pub billed: u64,
    pub spent: u64,
    pub forfeited: u64,
    pub outstanding: u64,
    pub leases: usize,
}

impl Fleet {
    /// So many nodes with one echo project each, and these budgets.
    pub fn with(nodes: usize, budgets: Value) -> Self {
        let mut world = World::empty();
        let ledger = world.path().join("ledger");
        std::fs::write(&ledger, "").unwrap();
        world.environment.push(("HAL_ECHO_LEDGER".into(), ledger.to_string_lossy().into_owned()));
        let nodes = (1..=nodes).map(|nth| format!("node-{nth}")).collect();
        let mut fleet = Self { world, ledger, budgets, nodes };
        fleet.start_supervisor();
        for node in fleet.nodes.clone() {
            fleet.world.start_agent(&node, &project_of(&node));
        }
        fleet
    }

    /// A budget of a dollar a day for all, with leases of this time.
    pub fn with_a_dollar(nodes: usize, lease_time: &str) -> Self {
        let budgets = json!({
            "lease": {"usd": 0.05, "time": lease_time},
            "limits": [{"name": "day", "scope": "fleet", "limit_usd": 1.00, "period": "day", "warn_percent": [50]}],
        });
        Self::with(nodes, budgets)
    }

    fn supervisor_command(&self) -> Command {
        let mut config = self.world.supervisor_config(self.world.port());
        config["budgets"] = self.budgets.clone();
        let path = self.world.write("supervisor.json", &config.to_string());
        self.world.hal(&["supervisor", "--config", &path.to_string_lossy()])
    }

    pub fn start_supervisor(&mut self) {
        let command = self.supervisor_command();
        self.world.start_supervisor_by(command);
        self.world.wait_for_supervisor();
    }

    pub fn wait_for_nodes(&self) {
        for node in &self.nodes {
            self.world.wait_for_node(node, "online");
        }
    }

    /// Ends everything as a power cut would, in the middle of things.
    pub fn kill_everything(&mut self) {
        self.world.kill_supervisor();
        for node in &self.nodes {
            self.world.take_agent(node).kill();
        }
    }

    pub fn start_agents_again(&mut self) {
        for node in self.nodes.clone() {
            self.world.start_agent_again(&node);
        }
        self.wait_for_nodes();
    }

    /// Begins so many sessions at the same time, in turn on each node, and does not wait for their leases.
    pub fn begin(&self, sessions: usize, prompt: &str) {
        let commands = (0..sessions).map(|nth| {
            let node = &self.nodes[nth % self.nodes.len()];
            json!({"type": "create_session", "project": project_of(node), "node_id": node,
                "args": {"prompt": prompt}, "timeout": 1, "expires": 3600})
        });
        self.ask_all(commands.collect());
    }

    /// Says something to every session, without waiting for leases.
    pub fn prompt_all(&self, message: &str) {
        let sessions = self.world.pages("/api/v1/sessions?limit=100");
        let prompt = |session: &Value| {
            json!({"type": "prompt_session", "session_id": session["id"], "args": {"message": message},
                "timeout": 1, "expires": 3600})
        };
        self.ask_all(sessions.iter().map(prompt).collect());
    }

    fn ask_all(&self, commands: Vec<Value>) {
        let asking = commands.iter().map(|command| self.world.asking(command));
        self.world.run(futures_util::future::join_all(asking));
    }

    /// What was billed: the sum of echo's own ledger.
    pub fn billed(&self) -> u64 {
        let text = std::fs::read_to_string(&self.ledger).unwrap();
        // An agent may be in the middle of the last line.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| line.split_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
    }

    pub fn stand(&self) -> Stand {
        let billed = self.billed();
        let exposure = self.world.data("/api/v1/cost/exposure");
        let budget = &exposure["budgets"][0];
        let of = |key: &str| budget[key].as_u64().unwrap();
        Stand {
            billed,
            spent: of("spent_micros"),
            forfeited: of("forfeited_micros"),
            outstanding: of("outstanding_micros"),
            leases: exposure["leases"].as_array().unwrap().len(),
        }
    }

    /// Prints the exposure, as an operator reads it, and what was billed until then.
    pub fn print(&self, step: &str) -> Stand {
        let stand = self.stand();
        println!("--- {step}: billed ${} of ${}", dollars(stand.billed), dollars(LIMIT));
        let said = self.world.ctl_says(&["-o", "lines", "budgets", "exposure"]);
        for line in said.lines().take(2) {
            println!("    {line}");
        }
        stand
    }

    /// What must hold at every moment: whatever was billed is spent or lent, and that is no more than the limit.
    pub fn holds(&self) -> Stand {
        let stand = self.stand();
        assert!(
            stand.billed <= stand.spent + stand.outstanding,
            "something was billed that nobody lent: {stand:?}"
        );
        assert!(stand.spent + stand.outstanding <= LIMIT + LEASE, "more was lent than there is: {stand:?}");
        stand
    }

    /// Looks again and again until nothing runs and nothing waits; gives the most that was ever lent at once.
    pub fn until_quiet(&self) -> u64 {
        let mut most = 0;
        wait_until("all turns are over or refused", LONG, || {
            let stand = self.holds();
            most = most.max(stand.outstanding);
            let open = self.world.metric("hal_o_swarm_commands_open");
            match (open, stand.leases) {
                (0.0, 0) => Ok(()),
                (open, _) => Err(format!("{open} commands are open; {stand:?}")),
            }
        });
        most
    }

    /// Waits until nothing was billed for this long, and gives what was.
    pub fn until_nothing_is_billed(&self, quiet: Duration) -> u64 {
        let (mut last, mut since) = (self.billed(), Instant::now());
        wait_until("nothing is billed any more", LONG, || {
            let now = self.billed();
            if now != last {
                (last, since) = (now, Instant::now());
            }
            if since.elapsed() >= quiet { Ok(now) } else { Err(format!("billed {now}")) }
        })
    }

    pub fn until_billed(&self, least: u64) -> u64 {
        wait_until("some of it is spent", LONG, || {
            let billed = self.billed();
            if billed >= least { Ok(billed) } else { Err(format!("billed {billed}")) }
        })
    }
}

pub fn project_of(node: &str) -> String {
    format!("project-of-{node}")
}
